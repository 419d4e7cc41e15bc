"""What became of every recording of a time: each is exactly one of a closed list of states. Pure.

    detected        the platform knows it, or is still being asked for it, and it cannot be downloaded yet
    waiting         it can be downloaded; archiving or verifying it is not finished
    archived        it lies in the archive, verified (where a verifier is loaded)
    recovered       archived, and its conversation's end was found by back-fill alone
    rejected        what was fetched is not what it claims to be, or must not be kept; it lies in quarantine (reason)
    dead            given up (reason)
    excluded        left out by a policy of ours; there is no such policy yet, so nobody is in it
    unexplained     none of these: platform and ledger disagree (reason)
    none_expected   a conversation of which the platform says that nothing in it was recorded

The unit is the recording; a conversation of which no recording is known counts once, by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from genesys_sync.events import Origin, Topic
from genesys_sync.genesys.ends import ended_again
from genesys_sync.ledger.base import DeliveryState, Fact, Standing

_OF_RECORDINGS: Final = ("recording.", "media.")
_UNFINISHED: Final = frozenset({DeliveryState.READY, DeliveryState.LEASED})


class State(StrEnum):
    """Where a recording, or a conversation without any, stands. The list is closed."""

    DETECTED = "detected"
    WAITING = "waiting"
    ARCHIVED = "archived"
    RECOVERED = "recovered"
    REJECTED = "rejected"
    DEAD = "dead"
    EXCLUDED = "excluded"
    UNEXPLAINED = "unexplained"
    NONE_EXPECTED = "none_expected"


UNFINISHED: Final = frozenset({State.DETECTED, State.WAITING})

MEANINGS: Final[Mapping[State, str]] = {
    State.DETECTED: "known, and not downloadable yet",
    State.WAITING: "being archived or verified",
    State.ARCHIVED: "in the archive",
    State.RECOVERED: "in the archive, found by back-fill alone",
    State.REJECTED: "not what it claims to be, or not to be kept: quarantined",
    State.DEAD: "given up, with a reason",
    State.EXCLUDED: "left out by a policy of ours",
    State.UNEXPLAINED: "platform and ledger disagree",
    State.NONE_EXPECTED: "conversations without a recording, rightly",
}
"""Each in a few words, for people."""


class Unexplained(StrEnum):
    """In which way platform and ledger disagree."""

    NOT_IN_LEDGER = "NOT_IN_LEDGER"
    NOT_ON_PLATFORM = "NOT_ON_PLATFORM"
    ENDED_AGAIN = "ENDED_AGAIN"
    RECORDED_NONE_FOUND = "RECORDED_NONE_FOUND"
    RECORDING_UNKNOWN = "RECORDING_UNKNOWN"
    NOBODY_WORKS_ON_IT = "NOBODY_WORKS_ON_IT"
    NO_VERDICT = "NO_VERDICT"


@dataclass(frozen=True, slots=True)
class Roles:
    """The handlers by what they do; names as in the settings. An empty role: nobody is known to do it, so everybody counts for
    discovery and archiving, and an archived recording needs no verdict."""

    discover: frozenset[str] = frozenset()
    archive: frozenset[str] = frozenset()
    verify: frozenset[str] = frozenset()

    @classmethod
    def of(cls, used: Mapping[str, str]) -> Roles:
        """From handler name → `use`."""
        found = {role: frozenset(name for name, use in used.items() if use == role) for role in ("discover", "archive", "verify")}
        return cls(**found)


@dataclass(frozen=True, slots=True)
class PlatformSays:
    """What the platform's analytics say of a conversation.

    known     False: asked, and it does not know it; None: it was not asked
    recorded  whether any session was recorded; None where no session says
    communications  the customer's communications, of which there may be transcripts; None where it was not asked
    left      when the last party left it; None while it goes on, and where nobody says
    """

    known: bool | None = None
    recorded: bool | None = None
    communications: tuple[str, ...] | None = None
    left: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One recording, or one conversation without any (`recording_id` None).

    reason  a reason code for dead, the verifier's for rejected, an `Unexplained` for unexplained; empty otherwise
    note    for unexplained ones that the platform does not know: the state that they would have without that
    variant  of an archived one, as far as could be told when it was fetched: `whole`; `perhaps_redacted`, because the client lacked the
             permission for sensitive data; `unknown`; empty where nothing was fetched
    delete_date  when the platform deletes it, as it was told; None where it was not
    """

    conversation_id: str
    recording_id: str | None
    ended: datetime
    state: State
    reason: str = ""
    note: str = ""
    variant: str = ""
    delete_date: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The items of one conversation, and whether more recordings may still be found."""

    items: tuple[Item, ...]
    looking: bool = False


@dataclass(slots=True)
class Tally:
    """The sums of a report. `states` holds every state, zeros too."""

    states: Counter[State] = field(default_factory=lambda: Counter(dict.fromkeys(State, 0)))
    orphans: int = 0
    reasons: Counter[tuple[State, str]] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    conversations: int = 0
    recordings: int = 0
    looking: int = 0

    def add(self, judged: Judged) -> None:
        """Count one conversation."""
        self.conversations += 1
        self.looking += judged.looking
        self._count(judged.items)

    def add_orphan(self, item: Item) -> None:
        """Count one recording that belongs to no conversation."""
        self.orphans += 1
        self._count([item])

    def _count(self, items: Iterable[Item]) -> None:
        for item in items:
            self.states[item.state] += 1
            self.recordings += item.recording_id is not None
            if item.variant:
                self.variants[item.variant] += 1
            if item.reason:
                self.reasons[item.state, item.reason] += 1

    @property
    def unfinished(self) -> int:
        return sum(self.states[state] for state in UNFINISHED)


def judge(conversation_id: str, ended: datetime, facts: Sequence[Fact], says: PlatformSays, roles: Roles) -> Judged:
    """Every recording of one conversation, each in one state; the conversation itself where it has none, and where the platform tells
    of a later end than the ledger: it was taken up again, and what was recorded since is not known here.

    `facts` are all that the ledger holds of it; none when the ledger does not know it.
    """
    ends = [fact for fact in facts if fact.event.topic == Topic.CONVERSATION_ENDED]
    end = max(ends, key=_occurred, default=None)
    discovery = _Standings.of(end, roles.discover)
    recordings: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.event.recording_id is not None and fact.event.topic.startswith(_OF_RECORDINGS):
            recordings.setdefault(fact.event.recording_id, []).append(fact)
    verdicts: list[tuple[str | None, State, str]] = [
        (recording_id, *_recording(known, discovery, roles, recovered=_back_filled(known, ends)))
        for recording_id, known in recordings.items()
    ]
    if end is not None and ended_again(end.event.occurred_at, says.left):
        verdicts.append((None, State.UNEXPLAINED, Unexplained.ENDED_AGAIN))
    elif not verdicts:
        verdicts = [(None, *_without_recording(end, discovery, says))]
    items = []
    for recording_id, state, reason in verdicts:
        if says.known is False:
            note = f"here: {state}" + (f" ({reason})" if reason else "")
            item = _item(conversation_id, recording_id, ended, State.UNEXPLAINED, Unexplained.NOT_ON_PLATFORM, note)
        else:
            item = _item(conversation_id, recording_id, ended, state, reason)
        known = recordings.get(recording_id or "", ())
        items.append(replace(item, variant=_variant(known), delete_date=_delete_date(known)))
    return Judged(tuple(items), looking=discovery.unfinished)


def judge_orphan(recording_id: str, facts: Sequence[Fact], roles: Roles) -> Item:
    """The state of a recording that belongs to no conversation. `facts` are all that the ledger holds of it, its `recording.orphaned`
    among them; its end is the moment at which the platform made it."""
    told = next(fact for fact in facts if fact.event.topic == Topic.RECORDING_ORPHANED)
    state, reason = _recording(facts, _Standings.of(told, roles.archive), roles, recovered=False, first=told)
    item = _item("", recording_id, told.event.occurred_at, state, reason, "orphan: it belongs to no conversation")
    return replace(item, variant=_variant(facts))


def recorded(details: Mapping[str, Any]) -> bool | None:
    """Whether a details record says that anything was recorded: True when one session says so, False when those that say anything
    say no, None when none says."""
    said: list[bool] = []
    for participant in _objects(details.get("participants")):
        flags = [participant.get("screenRecording")]
        for session in _objects(participant.get("sessions")):
            flags += [session.get("recording"), session.get("snippetRecording")]
        said += [flag for flag in flags if isinstance(flag, bool)]
    return any(said) if said else None


def without(asked: tuple[int, int], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of an interval that the others do not cover, in order."""
    start, end = asked
    left = []
    for low, high in sorted(taken):
        if high <= start or low >= end:
            continue
        if low > start:
            left.append((start, low))
        start = max(start, high)
    if start < end:
        left.append((start, end))
    return left


