"""What became of the transcript of every communication of a time: each is exactly one of a closed list of states. Pure.

    detected     the platform knows the communication; its transcript is still being looked for
    waiting      it is in the archive; redacting it is not finished
    archived     it is in the archive, redacted where a redactor is loaded
    missing      there is none (reason)
    excluded     left out by the settings
    dead         given up (reason)
    unexplained  none of these: platform and ledger disagree (reason)

The unit is the customer's communication; a conversation of which none is known counts once, and only while somebody works on it or has
given it up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from genesys_sync.events import Topic
from genesys_sync.ledger.base import DeliveryState, Fact, Standing

EXCLUDED_REASON: Final = "excluded"
_UNFINISHED: Final = frozenset({DeliveryState.READY, DeliveryState.LEASED})


class TranscriptState(StrEnum):
    """Where the transcript of a communication stands. The list is closed."""

    DETECTED = "detected"
    WAITING = "waiting"
    ARCHIVED = "archived"
    MISSING = "missing"
    EXCLUDED = "excluded"
    DEAD = "dead"
    UNEXPLAINED = "unexplained"


class TranscriptUnexplained(StrEnum):
    """In which way platform and ledger disagree."""

    NOT_IN_LEDGER = "NOT_IN_LEDGER"
    NOT_ON_PLATFORM = "NOT_ON_PLATFORM"
    NOBODY_WORKS_ON_IT = "NOBODY_WORKS_ON_IT"


@dataclass(frozen=True, slots=True)
class TranscriptRoles:
    """The handlers by what they do; names as in the settings. Nobody fetches: what the platform has is not expected here."""

    fetch: frozenset[str] = frozenset()
    redact: frozenset[str] = frozenset()

    @classmethod
    def of(cls, used: Mapping[str, str]) -> TranscriptRoles:
        """From handler name → `use`."""
        return cls(
            fetch=frozenset(name for name, use in used.items() if use == "transcript"),
            redact=frozenset(name for name, use in used.items() if use == "redact"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptItem:
    """One communication, or one conversation of which none is known (`communication_id` None).

    reason  the reason of a missing one, a reason code for a dead one, a `TranscriptUnexplained`; empty otherwise
    note    for those that the platform does not know: the state that they would have without that
    """

    conversation_id: str
    communication_id: str | None
    ended: datetime
    state: TranscriptState
    reason: str = ""
    note: str = ""


@dataclass(slots=True)
class TranscriptTally:
    """The sums of a report. `states` holds every state, zeros too."""

    states: Counter[TranscriptState] = field(default_factory=lambda: Counter(dict.fromkeys(TranscriptState, 0)))
    reasons: Counter[tuple[TranscriptState, str]] = field(default_factory=Counter)

    def add(self, items: Iterable[TranscriptItem]) -> None:
        for item in items:
            self.states[item.state] += 1
            if item.reason:
                self.reasons[item.state, item.reason] += 1

    @property
    def unfinished(self) -> int:
        return self.states[TranscriptState.DETECTED] + self.states[TranscriptState.WAITING]

    @property
    def settled(self) -> bool:
        """Nothing is on its way, and nothing unexplained."""
        return not self.unfinished and not self.states[TranscriptState.UNEXPLAINED]


def judge_transcripts(
    conversation_id: str, ended: datetime, facts: Sequence[Fact], communications: Sequence[str] | None, roles: TranscriptRoles
) -> tuple[TranscriptItem, ...]:
    """The transcript of every communication of one conversation, each in one state.

    `facts` are all that the ledger holds of it. `communications` are those that the platform tells of; None: it was not asked, or
    does not know the conversation.
    """
    told: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.event.topic in (Topic.TRANSCRIPT_ARCHIVED, Topic.TRANSCRIPT_MISSING):
            told.setdefault(_whose(fact), []).append(fact)
    verdicts: dict[str | None, tuple[TranscriptState, str, str]] = {}
    for communication, theirs in told.items():
        state, reason = _told(theirs, roles)
        if communications is not None and communication not in communications and roles.fetch and not _provided(theirs):
            note = f"here: {state}" + (f" ({reason})" if reason else "")
            verdicts[communication] = (TranscriptState.UNEXPLAINED, TranscriptUnexplained.NOT_ON_PLATFORM, note)
        else:
            verdicts[communication] = (state, reason, "")
    if roles.fetch:
        ends = (fact for fact in facts if fact.event.topic == Topic.CONVERSATION_ENDED)
        end = max(ends, key=lambda fact: fact.event.occurred_at, default=None)
        state, reason = _untold(end, roles)
        for communication in communications or ():
            verdicts.setdefault(communication, (state, reason, ""))
        if not verdicts and state in (TranscriptState.DETECTED, TranscriptState.DEAD):
            verdicts[None] = (state, reason, "")
    return tuple(
        TranscriptItem(
            conversation_id=conversation_id, communication_id=communication, ended=ended, state=state, reason=str(reason), note=note
        )
        for communication, (state, reason, note) in verdicts.items()
    )


def _whose(fact: Fact) -> str:
    """The communication; where a provider made the transcript of a recording alone, the recording."""
    body = fact.event.body
    return str(body.get("communicationId") or next(iter(body.get("recordingIds") or ()), None) or fact.event.recording_id or "")


def _provided(facts: Sequence[Fact]) -> bool:
    """Made by a provider of ours: the platform need not know the recording's id as a communication's."""
    return all(fact.event.body.get("source", "platform") != "platform" for fact in facts)


def _told(facts: Sequence[Fact], roles: TranscriptRoles) -> tuple[TranscriptState, str]:
    """By the events: one that is there counts more than that the platform had none."""
    archived = [fact for fact in facts if fact.event.topic == Topic.TRANSCRIPT_ARCHIVED]
    if not archived:
        reason = str(facts[-1].event.body.get("reason", ""))
        return (TranscriptState.EXCLUDED, "") if reason == EXCLUDED_REASON else (TranscriptState.MISSING, reason)
    redactions = [one for fact in archived for one in fact.deliveries if one.handler in roles.redact]
    if any(one.state in _UNFINISHED for one in redactions):
        return TranscriptState.WAITING, ""
    dead = next((one for one in redactions if one.state is DeliveryState.DEAD), None)
    return (TranscriptState.ARCHIVED, "") if dead is None else (TranscriptState.DEAD, str(dead.reason or DeliveryState.DEAD))


def _untold(end: Fact | None, roles: TranscriptRoles) -> tuple[TranscriptState, str]:
    """A communication of which no event tells, by what became of the work on its conversation."""
    if end is None:
        return TranscriptState.UNEXPLAINED, TranscriptUnexplained.NOT_IN_LEDGER
    standings: list[Standing] = [one for one in end.deliveries if one.handler in roles.fetch]
    if any(one.state in _UNFINISHED for one in standings):
        return TranscriptState.DETECTED, ""
    dead = next((one for one in standings if one.state is DeliveryState.DEAD), None)
    if dead is not None:
        return TranscriptState.DEAD, str(dead.reason or DeliveryState.DEAD)
    if any(one.state is DeliveryState.SKIPPED for one in standings):
        return TranscriptState.EXCLUDED, ""
    return TranscriptState.UNEXPLAINED, TranscriptUnexplained.NOBODY_WORKS_ON_IT
