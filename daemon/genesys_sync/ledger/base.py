"""The ledger's promise. One contract suite (`tests/ledger`) holds every implementation to it.

What a method returned from is durable: committed with fsync, alive after kill -9 and power cut. Writes of many callers share
one commit (group commit). Times are milliseconds since 1970 from `Clock.epoch_ms`.

A delivery's life:

    append ──► ready ──claim──► leased ──settle──► done | skipped | dead      (moved to history)
                 ▲                 │
                 └── snooze, retry, release, expired lease ──┘
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from genesys_sync.audit import AuditEntry, Numbered, Seal
from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event
from genesys_sync.routing import RoutedEvent
from genesys_sync.tallies import Tallies


class DeliveryState(StrEnum):
    """Where a delivery stands. `ready` and `leased` are hot; the others are final and live in history."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    SKIPPED = "skipped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased delivery. `fence` grows with each lease of it: whoever settles with an older one is refused."""

    event: Event
    handler: str
    delivery_id: str
    attempts: int
    """Counted runs that ended before this one."""
    snoozes: int
    created_ms: int
    fence: int
    lease_until_ms: int
    event_seq: int
    """The ledger's own number of the event; opaque to everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a claim ended; made by `dispatch.verdicts`, written by `Ledger.settle`.

    state    READY (again at `due_ms`), DONE, SKIPPED or DEAD
    counted  whether this run counts as an attempt
    snoozed  whether it ended by Snooze
    reason   a reason code for DEAD, and for the last failure of a READY one
    error    the failure in one sentence; kept as first and last error
    note     for people
    park     the handler takes nothing more until resumed; the text is why
    """

    state: DeliveryState
    counted: bool = True
    snoozed: bool = False
    due_ms: int = 0
    reason: ReasonCode | None = None
    error: str = ""
    correlation_id: str = ""
    note: str = ""
    park: str | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: `recorded` new events, `duplicates` that the ledger already had."""

    recorded: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval without a healthy subscription, or one that an operator asked for, until a finished back-fill closes it.
    up_to_ms         back-fill has covered it up to here; None before its first piece
    found, recorded  conversations that back-fill saw in it, and those of them that were new to the ledger
    """

    id: int
    from_ms: int
    to_ms: int
    cause: str
    closed_ms: int | None
    up_to_ms: int | None = None
    found: int = 0
    recorded: int = 0

    @property
    def rest_from_ms(self) -> int:
        """Where what is still to be covered begins."""
        return self.from_ms if self.up_to_ms is None else max(self.from_ms, self.up_to_ms)


@dataclass(frozen=True, slots=True)
class Expiring:
    """A recording that the platform deletes at `delete_ms`."""

    conversation_id: str
    recording_id: str
    delete_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one delivery of an event stands; `reason` is that of a dead one, or of the last failure."""

    handler: str
    state: DeliveryState
    reason: ReasonCode | None


