"""What the socket did not show: gaps, worked off from analytics until they close, and a reconciliation at regular times.

A gap is recorded before the watermark can pass it, so a crash loses none. It is paged a settling time after its end, because analytics
lags behind; no sooner, for each window costs requests, and no recording is there to be fetched within that time anyway. Live and
back-filled copies of one conversation's end have one id; the ledger records it once.

A gap is worked off in pieces of a day at most, and each finished piece is noted in the ledger, so that a restart goes on where it
was. What an operator asks for (`backfill --from --to`) is such a gap too, of a cause of its own; what was missed does not wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import random as system_random
from typing import Any, Final, TypeVar

import anyio

from genesys_sync.audit import AuditEntry
from genesys_sync.backoff import delays
from genesys_sync.clock import Clock
from genesys_sync.errors import LedgerFull, PermanentError
from genesys_sync.events import Origin
from genesys_sync.feed.endings import Told, numbered
from genesys_sync.feed.facts import ConversationEnd, conversation_ended
from genesys_sync.feed.intake import STREAM
from genesys_sync.feed.platform import FeedPlatform
from genesys_sync.feed.protocol import PLATFORM_ERRORS, failure_ending
from genesys_sync.feed.snapshots import LiveConversations, from_analytics
from genesys_sync.ledger.base import Gap, Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings
from genesys_sync.units import milliseconds

OPERATOR: Final = "backfill:operator"
"""The cause of a gap that is none: an interval that an operator wants to be asked for (again)."""

_BATCH: Final = 100
_FULL_RETRY: Final = 5.0
_LOOK_EVERY: Final = 10.0
"""Seconds between two looks at the ledger, where other processes record what they want."""
_PIECE_MS: Final = 86_400_000

_log = get_logger("feed.backfill")
T = TypeVar("T")


def windows(gaps: Sequence[Gap], *, overlap_ms: int) -> list[tuple[int, int]]:
    """The fewest intervals that cover what is left of the gaps, oldest first; those nearer to each other than the overlap share one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((gap.rest_from_ms, gap.to_ms) for gap in gaps):
        if joined and start <= joined[-1][1] + overlap_ms:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def next_piece(gaps: Sequence[Gap], *, overlap_ms: int, piece_ms: int = _PIECE_MS) -> tuple[int, int]:
    """The interval to page next, of one gap at least: what was missed before what an operator asked for, the oldest first."""
    missed = [gap for gap in gaps if gap.cause != OPERATOR]
    start, end = windows(missed or gaps, overlap_ms=overlap_ms)[0]
    return start, min(end, start + piece_ms)


@dataclass(slots=True)
class _Count:
    """What the paging of one piece showed; `recorded` over all its attempts, `found` in the one that succeeded."""

    found: int = 0
    recorded: int = 0


