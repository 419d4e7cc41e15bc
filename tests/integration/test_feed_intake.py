"""The intake commits in order and in batches, and the watermark never passes what is not yet committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from genesys_sync.events import Event, event_id
from genesys_sync.feed.intake import Intake
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import Appended
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

ORG = "11111111-2222-4333-8444-555555555555"
Until = Callable[[Callable[[], bool]], Awaitable[None]]


class WatchedLedger:
    """The real ledger; remembers what each append was given, and waits at the gate before it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.gate = anyio.Event()
        self.calls: list[tuple[int, tuple[str, int] | None]] = []

    async def append(self, events: Sequence[RoutedEvent], *, watermark: tuple[str, int] | None = None) -> Appended:
        await self.gate.wait()
        done = await self._ledger.append(events, watermark=watermark)
        self.calls.append((len(events), watermark))
        return done

    async def ends_of(self, conversation_ids: Sequence[str]) -> dict[str, list[Event]]:
        return await self._ledger.ends_of(conversation_ids)


def event(number: int, clock: FakeClock) -> Event:
    conversation_id = f"{number:08x}-1111-4222-8333-444444444444"
    return Event.of("conversation.ended", occurred_at=clock.now(), organization_id=ORG, conversation_id=conversation_id)


async def test_only_the_batch_that_empties_the_intake_carries_the_watermark(tmp_path: Path, until: Until) -> None:
    clock = FakeClock()
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as real, anyio.create_task_group() as group:
        ledger: Any = WatchedLedger(real)
        intake = Intake(ledger=ledger, router=Router({}), clock=clock, limit=1000)
        group.start_soon(intake.run)
        for number in range(501):
            intake.add(event(number, clock), 1)
        intake.heard(clock.epoch_ms())
        ledger.gate.set()
        await until(lambda: len(ledger.calls) == 2)
        group.cancel_scope.cancel()

    assert ledger.calls == [(500, None), (1, ("feed", clock.epoch_ms()))]


async def test_what_is_heard_during_a_commit_is_not_covered_by_it(tmp_path: Path, until: Until) -> None:
    clock = FakeClock()
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as real, anyio.create_task_group() as group:
        ledger: Any = WatchedLedger(real)
        intake = Intake(ledger=ledger, router=Router({}), clock=clock, limit=1000)
        group.start_soon(intake.run)
        intake.add(event(1, clock), 1)
        intake.heard(clock.epoch_ms())
        first = clock.epoch_ms()
        await anyio.wait_all_tasks_blocked()
        await clock.advance(1)
        intake.add(event(2, clock), 1)
        intake.heard(clock.epoch_ms())
        ledger.gate.set()
        await until(lambda: len(ledger.calls) == 2)
        group.cancel_scope.cancel()

    assert ledger.calls == [(1, ("feed", first)), (1, ("feed", first + 1000))]


async def test_full_by_bytes_until_the_commit(tmp_path: Path, until: Until) -> None:
    clock = FakeClock()
    waited = False
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as real, anyio.create_task_group() as group:
        ledger: Any = WatchedLedger(real)
        intake = Intake(ledger=ledger, router=Router({}), clock=clock, limit=1000)
        group.start_soon(intake.run)

        async def wait() -> None:
            nonlocal waited
            await intake.room()
            waited = True

        intake.add(event(1, clock), 999)
        assert not intake.full
        intake.add(event(2, clock), 1)
        assert intake.full
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not waited

        ledger.gate.set()
        await until(lambda: waited)
        group.cancel_scope.cancel()


async def test_cancelled_with_something_in_hand_it_commits_once_more(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as real:
        ledger: Any = WatchedLedger(real)
        async with anyio.create_task_group() as group:
            intake = Intake(ledger=ledger, router=Router({}), clock=clock, limit=1000)
            group.start_soon(intake.run)
            intake.add(event(1, clock), 1)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            ledger.gate.set()

        found = await real.events_about("00000001-1111-4222-8333-444444444444")

    expected = event_id(
        "conversation.ended", organization_id=ORG, conversation_id="00000001-1111-4222-8333-444444444444", recording_id=None
    )
    assert [item.id for item in found] == [expected]
