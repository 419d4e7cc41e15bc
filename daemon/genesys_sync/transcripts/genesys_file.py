"""The platform's transcript file, read into the one model. Pure.

Nothing in the file is certain: every field may be missing, durations are objects or numbers, `startTimeMs` is a moment since 1970 or
counted from the recording's start (told by its size), one file may hold several transcripts, in several languages, of a call and of
what was written afterwards. What is not there is widened, never guessed narrow: what is muted by it is muted altogether. Where the file
knows no end either, a time has no length: nobody knows how long it lasts, so what is muted by it is muted until the recording ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from genesys_sync.transcripts import fields
from genesys_sync.transcripts.alignment import Participant, name_speakers
from genesys_sync.transcripts.model import Segment, Speaker, Transcript, TranscriptUnreadable, Word

FILE_LIMIT: Final = 64 << 20
"""Bytes; an hour of speech with its words is about 4 MiB."""
SEGMENTS_MOST: Final = 100_000
WORDS_MOST: Final = 1_000_000
PARTICIPANTS_MOST: Final = 200
SOURCE: Final = "platform"
UNKNOWN: Final = "unknown"

_WRITTEN: Final = frozenset({"message", "messaging", "email", "chat", "sms"})


@dataclass(frozen=True, slots=True)
class _Span:
    """When something was said, in seconds from the recording's start; None: the file does not say."""

    start: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    confidence: float | None
    span: _Span


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase before its place is known. `written`: nobody spoke it, so it has no length."""

    order: tuple[int, int]
    label: str
    text: str
    language: str | None
    confidence: float | None
    words: tuple[_Word, ...]
    span: _Span
    written: bool


def read_document(data: bytes) -> Mapping[str, Any]:
    """The file's JSON. Raises TranscriptUnreadable for what is too long, no JSON or no object; the message shows nothing of it."""
    if len(data) > FILE_LIMIT:
        raise TranscriptUnreadable(f"the transcript file is longer than {FILE_LIMIT >> 20} MiB")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise TranscriptUnreadable("the transcript file is not JSON") from None
    if not isinstance(document, Mapping):
        raise TranscriptUnreadable("the transcript file holds no JSON object")
    return document


def read_file(
    document: Mapping[str, Any],
    *,
    conversation_id: str,
    communication_id: str | None = None,
    recording_id: str | None = None,
    started_at: datetime | None = None,
    people: Sequence[Participant] = (),
) -> Transcript:
    """The transcript of the file, the same for the same file. The ids are ours: what the file says of itself is not believed.

    started_at  when the recording began, where that is known better than by the file
    people      who took part, where that is known besides the file, with moments since 1970 as their times

    Raises TranscriptUnreadable for more than SEGMENTS_MOST phrases or WORDS_MOST words, and for nothing else.
    """
    parts = list(fields.objects(document, "transcripts"))
    base = fields.epoch_ms(started_at) if started_at is not None else _base(document, parts)
    length = _seconds(document.get("duration"))
    segments = tuple(_in_order(list(_phrases(document, parts, base)), length))
    transcript = Transcript(
        conversation_id=conversation_id,
        communication_id=communication_id,
        recording_ids=(recording_id,) if recording_id is not None else (),
        source=SOURCE,
        languages=tuple(dict.fromkeys(segment.language for segment in segments if segment.language is not None)),
        started_at=None if base is None else fields.moment(base),
        duration=length,
        media_type=fields.label(document.get("mediaType")) or None,
        segments=segments,
    )
    return name_speakers(transcript, [*people, *_participants(document)][:PARTICIPANTS_MOST])