class Backfill:
    """Closes gaps and reconciles. `start` first, then `run`, which returns only by cancellation or LedgerError."""

    def __init__(
        self,
        *,
        platform: FeedPlatform,
        ledger: Ledger,
        router: Router,
        clock: Clock,
        settings: FeedSettings,
        metrics: Metrics,
        conversations: LiveConversations,
        random: Callable[[], float] = system_random,
        witness: Callable[[ConversationEnd], None] = lambda _end: None,
        in_haste: Callable[[], bool] = lambda: False,
    ) -> None:
        self._platform = platform
        self._ledger = ledger
        self._router = router
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._conversations = conversations
        self._random = random
        self._witness = witness
        self._in_haste = in_haste
        self._overlap_ms = milliseconds(settings.backfill_overlap)
        self._wake = anyio.Event()
        self.open_gaps = 0
        self.refused = ""
        """Why the platform refuses back-fill, in one sentence; empty while it does not."""

    async def start(self) -> int:
        """Record the gap since the process last lived (of `backfill_first` on a first start, or when the machine's clock stands well
        before the watermark now), and return its end, from which on the caller knows what is missed. The watermark moves there, never back:
        what lies before it is in the ledger or in a gap."""
        now = self._clock.epoch_ms()
        mark = await self._ledger.watermark(STREAM)
        if mark is None:
            since, cause = now - milliseconds(self._settings.backfill_first), "first_start"
        elif mark > now + self._overlap_ms:  # one of the two clocks was wrong, and when the process really stopped nobody knows
            since, cause = now - milliseconds(self._settings.backfill_first), "clock_stepped_back"
        else:
            since, cause = min(mark, now), "restart"
        await self.missed(since, now, cause)
        await self._patiently(lambda: self._ledger.append([], watermark=(STREAM, now)))
        return now

    async def missed(self, from_ms: int, to_ms: int, cause: str) -> None:
        """Record an interval without a live subscription; it is durable afterwards, and will be worked off."""
        to_ms = max(from_ms, to_ms)
        entry = self._entry("gap.open", from_ms, to_ms, cause)
        await self._patiently(lambda: self._ledger.open_gap(from_ms=from_ms, to_ms=to_ms, cause=cause, audit=[entry]))
        self._wake.set()

    async def run(self) -> None:
        """Work gaps off, reconcile, and do what operators ask for, until cancelled. Each goes on by itself: a details job for a day of last
        month may take the platform an hour, and what was missed just now does not wait for it."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._close_gaps)
            group.start_soon(self._reconcile)
            group.start_soon(self._do_what_is_asked)

    async def work_off(self, gap_ids: Collection[int]) -> None:
        """Return when these gaps are closed: for a process that does nothing else, without `start` and `run`."""
        while gaps := [gap for one in gap_ids if (gap := await self._ledger.gap(one)) is not None and gap.closed_ms is None]:
            wait = await self._close_some(gaps)
            if wait is not None:
                await self._clock.sleep(wait)

    async def _close_gaps(self) -> None:
        while True:
            self._wake = anyio.Event()
            missed = [gap for gap in await self._ledger.gaps() if gap.cause != OPERATOR]
            self._show(len(missed))
            wait = await self._close_some(missed)
            if wait is not None:
                await self._wait(wait)

    async def _do_what_is_asked(self) -> None:
        while True:
            wait = await self._close_some([gap for gap in await self._ledger.gaps() if gap.cause == OPERATOR])
            if wait is not None:
                await self._clock.sleep(wait)

    async def _close_some(self, gaps: Sequence[Gap]) -> float | None:
        """Page one piece, if there is one whose time has come, and note in the ledger what it covers; otherwise the seconds to wait."""
        now, settle = self._clock.epoch_ms(), milliseconds(self._settings.backfill_settle)
        ripe = [gap for gap in gaps if now >= gap.to_ms + settle]
        if not ripe:
            soonest = min((gap.to_ms + settle - now for gap in gaps), default=_LOOK_EVERY * 1000)
            return min(soonest / 1000, _LOOK_EVERY)
        start, end = next_piece(ripe, overlap_ms=self._overlap_ms)
        count = _Count()
        await self._persist(partial(self._page, start, end, count))
        for gap in ripe:
            if start <= gap.rest_from_ms <= end:
                await self._covered(gap, end, count)
                if gap.cause == OPERATOR:  # one request may be several rows, and whoever adds them up counts a conversation once
                    count = _Count()
        return None

    async def _covered(self, gap: Gap, up_to_ms: int, count: _Count) -> None:
        await self._patiently(partial(self._ledger.advance_gap, gap.id, up_to_ms=up_to_ms, found=count.found, recorded=count.recorded))
        if up_to_ms >= gap.to_ms:
            entry = self._entry("gap.close", gap.from_ms, gap.to_ms, gap.cause)
            await self._patiently(partial(self._ledger.close_gap, gap.id, at_ms=self._clock.epoch_ms(), audit=[entry]))
            _log.info("gap_closed", cause=gap.cause, seconds=(gap.to_ms - gap.from_ms) / 1000)

    def _entry(self, action: str, from_ms: int, to_ms: int, cause: str) -> AuditEntry:
        """For the audit trail; a gap is named by its bounds, which mean the same outside of this ledger."""
        facts = {"fromMs": from_ms, "toMs": to_ms, "cause": cause}
        return AuditEntry(at=self._clock.now(), actor="feed", action=action, target=f"{from_ms}-{to_ms}", outcome="success", facts=facts)

    async def _reconcile(self) -> None:
        """At each `reconcile_every`; thrice as often, and then only what is new, while no events come."""
        every = self._settings.reconcile_every.total_seconds()
        third, thirds = every / 3, 0
        while True:
            await self._clock.sleep(third)
            thirds += 1
            if thirds == 3:
                thirds = 0
                await self._persist(partial(self._page_recent, self._settings.reconcile_window))
            elif self._in_haste():
                await self._persist(partial(self._page_recent, 2 * self._settings.reconcile_every / 3))

    async def _page_recent(self, window: timedelta) -> None:
        now = self._clock.epoch_ms()
        await self._page(now - milliseconds(window), now, _Count())

    async def _page(self, from_ms: int, to_ms: int, count: _Count) -> None:
        """Everything that ended in the interval is in the ledger afterwards."""
        async with _closing(self._records(from_ms, to_ms)) as records:
            batch: list[Told] = []
            count.found = 0
            async for record in records:
                folded = from_analytics(record, received=self._clock.now())
                if folded.end is None:
                    if folded.faults:
                        self._metrics.backfill_conversations.labels("unreadable").inc()
                    continue
                self._witness(folded.end)
                event = conversation_ended(folded.end, organization_id=self._platform.organization_id, origin=Origin.BACKFILL)
                batch.append(Told(event, folded.end.left))
                if len(batch) >= _BATCH:
                    await self._record(batch, count)
                    batch = []
            if batch:
                await self._record(batch, count)

    def _records(self, from_ms: int, to_ms: int) -> AsyncIterator[Mapping[str, Any]]:
        """By both clocks, ours and the platform's, where they differ: gaps are noted in our time, operators ask in the platform's."""
        offset, none = self._platform.clock_offset, timedelta(0)
        start = _moment(from_ms) + min(offset, none) - self._settings.backfill_overlap
        end = _moment(to_ms) + max(offset, none)
        return self._platform.conversations.ended_between(start, end, long_calls=self._settings.backfill_long_calls)

    async def _record(self, told: Sequence[Told], count: _Count) -> None:
        routed = self._router.route(await numbered(self._ledger, told))
        appended = await self._patiently(lambda: self._ledger.append(routed))
        count.found += len(told)
        count.recorded += appended.recorded
        self._metrics.backfill_conversations.labels("new").inc(appended.recorded)
        self._metrics.backfill_conversations.labels("known").inc(appended.duplicates)
        for one in told:
            if one.event.conversation_id is not None:
                self._conversations.forget(one.event.conversation_id, one.left or one.event.occurred_at)

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, again and again until it is done: what the platform refuses today it may grant tomorrow."""
        waits = delays(
            base=self._settings.backoff_base.total_seconds(), cap=self._settings.backoff_cap.total_seconds(), random=self._random
        )
        while True:
            try:
                await work()
            except PLATFORM_ERRORS as error:
                ending = failure_ending(error)
                wait = max(next(waits), ending.wait)
                if isinstance(error, PermanentError):
                    if self.refused != error.reason:
                        _log.error("backfill_refused", reason=error.reason, code=error.code, wait=wait, gaps=self.open_gaps)
                    self.refused = error.reason
                else:
                    _log.warning("backfill_failed", cause=ending.cause, detail=ending.detail, wait=round(wait, 1))
                await self._clock.sleep(wait)
            else:
                self.refused = ""
                return

    async def _patiently(self, write: Callable[[], Awaitable[T]]) -> T:
        """A ledger without space is waited out; the intake says so in the log and in the state."""
        while True:
            try:
                return await write()
            except LedgerFull:
                await self._clock.sleep(_FULL_RETRY)

    async def _wait(self, seconds: float) -> None:
        """Until a gap is recorded by this process, or the time has passed."""
        async with anyio.create_task_group() as group:

            async def timer() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(timer)
            await self._wake.wait()
            group.cancel_scope.cancel()

    def _show(self, count: int) -> None:
        self.open_gaps = count
        self._metrics.gaps_open.set(count)


@asynccontextmanager
async def _closing(records: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """An async generator left half-way must be closed where it was used; other iterators need nothing."""
    try:
        yield records
    finally:
        close = getattr(records, "aclose", None)
        if close is not None:
            await close()


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
