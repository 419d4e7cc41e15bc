"""What was missed is a gap, each gap is paged and closed, and what is found twice is recorded once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.events import Origin
from genesys_sync.feed.protocol import Cause

pytestmark = pytest.mark.anyio

Stage = Any
"""As tests/integration/feed/conftest.py makes it."""
Staged = Callable[..., Any]
CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"


async def test_a_gap_is_paged_and_closed_once_analytics_has_settled(staged: Staged) -> None:
    async with staged(backfill_settle=timedelta(seconds=60)) as stage:
        await stage.live()
        start = stage.clock.now()

        await stage.clock.advance(59)
        assert stage.platform.windows == []
        assert len(await stage.gaps(only_open=True)) == 2

        await stage.clock.advance(1)

        async def closed() -> bool:
            return await stage.gaps(only_open=True) == []

        await stage.reaches(closed)
        assert stage.platform.windows[0][0] == start - timedelta(hours=24, minutes=5)
        assert stage.platform.paged_at == [60]
        await stage.until(lambda: stage.feed.state.open_gaps == 0)


async def test_live_and_back_filled_copies_are_recorded_once(staged: Staged) -> None:
    def found(stage: Stage) -> None:
        stage.platform.records = [stage.record()]

    async with staged(prepare=found) as stage:
        await stage.live()
        await stage.clock.advance(70)
        await stage.until(lambda: stage.ledger.appended == 1)

        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.notifications.heartbeat()
        await stage.clock.advance(900)

        def seen(outcome: str) -> float:
            value = stage.metrics.registry.get_sample_value("genesys_sync_backfill_conversations_total", {"outcome": outcome})
            return value or 0

        await stage.until(lambda: seen("known") >= 1)
        assert seen("new") == 1
        assert [event.origin for event in await stage.events()] == [Origin.BACKFILL]


async def test_what_back_fill_found_ended_is_followed_no_longer(staged: Staged) -> None:
    async with staged(reconcile_every=timedelta(minutes=15)) as stage:
        await stage.live()
        await stage.notifications.send(stage.topic, stage.snapshot(state="connected"))
        await stage.until(lambda: stage.metrics.registry.get_sample_value("genesys_sync_feed_live_conversations") == 1)
        stage.platform.records = [stage.record()]
        await stage.clock.advance(900)
        await stage.until(lambda: stage.ledger.appended == 1)

        last_frame = stage.feed.state.last_frame
        await stage.notifications.send(stage.topic, stage.snapshot("0c0c0c0c-1111-4222-8333-444444444444", state="connected"))
        await stage.until(lambda: stage.feed.state.last_frame != last_frame)

        assert stage.metrics.registry.get_sample_value("genesys_sync_feed_live_conversations") == 1


async def test_what_ended_during_a_lost_connection_is_found(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.clock.advance(5)
        await stage.notifications.heartbeat()
        await stage.until(lambda: stage.feed.state.last_frame is not None)
        lost_at = stage.clock.epoch_ms()
        stage.notifications.refusals.append((503, {"Retry-After": "20"}))
        await stage.notifications.open[0].close(1001)
        await stage.until(lambda: stage.feed.state.cause is Cause.UPGRADE_REFUSED)
        stage.platform.records = [stage.record()]

        await stage.clock.advance(27)
        await stage.live()
        await stage.advance_until(lambda: stage.ledger.appended == 1, by=10)

        gap = (await stage.gaps())[-1]
        assert (gap.from_ms, gap.to_ms, gap.cause) == (lost_at, lost_at + 27_000, "closed")


@pytest.mark.parametrize("where", ["ended_between", "last_page"])
async def test_a_failing_back_fill_leaves_the_gap_open_and_goes_on(staged: Staged, where: str) -> None:
    def fail(stage: Stage) -> None:
        stage.platform.records = [stage.record()]
        stage.platform.failures[where] = [TransientError("busy", delay=timedelta(seconds=90))] * 2

    async with staged(prepare=fail) as stage:
        await stage.live()
        await stage.clock.advance(89)
        assert len(await stage.gaps(only_open=True)) == 2
        await stage.clock.advance(1)
        assert len(await stage.gaps(only_open=True)) == 2

        await stage.advance_until(lambda: stage.metrics.registry.get_sample_value("genesys_sync_gaps_open") == 0, by=10)
        assert len(await stage.events()) == 1


async def test_a_forbidden_back_fill_is_named_in_the_state_until_it_is_granted(staged: Staged) -> None:
    def fail(stage: Stage) -> None:
        stage.platform.failures["ended_between"] = [
            PermanentError("analytics:conversationDetail:view is missing", code=ReasonCode.FORBIDDEN)
        ]

    async with staged(prepare=fail) as stage:
        await stage.live()
        await stage.clock.advance(60)
        await stage.until(lambda: stage.feed.state.backfill_refused != "")
        assert stage.feed.state.backfill_refused == "analytics:conversationDetail:view is missing"

        await stage.clock.advance(300)
        await stage.until(lambda: stage.feed.state.backfill_refused == "")


async def test_after_a_restart_the_gap_begins_at_the_watermark_and_old_gaps_are_worked_off(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.clock.advance(10)
        await stage.notifications.heartbeat()
        await stage.reaches(lambda: _is(stage, 10_000))
    mark = await _closed_watermark(stage)

    async with staged() as again:
        await again.live()

        gaps = await again.gaps()
        assert [gap.cause for gap in gaps] == ["first_start", "started", "restart", "started"]
        assert gaps[2].from_ms == min(mark, again.clock.epoch_ms())
        await again.clock.advance(60)
        await again.advance_until(lambda: again.feed.state.open_gaps == 0, by=1)
        assert await again.gaps(only_open=True) == []


async def _is(stage: Stage, after: int) -> bool:
    mark = await stage.watermark()
    return mark == round(datetime(2026, 8, 1, 12, tzinfo=UTC).timestamp() * 1000) + after


async def _closed_watermark(stage: Stage) -> int:
    return stage.clock.epoch_ms()


async def test_the_recent_past_is_reconciled_at_regular_times(staged: Staged) -> None:
    async with staged(reconcile_every=timedelta(minutes=15), reconcile_window=timedelta(hours=2)) as stage:
        await stage.live()
        await stage.clock.advance(60)
        await stage.until(lambda: stage.feed.state.open_gaps == 0)
        stage.platform.windows.clear()

        await stage.clock.advance(840)
        await stage.until(lambda: len(stage.platform.windows) == 1)

        assert stage.platform.windows == [(stage.clock.now() - timedelta(hours=2, minutes=5), stage.clock.now())]


# --- pressure and endings
