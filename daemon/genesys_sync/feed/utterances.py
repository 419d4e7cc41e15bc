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
REACH: Final = 5
"""Utterances before those that are held that are read with what may follow."""
_NEVER: Final = float("inf")
_NUMBER: Final = "4111 1111 1111 1111 111"
_BEGUN: Final = "4111 1111 1111"
_ADDRESS: Final = ("example dot com", "at example dot com")
"""Its rest, where the last word was an "at" and where it was not."""
_MASK: Final = re.compile(r"\[[A-Z][A-Z_]*(?::[a-z]{8})?\]")
_ADDRESSED: Final = re.compile(
    r"@|(?<!\[)\b(?:dot|point|punkt|punto|underscore|unterstrich|bindestrich|hyphen|dash|tiret|e-?mail|mail|correo)\b", re.IGNORECASE
)
"""What speaks of an address, other than a mask that stands for one."""
_ADDRESS_SPAN: Final = 5
"""Utterances before those that are held in which an address may have been spoken of."""


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
    changed: bool = True
    worst: list[Told] = field(default_factory=list)
    """What is held, as it would be told now; until something has changed."""

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

    def at_worst(self) -> list[Told]:
        """Everything that is held, as `close` would tell it; it is held on. What has not changed since the last call is not tried anew."""
        for talk in self._talks.values():
            if talk.changed:
                window = deque(replace(held) for held in talk.window)
                talk.worst = self._settle(_Talk(window=window), _NEVER)
                talk.changed = False
        return [one for talk in self._talks.values() for one in talk.worst]

    def take_up(self, told: Iterable[Told], now: float) -> None:
        """What another process told of these conversations: read with what follows, and not told again. What it has hidden nobody knows
        any more, so a number stands for it, which what is said next may go on with."""
        for one in told:
            utterance = replace(one.utterance, segment=replace(one.utterance.segment, text=_MASK.sub(_BEGUN, one.text or ""), words=()))
            talk = self._talk(utterance.conversation_id)
            talk.heard = now
            message = LiveMessage(
                conversation_id=utterance.conversation_id, communication_id=utterance.communication_id, utterances=(utterance,)
            )
            talk.window.extend(_Held(found, now, told=True) for found in talk.collapser.take(message))

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
        talk.recheck, talk.changed = _NEVER, True
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
        everything = self._redacted([one.utterance.segment for one in held])
        since = max(0, next(place for place, one in enumerate(held) if not one.told) - REACH)
        # What follows reaches no further back than this, and masks stay as they are.
        shown = everything.since(since)
        late = {id(one) for one in pending[: max(0, len(pending) - self._most)]}
        open_ended = any(one.utterance.communication_id != over for one in pending)
        probes = list(_probes(shown, pending)) if open_ended else []
        tried = [self._redacted(shown.segments, following=probe).added_to(shown) for probe in probes]
        for place, one in enumerate(held[since:]):
            if one.told:
                continue
            settled = since + place < len(held) - 1 and all(again.bare(place) == shown.bare(place) for again in tried)
            if settled or one.utterance.communication_id == over:
                found = shown
            elif now - one.since >= self._hold or id(one) in late:
                found = self._at_worst(min([shown, *tried], key=lambda each: len(each.bare(place))), probes)
            else:
                continue
            one.told = True
            yield Told(utterance=one.utterance, text=found.segments[place].text, hidden=dict(sorted(found.hidden[place].items())))

    def _at_worst(self, shown: _Shown, probes: Sequence[Segment]) -> _Shown:
        """What is shown when, after all that is hidden already, everything is hidden that one of these would hide."""
        for probe in probes:
            shown = self._redacted(shown.segments, following=probe).added_to(shown)
        return shown

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

    def since(self, place: int) -> _Shown:
        return _Shown(self.segments[place:], self.hidden[place:])

    def bare(self, place: int) -> str:
        """What is shown of it, whatever the masks are called."""
        return _MASK.sub("", self.segments[place].text)

    def added_to(self, before: _Shown) -> _Shown:
        return _Shown(self.segments, [mine + theirs for mine, theirs in zip(self.hidden, before.hidden, strict=True)])


def _probes(shown: _Shown, pending: Sequence[_Held]) -> Iterator[Segment]:
    """What may be said next and hides most of what was said before."""
    speakers = list(dict.fromkeys(one.utterance.segment.speaker for one in pending))
    yield from (_said(_NUMBER, speaker) for speaker in speakers)
    spoken_of = shown.segments[-len(pending) - _ADDRESS_SPAN :]
    if any(_ADDRESSED.search(segment.text) for segment in spoken_of):
        yield from (_said(text, speaker) for speaker in speakers for text in _ADDRESS)


def _said(text: str, speaker: Speaker) -> Segment:
    return Segment(index=0, speaker=speaker, text=text, start=0.0, end=0.0)
