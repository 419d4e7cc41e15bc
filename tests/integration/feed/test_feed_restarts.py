"""What outlives a restart: what was refused, the channel itself, and nothing twice."""

from __future__ import annotations

import stat
from collections import Counter
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.integration.feed.stage_acts import OTHER, TOPIC, Queue, Stage, Staged, rolled

from genesys_sync.errors import PermanentError, ReasonCode, TransientError

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize(
    ("brought", "forbidden", "set_anew"),
    [
        ({TOPIC}, set(), False),
        ({TOPIC, "v2.detail.of.another"}, set(), False),
        ({"v2.detail.of.another"}, set(), True),
        (set(), set(), True),
        (set(), {TOPIC}, False),  # it was refused then, too
    ],
)
async def test_a_channel_that_brings_less_than_it_did_is_given_its_topics_again(
    staged: Staged, brought: set[str], forbidden: set[str], *, set_anew: bool
) -> None:
    """Somebody may have taken them away while no process listened: the channel would live, and bring nothing."""

    def now_known(stage: Stage) -> None:
        stage.platform.listed = [Queue(OTHER, "Service"), *stage.platform.listed]
        stage.platform.forbidden |= forbidden
        stage.platform.brought = brought | {f"v2.routing.queues.{OTHER}.conversations"}

    async with staged(prepare=now_known) as stage:
        await stage.live()
        port = stage.platform.port
    async with staged(port=port, prepare=now_known) as again:
        await again.live()
        assert again.notifications.paths == ["/channel-1"]
        assert [channel for channel, _ in again.platform.put] == (["channel-1"] if set_anew else [])
        assert all(TOPIC in topics for _, topics in again.platform.put)


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