@dataclass(frozen=True, slots=True)
class Fact:
    """An event with the standing of each of its deliveries."""

    event: Event
    deliveries: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was asked to be uploaded.
    number    the ledger's own; the greater the later
    asked     the `upload.requested`, with the standing of its deliveries
    outcome   the last `upload.completed` or `upload.failed` that followed from it; None before there is one
    """

    number: int
    asked: Fact
    outcome: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One delivery as people see it, hot or final."""

    event: Event
    handler: str
    delivery_id: str
    state: DeliveryState
    attempts: int
    snoozes: int
    created_ms: int
    due_ms: int
    finished_ms: int | None
    reason: ReasonCode | None
    first_error: str
    last_error: str
    correlation_id: str
    note: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger at a glance.

    events      by topic
    deliveries  by handler, then state
    oldest_ready_ms  due time of the longest overdue ready delivery, None when none is due
    oldest_ready_of  handler → the same of its own; handlers of which none is due are not in it
    parked      handler → why
    open_gaps   how many gaps no back-fill has closed yet
    """

    events: Mapping[str, int]
    deliveries: Mapping[str, Mapping[DeliveryState, int]]
    oldest_ready_ms: int | None
    parked: Mapping[str, str] = field(default_factory=dict)
    open_gaps: int = 0
    oldest_ready_of: Mapping[str, int] = field(default_factory=dict)


class Ledger(ABC):
    """Append-only events and the state of their deliveries. Opened by `ledger.open_ledger(url, …)`.

    exclusive  no other process can hold leases while this one has the ledger open: what is leased at the opening belonged to a
               process that has died, and need not wait for its lease to end
    """

    exclusive: bool = False

    # --- what the feed does

    @abstractmethod
    async def append(self, events: Sequence[RoutedEvent], *, watermark: tuple[str, int] | None = None) -> Appended:
        """Record the events that are not yet here, with a ready delivery for each handler routed to, in one commit; move the
        stream's watermark (name, ms) forward in the same commit, never backward. An event already here changes nothing: it is
        known by its id under its own day, the day before or the day after, because two copies may disagree near midnight.
        Times are kept to the millisecond. Raises ValueError, and records nothing, when a body is not JSON."""

    @abstractmethod
    async def watermark(self, stream: str) -> int | None:
        """Everything of the stream up to here is in the ledger; None when it was never set."""

    @abstractmethod
    async def open_gap(self, *, from_ms: int, to_ms: int, cause: str, audit: Sequence[AuditEntry] = ()) -> int:
        """Record a gap, with the audit entries in the same commit; returns its id."""

    @abstractmethod
    async def close_gap(self, gap_id: int, *, at_ms: int, audit: Sequence[AuditEntry] = ()) -> None:
        """A finished back-fill covered it; the audit entries are in the same commit. Closing twice changes nothing."""

    @abstractmethod
    async def advance_gap(self, gap_id: int, *, up_to_ms: int, found: int = 0, recorded: int = 0) -> None:
        """Back-fill has covered the gap up to here, never backward and never past its end; the numbers are added to the gap's own.
        A closed or unknown gap is left as it is."""

    @abstractmethod
    async def gap(self, gap_id: int) -> Gap | None:
        """One gap, open or closed; None when there is none of this id."""

    @abstractmethod
    async def gaps(self, *, only_open: bool = True, limit: int = 1000) -> list[Gap]:
        """Oldest first."""

    # --- what the dispatcher does

    @abstractmethod
    async def claim(self, free: Mapping[str, int], *, worker: str, now_ms: int, lease_ms: int) -> list[Claim]:
        """Lease deliveries that are ready and due, at most `free[handler]` for each handler. First comes the one that will soonest be
        too late: the time in `deleteDate` of the event's body, and thirty days after it was due where there is none (so that
        nothing is starved), the oldest due first among those. Parked handlers get none."""

    @abstractmethod
    async def renew(self, claims: Sequence[Claim], *, now_ms: int, lease_ms: int) -> list[Claim]:
        """Prolong leases; returns those still held, with their new end. A claim missing from the answer has been lost."""

    @abstractmethod
    async def settle(
        self, claim: Claim, verdict: Verdict, *, now_ms: int, emitted: Sequence[RoutedEvent] = (), audit: Sequence[AuditEntry] = ()
    ) -> bool:
        """One commit: the verdict, the emitted events with their deliveries, the audit entries. False, and nothing is written,
        when the fence is stale."""

    @abstractmethod
    async def release(self, claims: Sequence[Claim], *, now_ms: int) -> None:
        """Hand back at once, uncounted: ready now. Claims already lost are passed over."""

    @abstractmethod
    async def return_expired(
        self,
        *,
        now_ms: int,
        max_crashes: int,
        max_crashes_of: Mapping[str, int] = MappingProxyType({}),
        announce: Callable[[DeliveryRecord], Sequence[RoutedEvent]],
        audit: Callable[[DeliveryRecord], Sequence[AuditEntry]] = lambda _: (),
        abandoned: bool = False,
    ) -> list[DeliveryRecord]:
        """Leases past their end (with `abandoned`, all leases): the attempt counts, the delivery is ready again, from the second such
        end in a row on apart from others that fared alike. Each call shares the blame for one death among those that it finds; blamed
        for `max_crashes` deaths in a row (or what `max_crashes_of` says of its handler) a delivery is dead with HANDLER_CRASHED, and
        what `announce` and `audit` (pure; called in the writer) make of it is recorded in the same commit. Returns the deliveries
        found, as they stand now."""

    @abstractmethod
    async def next_due(self, handlers: Sequence[str]) -> int | None:
        """The earliest due time among ready deliveries of these handlers that are not parked; None when there is none."""

    @abstractmethod
    async def wait_for_ready(self) -> None:
        """Return when something may have become ready in this process since the last return: a hint, polling is the truth."""

    # --- what people do

    @abstractmethod
    async def organization(self) -> str | None:
        """The id of the organisation whose events these are: that of the first one. None before there is any."""

    @abstractmethod
    async def counts(self, *, now_ms: int) -> Counts: ...

    @abstractmethod
    async def tallies(self) -> Tallies:
        """Actions on the platform, whichever process performed them, and what was stored, in one snapshot."""

    @abstractmethod
    async def find(self, text: str, *, limit: int = 200) -> list[DeliveryRecord]:
        """Everything about one conversation, recording, event or delivery id, in order of recording."""

    @abstractmethod
    async def events_about(self, text: str, *, limit: int = 200) -> list[Event]:
        """The events of one conversation, recording or event id, in order of recording, delivered or not."""

    @abstractmethod
    async def conversations_ended(
        self, *, from_ms: int, to_ms: int, after: tuple[int, str] | None = None, limit: int = 500
    ) -> list[tuple[int, str]]:
        """The conversations whose last `conversation.ended` occurred from `from_ms` on and before `to_ms`, as (end in ms, conversation
        id), in that order; `after` is the last one of the page before."""

    @abstractmethod
    async def ends_of(self, conversation_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Each `conversation.ended` of these conversations, in order of recording; conversations without one are missing. Ask as below."""

    @abstractmethod
    async def facts_of(self, conversation_ids: Sequence[str]) -> dict[str, list[Fact]]:
        """Everything recorded of these conversations, in order of recording, with the standing of each delivery, finished or not;
        one snapshot. Conversations that are unknown here are missing from the answer. Ask for some hundreds at one time."""

    @abstractmethod
    async def dead_letters(self, *, handler: str | None = None, reason: ReasonCode | None = None, limit: int = 100) -> list[DeliveryRecord]:
        """Newest first."""

    @abstractmethod
    async def dead_reasons(self) -> Mapping[tuple[str, ReasonCode], int]:
        """How many dead letters there are, by handler and reason."""

    @abstractmethod
    async def replay(self, delivery_ids: Sequence[str], *, now_ms: int, audit: Sequence[AuditEntry] = ()) -> int:
        """Make dead deliveries ready again, due now, with a fresh count of attempts and a fresh `created_ms`, from which their time limit
        runs; id, first and last error stay. Returns how many; the audit entries are written unless it was none. Others are passed over."""

    @abstractmethod
    async def expiring(self, *, before_ms: int, limit: int = 1000) -> list[Expiring]:
        """The recordings whose delivery to be fetched (of `recording.ready`) is not finished and which the platform deletes before
        `before_ms`, as the event's `deleteDate` says; the nearest first, each once."""

    @abstractmethod
    async def withdraw(self, topic: str, conversation_id: str, *, note: str, now_ms: int, keep: str | None = None) -> int:
        """What waits of this topic for this conversation has become pointless: its ready deliveries are skipped, with the note, except
        those of the event `keep`. Returns how many. One that is leased is left to the run that has it; called again it does nothing."""

    @abstractmethod
    async def resume(self, handler: str, *, now_ms: int, audit: Sequence[AuditEntry] = ()) -> bool:
        """Unpark a handler; its deliveries are due now. False, and nothing is written, when it was not parked."""

    @abstractmethod
    async def uploads(self, *, before: int | None = None, limit: int = 100) -> list[Upload]:
        """What was asked to be uploaded, newest first, in one snapshot; `before` is the number of the last one of the page before."""

    # --- the audit trail

    @abstractmethod
    async def record_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Entries that tell of no change in the ledger, such as the daemon's start. All others go with the change."""

    @abstractmethod
    async def audit_entries(self, *, after: int, limit: int) -> list[Numbered]:
        """Entries numbered above `after`, in order. The first is 1, and there is no hole; what is returned is durable."""

    @abstractmethod
    async def seal(self) -> Seal:
        """How far the entries are known to lie in files."""

    @abstractmethod
    async def mark_sealed(self, seal: Seal) -> None:
        """The entries up to `seal.size` lie in files, durably. A seal that is behind the known one changes nothing."""

    @abstractmethod
    async def checkpointed(self) -> int:
        """For how many entries a checkpoint was recorded last; 0 before the first."""

    @abstractmethod
    async def record_checkpoint(self, size: int, event: RoutedEvent) -> bool:
        """The event that carries a checkpoint, with its deliveries, in one commit with the note that it was made. False, and nothing
        is written, when so many entries are not sealed yet, or a checkpoint covers them already."""

    # --- the archive's record

    @abstractmethod
    async def event_days(self) -> list[date]:
        """The days that have events (`Event.day`), in order."""

    @abstractmethod
    async def events_of_day(self, day: date, topics: Sequence[str], *, after: str = "", limit: int = 1000) -> list[Event]:
        """The day's events of exactly these topics, ordered by id; `after` is the id to go on from."""

    # --- upkeep

    @abstractmethod
    async def add_deliveries(self, handler: str, topics: Sequence[str], *, since_ms: int, now_ms: int) -> int:
        """For a handler that is new in the settings: a ready delivery for each event recorded since `since_ms` whose topic it takes
        (patterns as for the router) and that has none for it yet. Returns how many. In several commits; the next call adds the rest."""

    @abstractmethod
    async def ping(self) -> None:
        """A durable write; raises LedgerError when the ledger cannot be written."""

    @abstractmethod
    async def statistics(self) -> Mapping[str, Any]:
        """For metrics: `file_bytes`; of the writer `queued`, `commits`, `last_commit_seconds`, `last_commit_operations`."""

    @abstractmethod
    async def close(self) -> None:
        """Everything accepted is committed; then the ledger is closed. Closing twice is allowed."""
