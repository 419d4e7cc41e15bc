"""The feed's outer loop against a real WebSocket server and a real ledger; only the platform's REST side is scripted."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from genesys_sync.errors import CredentialsRefused, LedgerFull, LedgerSyncFailed, PermanentError, ReasonCode, TransientError
from genesys_sync.events import Origin
from genesys_sync.feed.protocol import Cause

pytestmark = pytest.mark.anyio

ORG = "11111111-2222-4333-8444-555555555555"
QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER = "bbbbbbbb-1111-4222-8333-444444444444"
LIVELY: Any = {"ping_every": timedelta(seconds=25), "silence": timedelta(seconds=35)}
"""The published liveness; other tests let hours pass between two looks at the socket, and switch it off."""
Until = Callable[[Callable[[], bool]], Awaitable[None]]


Stage = Any
"""As tests/integration/feed/conftest.py makes it."""
Staged = Callable[..., Any]


@dataclass(frozen=True)
class Queue:
    id: str
    name: str


CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"


def snapshot(ident: str = CONVERSATION, *, state: str = "disconnected", filler: int = 0) -> dict[str, Any]:
    ended = {"endTime": "2026-08-01T11:59:00.000Z"} if state == "disconnected" else {}
    customer = {"id": "c", "startTime": "2026-08-01T11:50:00.000Z", "calls": [{"id": "s", "state": state}], **ended}
    return {"id": ident, "participants": [customer], "filler": "x" * filler}


TOPIC = f"v2.routing.queues.{QUEUE}.conversations"


def record(ident: str = CONVERSATION) -> dict[str, Any]:
    return {
        "conversationId": ident,
        "conversationStart": "2026-08-01T11:50:00.000Z",
        "conversationEnd": "2026-08-01T11:59:00.000Z",
        "participants": [],
    }


async def test_from_nothing_to_live(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        assert stage.platform.put == [("channel-1", [TOPIC])]
        assert stage.notifications.paths == ["/channel-1"]
        assert stage.feed.state.permitted == 1
        assert stage.feed.state.ready(timedelta(seconds=0))
        assert [gap.cause for gap in await stage.gaps()] == ["first_start", "started"]


async def test_an_ended_conversation_is_in_the_ledger_with_its_delivery_and_moves_the_watermark(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        before = await stage.watermark()
        await stage.clock.advance(3)

        await stage.notifications.send(TOPIC, snapshot(state="connected"))
        await stage.notifications.send(TOPIC, snapshot())
        await stage.until(lambda: stage.ledger.appended == 1)

        (event,) = await stage.events()
        assert (event.topic, event.conversation_id, event.origin) == ("conversation.ended", CONVERSATION, Origin.LIVE)
        assert [found.handler for found in await stage.ledger.find(CONVERSATION)] == ["discover"]
        assert before is not None
        assert await stage.watermark() == before + 3000


async def test_heartbeats_alone_move_the_watermark_every_ten_seconds(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        start = stage.clock.epoch_ms()
        await stage.clock.advance(10)

        await stage.notifications.heartbeat()

        async def moved() -> bool:
            return await stage.watermark() == start + 10_000

        await stage.reaches(moved)
        await stage.clock.advance(9)
        await stage.notifications.heartbeat()
        await stage.until(lambda: stage.feed.state.last_frame == stage.clock.monotonic())
        assert await stage.watermark() == start + 10_000


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4000, 4014])
async def test_a_close_reconnects_to_the_same_channel_and_leaves_a_gap(staged: Staged, code: int) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.notifications.heartbeat()
        await stage.until(lambda: stage.feed.state.last_frame is not None)

        if code == 1006:
            stage.notifications.open[0].transport.abort()
        else:
            await stage.notifications.open[0].close(code)
        await stage.until(lambda: len(stage.notifications.paths) == 2)
        await stage.live()

        assert stage.notifications.paths == ["/channel-1", "/channel-1"]
        assert (await stage.gaps())[-1].cause == "closed"
        assert len(stage.platform.put) == 1


@pytest.mark.parametrize("code", [1008, 4401])
async def test_a_close_about_rights_renews_token_and_channel(staged: Staged, code: int) -> None:
    async with staged() as stage:
        await stage.live()

        await stage.notifications.open[0].close(code)
        await stage.advance_until(lambda: len(stage.notifications.paths) == 2, by=1)

        assert stage.notifications.paths == ["/channel-1", "/channel-2"]
        assert stage.platform.invalidated == 1


async def test_a_revoked_token_renews_both(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        await stage.notifications.send("v2.system.token_revoked.x", {})
        await stage.advance_until(lambda: len(stage.notifications.paths) == 2, by=1)

        assert (stage.notifications.paths[-1], stage.platform.invalidated) == ("/channel-2", 1)


async def test_silence_is_noticed_within_35_seconds_and_reconnected(staged: Staged) -> None:
    async with staged(**LIVELY) as stage:
        await stage.live()
        stage.notifications.answer_pings = False
        began = stage.clock.monotonic()

        await stage.clock.advance(25)
        await stage.until(lambda: stage.notifications.pings == 1)
        await stage.clock.advance(9.9)
        assert stage.feed.state.connected
        await stage.clock.advance(0.1)
        await stage.until(lambda: len(stage.notifications.paths) == 2)
        await stage.live()

        assert stage.clock.monotonic() - began == pytest.approx(35)
        assert (await stage.gaps())[-1].cause in ("silent", "ping_unanswered")


async def test_a_dead_peer_is_dropped_without_waiting_for_its_close(staged: Staged) -> None:
    async with staged(**LIVELY) as stage:
        await stage.live()
        stage.notifications.answer_pings = False
        stage.notifications.open[0].transport.pause_reading()

        await stage.clock.advance(35)
        await stage.until(lambda: len(stage.notifications.paths) == 2)
        stage.notifications.open[0].transport.resume_reading()
        await stage.until(lambda: stage.notifications.closed == [1006])


async def test_answered_pings_keep_a_quiet_connection(staged: Staged) -> None:
    async with staged(**LIVELY) as stage:
        await stage.live()

        for count in range(1, 6):
            await stage.clock.advance(25)
            await stage.until(lambda count=count: stage.notifications.pings == count)
            await stage.until(lambda: stage.feed.state.last_frame == stage.clock.monotonic())

        assert len(stage.notifications.paths) == 1


@pytest.mark.parametrize(
    ("status", "headers", "path", "tokens"),
    [
        (401, {}, "/channel-2", 1),
        (404, {}, "/channel-2", 0),
        (410, {}, "/channel-2", 0),
        (500, {}, "/channel-1", 0),
        (302, {"Location": "/x"}, "/channel-1", 0),
    ],
)
async def test_a_refused_upgrade_is_tried_again_with_what_it_needs(
    staged: Staged, status: int, headers: dict[str, str], path: str, tokens: int
) -> None:
    def refuse(stage: Stage) -> None:
        stage.notifications.refusals.append((status, headers))

    async with staged(prepare=refuse) as stage:
        await stage.advance_until(lambda: stage.feed.state.connected, by=1)

        assert stage.notifications.paths == ["/channel-1", path]
        assert stage.platform.invalidated == tokens


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["30", "Sat, 01 Aug 2026 12:00:30 GMT"])
async def test_retry_after_is_obeyed(staged: Staged, status: int, header: str) -> None:
    def refuse(stage: Stage) -> None:
        stage.notifications.refusals.append((status, {"Retry-After": header}))

    async with staged(prepare=refuse) as stage:
        await stage.until(lambda: stage.feed.state.cause is Cause.UPGRADE_REFUSED)
        await stage.clock.advance(29)
        assert len(stage.notifications.paths) == 1
        assert not stage.feed.state.ready(timedelta(minutes=5))

        await stage.clock.advance(1)
        await stage.live()
        assert stage.notifications.paths == ["/channel-1", "/channel-1"]


async def test_ten_failures_in_a_row_give_the_channel_up(staged: Staged) -> None:
    def refuse(stage: Stage) -> None:
        stage.notifications.refusals.extend([(500, {})] * 10)

    async with staged(prepare=refuse) as stage:
        await stage.advance_until(lambda: stage.feed.state.connected, by=9)

        assert stage.notifications.paths == ["/channel-1"] * 10 + ["/channel-2"]


async def test_refused_credentials_are_said_and_tried_on(staged: Staged) -> None:
    def refuse(stage: Stage) -> None:
        stage.platform.failures["create"] = [CredentialsRefused("the login host refused the client")] * 3

    async with staged(prepare=refuse, backoff_base=timedelta(seconds=8)) as stage:
        await stage.until(lambda: stage.feed.state.cause is Cause.CREDENTIALS_REFUSED)
        assert stage.feed.state.detail == "the login host refused the client"

        await stage.advance_until(lambda: stage.feed.state.connected, by=5)


async def test_missing_permissions_leave_it_not_ready_until_they_are_granted(staged: Staged) -> None:
    def forbid(stage: Stage) -> None:
        stage.platform.forbidden.add(TOPIC)

    async with staged(prepare=forbid) as stage:
        await stage.until(lambda: stage.feed.state.cause is Cause.NOTHING_PERMITTED)
        assert stage.feed.state.rejected == 1
        assert not stage.feed.state.ready(timedelta(hours=1))
        assert stage.notifications.paths == []
        await stage.clock.advance(299)
        assert len(stage.platform.put) == 1

        stage.platform.forbidden.clear()
        await stage.clock.advance(1)
        await stage.live()
        assert [channel for channel, _ in stage.platform.put] == ["channel-1", "channel-1"]


async def test_a_new_queue_is_subscribed_without_reconnecting(staged: Staged) -> None:
    async with staged(queue_refresh=timedelta(seconds=20)) as stage:
        await stage.live()
        await stage.clock.advance(20)
        stage.platform.listed.append(Queue(OTHER, "Service"))

        await stage.clock.advance(20)
        await stage.until(lambda: len(stage.platform.put) == 2)

        assert stage.platform.put[1] == ("channel-1", [TOPIC, f"v2.routing.queues.{OTHER}.conversations"])
        assert len(stage.notifications.paths) == 1


async def test_queues_are_chosen_by_name_or_id(staged: Staged) -> None:
    def two(stage: Stage) -> None:
        stage.platform.listed = [Queue(OTHER, "Service"), Queue(QUEUE, "Sales"), Queue(ORG, "Nobody's")]

    async with staged(prepare=two, queues=("Service", QUEUE), topics=("v2.x.y",)) as stage:
        await stage.live()

        assert stage.platform.put[0][1] == ["v2.x.y", TOPIC, f"v2.routing.queues.{OTHER}.conversations"]


async def test_a_channel_that_is_gone_at_the_refresh_is_replaced(staged: Staged) -> None:
    async with staged(queue_refresh=timedelta(seconds=20)) as stage:
        await stage.live()
        stage.platform.listed.append(Queue(OTHER, "Service"))
        stage.platform.failures["subscribe"] = [PermanentError("no such channel", code=ReasonCode.NOT_FOUND)]

        await stage.advance_until(lambda: len(stage.notifications.paths) == 2, by=1)
        await stage.live()

        assert stage.notifications.paths[-1] == "/channel-2"
        assert (await stage.gaps())[-1].cause == "channel_gone"


async def test_unreadable_frames_are_counted_and_the_connection_kept(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        for text in ('{"a":', "[]", "NaN", '{"topicName":"v2.flows.x","eventBody":null}'):
            await stage.notifications.open[0].send(text)
        await stage.notifications.send(TOPIC, snapshot())
        await stage.until(lambda: stage.ledger.appended >= 2)

        for kind in ("frame_not_json", "frame_not_object", "frame_bad_number", "event_unknown_shape", "snapshot"):
            assert stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", {"kind": kind}) == 1
        assert len(stage.notifications.paths) == 1


async def test_bytes_that_are_not_utf8_close_with_1007_and_reconnect(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        await stage.notifications.open[0].send(b"\xff\xfe", text=True)
        await stage.until(lambda: len(stage.notifications.paths) == 2)
        await stage.live()

        assert stage.notifications.closed == [1007]
        assert (await stage.gaps())[-1].cause == "frame_not_utf8"


async def test_a_frame_beyond_the_limit_reconnects(staged: Staged) -> None:
    async with staged(frame_limit="64KiB") as stage:
        await stage.live()

        await stage.notifications.send(TOPIC, snapshot(filler=70_000))
        await stage.until(lambda: len(stage.notifications.paths) == 2)
        await stage.live()

        assert stage.notifications.closed == [1009]
        assert (await stage.gaps())[-1].cause == "frame_too_big"


async def test_unknown_topics_are_recorded_once_for_each_kind_without_their_content(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        for name in ("Erika", "Max"):
            await stage.notifications.send(f"v2.users.{QUEUE}.presence", {"name": name})
        await stage.notifications.send(f"v2.users.{OTHER}.presence", {"name": "Eva"})
        await stage.notifications.send(TOPIC, snapshot())
        await stage.until(lambda: stage.ledger.appended == 2)

        counts = await stage.ledger.counts(now_ms=0)
        assert counts.events == {"platform.unknown": 1, "conversation.ended": 1}
        assert stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", {"kind": "unknown_topic"}) == 3


async def test_a_handler_that_wants_unknown_frames_gets_each(staged: Staged) -> None:
    async with staged(handlers={"mine": ["platform.*"]}) as stage:
        await stage.live()

        for name in ("Erika", "Max"):
            await stage.notifications.send(f"v2.users.{QUEUE}.presence", {"name": name})

        await stage.until(lambda: stage.ledger.appended == 2)


# --- back-fill


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
        stage.platform.records = [record()]

    async with staged(prepare=found) as stage:
        await stage.live()
        await stage.clock.advance(70)
        await stage.until(lambda: stage.ledger.appended == 1)

        await stage.notifications.send(TOPIC, snapshot())
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
        await stage.notifications.send(TOPIC, snapshot(state="connected"))
        await stage.until(lambda: stage.metrics.registry.get_sample_value("genesys_sync_feed_live_conversations") == 1)
        stage.platform.records = [record()]
        await stage.clock.advance(900)
        await stage.until(lambda: stage.ledger.appended == 1)

        last_frame = stage.feed.state.last_frame
        await stage.notifications.send(TOPIC, snapshot("0c0c0c0c-1111-4222-8333-444444444444", state="connected"))
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
        stage.platform.records = [record()]

        await stage.clock.advance(27)
        await stage.live()
        await stage.advance_until(lambda: stage.ledger.appended == 1, by=10)

        gap = (await stage.gaps())[-1]
        assert (gap.from_ms, gap.to_ms, gap.cause) == (lost_at, lost_at + 27_000, "closed")


@pytest.mark.parametrize("where", ["ended_between", "last_page"])
async def test_a_failing_back_fill_leaves_the_gap_open_and_goes_on(staged: Staged, where: str) -> None:
    def fail(stage: Stage) -> None:
        stage.platform.records = [record()]
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


async def test_a_held_ledger_stalls_the_platform_and_loses_nothing(staged: Staged) -> None:
    frames, size = 120, 200_000
    async with staged(intake_limit="1MiB", **LIVELY) as stage:
        await stage.live()
        stage.ledger.gate = anyio.Event()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(frames):
                await stage.notifications.send(TOPIC, snapshot(f"{number:08x}-1111-4222-8333-444444444444", filler=size))
                sent += 1

        async with anyio.create_task_group() as group:
            group.start_soon(flood)
            await stage.until(lambda: stage.feed._intake.full)
            stalled = -1
            while stalled != sent:
                stalled = sent
                await anyio.sleep(0.1)
            assert sent < frames
            assert stage.feed._intake._bytes < (1 << 20) + 2 * size

            await stage.clock.advance(120)
            assert stage.feed.state.connected
            assert len(stage.notifications.paths) == 1

            stage.ledger.gate.set()
        await stage.until(lambda: stage.ledger.appended == frames)
        assert len(stage.notifications.paths) == 1


async def test_a_full_ledger_stops_the_reading_and_keeps_what_is_in_hand(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        stage.ledger.error = LedgerFull("no space")

        await stage.notifications.send(TOPIC, snapshot())
        await stage.until(lambda: stage.feed.state.ledger_full)
        await stage.clock.advance(60)
        assert stage.ledger.appended == 0
        assert stage.feed.state.connected

        stage.ledger.error = None
        await stage.advance_until(lambda: stage.ledger.appended == 1, by=1)
        assert not stage.feed.state.ledger_full
        await stage.notifications.send(TOPIC, snapshot("0c0c0c0c-1111-4222-8333-444444444444"))
        await stage.until(lambda: stage.ledger.appended == 2)


async def test_a_failed_fsync_ends_the_feed(staged: Staged) -> None:
    async def scene() -> None:
        async with staged() as stage:
            await stage.live()
            stage.ledger.error = LedgerSyncFailed("fsync failed")
            await stage.notifications.send(TOPIC, snapshot())
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await scene()

    assert caught.group_contains(LedgerSyncFailed)


async def test_cancelling_commits_what_is_in_hand_and_closes_the_socket(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        stage.ledger.gate = anyio.Event()
        await stage.notifications.send(TOPIC, snapshot())
        await stage.until(lambda: stage.feed.state.last_frame is not None)
        stage.ledger.gate.set()

    assert stage.ledger.appended == 1
    assert stage.notifications.open == []
    assert stage.notifications.closed == [1000]


async def test_no_address_of_a_channel_is_ever_logged(
    staged: Staged, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(stage: Stage) -> None:
        stage.notifications.refusals.append((404, {}))

    with caplog.at_level("DEBUG"):
        async with staged(prepare=refuse) as stage:
            await stage.advance_until(lambda: stage.feed.state.connected, by=1)
            await stage.notifications.open[0].close(1011)
            await stage.until(lambda: len(stage.notifications.paths) == 3)
            await stage.live()

    # the stage's own server tells what it was asked; where another test has configured the logs, that is printed too
    printed = [line for text in capsys.readouterr() for line in text.splitlines() if "websockets.server" not in line]
    client_lines = [line.getMessage() for line in caplog.records if not line.name.startswith("websockets.server")]
    assert printed or client_lines
    assert not re.search(r"/channel-\d", "\n".join(printed + client_lines))
