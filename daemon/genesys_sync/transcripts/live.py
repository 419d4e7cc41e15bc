"""Live transcription: messages of `v2.conversations.{id}.transcription` become finished utterances, each once. Pure.

Interim results repeat one utterance's id until a final one comes; an interim one that never became final counts as finished when the
session ends: what was heard is not lost because the engine did not confirm it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from genesys_sync.events import canonical_uuid
from genesys_sync.transcripts import fields
from genesys_sync.transcripts.model import Segment, Speaker, Transcript, Word

SOURCE: Final = "live"
UTTERANCES_MOST: Final = 1_000
"""In one message, and unfinished ones of one conversation; the oldest are finished by those that come after."""
FINISHED_MOST: Final = 10_000
"""Ids of finished utterances that are remembered, so that one that is repeated is told of once."""
_WORDS_MOST: Final = 2_000
_ID_LIMIT: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one speaker said in one go, as far as it is known now. `segment.index` is 0; times are seconds from the stream's start."""

    conversation_id: str
    communication_id: str
    utterance_id: str
    segment: Segment
    final: bool
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMessage:
    """One message of the topic.

    utterances  interim and final ones, in the message's order
    ended       the live stream of this communication is over; its stored transcript may come later
    """

    conversation_id: str
    communication_id: str
    utterances: tuple[Utterance, ...] = ()
    ended: bool = False


def read_message(body: object) -> LiveMessage | None:
    """The message of an event's body; None for one that names no conversation or communication. Raises nothing."""
    if not isinstance(body, Mapping):
        return None
    conversation_id, communication_id = canonical_uuid(body.get("conversationId")), canonical_uuid(body.get("communicationId"))
    if conversation_id is None or communication_id is None:
        return None
    status = body.get("status")
    state = status.get("status") if isinstance(status, Mapping) else None
    return LiveMessage(
        conversation_id=conversation_id,
        communication_id=communication_id,
        utterances=tuple(_utterances(body, conversation_id, communication_id)),
        ended=state == "SESSION_ENDED",
    )


class Collapser:
    """Makes each utterance of one conversation known once, when it is finished. Holds at most UTTERANCES_MOST that are not."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Utterance] = OrderedDict()
        self._finished: OrderedDict[tuple[str, str], None] = OrderedDict()

    def take(self, message: LiveMessage) -> tuple[Utterance, ...]:
        """What this message has finished, in order. The same message again finishes nothing."""
        done: list[Utterance] = []
        for utterance in message.utterances:
            key = (utterance.communication_id, utterance.utterance_id)
            if key in self._finished:
                continue
            if utterance.final:
                self._open.pop(key, None)
                done.append(self._close(key, utterance))
            else:
                self._open[key] = utterance
            if len(self._open) > UTTERANCES_MOST:
                oldest, left = self._open.popitem(last=False)
                done.append(self._close(oldest, left))
        if message.ended:
            done.extend(self.end(message.communication_id))
        return tuple(one for one in done if one.segment.text)

    def end(self, communication_id: str | None = None) -> tuple[Utterance, ...]:
        """What is left unfinished of a communication, or of all, is finished as it was last heard."""
        left = [key for key in self._open if communication_id in (None, key[0])]
        return tuple(self._close(key, self._open.pop(key)) for key in left)

    def _close(self, key: tuple[str, str], utterance: Utterance) -> Utterance:
        self._finished[key] = None
        while len(self._finished) > FINISHED_MOST:
            self._finished.popitem(last=False)
        return replace(utterance, final=True)


def gathered(utterances: Iterable[Utterance]) -> list[Transcript]:
    """A transcript for each communication of these utterances, in order of time."""
    found: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in utterances:
        found.setdefault((utterance.conversation_id, utterance.communication_id), []).append(utterance)
    transcripts = []
    for (conversation_id, communication_id), theirs in found.items():
        theirs.sort(key=lambda one: (one.segment.start, one.segment.end, one.utterance_id))
        segments = tuple(replace(one.segment, index=index) for index, one in enumerate(theirs))
        transcripts.append(
            Transcript(
                conversation_id=conversation_id,
                communication_id=communication_id,
                source=SOURCE,
                languages=tuple(dict.fromkeys(segment.language for segment in segments if segment.language is not None)),
                started_at=next((one.started_at for one in theirs if one.started_at is not None), None),
                media_type="call",
                segments=segments,
            )
        )
    return transcripts


def _utterances(body: Mapping[str, Any], conversation_id: str, communication_id: str) -> Iterator[Utterance]:
    base = _moment(body.get("transcriptionStartTimeMs")) or _moment(body.get("sessionStartTimeMs"))
    for number, item in enumerate(fields.objects(body, "transcripts")):
        if number >= UTTERANCES_MOST:
            return
        utterance_id = fields.text(item.get("utteranceId"))[:_ID_LIMIT]
        guess = next(fields.objects(item, "alternatives"), None)
        if utterance_id and guess is not None:
            yield Utterance(
                conversation_id=conversation_id,
                communication_id=communication_id,
                utterance_id=utterance_id,
                segment=_segment(item, guess, base),
                final=item.get("isFinal") is True,
                started_at=None if base is None else fields.moment(base),
            )


def _segment(item: Mapping[str, Any], guess: Mapping[str, Any], base: float | None) -> Segment:
    start = _start(guess, base) or 0.0
    end = start + (_length(guess) or 0.0)
    words = tuple(_words(guess, base, start, end))
    return Segment(
        index=0,
        speaker=Speaker(label=fields.label(item.get("channel")) or "unknown"),
        text=fields.text(guess.get("decoratedTranscript")) or fields.text(guess.get("transcript")) or " ".join(one.text for one in words),
        start=start,
        end=round(max([end, *(word.end for word in words)]), 3),
        language=fields.language(item.get("dialect")),
        confidence=fields.confidence(guess.get("confidence")),
        words=words,
    )


def _words(guess: Mapping[str, Any], base: float | None, start: float, end: float) -> Iterator[Word]:
    """As they were spoken. A word without a time takes its utterance's."""
    for number, item in enumerate(fields.objects(guess, "words")):
        if number >= _WORDS_MOST:
            return
        told = fields.text(item.get("word"))
        begins, length = _start(item, base), _length(item)
        if told:
            first = start if begins is None else begins
            last = max(first, end) if begins is None or length is None else round(first + length, 3)
            yield Word(text=told, start=first, end=last, confidence=fields.confidence(item.get("confidence")))


def _start(item: Mapping[str, Any], base: float | None) -> float | None:
    """Seconds from the stream's start: by the offset, else by the moment."""
    told = fields.milliseconds(item.get("offsetMs"))
    if told is None:
        at = _moment(item.get("startTimeMs"))
        told = None if at is None or base is None else at - base
    return None if told is None or fields.is_moment(told) else round(max(0.0, told) / 1000, 3)


def _length(item: Mapping[str, Any]) -> float | None:
    told = fields.milliseconds(item.get("durationMs"))
    return None if told is None or told < 0 or fields.is_moment(told) else told / 1000


def _moment(value: object) -> float | None:
    found = fields.number(value)
    return found if found is not None and fields.is_moment(found) else None
