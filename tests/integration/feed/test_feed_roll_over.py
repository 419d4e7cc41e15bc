"""Make before break, against a real WebSocket server and a real ledger: a channel is left only for one that works."""

from __future__ import annotations

from datetime import timedelta

import anyio
import orjson
import pytest
from tests.integration.feed.stage_acts import TOPIC, Stage, Staged, causes, closing, ended, publish, rolled

from genesys_sync.errors import PermanentError, ReasonCode, TransientError

pytestmark = pytest.mark.anyio


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


async def test_a_clock_that_is_ahead_does_not_make_a_channel_seem_to_end_soon(staged: Staged) -> None:
    """Twenty channels live at a time: whoever took a day for half an hour would push out its own, and other programs'."""

    def ahead(stage: Stage) -> None:
        stage.platform.life, stage.platform.clock_offset = timedelta(minutes=30), timedelta(hours=-23, minutes=-30)

    async with staged(prepare=ahead) as stage:
        await stage.live()
        await stage.clock.advance(3600 * 17)
        assert len(stage.notifications.paths) == 1
