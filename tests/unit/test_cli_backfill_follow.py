"""Following a daemon that works a request off: it may end on the way, and then the command goes on by itself."""

from pathlib import Path

import anyio
import pytest

from genesys_sync.cli.backfill import ABSENT_LOOKS, LOOK_SECONDS, follow
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import is_held, open_ledger
from genesys_sync.ledger.base import Gap
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_whether_a_living_process_holds_the_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    assert not is_held(url)
    async with open_ledger(url, clock=SystemClock()):
        assert is_held(url)
        assert is_held(url)
    assert not is_held(url)


async def test_a_daemon_that_is_restarted_is_waited_for_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    clock = FakeClock()
    held = [True, *[False] * (ABSENT_LOOKS - 1), True]  # a restart; then nobody any more
    ended: list[list[Gap]] = []

    def is_there() -> bool:
        return held.pop(0) if held else False

    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        gap = await ledger.open_gap(from_ms=0, to_ms=1000, cause="operator")

        async def following() -> None:
            ended.append(await follow(ledger, [gap], clock, lambda _: None, held=is_there))  # type: ignore[arg-type] # a clock of the test

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(following)
            looks = 0
            while not ended:
                await anyio.sleep(0.001)
                if clock._sleepers:
                    looks += 1
                    await clock.advance(LOOK_SECONDS)
    assert looks == 2 * ABSENT_LOOKS
    assert [row.closed_ms for row in ended[0]] == [None]
