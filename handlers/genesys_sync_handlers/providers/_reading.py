"""Reads what speech services answer: every field may be missing, of another kind, or out of all bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson

from genesys_sync.plugin import Heard
from genesys_sync.transcripts import Mark, Segment, Speaker, TranscriptUnreadable, Word, fields

SEGMENTS_MOST: Final = 50_000
WORDS_MOST: Final = 500_000
_CHANNELS_MOST: Final = 64
_UNKNOWN: Final = "unknown"
_NAMES: Final = {
    "arabic": "ar", "chinese": "zh", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi", "french": "fr", "german": "de",
    "hindi": "hi", "italian": "it", "japanese": "ja", "korean": "ko", "norwegian": "no", "polish": "pl", "portuguese": "pt",
    "russian": "ru", "spanish": "es", "swedish": "sv", "turkish": "tr", "ukrainian": "uk",
}  # fmt: skip
"""Languages by the names under which widely used services tell them."""


def document_of(data: bytes) -> Mapping[str, Any]:
    """The JSON object. Raises TranscriptUnreadable; the message shows nothing of it."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise TranscriptUnreadable("the provider's result is not JSON") from None
    if not isinstance(found, Mapping):
        raise TranscriptUnreadable("the provider's result holds no JSON object")
    return found


@dataclass(slots=True)
class _Rough:
    """A segment while its words are gathered. `rest` are the words of its text that are still to be met."""

    text: str
    start: float | None
    end: float | None
    speaker: Speaker
    confidence: float | None
    language: str | None
    words: list[Word] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def heard(data: bytes) -> Heard:
    """What a result says that has `text`, `language`, `duration`, `segments`, `words` and `diarization`, all of them optional: words
    within segments, or beside them. What has no time spans the whole. Raises TranscriptUnreadable."""
    document = document_of(data)
    duration = _seconds(document.get("duration"))
    language = _language(document.get("language"))
    rough = [one for item in fields.objects(document, "segments") if (one := _segment(item)).text]
    loose = list(_words(fields.objects(document, "words")))
    if len(rough) > SEGMENTS_MOST or len(loose) + sum(len(one.words) for one in rough) > WORDS_MOST:
        raise TranscriptUnreadable(f"the provider's result holds more than {SEGMENTS_MOST} segments or {WORDS_MOST} words")
    if not rough and (text := fields.text(document.get("text")) or " ".join(word.text for word in loose)):
        rough = [_Rough(text, None, None, Speaker(label=_UNKNOWN), None, None)]
    if not any(one.words for one in rough):
        _share_out(loose, rough)
    length = duration if duration is not None else max((one.end or 0.0 for one in rough), default=0.0)
    finished = sorted((_finished(one, length, language) for one in rough), key=lambda one: (one.start, one.end))
    segments = tuple(_numbered(finished))
    languages = tuple(dict.fromkeys(one.language for one in segments if one.language is not None))
    return Heard(segments=segments, marks=_marks(document), languages=languages, duration=duration)


def _marks(document: Mapping[str, Any]) -> tuple[Mark, ...]:
    """Those that say who, from when and until when; the first SEGMENTS_MOST of them."""
    found = []
    for item in islice(fields.objects(document, "diarization"), SEGMENTS_MOST):
        speaker, start, end = _speaker(item), _seconds(item.get("start")), _seconds(item.get("end"))
        if speaker.label != _UNKNOWN and start is not None and end is not None:
            found.append(Mark(start=start, end=max(start, end), speaker=speaker))
    return tuple(found)


def _speaker(item: Mapping[str, Any]) -> Speaker:
    """With the channel of the sound, if it is told: what is muted is muted in that one alone."""
    channel = item.get("channel")
    known = isinstance(channel, int) and not isinstance(channel, bool) and 0 <= channel < _CHANNELS_MOST
    return Speaker(label=fields.label(item.get("speaker")) or _UNKNOWN, channel=channel if known else None)


def _segment(item: Mapping[str, Any]) -> _Rough:
    words = list(_words(fields.objects(item, "words")))
    text = fields.text(item.get("text")) or " ".join(word.text for word in words)
    return _Rough(
        text,
        _seconds(item.get("start")),
        _seconds(item.get("end")),
        _speaker(item),
        fields.confidence(item.get("confidence")),
        _language(item.get("language")),
        words,
        _plain(text),
    )


def _words(items: Iterable[Mapping[str, Any]]) -> Iterator[Word]:
    """Those whose times are told; of the others the segment's text tells."""
    for item in items:
        text = fields.text(item.get("word")) or fields.text(item.get("text"))
        start, end = _seconds(item.get("start")), _seconds(item.get("end"))
        if text and start is not None and end is not None:
            yield Word(text=text, start=start, end=max(start, end), confidence=fields.confidence(item.get("confidence")))


def _share_out(words: Sequence[Word], segments: Sequence[_Rough]) -> None:
    """Each word to the segment in whose time its middle lies; of several (people talk at once) to that whose text goes on with it."""
    if not segments:
        return
    first = 0
    for word in words:
        middle = (word.start + word.end) / 2
        while first < len(segments) - 1 and (end := segments[first].end) is not None and end < middle - 60:
            first += 1
        around = segments[first : first + 200]
        holding = [one for one in around if _within(middle, one)] or [min(around, key=lambda one: _away(middle, one))]
        wanted = _plain(word.text)
        chosen = next((one for one in holding if wanted and one.rest[: len(wanted)] == wanted), holding[0])
        del chosen.rest[: len(wanted)]
        chosen.words.append(word)


def _within(middle: float, one: _Rough) -> bool:
    return (one.start is None or one.start <= middle) and (one.end is None or middle <= one.end)


def _away(middle: float, one: _Rough) -> float:
    return min(abs(middle - (one.start or 0.0)), abs(middle - (one.end if one.end is not None else middle)))


def _finished(one: _Rough, length: float, language: str | None) -> Segment:
    start = one.start if one.start is not None else min((word.start for word in one.words), default=0.0)
    end = one.end if one.end is not None else max((word.end for word in one.words), default=length)
    return Segment(
        index=0,
        speaker=one.speaker,
        text=one.text,
        start=start,
        end=max(start, end),
        language=one.language or language,
        confidence=one.confidence,
        words=tuple(sorted(one.words, key=lambda word: (word.start, word.end))),
    )


def _numbered(segments: Iterable[Segment]) -> Iterator[Segment]:
    for index, one in enumerate(segments):
        yield Segment(
            index=index,
            speaker=one.speaker,
            text=one.text,
            start=one.start,
            end=one.end,
            language=one.language,
            confidence=one.confidence,
            words=one.words,
        )


def _plain(text: str) -> list[str]:
    return ["".join(letter for letter in word if letter.isalnum()).lower() for word in text.split()]


def _seconds(value: object) -> float | None:
    found = fields.number(value)
    return round(found, 3) if found is not None and 0 <= found < fields.EPOCH_FROM else None


def _language(value: object) -> str | None:
    if isinstance(value, str) and value.strip().lower() in _NAMES:
        return _NAMES[value.strip().lower()]
    found = fields.language(value)
    return found if found is not None and len(found.partition("-")[0]) <= 3 else None