@dataclass(frozen=True, slots=True)
class _Standings:
    """The deliveries of one event to the handlers of one role."""

    unfinished: bool = False
    dead: str = ""
    finished: bool = False

    @classmethod
    def of(cls, fact: Fact | None, handlers: frozenset[str]) -> _Standings:
        found: Sequence[Standing] = () if fact is None else fact.deliveries
        found = [one for one in found if not handlers or one.handler in handlers]
        return cls(
            unfinished=any(one.state in _UNFINISHED for one in found),
            dead=next((one.reason or DeliveryState.DEAD for one in found if one.state is DeliveryState.DEAD), ""),
            finished=any(one.state in (DeliveryState.DONE, DeliveryState.SKIPPED) for one in found),
        )


def _recording(
    facts: Sequence[Fact], discovery: _Standings, roles: Roles, *, recovered: bool, first: Fact | None = None
) -> tuple[State, str]:
    """`first`: what asked for it to be fetched, where that was no `recording.ready`."""
    arrived = State.RECOVERED if recovered else State.ARCHIVED
    verified, rejected = _latest(facts, Topic.MEDIA_VERIFIED), _latest(facts, Topic.MEDIA_REJECTED)
    if verified is not None:
        if rejected is not None and _revision(rejected) >= _revision(verified):  # sound, and withheld for another reason since
            return State.REJECTED, _reason(rejected)
        return arrived, ""
    ready = _latest(facts, Topic.RECORDING_READY) or first
    if ready is None:
        return _never_ready(facts, discovery)
    revision = _revision(ready)
    if rejected is not None and _revision(rejected) >= revision:
        return State.REJECTED, _reason(rejected)
    stored = _latest(facts, Topic.MEDIA_ARCHIVED)
    if stored is None and _latest(facts, Topic.MEDIA_REDACTED) is not None:  # found in the archive by a ledger that is younger
        return arrived, ""
    if stored is None or _revision(stored) < revision:
        return _worked_on(_Standings.of(ready, roles.archive), State.WAITING, Unexplained.NOBODY_WORKS_ON_IT)
    if not roles.verify:
        return arrived, ""
    return _worked_on(_Standings.of(stored, roles.verify), State.WAITING, Unexplained.NO_VERDICT)


