"""One transcript, whoever made it: the platform's file, live transcription events or a provider.

Times are seconds from the recording's start. What a maker does not know is widened, never guessed narrow: a word without a timing
takes its segment's, a segment without one takes the whole recording's, so that what is muted by it is muted altogether. What was spoken
and has no length (`start == end`) lasts nobody knows how long: what is muted by it is muted until the recording ends.

The JSON form is part of the model: camelCase, a schema version, what is None is left out. Reading is tolerant (keys that are not
known are passed over, those that may be missing have defaults) and exact: `Transcript.from_dict(t.to_dict()) == t`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

SCHEMA_VERSION = 1

FoundT = TypeVar("FoundT")


class TranscriptUnreadable(ValueError):
    """A JSON document is no transcript of ours. The message names the place, never what stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who speaks in a segment, as far as it is known.

    label    how the speakers of one transcript are told apart: `internal`, `external`, `agent`, `customer`, `speaker_0` …
    role     the participant's purpose on the platform: `agent`, `customer`, `ivr`, `acd` … ; None where not known
    name     the person's name; personal data, as the text is. None where not known
    user_id  the platform's id of an agent; None where not known
    channel  index of the recording's audio channel that carries this voice, from 0; None where it may be any of them
    """

    label: str
    role: str | None = None
    name: str | None = None
    user_id: str | None = None
    channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return _without_none({"label": self.label, "role": self.role, "name": self.name, "userId": self.user_id, "channel": self.channel})

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, place: str = "speaker") -> Self:
        """Raises TranscriptUnreadable."""
        return cls(
            label=_text(value, "label", place),
            role=_optional_text(value, "role", place),
            name=_optional_text(value, "name", place),
            user_id=_optional_text(value, "userId", place),
            channel=_optional_index(value, "channel", place),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word as it was heard: its text, seconds from the recording's start, and 0 to 1 (None: not told)."""

    text: str
    start: float
    end: float
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return _without_none({"text": self.text, "start": self.start, "end": self.end, "confidence": self.confidence})

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, place: str = "word") -> Self:
        """Raises TranscriptUnreadable."""
        return cls(
            text=_text(value, "text", place),
            start=_number(value, "start", place),
            end=_number(value, "end", place),
            confidence=_optional_number(value, "confidence", place),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one speaker said in one go.

    index       its place in the transcript, from 0
    text        as it is read: may be punctuated and written with digits where `words` has them as they were spoken
    start, end  seconds from the recording's start
    language    BCP 47, such as `en-US`; None where not known
    confidence  0 to 1; None where not told
    words       in order, with timings; empty where the maker gives none
    """

    index: int
    speaker: Speaker
    text: str
    start: float
    end: float
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return _without_none(
            {
                "index": self.index,
                "speaker": self.speaker.to_dict(),
                "text": self.text,
                "start": self.start,
                "end": self.end,
                "language": self.language,
                "confidence": self.confidence,
                "words": [word.to_dict() for word in self.words],
            }
        )

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, index: int = 0) -> Self:
        """`index` is used where the document gives none. Raises TranscriptUnreadable."""
        place = f"segments[{index}]"
        told = _optional_index(value, "index", place)
        speaker = value.get("speaker")
        return cls(
            index=index if told is None else told,
            speaker=Speaker.from_dict(_object(speaker, f"{place}.speaker"), place=f"{place}.speaker"),
            text=_text(value, "text", place),
            start=_number(value, "start", place),
            end=_number(value, "end", place),
            language=_optional_text(value, "language", place),
            confidence=_optional_number(value, "confidence", place),
            words=tuple(
                Word.from_dict(_object(word, f"{place}.words[{i}]"), place=f"{place}.words[{i}]")
                for i, word in enumerate(_items(value, "words", place))
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """All that was said in one communication, in order of time.

    conversation_id   the platform's
    communication_id  the customer participant's session; None for a file that no conversation is known for
    recording_ids     the recordings that it was made from or belongs to; may be empty
    source            `platform`, `live`, or the name of the provider that made it
    languages         BCP 47, in order of first use; empty where not known
    started_at        the moment that 0.0 seconds means: aware, UTC, cut to milliseconds; None where not known
    duration          seconds of the recording; None where not known
    media_type        `call`, `message`, `email` … as the platform has it; None where not known
    segments          in order of time, `segments[i].index == i`
    redacted          True for what `genesys_sync.redaction` gave back
    """

    conversation_id: str
    communication_id: str | None = None
    recording_ids: tuple[str, ...] = ()
    source: str
    languages: tuple[str, ...] = ()
    started_at: datetime | None = None
    duration: float | None = None
    media_type: str | None = None
    segments: tuple[Segment, ...] = ()
    redacted: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a naive time and for segments that are not numbered in order."""
        if self.started_at is not None:
            if self.started_at.tzinfo is None:
                raise ValueError("started_at has no time zone")
            moment = self.started_at.astimezone(UTC)
            object.__setattr__(self, "started_at", moment.replace(microsecond=moment.microsecond // 1000 * 1000))
        for position, segment in enumerate(self.segments):
            if segment.index != position:
                raise ValueError(f"segment {position} is numbered {segment.index}")

    @property
    def word_count(self) -> int:
        """The words listed with timings; where a segment lists none, those of its text."""
        return sum(len(segment.words) or len(segment.text.split()) for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: strings, numbers, lists and objects only."""
        started = None if self.started_at is None else self.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return _without_none(
            {
                "schema": SCHEMA_VERSION,
                "conversationId": self.conversation_id,
                "communicationId": self.communication_id,
                "recordingIds": list(self.recording_ids),
                "source": self.source,
                "languages": list(self.languages),
                "startedAt": started,
                "durationSeconds": self.duration,
                "mediaType": self.media_type,
                "redacted": self.redacted,
                "segments": [segment.to_dict() for segment in self.segments],
            }
        )

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """The transcript that `to_dict` was called on. Raises TranscriptUnreadable, for another schema version too."""
        document = _object(value, "the document")
        schema = document.get("schema")
        if schema != SCHEMA_VERSION or isinstance(schema, bool):
            raise TranscriptUnreadable(f"the document's schema is not {SCHEMA_VERSION}: it was written by another version of genesys-sync")
        segments = tuple(
            Segment.from_dict(_object(item, f"segments[{i}]"), index=i)
            for i, item in enumerate(_items(document, "segments", "the document"))
        )
        try:
            return cls(
                conversation_id=_text(document, "conversationId", "the document"),
                communication_id=_optional_text(document, "communicationId", "the document"),
                recording_ids=_texts(document, "recordingIds"),
                source=_text(document, "source", "the document"),
                languages=_texts(document, "languages"),
                started_at=_optional_moment(document, "startedAt"),
                duration=_optional_number(document, "durationSeconds", "the document"),
                media_type=_optional_text(document, "mediaType", "the document"),
                segments=segments,
                redacted=document.get("redacted") is True,
            )
        except TranscriptUnreadable:
            raise
        except ValueError as error:  # ours, of __post_init__: it carries numbers of segments and no text
            raise TranscriptUnreadable(str(error)) from None


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TranscriptUnreadable(f"{place} is not an object")
    return value


def _items(value: Mapping[str, Any], key: str, place: str) -> list[Any]:
    items = value.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise TranscriptUnreadable(f"{key} of {place} is not a list")
    return items


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    items = _items(value, key, "the document")
    if not all(isinstance(item, str) for item in items):
        raise TranscriptUnreadable(f"{key} of the document holds something that is not text")
    return tuple(items)


def _required(found: FoundT | None, key: str, place: str) -> FoundT:
    if found is None:
        raise TranscriptUnreadable(f"{key} of {place} is missing")
    return found


def _optional_text(value: Mapping[str, Any], key: str, place: str) -> str | None:
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        raise TranscriptUnreadable(f"{key} of {place} is not text")
    return text


def _text(value: Mapping[str, Any], key: str, place: str) -> str:
    return _required(_optional_text(value, key, place), key, place)


def _optional_number(value: Mapping[str, Any], key: str, place: str) -> float | None:
    number = value.get(key)
    if number is None:
        return None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise TranscriptUnreadable(f"{key} of {place} is not a number")
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise TranscriptUnreadable(f"{key} of {place} is not a number that can be counted with")
    return result


def _number(value: Mapping[str, Any], key: str, place: str) -> float:
    return _required(_optional_number(value, key, place), key, place)


def _optional_index(value: Mapping[str, Any], key: str, place: str) -> int | None:
    index = value.get(key)
    if index is None:
        return None
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise TranscriptUnreadable(f"{key} of {place} is not a whole number from 0")
    return index


def _optional_moment(value: Mapping[str, Any], key: str) -> datetime | None:
    text = _optional_text(value, key, "the document")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TranscriptUnreadable(f"{key} of the document is not a moment in ISO 8601") from None
    if moment.tzinfo is None:
        raise TranscriptUnreadable(f"{key} of the document has no time zone")
    return moment
