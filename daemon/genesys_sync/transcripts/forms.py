"""The written forms of a transcript: JSON (the model), WebVTT, SubRip and plain text. Pure; the same transcript gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Final, Literal

import orjson

from genesys_sync.transcripts.model import Segment, Speaker, Transcript

Form = Literal["json", "vtt", "srt", "txt"]
FORMS: Final[tuple[Form, ...]] = ("json", "vtt", "srt", "txt")

_BLANKS: Final = re.compile(r"\s+")
_ARROW: Final = re.compile(r"-{2,}>")
_SHORTEST: Final = 1
"""Milliseconds of a cue: WebVTT forbids one that ends when it begins."""
_READ: Final = (1_000, 5_000)
"""Milliseconds, at least and at most, for which what was written is shown: it has no length of its own."""


def written(transcript: Transcript, form: Form) -> bytes:
    """The transcript in this form, UTF-8."""
    return _WRITERS[form](transcript)


def as_json(transcript: Transcript) -> bytes:
    """The model's own form; `Transcript.from_dict` reads it back."""
    return orjson.dumps(transcript.to_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def as_vtt(transcript: Transcript) -> bytes:
    """WebVTT: a cue for each segment, with the speaker in a voice tag."""
    blocks = ["WEBVTT"]
    for number, (segment, start, end) in enumerate(_cues(transcript), start=1):
        voice = _escaped(speaker_name(segment.speaker))
        blocks.append(f"{number}\n{_clock(start, '.')} --> {_clock(end, '.')}\n<v {voice}>{_escaped(_line(segment.text))}</v>")
    return ("\n\n".join(blocks) + "\n").encode()


def as_srt(transcript: Transcript) -> bytes:
    """SubRip: a cue for each segment, the speaker before a colon. The form knows no escapes: an arrow in a text becomes a dash and
    a greater-than sign, and so do no harm."""
    blocks = []
    for number, (segment, start, end) in enumerate(_cues(transcript), start=1):
        said = _ARROW.sub("->", f"{speaker_name(segment.speaker)}: {_line(segment.text)}")
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{said}\n")
    return "\n".join(blocks).encode()


def as_text(transcript: Transcript) -> bytes:
    """A line for each segment: when, who, what."""
    lines = (f"[{_clock(start, '.')[:-4]}] {speaker_name(one.speaker)}: {_line(one.text)}\n" for one, start, _ in _cues(transcript))
    return "".join(lines).encode()


def speaker_name(speaker: Speaker) -> str:
    """How a speaker is called where people read: the name, else the role, else the label."""
    return _line(speaker.name or speaker.role or speaker.label) or "unknown"


def _cues(transcript: Transcript) -> Iterator[tuple[Segment, int, int]]:
    """Segments that say something, with start and end in milliseconds, the end after the start. What has no length lasts until the next one
    begins, within _READ."""
    said = [segment for segment in transcript.segments if _line(segment.text)]
    least, most = _READ
    for segment, following in zip_longest(said, said[1:]):
        start = max(0, round(segment.start * 1000))
        end = round(segment.end * 1000)
        if segment.end <= segment.start and not segment.words:
            end = start + (most if following is None else min(most, max(least, round(following.start * 1000) - start)))
        yield segment, start, max(start + _SHORTEST, end)


def _clock(milliseconds: int, mark: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{thousandths:03d}"


def _line(text: str) -> str:
    """On one line: an empty line would end a cue."""
    return _BLANKS.sub(" ", text).strip()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_WRITERS: Final[Mapping[Form, Callable[[Transcript], bytes]]] = {"json": as_json, "vtt": as_vtt, "srt": as_srt, "txt": as_text}
