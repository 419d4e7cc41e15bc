"""What is said of refusals, and when what was refused is asked for again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.integration.feed.stage_acts import OTHER, TOPIC, Queue, Stage, Staged, causes

pytestmark = pytest.mark.anyio


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
