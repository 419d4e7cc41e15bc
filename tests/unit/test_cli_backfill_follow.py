"""Following a daemon that works a request off: it may end on the way, and then the command goes on by itself."""

import os
from functools import partial
from pathlib import Path

import anyio
import pytest

from genesys_sync.cli.backfill import LOOK_SECONDS, STALL_SECONDS, Progress, follow, stalled
from genesys_sync.cli.holding import ABSENT_SECONDS, Other
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import daemon_holds, holder, open_ledger
from genesys_sync.ledger.base import Gap
from genesys_sync.locks import Holder
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_whether_a_living_process_holds_the_ledger_and_as_what(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    assert holder(url) is None
    async with open_ledger(url, clock=SystemClock(), command="a-longer-command"):
        assert holder(url) == Holder(os.getpid(), "a-longer-command")
        assert not daemon_holds(url)
    assert holder(url) is None
    async with open_ledger(url, clock=SystemClock(), command="run"):
        assert holder(url) == Holder(os.getpid(), "run")
        assert daemon_holds(url)
    Path(tmp_path / "ledger.db.lock").write_text("")
    async with open_ledger(url, clock=SystemClock()):
        assert daemon_holds(url), "an earlier release does not say what it is"


async def test_a_command_that_has_ended_is_gone_at_once_whoever_came_after_it(tmp_path: Path) -> None:
    for after in (None, Holder(8, "upload"), Holder(9, "run")):
        seen: list[Holder | None] = [Holder(7, "upload"), Holder(7, "upload"), after]
        other = Other(partial(seen.pop, 0), FakeClock())
        assert not other.daemon
        assert [other.gone(), other.gone()] == [False, True]


async def test_a_daemon_that_is_restarted_is_waited_for_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    clock = FakeClock()
    looks_absent = round(ABSENT_SECONDS / LOOK_SECONDS)
    held = [True, True, *[False] * (looks_absent - 1), True]  # a restart; then nobody any more
    ended: list[list[Gap]] = []

    def look() -> Holder | None:
        return Holder(7, "run") if held and held.pop(0) else None

    other = Other(look, clock)

    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        gap = await ledger.open_gap(from_ms=0, to_ms=1000, cause="operator")

        async def following() -> None:
            ended.append(await follow(ledger, [gap], clock, lambda _: None, gone=other.gone))  # type: ignore[arg-type] # a clock of the test

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(following)
            looks = 0
            while not ended:
                await anyio.sleep(0.001)
                if clock._sleepers:
                    looks += 1
                    await clock.advance(LOOK_SECONDS)
    assert looks == 2 * looks_absent
    assert [row.closed_ms for row in ended[0]] == [None]


async def test_a_daemon_that_does_not_get_on_is_told_of_once() -> None:
    clock, told = FakeClock(), list[str]()
    shown: list[Progress] = []
    look = stalled(shown.append, clock, lambda: told.append("stalled"))
    for found in (0, 0, 1, 1):
        look(Progress(0.0, 0, found, 0))
        await clock.advance(STALL_SECONDS - 1)
    assert told == []
    look(Progress(0.0, 0, 1, 0))
    look(Progress(0.0, 0, 1, 0))
    assert (told, len(shown)) == (["stalled"], 6)