def _base(document: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> float | None:
    """The moment (ms since 1970) that 0.0 seconds means: the file's, its first transcript's, of what was written the first phrase's; else
    unknown. What was spoken first is no beginning: before it the telephone rang, and by so much each word would be sought too early."""
    if (told := _moment(document.get("startTime"))) is not None:
        return told
    of_parts = [found for part in parts if (found := _moment(part.get("startTime"))) is not None]
    if of_parts:
        return min(of_parts)
    if not all(_is_written(document, part) for part in parts):
        return None
    phrases = (phrase for part in parts for phrase in fields.objects(part, "phrases"))
    return min((found for phrase in phrases if (found := _moment(phrase.get("startTimeMs"))) is not None), default=None)


def _is_written(document: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    return fields.label(document.get("mediaType")) in _WRITTEN or "subject" in part or "messageType" in part


def _moment(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and fields.is_moment(found) else None


def _seconds(value: object) -> float | None:
    found = fields.milliseconds(value)
    return round(found / 1000, 3) if found is not None and 0 <= found < fields.EPOCH_FROM else None


def _phrases(document: Mapping[str, Any], parts: Iterable[Mapping[str, Any]], base: float | None) -> Iterator[_Phrase]:
    """Everything in which something was said or written, in the file's order."""
    words = phrases = 0
    for number, part in enumerate(parts):
        written = _is_written(document, part)
        language = fields.language(part.get("language"))
        for place, phrase in enumerate(fields.objects(part, "phrases")):
            one = _phrase(phrase, (number, place), language, base, written=written)
            phrases += 1
            words += len(one.words)
            if phrases > SEGMENTS_MOST or words > WORDS_MOST:
                raise TranscriptUnreadable(f"the transcript file holds more than {SEGMENTS_MOST} phrases or {WORDS_MOST} words")
            if one.text:
                yield one


def _phrase(phrase: Mapping[str, Any], order: tuple[int, int], language: str | None, base: float | None, *, written: bool) -> _Phrase:
    words = tuple(_words(phrase, base))
    return _Phrase(
        order=order,
        label=fields.label(phrase.get("participantPurpose")) or UNKNOWN,
        text=_said(phrase, words),
        language=fields.language(phrase.get("language")) or language,
        confidence=fields.confidence(phrase.get("confidence")),
        words=words,
        span=_by_words(_span(phrase, base), words),
        written=written,
    )


def _said(phrase: Mapping[str, Any], words: Sequence[_Word]) -> str:
    """As it reads best: decorated, plain, the words, or the first other guess that says anything."""
    for key in ("decoratedText", "text"):
        if told := fields.text(phrase.get(key)):
            return told
    if words:
        return " ".join(word.text for word in words)
    return next((told for other in fields.objects(phrase, "alternatives") if (told := fields.text(other.get("text")))), "")


def _words(phrase: Mapping[str, Any], base: float | None) -> Iterator[_Word]:
    for item in fields.objects(phrase, "words"):
        if told := fields.text(item.get("word")) or fields.text(item.get("text")):
            yield _Word(told, fields.confidence(item.get("confidence")), _span(item, base))


def _by_words(span: _Span, words: Sequence[_Word]) -> _Span:
    """What the phrase does not say of its time, its words may: only if every one does, for the others may lie outside."""
    starts = [word.span.start for word in words if word.span.start is not None]
    ends = [word.span.end for word in words if word.span.end is not None]
    start = min(starts) if span.start is None and words and len(starts) == len(words) else span.start
    end = max(ends) if span.end is None and words and len(ends) == len(words) else span.end
    return _Span(start, end)


def _span(item: Mapping[str, Any], base: float | None) -> _Span:
    start = _start(item, base)
    length = _seconds(item.get("duration"))
    if length is None:
        length = _seconds(item.get("durationMs"))
    return _Span(start, None if start is None or length is None else round(start + length, 3))


def _start(item: Mapping[str, Any], base: float | None) -> float | None:
    """Seconds from the recording's start, never before it."""
    told = fields.number(item.get("startTimeMs"))
    if told is None or (fields.is_moment(told) and base is None):
        told = fields.milliseconds(item.get("offset"))
        if told is None:
            told = fields.milliseconds(item.get("offsetMs"))
        if told is None or fields.is_moment(told):
            return None
    since = told - (base or 0.0) if fields.is_moment(told) else told
    return round(max(0.0, since) / 1000, 3)


def _in_order(phrases: Sequence[_Phrase], length: float | None) -> Iterator[Segment]:
    """By time, with every span filled: what has no start takes the whole recording; what has no end lasts until the same speaker
    begins again, or to the end. What was written has no length, nor has what would last to an end that the file does not tell."""
    known = [time for one in phrases for time in _times(one) if time is not None]
    whole = None if length is None else max([length, *known])
    ordered = sorted(phrases, key=lambda one: (one.span.start or 0.0, one.order))
    following: dict[str, float] = {}
    spans: list[tuple[float, float]] = []
    for one in reversed(ordered):
        spans.append(_filled(one, following.get(one.label), whole))
        if one.span.start is not None:
            following[one.label] = one.span.start
    for index, (one, (start, end)) in enumerate(zip(ordered, reversed(spans), strict=True)):
        yield Segment(
            index=index,
            speaker=Speaker(label=one.label),
            text=one.text,
            start=start,
            end=end,
            language=one.language,
            confidence=one.confidence,
            words=tuple(_timed(one.words, start, end)),
        )


def _times(one: _Phrase) -> tuple[float | None, ...]:
    return (one.span.start, one.span.end, *(time for word in one.words for time in (word.span.start, word.span.end)))


def _filled(one: _Phrase, next_start: float | None, whole: float | None) -> tuple[float, float]:
    if one.span.start is None:
        return 0.0, whole or 0.0
    if one.span.end is not None:
        return one.span.start, max(one.span.start, one.span.end)
    if one.written:
        return one.span.start, one.span.start
    # two that begin together say nothing of when the first ends
    until = next_start if next_start is not None and next_start > one.span.start else whole
    return one.span.start, max(one.span.start, until or 0.0)


def _timed(words: Sequence[_Word], start: float, end: float) -> Iterator[Word]:
    """A word without a beginning takes its segment's span; one without an end lasts to the segment's."""
    for word in words:
        begins = start if word.span.start is None else word.span.start
        ends = max(begins, end) if word.span.start is None or word.span.end is None else max(begins, word.span.end)
        yield Word(text=word.text, start=begins, end=ends, confidence=word.confidence)


def _participants(document: Mapping[str, Any]) -> Iterator[Participant]:
    for item in fields.objects(document, "participants"):
        user = fields.text(item.get("userId"))
        yield Participant(
            role=fields.label(item.get("participantPurpose")) or None,
            user_id=user or None,
            start=_moment(item.get("startTimeMs")),
            end=_moment(item.get("endTimeMs")),
        )
