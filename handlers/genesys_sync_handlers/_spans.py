"""What is to be silenced in a recording, and where that is written down between the redaction of a transcript and the muting. Pure.

A spans file belongs to one recording and one transcript, so that whoever writes it needs to read nothing first, and writers in several
processes lose nothing of each other's: `{"schema": 1, "transcripts": {"<key of the redacted transcript>": [[start, end, channel], …]}}`,
times in seconds from the recording's start, channel -1 for all of them. What is silenced is what all files of the recording say together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import orjson

ALL = -1
"""Every channel."""
UNTIL_THE_END = 1e8
"""Seconds; longer than any recording."""

Stretch = tuple[float, float, int]
"""Start and end in seconds, and the channel from 0, or ALL."""

_SCHEMA = 1
_ENDING = ".spans.json"


def spans_folder(day: date, conversation_id: str) -> str:
    """Where the spans of a conversation's recordings lie."""
    return redacted_key(f"recordings/{day:%Y/%m/%d}/{conversation_id}")


def spans_key(folder: str, identity: str, transcript_key: str) -> str:
    """Where one transcript's spans of one recording lie; of a communication, where the transcript names no recording."""
    name = hashlib.sha256(transcript_key.encode()).hexdigest()[:16]
    return f"{folder}/{identity}.{name}{_ENDING}"


def spans_of(keys: Iterable[str], identities: Iterable[str]) -> list[str]:
    """Those of the keys under which spans of one of these lie, of whichever transcript."""
    named = tuple(f"{identity}." for identity in identities)
    return [key for key in keys if key.endswith(_ENDING) and key.rpartition("/")[2].startswith(named)]


def redacted_key(key: str) -> str:
    """Where the redacted copy of what lies under an archive key goes."""
    return f"redacted/{key}"


def spans_file(transcript_key: str, stretches: Iterable[Stretch]) -> bytes:
    """What this transcript says; the same for the same stretches."""
    transcripts = {transcript_key: [list(stretch) for stretch in sorted(stretches)]}
    return orjson.dumps({"schema": _SCHEMA, "transcripts": transcripts}, option=orjson.OPT_SORT_KEYS)


def stretches_of(files: Iterable[bytes]) -> list[Stretch]:
    """What all these spans files say, in order of time. Raises ValueError for a file that is none."""
    return sorted({_stretch(item) for file in files for items in _transcripts(file).values() for item in items})


def widened(stretches: Iterable[Stretch], *, margin: float) -> list[Stretch]:
    """Each longer by `margin` seconds at both ends, those of one channel that touch made one. What has no length lasts to the end of the
    recording: whoever wrote it down knew when it begins at the earliest, and not how long it takes."""
    joined: dict[int, list[list[float]]] = {}
    for start, end, channel in sorted(stretches):
        begin, finish = max(0.0, start - margin), (end if end > start else UNTIL_THE_END) + margin
        line = joined.setdefault(channel, [])
        if line and begin <= line[-1][1]:
            line[-1][1] = max(line[-1][1], finish)
        else:
            line.append([begin, finish])
    return sorted((begin, finish, channel) for channel, line in joined.items() for begin, finish in line)


def outlast(stretches: Iterable[Stretch], length: float) -> bool:
    """Whether one begins only when the recording is over: then its times are not this recording's."""
    return any(start >= length for start, _, _ in stretches)


def of_part(stretches: Sequence[Stretch], *, before: float, alone: bool) -> list[Stretch]:
    """What is silenced in one of several parts, `before` seconds into the recording.

    Whether parts follow one another or were recorded side by side the platform does not say: both are provided for, so that more is
    silenced than need be, and never less.
    """
    if alone:
        return list(stretches)
    shifted = [(max(0.0, start - before), end - before, channel) for start, end, channel in stretches if end > before]
    return sorted({*stretches, *shifted})


def digest(stretches: Sequence[Stretch], *facts: object) -> str:
    """By which it is known that a copy was made from just these spans, in just this way."""
    return hashlib.sha256(orjson.dumps([stretches, [str(fact) for fact in facts]])).hexdigest()


def _transcripts(file: bytes) -> Mapping[str, Sequence[Any]]:
    told = orjson.loads(file)
    if not isinstance(told, dict) or told.get("schema") != _SCHEMA or not isinstance(told.get("transcripts"), dict):
        raise ValueError("this is no spans file of this version")
    return dict(told["transcripts"])


def _stretch(item: Any) -> Stretch:
    start, end, channel = item
    return float(start), float(end), int(channel)
