"""Long gaps, and what operators ask for: worked off in pieces that a restart does not repeat, on a real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from genesys_sync.feed.backfill import OPERATOR, Backfill, next_piece
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import Gap
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
DAY_MS = 86_400_000
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
Until = Callable[[Callable[[], bool]], Awaitable[None]]


class OneADay:
    """A platform on which one conversation ends at each noon, and which goes away when told to."""

    organization_id = "11111111-2222-4333-8444-555555555555"
    clock_offset = timedelta(0)

    def __init__(self) -> None:
        self.pieces: list[tuple[datetime, datetime]] = []
        self.hangs_at: datetime | None = None
        self.hanging = False

    @property
    def conversations(self) -> OneADay:
        return self

    async def ended_between(self, start: datetime, end: datetime, *, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        self.pieces.append((start + timedelta(minutes=5), end))
        noon = NOW - 20 * DAY
        while noon <= end:
            if noon >= start:
                number = (noon - (NOW - 20 * DAY)).days
                yield {
                    "conversationId": f"{number:08x}-1111-4222-8333-444444444444",
                    "conversationStart": (noon - timedelta(minutes=1)).isoformat(),
                    "conversationEnd": noon.isoformat(),
                    "participants": [],
                }
            noon += DAY
        if self.hangs_at is not None and start < self.hangs_at <= end:
            self.hanging = True
            await anyio.sleep_forever()


def backfill(platform: OneADay, ledger: Ledger, clock: FakeClock) -> Backfill:
    return Backfill(
        platform=platform,  # type: ignore[arg-type]  # only what back-fill asks for
        ledger=ledger,
        router=Router({"discover": ("conversation.ended",)}),
        clock=clock,
        settings=FeedSettings(),
        metrics=Metrics(),
        conversations=LiveConversations(),
    )


async def test_a_gap_of_days_is_paged_day_by_day_and_a_restart_goes_on_where_it_was(tmp_path: Path, until: Until) -> None:
    clock, platform, url = FakeClock(NOW), OneADay(), f"sqlite:///{tmp_path / 'ledger.db'}"
    platform.hangs_at = NOW - 3 * DAY
    begun = NOW_MS - 6 * DAY_MS
    async with open_ledger(url, clock=clock) as ledger, anyio.create_task_group() as killed:
        gap = await ledger.open_gap(from_ms=begun, to_ms=NOW_MS - DAY_MS, cause=OPERATOR)
        killed.start_soon(backfill(platform, ledger, clock).work_off, [gap])
        await until(lambda: platform.hanging)
        killed.cancel_scope.cancel()
    assert platform.pieces == [(NOW - (6 - day) * DAY, NOW - (5 - day) * DAY) for day in range(3)]

    platform.hangs_at = None
    platform.pieces.clear()
    async with open_ledger(url, clock=clock) as ledger:
        [left] = await ledger.gaps()
        assert left.rest_from_ms == begun + 2 * DAY_MS
        await backfill(platform, ledger, clock).work_off([gap])
        assert platform.pieces == [(NOW - (4 - day) * DAY, NOW - (3 - day) * DAY) for day in range(3)]
        closed = await ledger.gap(gap)
        assert closed is not None
        assert (closed.closed_ms, closed.up_to_ms) == (NOW_MS, NOW_MS - DAY_MS)
        assert (await ledger.counts(now_ms=NOW_MS)).events == {"conversation.ended": 6}


async def test_a_second_run_over_the_same_time_records_nothing(tmp_path: Path) -> None:
    clock, platform = FakeClock(NOW), OneADay()
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        numbers = []
        for _ in range(2):
            gap = await ledger.open_gap(from_ms=NOW_MS - 3 * DAY_MS, to_ms=NOW_MS - DAY_MS, cause=OPERATOR)
            await backfill(platform, ledger, clock).work_off([gap])
            found = await ledger.gap(gap)
            assert found is not None
            numbers.append((found.found, found.recorded))
        assert numbers == [(4, 3), (4, 0)], "the noon between two pieces is in both"
        assert (await ledger.counts(now_ms=NOW_MS)).deliveries.keys() == {"discover"}


async def test_a_request_of_several_rows_counts_a_conversation_once(tmp_path: Path) -> None:
    """A command that was killed and given again, `--from 3d` both times, asks for a little more with each: its rows share their pieces."""
    clock, platform = FakeClock(NOW), OneADay()
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        start, end = NOW_MS - 3 * DAY_MS + 1, NOW_MS - DAY_MS
        bounds = [(start, end), (end, end + 5_000), (end + 5_000, end + 9_000)]
        gaps = [await ledger.open_gap(from_ms=first, to_ms=last, cause=OPERATOR) for first, last in bounds]
        await backfill(platform, ledger, clock).work_off(gaps)
        closed = [gap for one in gaps if (gap := await ledger.gap(one)) is not None]
        assert sum(gap.recorded for gap in closed) == 3
        assert (await ledger.counts(now_ms=NOW_MS)).events == {"conversation.ended": 3}


@pytest.mark.parametrize("offset", [timedelta(hours=3), timedelta(hours=-3)])
async def test_a_gap_is_paged_by_both_clocks_where_they_differ(tmp_path: Path, offset: timedelta) -> None:
    """A machine three hours off notes its gap three hours off; what ended in it by the platform's clock is found all the same."""
    clock, platform = FakeClock(NOW), OneADay()
    platform.clock_offset = offset
    noon = NOW_MS - DAY_MS  # by the platform's clock
    ours = noon - round(offset.total_seconds() * 1000)
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        gap = await ledger.open_gap(from_ms=ours - 60_000, to_ms=ours + 60_000, cause="silent")
        await backfill(platform, ledger, clock).work_off([gap])
        found = await ledger.gap(gap)
        assert found is not None
        assert found.recorded == 1