def _back_filled(facts: Sequence[Fact], ends: Sequence[Fact]) -> bool:
    """Whether the end after which the recording was found was told by back-fill."""
    parents = {fact.event.parent_id for fact in facts}
    end = next((one for one in ends if one.event.id in parents), max(ends, key=_occurred, default=None))
    return end is not None and end.event.origin is Origin.BACKFILL


def _occurred(fact: Fact) -> datetime:
    return fact.event.occurred_at


def _never_ready(facts: Sequence[Fact], discovery: _Standings) -> tuple[State, str]:
    lost = next((fact for fact in reversed(facts) if fact.event.topic == Topic.RECORDING_LOST), None)
    if lost is not None:
        return State.DEAD, _reason(lost)
    return _worked_on(discovery, State.DETECTED, Unexplained.NOBODY_WORKS_ON_IT)


def _without_recording(end: Fact | None, discovery: _Standings, says: PlatformSays) -> tuple[State, str]:
    if end is None:
        return (State.NONE_EXPECTED, "") if says.recorded is False else (State.UNEXPLAINED, Unexplained.NOT_IN_LEDGER)
    if not discovery.finished or discovery.unfinished or discovery.dead:
        return _worked_on(discovery, State.DETECTED, Unexplained.NOBODY_WORKS_ON_IT)
    seen = end.event.body.get("recordingSeen")
    if True in (says.recorded, seen):
        return State.UNEXPLAINED, Unexplained.RECORDED_NONE_FOUND
    if False in (says.recorded, seen):
        return State.NONE_EXPECTED, ""
    return State.UNEXPLAINED, Unexplained.RECORDING_UNKNOWN


def _worked_on(standings: _Standings, going_on: State, nobody: Unexplained) -> tuple[State, str]:
    if standings.unfinished:
        return going_on, ""
    if standings.dead:
        return State.DEAD, standings.dead
    return State.UNEXPLAINED, nobody


def _latest(facts: Sequence[Fact], topic: Topic) -> Fact | None:
    """The fact of the highest revision."""
    return max((fact for fact in facts if fact.event.topic == topic), key=_revision, default=None)


def _variant(facts: Sequence[Fact]) -> str:
    stored = _latest(facts, Topic.MEDIA_ARCHIVED)
    return str(stored.event.body.get("variant") or "unknown") if stored is not None else ""


def _delete_date(facts: Sequence[Fact]) -> datetime | None:
    """As the latest event that names it has it."""
    told = [fact.event.body["deleteDate"] for fact in facts if isinstance(fact.event.body.get("deleteDate"), str)]
    try:
        moment = datetime.fromisoformat(told[-1]) if told else None
        return moment if moment is None else moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the second for the first and last hours of the calendar, in a zone where UTC has left it
        return None


def _reason(fact: Fact) -> str:
    return str(fact.event.body.get("reason", ""))


def _revision(fact: Fact) -> int:
    value = fact.event.body.get("revision")
    return value if isinstance(value, int) else 1


def _item(conversation_id: str, recording_id: str | None, ended: datetime, state: State, reason: str, note: str = "") -> Item:
    return Item(conversation_id=conversation_id, recording_id=recording_id, ended=ended, state=state, reason=str(reason), note=note)


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
