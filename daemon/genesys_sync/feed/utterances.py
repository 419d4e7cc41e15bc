"""From messages of live transcription to utterances that may be told: finished, and redacted with what was said around them. Pure.

A number may be dictated over several utterances, so one is told only when nothing that may follow can change what is shown of it. That
is tried out: the redactor is given the conversation with a number, a date and the rest of an address said next by the same speaker. What
then is shown as before may be told; what is not is held. Whoever has been held for too long is told as if they had been said.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from genesys_sync.redaction import RedactionFailed, Redactor
from genesys_sync.transcripts.live import SOURCE, Collapser, LiveMessage, Utterance
from genesys_sync.transcripts.model import Segment, Speaker, Transcript

CONTEXT: Final = 24
"""Utterances that were told before, and are read again with those that follow them."""
CONVERSATIONS_MOST: Final = 20_000
IDLE: Final = 1200.0
"""Seconds without a message after which a conversation is forgotten: the platform gives a sign of life every five minutes."""
_NEVER: Final = float("inf")
_NUMBER: Final = "4111 1111 1111 1111 111"
_ADDRESS: Final = "at example dot com"
_ADDRESSED: Final = re.compile(
    r"@|(?<!\[)\b(?:dot|point|punkt|punto|underscore|unterstrich|bindestrich|hyphen|dash|tiret|e-?mail|mail|correo)\b", re.IGNORECASE
)
"""What speaks of an address, other than a mask that stands for one."""
_ADDRESS_SPAN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An utterance that is told. `text`: redacted; None: it could not be redacted and is withheld. `hidden`: spans by type."""

    utterance: Utterance
    text: str | None
    hidden: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Held:
    utterance: Utterance
    since: float
    told: bool = False


@dataclass(slots=True)
class _Talk:
    """One conversation: what was said last, in the order in which it was finished."""

    collapser: Collapser = field(default_factory=Collapser)
    window: deque[_Held] = field(default_factory=deque)
    heard: float = 0.0
    recheck: float = _NEVER

    @property
    def pending(self) -> list[_Held]:
        return [held for held in self.window if not held.told]


class Desk:
    """One call at a time; any thread. `hold`: seconds, and `most`: utterances, that are held at most."""

    def __init__(self, redactor: Redactor, *, hold: float, most: int) -> None:
        self._redactor = redactor
        self._hold = hold
        self._most = most
        self._talks: OrderedDict[str, _Talk] = OrderedDict()

    def work(self, messages: Iterable[LiveMessage], now: float) -> list[Told]:
        """Take these messages in; what may be told now is given back once. `now` is monotonic."""
        told: list[Told] = []
        touched: dict[str, _Talk] = {}
        for message in messages:
            talk = self._talk(message.conversation_id)
            talk.heard = now
            touched[message.conversation_id] = talk
            done = sorted(talk.collapser.take(message), key=lambda one: (one.segment.start, one.segment.end))
            talk.window.extend(_Held(one, now) for one in done)
            if message.ended:
                told += self._settle(talk, now, over=message.communication_id)
        for name, talk in self._talks.items():
            if name in touched or now >= talk.recheck:
                told += self._settle(talk, now)
        told += self._forgotten(now)
        return told

    @property
    def due(self) -> float:
        """When `work` is to be called again even without a message; infinity where nothing is held."""
        return min((talk.recheck for talk in self._talks.values()), default=_NEVER)

    def close(self) -> list[Told]:
        """Everything that is held, with whatever something that follows could hide hidden; nothing is known afterwards."""
        told = [one for talk in self._talks.values() for one in self._settle(talk, _NEVER)]
        self._talks.clear()
        return told

    def _talk(self, conversation_id: str) -> _Talk:
        talk = self._talks.setdefault(conversation_id, _Talk())
        self._talks.move_to_end(conversation_id)
        return talk

    def _forgotten(self, now: float) -> list[Told]:
        told: list[Told] = []
        while self._talks:
            talk = next(iter(self._talks.values()))
            if len(self._talks) <= CONVERSATIONS_MOST and now - talk.heard < IDLE:
                break
            self._talks.popitem(last=False)
            told += self._settle(talk, _NEVER)
        return told

    def _settle(self, talk: _Talk, now: float, *, over: str | None = None) -> list[Told]:
        """Tell what may be told of it; `over`: the communication to which nothing follows any more."""
        pending = talk.pending
        talk.recheck = _NEVER
        if not pending:
            return []
        held = list(talk.window)
        try:
            told = list(self._ripe(held, pending, now, over))
        except RedactionFailed:
            talk.window.clear()  # one of these cannot be read, so the next ones are not read with them
            return [Told(utterance=one.utterance, text=None) for one in pending]
        waiting = talk.pending
        talk.recheck = min((one.since + self._hold for one in waiting), default=_NEVER)
        while len(talk.window) > len(waiting) + CONTEXT and talk.window[0].told:
            talk.window.popleft()
        return told

    def _ripe(self, held: Sequence[_Held], pending: Sequence[_Held], now: float, over: str | None) -> Iterator[Told]:
        shown = self._redacted(_segments(held))
        late = {id(one) for one in pending[: max(0, len(pending) - self._most)]}
        worst = shown if all(one.utterance.communication_id == over for one in pending) else self._at_worst(shown, pending)
        for place, one in enumerate(held):
            if one.told:
                continue
            ended = one.utterance.communication_id == over
            settled = shown.texts[place] == worst.texts[place] and place < len(held) - 1
            if ended or settled or now - one.since >= self._hold or id(one) in late:
                one.told = True
                found = shown if ended or settled else worst
                yield Told(utterance=one.utterance, text=found.texts[place], hidden=dict(sorted(found.hidden[place].items())))

    def _at_worst(self, shown: _Shown, pending: Sequence[_Held]) -> _Shown:
        """What is shown if each speaker who is waited for goes on with what hides most."""
        words = [_NUMBER]
        if any(_ADDRESSED.search(text) for text in shown.texts[-max(len(pending), _ADDRESS_SPAN) :]):
            words.append(_ADDRESS)
        speakers = dict.fromkeys(one.utterance.segment.speaker for one in pending)
        worst = shown
        for speaker in speakers:
            for said in words:
                worst = self._redacted(worst.segments, following=_said(said, speaker)).added_to(worst)
        return worst

    def _redacted(self, segments: Sequence[Segment], *, following: Segment | None = None) -> _Shown:
        everything = [*segments, *([] if following is None else [following])]
        numbered = tuple(replace(segment, index=index) for index, segment in enumerate(everything))
        redaction = self._redactor.redact(Transcript(conversation_id="", source=SOURCE, segments=numbered))
        hidden = [Counter[str]() for _ in segments]
        for span in redaction.spans:
            if span.segment < len(segments):
                hidden[span.segment][span.type] += 1
        return _Shown(redaction.transcript.segments[: len(segments)], hidden)


@dataclass(frozen=True, slots=True)
class _Shown:
    segments: Sequence[Segment]
    hidden: Sequence[Counter[str]]

    @property
    def texts(self) -> list[str]:
        return [segment.text for segment in self.segments]

    def added_to(self, before: _Shown) -> _Shown:
        return _Shown(self.segments, [mine + theirs for mine, theirs in zip(self.hidden, before.hidden, strict=True)])


def _segments(held: Sequence[_Held]) -> list[Segment]:
    return [one.utterance.segment for one in held]


def _said(text: str, speaker: Speaker) -> Segment:
    return Segment(index=0, speaker=speaker, text=text, start=0.0, end=0.0)