async def test_what_another_process_asks_for_is_noticed(tmp_path: Path, until: Until) -> None:
    clock, platform, url = FakeClock(NOW), OneADay(), f"sqlite:///{tmp_path / 'ledger.db'}"
    async with open_ledger(url, clock=clock) as ledger, anyio.create_task_group() as daemon:
        running = backfill(platform, ledger, clock)
        daemon.start_soon(running.run)
        async with open_ledger(url, clock=clock, shared=True) as beside:
            gap = await beside.open_gap(from_ms=NOW_MS - 3 * DAY_MS, to_ms=NOW_MS - 2 * DAY_MS, cause=OPERATOR)
        with anyio.fail_after(10):
            while (await ledger.gap(gap)).closed_ms is None:  # type: ignore[union-attr]  # it is there
                await clock.advance(1)
        assert running.open_gaps == 0, "nothing was missed"
        daemon.cancel_scope.cancel()


async def test_what_was_missed_does_not_wait_for_an_operators_day_that_takes_the_platform_an_hour(tmp_path: Path, until: Until) -> None:
    """A details job of last month hangs; a gap of just now is closed and the recent time is compared meanwhile."""
    clock, platform = FakeClock(NOW), OneADay()
    platform.hangs_at = NOW - 10 * DAY
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger, anyio.create_task_group() as daemon:
        await ledger.open_gap(from_ms=NOW_MS - 11 * DAY_MS, to_ms=NOW_MS - 10 * DAY_MS, cause=OPERATOR)
        running = backfill(platform, ledger, clock)
        daemon.start_soon(running.run)
        await until(lambda: platform.hanging)
        asked = len(platform.pieces)
        missed = await ledger.open_gap(from_ms=NOW_MS - 60_000, to_ms=NOW_MS, cause="silent")
        with anyio.fail_after(10):
            while (await ledger.gap(missed)).closed_ms is None or len(platform.pieces) < asked + 2:  # type: ignore[union-attr]  # it is there
                await clock.advance(60)
        daemon.cancel_scope.cancel()


def gap(number: int, start: int, end: int, cause: str = "silence", up_to: int | None = None) -> Gap:
    return Gap(number, start, end, cause, None, up_to)


@pytest.mark.parametrize(
    ("gaps", "piece"),
    [
        ([gap(1, 0, 50)], (0, 50)),
        ([gap(1, 0, 500)], (0, 100)),
        ([gap(1, 0, 500, up_to=300)], (300, 400)),
        ([gap(1, 0, 20), gap(2, 25, 40), gap(3, 70, 80)], (0, 40)),
        ([gap(1, 0, 500, OPERATOR), gap(2, 900, 950)], (900, 950)),
        ([gap(1, 700, 800, OPERATOR), gap(2, 0, 500, OPERATOR, up_to=450)], (450, 500)),
    ],
)
def test_what_is_paged_next(gaps: list[Gap], piece: tuple[int, int]) -> None:
    assert next_piece(gaps, overlap_ms=10, piece_ms=100) == piece


@pytest.mark.parametrize(
    ("lead", "cause", "seconds"), [(timedelta(hours=1), "clock_stepped_back", 86_400), (timedelta(seconds=9), "restart", 0)]
)
async def test_a_watermark_from_the_future_says_nothing_of_when_the_process_stopped(
    tmp_path: Path, lead: timedelta, cause: str, seconds: int
) -> None:
    """The machine's clock ran ahead while the mark was written, and has been corrected since; a drift of seconds is no such thing."""
    clock = FakeClock(NOW)
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        await ledger.append([], watermark=("feed", NOW_MS + round(lead.total_seconds() * 1000)))
        assert await backfill(OneADay(), ledger, clock).start() == NOW_MS
        (gap,) = await ledger.gaps()
        assert (gap.cause, gap.to_ms - gap.from_ms) == (cause, seconds * 1000)
