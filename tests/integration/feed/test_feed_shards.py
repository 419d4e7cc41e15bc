"""More topics than a channel takes, evictions, and channels that bring nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.integration.feed.stage_acts import QUEUE, Queue, Stage, Staged, causes, publish, rolled

from genesys_sync.feed.protocol import Cause

pytestmark = pytest.mark.anyio


def many(count: int) -> list[Queue]:
    return [Queue(f"{number:08x}-1111-4222-8333-444444444444", f"Q{number}") for number in range(count)]


async def both(stage: Stage) -> None:
    await stage.until(lambda: stage.feed.state.connected and len(stage.notifications.open) == 2)


def list_many(stage: Stage) -> None:
    stage.platform.listed = many(1207)


async def test_more_than_a_thousand_topics_are_shared_out_over_channels(staged: Staged) -> None:
    async with staged(prepare=list_many) as stage:
        await both(stage)

        assert sorted(len(topics) for _, topics in stage.platform.put) == [207, 1000]
        assert len({topic for _, topics in stage.platform.put for topic in topics}) == 1207
        state = stage.feed.state
        assert (state.permitted, state.left_out, state.shards, state.shards_live) == (1207, 0, 2, 2)


async def test_each_shard_has_its_own_gaps_and_the_feed_is_live_only_with_all(staged: Staged) -> None:
    async with staged(prepare=list_many) as stage:
        await both(stage)
        await stage.clock.advance(100)
        for connection in stage.notifications.open:
            await connection.send('{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}')
        await stage.reaches(lambda: _marked(stage, stage.clock.epoch_ms()))
        lost_at, before = stage.clock.epoch_ms(), len(await stage.gaps())
        stage.notifications.refusals.append((503, {"Retry-After": "50"}))

        await stage.notifications.open[0].close(1011)
        await stage.until(lambda: stage.feed.state.cause is Cause.UPGRADE_REFUSED)
        assert not stage.feed.state.connected
        assert (stage.feed.state.shards, stage.feed.state.shards_live) == (2, 1)
        await stage.clock.advance(30)
        await stage.notifications.heartbeat()
        await stage.until(lambda: stage.feed.state.last_frame == stage.clock.monotonic())
        assert await stage.watermark() == lost_at, "what the other shard has not heard must not be passed"

        await stage.clock.advance(20)
        await both(stage)
        found = await stage.gaps()
        assert [(gap.from_ms, gap.to_ms, gap.cause) for gap in found[before:]] == [(lost_at, lost_at + 50_000, "closed")]


async def _marked(stage: Stage, mark: int) -> bool:
    return bool(await stage.watermark() == mark)


async def test_a_queue_too_many_opens_a_second_shard_and_moves_nothing(staged: Staged) -> None:
    async with staged(queue_refresh=timedelta(seconds=60)) as stage:
        stage.platform.listed = many(1001)[1:]
        await stage.advance_until(lambda: stage.feed.state.permitted == 1000, by=10)
        first = stage.platform.put[-1]

        stage.platform.listed = many(1001)
        await stage.advance_until(lambda: stage.feed.state.shards == 2, by=10)
        await both(stage)

        assert stage.platform.put[-1][1] == [f"v2.routing.queues.{many(1)[0].id}.conversations"]
        assert [topics for channel, topics in stage.platform.put if channel == first[0]][-1] == first[1]

        stage.platform.listed = many(1001)[1:]
        await stage.advance_until(lambda: stage.feed.state.shards == 1, by=10)
        await stage.until(lambda: len(stage.notifications.open) == 1)
        assert stage.feed.state.connected


async def evict(stage: Stage) -> None:
    await stage.notifications.send("v2.system.no_longer_subscribed.x", {"reason": "another_channel_subscribed"})


async def test_the_third_eviction_within_ten_minutes_stops_the_making_of_channels_for_ten(staged: Staged) -> None:
    async with staged(reconcile_every=timedelta(minutes=15), ready_within=timedelta(seconds=90)) as stage:
        for count in (2, 3):
            await stage.live()
            await evict(stage)
            await stage.advance_until(lambda count=count: len(stage.platform.created) == count, by=1)
            assert "channel_evicted" in stage.feed.state.alerts
        await stage.live()
        await evict(stage)
        await stage.until(lambda: stage.feed.state.cause is Cause.CREATION_PAUSED)
        stopped = stage.clock.monotonic()
        stage.platform.windows.clear()

        await stage.clock.advance(598)
        assert len(stage.platform.created) == 3
        assert set(stage.feed.state.alerts) == {"channel_evicted", "creation_paused"}
        recent = [(end - start) for start, end in stage.platform.windows if end - start < timedelta(minutes=20)]
        assert recent, "reconciliation runs more often meanwhile"

        await stage.advance_until(lambda: stage.feed.state.connected, by=1)
        assert stage.platform.created[3] - stopped == pytest.approx(600, abs=10)
        assert stage.feed.state.alerts == ()
        assert stage.platform.invalidated == 0


async def test_a_channel_that_brings_nothing_while_calls_end_is_replaced_and_named(staged: Staged) -> None:
    def record(number: int, at: str) -> dict[str, Any]:
        session = {"mediaType": "voice", "segments": [{"queueId": QUEUE, "segmentEnd": at}]}
        participant = {"participantId": "p", "purpose": "acd", "sessions": [session]}
        conversation = f"{number:08x}-2222-4222-8333-444444444444"
        times = {"conversationStart": "2026-08-01T12:01:00.000Z", "conversationEnd": at}
        return {"conversationId": conversation, **times, "participants": [participant]}

    async with staged() as stage:
        await stage.live()
        await stage.clock.advance(899)
        await stage.notifications.heartbeat()
        stage.platform.records = [record(number, "2026-08-01T12:05:00.000Z") for number in range(2)]
        await stage.clock.advance(900)
        assert stage.feed.state.alerts == ()

        stage.platform.records.append(record(3, "2026-08-01T12:06:00.000Z"))
        await stage.advance_until(lambda: "stream_starved" in stage.feed.state.alerts, by=100)
        await rolled(stage, "/channel-2")
        assert "channel_evicted" in stage.feed.state.alerts
        assert causes(stage) == {"stream_starved": 1}
        deaf = next(gap for gap in await stage.gaps(only_open=False) if gap.cause == "stream_starved")
        assert deaf.to_ms - deaf.from_ms >= 1_700_000, "from the moment when it went live, the last that it brought, to its successor's"

        await publish(stage, 1)
        await stage.until(lambda: "stream_starved" not in stage.feed.state.alerts)


async def test_a_quiet_night_is_no_starvation(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.clock.advance(40_000)

        assert stage.feed.state.alerts == ()
        assert len(stage.platform.created) == 1
