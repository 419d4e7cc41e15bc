"""The feed's outer loop against a real WebSocket server and a real ledger; only the platform's REST side is scripted."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.integration.feed.stage_acts import OTHER, QUEUE, Queue, Stage, Staged

from genesys_sync.errors import CredentialsRefused, LedgerFull, LedgerSyncFailed, PermanentError, ReasonCode
from genesys_sync.events import Origin
from genesys_sync.feed.protocol import Cause

pytestmark = pytest.mark.anyio

ORG = "11111111-2222-4333-8444-555555555555"
LIVELY: Any = {"ping_every": timedelta(seconds=25), "silence": timedelta(seconds=35)}
"""The published liveness; other tests let hours pass between two looks at the socket, and switch it off."""
Until = Callable[[Callable[[], bool]], Awaitable[None]]


CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"


async def test_from_nothing_to_live(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        assert stage.platform.put == [("channel-1", [stage.topic])]
        assert stage.notifications.paths == ["/channel-1"]
        assert stage.feed.state.permitted == 1
        assert stage.feed.state.ready(timedelta(seconds=0))
        assert [gap.cause for gap in await stage.gaps()] == ["first_start", "started"]


async def test_an_ended_conversation_is_in_the_ledger_with_its_delivery_and_moves_the_watermark(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        before = await stage.watermark()
        await stage.clock.advance(3)

        await stage.notifications.send(stage.topic, stage.snapshot(state="connected"))
        await stage.notifications.send(stage.topic, stage.snapshot())
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
        stage.platform.forbidden.add(stage.topic)

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


async def test_an_organisation_without_queues_is_looked_at_again_soon(staged: Staged) -> None:
    async with staged(prepare=lambda stage: stage.platform.listed.clear()) as stage:
        await stage.until(lambda: stage.feed.state.cause is Cause.NOTHING_PERMITTED)
        stage.platform.listed.append(Queue(QUEUE, "Sales"))
        await stage.clock.advance(15)
        await stage.live()


async def test_a_new_queue_is_subscribed_without_reconnecting(staged: Staged) -> None:
    async with staged(queue_refresh=timedelta(seconds=20)) as stage:
        await stage.live()
        await stage.clock.advance(20)
        stage.platform.listed.append(Queue(OTHER, "Service"))

        await stage.clock.advance(20)
        await stage.until(lambda: len(stage.platform.put) == 2)

        assert stage.platform.put[1] == ("channel-1", [stage.topic, f"v2.routing.queues.{OTHER}.conversations"])
        assert len(stage.notifications.paths) == 1


async def test_queues_are_chosen_by_name_or_id(staged: Staged) -> None:
    def two(stage: Stage) -> None:
        stage.platform.listed = [Queue(OTHER, "Service"), Queue(QUEUE, "Sales"), Queue(ORG, "Nobody's")]

    async with staged(prepare=two, queues=("Service", QUEUE), topics=("v2.x.y",)) as stage:
        await stage.live()

        assert stage.platform.put[0][1] == ["v2.x.y", stage.topic, f"v2.routing.queues.{OTHER}.conversations"]


async def test_a_channel_that_is_gone_at_the_refresh_is_replaced(staged: Staged) -> None:
    async with staged(queue_refresh=timedelta(seconds=20)) as stage:
        await stage.live()
        stage.platform.listed.append(Queue(OTHER, "Service"))
        stage.platform.failures["subscribe"] = [PermanentError("no such channel", code=ReasonCode.NOT_FOUND)]

        await stage.advance_until(lambda: len(stage.notifications.paths) == 2, by=1)
        await stage.live()

        assert stage.notifications.paths[-1] == "/channel-2"
        assert (await stage.gaps())[-1].cause == "channel_gone"


async def test_a_held_ledger_stalls_the_platform_and_loses_nothing(staged: Staged) -> None:
    frames, size = 120, 200_000
    async with staged(intake_limit="1MiB", **LIVELY) as stage:
        await stage.live()
        stage.ledger.gate = anyio.Event()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(frames):
                await stage.notifications.send(stage.topic, stage.snapshot(f"{number:08x}-1111-4222-8333-444444444444", filler=size))
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

        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.until(lambda: stage.feed.state.ledger_full)
        await stage.clock.advance(60)
        assert stage.ledger.appended == 0
        assert stage.feed.state.connected

        stage.ledger.error = None
        await stage.advance_until(lambda: stage.ledger.appended == 1, by=1)
        assert not stage.feed.state.ledger_full
        await stage.notifications.send(stage.topic, stage.snapshot("0c0c0c0c-1111-4222-8333-444444444444"))
        await stage.until(lambda: stage.ledger.appended == 2)


async def test_a_failed_fsync_ends_the_feed(staged: Staged) -> None:
    async def scene() -> None:
        async with staged() as stage:
            await stage.live()
            stage.ledger.error = LedgerSyncFailed("fsync failed")
            await stage.notifications.send(stage.topic, stage.snapshot())
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await scene()

    assert caught.group_contains(LedgerSyncFailed)


async def test_cancelling_commits_what_is_in_hand_and_closes_the_socket(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        stage.ledger.gate = anyio.Event()
        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.until(lambda: stage.feed.state.last_frame is not None)
        stage.ledger.gate.set()

    assert stage.ledger.appended == 1
    assert stage.notifications.open == []
    assert stage.notifications.closed == [1000]


async def test_whoever_follows_no_queue_needs_no_permission_to_list_them(staged: Staged) -> None:
    def refuse(stage: Stage) -> None:
        stage.platform.failures["queues"] = [PermanentError("routing:queue:view is missing")] * 100

    async with staged(prepare=refuse, queues=(), topics=("v2.users.x.conversations",)) as stage:
        await stage.live()
        assert [topics for _, topics in stage.platform.put] == [["v2.users.x.conversations"]]


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
