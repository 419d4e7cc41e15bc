"""A channel's whole life against a real WebSocket server and a real ledger: make before break, shards, evictions, restarts."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.feed.protocol import Cause

pytestmark = pytest.mark.anyio

QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER = "bbbbbbbb-1111-4222-8333-444444444444"
TOPIC = f"v2.routing.queues.{QUEUE}.conversations"
Stage = Any
Staged = Callable[..., Any]


@dataclass(frozen=True)
class Queue:
    id: str
    name: str


def ended(number: int) -> dict[str, Any]:
    times = {"startTime": "2026-08-01T11:50:00.000Z", "endTime": "2026-08-01T11:59:00.000Z"}
    customer = {"id": "c", "calls": [{"id": "s", "state": "disconnected"}], **times}
    return {"id": f"{number:08x}-1111-4222-8333-444444444444", "participants": [customer]}


async def publish(stage: Stage, number: int) -> None:
    """As the platform does: to every socket that is open."""
    frame = orjson.dumps({"topicName": TOPIC, "version": "2", "eventBody": ended(number)}).decode()
    assert stage.notifications.open
    for connection in list(stage.notifications.open):
        with suppress(ConnectionClosed):  # just being left
            await connection.send(frame)


async def closing(stage: Stage) -> None:
    await stage.notifications.send("v2.system.socket_closing", {})


async def rolled(stage: Stage, path: str) -> None:
    await stage.advance_until(lambda: stage.notifications.paths[-1] == path and len(stage.notifications.open) == 1, by=1)


def causes(stage: Stage) -> Counter[str]:
    samples = [sample for metric in stage.metrics.registry.collect() for sample in metric.samples]
    found = [one for one in samples if one.name == "genesys_sync_feed_connections_total"]
    return Counter({one.labels["cause"]: int(one.value) for one in found})


# --- make before break


async def test_an_announced_close_is_answered_by_a_second_channel_before_the_first_is_left(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        before = len(await stage.gaps())

        await closing(stage)
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=1)
        assert stage.feed.state.connected
        await rolled(stage, "/channel-2")

        assert [channel for channel, _ in stage.platform.put] == ["channel-1", "channel-2"]
        assert len(await stage.gaps()) == before
        assert (stage.notifications.most, stage.notifications.closed) == (2, [1000])
        assert (stage.platform.invalidated, stage.platform.refreshed) == (0, 0)
        assert stage.feed.state.connected
        assert causes(stage) == {"socket_closing": 1}
        assert stage.platform.abandoned == ["channel-1"]


@pytest.mark.parametrize("shorter", ["channel", "token"])
async def test_a_channel_is_replaced_at_eighty_per_cent_of_its_life_or_of_its_tokens(staged: Staged, shorter: str) -> None:
    def short(stage: Stage) -> None:
        stage.platform.life = timedelta(seconds=60 if shorter == "channel" else 86_400)
        stage.platform.ends_at = 60.0 if shorter == "token" else None

    async with staged(prepare=short) as stage:
        await stage.live()
        await stage.advance_until(lambda: len(stage.platform.created) == 2, by=1)

        assert 42 <= stage.platform.created[1] <= 53
        assert (stage.platform.invalidated, stage.platform.refreshed) == (0, 1)


async def test_a_numbered_stream_through_twenty_roll_overs_loses_nothing_and_leaves_no_gap(staged: Staged) -> None:
    def short(stage: Stage) -> None:
        stage.platform.life = timedelta(seconds=60)

    async with staged(prepare=short) as stage:
        await stage.live()
        before = len(await stage.gaps())
        number = 0
        while len(stage.platform.created) < 21 or len(stage.notifications.open) > 1:
            number += 1
            await publish(stage, number)
            if number % 200 == 0:
                await closing(stage)
            await stage.clock.advance(0.5)
            assert number < 10_000

        await stage.until(lambda: stage.ledger.appended == number)
        assert number > 1000
        assert len(await stage.gaps()) == before
        assert stage.notifications.most == 2
        assert set(stage.notifications.closed) == {1000}
        assert set(causes(stage)) == {"channel_expiring", "socket_closing"}


async def test_frames_that_were_under_way_when_the_first_is_left_still_arrive(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        first = stage.notifications.open[0]
        await closing(stage)
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=1)

        for number in range(500):
            await first.send(orjson.dumps({"topicName": TOPIC, "version": "2", "eventBody": ended(number)}).decode())
        await rolled(stage, "/channel-2")

        await stage.until(lambda: stage.ledger.appended == 500)


async def test_what_fails_to_follow_leaves_the_present_one_working_and_is_tried_again(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        before = len(await stage.gaps())
        stage.platform.failures["abandon"] = [PermanentError("another token's", code=ReasonCode.NOT_FOUND)]
        stage.platform.failures["create"] = [TransientError("busy"), PermanentError("no", code=ReasonCode.FORBIDDEN)]
        stage.platform.failures["subscribe"] = [TransientError("busy"), PermanentError("gone", code=ReasonCode.NOT_FOUND)]
        stage.notifications.refusals += [(503, {}), (429, {"Retry-After": "7"}), (401, {}), (404, {})]

        await closing(stage)
        for number in range(1000):
            await publish(stage, number)
            await stage.clock.advance(2)
            await anyio.sleep(0.002)  # the sockets get their turn
            assert stage.feed.state.connected
            if len(stage.notifications.open) == 1 and stage.notifications.closed:
                break

        assert stage.notifications.refusals == []
        assert len(await stage.gaps()) == before
        assert stage.notifications.most == 2
        await stage.until(lambda: stage.ledger.appended == number + 1)


async def test_one_that_follows_and_dies_at_once_is_not_handed_over_to(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        before = len(await stage.gaps())
        await closing(stage)
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=0.5)

        await stage.notifications.open[1].close(1011)
        await stage.until(lambda: len(stage.notifications.closed) == 1)
        await publish(stage, 1)
        await stage.advance_until(lambda: len(stage.notifications.paths) == 3, by=0.5)
        await rolled(stage, "/channel-2")

        assert stage.notifications.paths == ["/channel-1", "/channel-2", "/channel-2"]
        assert len(await stage.gaps()) == before


async def test_when_the_first_dies_before_the_second_is_up_the_second_is_the_next_and_the_gap_is_recorded(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        stage.platform.failures["subscribe"] = [TransientError("busy", delay=timedelta(seconds=20))]
        await closing(stage)
        await stage.advance_until(lambda: len(stage.platform.created) == 2, by=1)

        await stage.notifications.open[0].close(1001)
        await stage.advance_until(lambda: stage.feed.state.connected and len(stage.notifications.paths) == 2, by=0.1)

        assert stage.notifications.paths == ["/channel-1", "/channel-2"]
        assert (await stage.gaps())[-1].cause == "socket_closing"
        assert len(stage.platform.created) == 2


async def test_when_the_first_dies_in_the_overlap_the_second_goes_on_and_what_neither_brought_is_a_gap(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await closing(stage)
        await stage.until(lambda: stage.feed.state.last_frame is not None)
        heard = stage.clock.epoch_ms()
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=1)
        live = stage.clock.epoch_ms()

        stage.notifications.open[0].transport.abort()
        await stage.until(lambda: len(stage.notifications.open) == 1)
        await stage.reaches(lambda: _gap_count(stage, 3))

        gap = (await stage.gaps())[-1]
        assert (gap.from_ms, gap.cause) == (heard, "socket_closing")
        assert heard < gap.to_ms <= live
        assert stage.feed.state.connected
        await publish(stage, 1)
        await stage.until(lambda: stage.ledger.appended == 1)


async def _gap_count(stage: Stage, count: int) -> bool:
    return len(await stage.gaps()) == count


# --- shards


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


# --- evictions, and channels that bring nothing


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


# --- what is said of refusals


async def test_a_forbidden_upgrade_is_named_and_tried_again_each_five_minutes(staged: Staged) -> None:
    def refuse(stage: Stage) -> None:
        stage.notifications.refusals += [(403, {})] * 2

    async with staged(prepare=refuse) as stage:
        await stage.until(lambda: "channel_forbidden" in stage.feed.state.alerts)
        await stage.clock.advance(299)
        assert len(stage.notifications.paths) == 1
        await stage.advance_until(lambda: len(stage.notifications.paths) == 2, by=1)
        await stage.advance_until(lambda: stage.feed.state.connected, by=10)
        assert stage.feed.state.alerts == ()


async def test_silence_is_named_at_once(staged: Staged) -> None:
    async with staged(ping_every=timedelta(seconds=25), silence=timedelta(seconds=35)) as stage:
        await stage.live()
        stage.notifications.answer_pings = False
        stage.notifications.refusals.append((503, {"Retry-After": "60"}))
        await stage.clock.advance(35)
        await stage.until(lambda: not stage.feed.state.connected)

        assert causes(stage)["silent"] + causes(stage)["ping_unanswered"] == 1


async def test_the_same_frame_too_big_twice_is_an_alert(staged: Staged) -> None:
    async with staged(frame_limit="64KiB") as stage:
        for count, size in enumerate((70_000, 80_000, 80_000), start=1):
            await stage.live()
            assert stage.feed.state.alerts == ()
            await stage.notifications.send(TOPIC, {"filler": "x" * size})
            await stage.advance_until(lambda count=count: len(stage.notifications.paths) == count + 1, by=1)
        await stage.live()

        assert stage.feed.state.alerts == ("frame_too_big",)


async def test_a_refusal_that_names_no_permission_is_explained_by_the_list_of_topics(
    staged: Staged, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbid(stage: Stage) -> None:
        stage.platform.listed.append(Queue(OTHER, "Service"))
        stage.platform.forbidden.add(TOPIC)
        stage.platform.told_missing = ()
        stage.platform.needs = {"v2.routing.queues.{id}.conversations": ("conversation:communication:view",)}

    async with staged(prepare=forbid) as stage:
        await stage.live()
        assert (stage.feed.state.permitted, stage.feed.state.rejected) == (1, 1)

    assert "missing_permissions=['conversation:communication:view']" in capsys.readouterr().out


async def test_a_refused_topic_is_asked_for_again_and_a_grant_noticed_without_reconnecting(staged: Staged) -> None:
    def forbid(stage: Stage) -> None:
        stage.platform.listed.append(Queue(OTHER, "Service"))
        stage.platform.forbidden.add(TOPIC)

    async with staged(prepare=forbid, queue_refresh=timedelta(seconds=60)) as stage:
        await stage.live()
        stage.platform.forbidden.clear()
        await stage.advance_until(lambda: stage.feed.state.rejected == 0, by=10)

        puts = len(stage.platform.put)
        await stage.clock.advance(300)
        assert len(stage.platform.put) == puts
        assert stage.notifications.paths == ["/channel-1"]


# --- restarts and orphans


async def test_a_restart_does_not_forget_what_was_refused(staged: Staged) -> None:
    def forbid(stage: Stage) -> None:
        stage.platform.listed.append(Queue(OTHER, "Service"))
        stage.platform.forbidden.add(TOPIC)

    async with staged(prepare=forbid) as stage:
        await stage.live()
        port = stage.platform.port
    async with staged(prepare=forbid, port=port) as again:
        await again.live()

        assert again.platform.created == []
        assert (again.feed.state.permitted, again.feed.state.rejected) == (1, 1)


async def test_a_restarted_process_takes_its_channel_up_and_makes_none(staged: Staged, tmp_path: Path) -> None:
    async with staged() as stage:
        await stage.live()
        port = stage.platform.port
    assert stat.S_IMODE((tmp_path / "channels.json").stat().st_mode) == 0o600

    def rename(stage: Stage) -> None:
        stage.platform.prefix = "again"

    async with staged(port=port, prepare=rename, queue_refresh=timedelta(seconds=60)) as again:
        await again.live()
        assert (again.platform.created, again.platform.put) == ([], [])
        assert again.notifications.paths == ["/channel-1"]
        assert again.feed.state.permitted == 1

        again.platform.failures["subscribe"] = [PermanentError("another token's channel", code=ReasonCode.NOT_FOUND)]
        again.platform.listed.append(Queue(OTHER, "Service"))
        before = len(await again.gaps())
        await rolled(again, "/again-1")
        assert len(await again.gaps()) == before
        assert again.feed.state.permitted == 2


async def test_a_channel_that_is_no_more_at_the_restart_is_replaced(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        port = stage.platform.port

    def refuse(stage: Stage) -> None:
        stage.notifications.refusals.append((404, {}))

    async with staged(port=port, prepare=refuse) as again:
        await again.live()
        assert len(again.platform.created) == 1


@pytest.mark.parametrize(("listed", "path"), [(["lost"], "/lost"), ([], "/channel-1"), (None, "/channel-1")])
async def test_a_channel_whose_making_was_not_answered_is_looked_for(staged: Staged, listed: list[str] | None, path: str) -> None:
    def lose(stage: Stage) -> None:
        stage.platform.failures["create"] = [TransientError("no answer")]
        stage.platform.known = [stage.platform.channel(name) for name in listed or []]
        if listed is None:
            stage.platform.failures["mine"] = [PermanentError("no", code=ReasonCode.FORBIDDEN)]

    async with staged(prepare=lose) as stage:
        await stage.advance_until(lambda: stage.feed.state.connected, by=1)

        assert stage.notifications.paths == [path]


@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_after_many_reconnects_there_is_one_socket_one_reader_one_heartbeat(staged: Staged, times: int) -> None:
    async with staged() as stage:
        for count in range(1, times + 1):
            await stage.live()
            await stage.clock.advance(31)
            stage.notifications.open[0].transport.abort()
            await stage.until(lambda count=count: len(stage.notifications.paths) == count + 1)
        await stage.live()
        await stage.clock.advance(0)

        running = Counter((task.name or "").rsplit(".", 1)[-1] for task in anyio.get_running_tasks())
        assert (running["beat"], running["leave"], running["_expire"]) == (1, 1, 1), running
        assert len(stage.notifications.open) == 1
