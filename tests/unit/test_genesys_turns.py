"""Who sends next: the most urgent of a lane, no lane behind another, and nobody for longer than it would wait."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from genesys_sync.genesys.budget import WINDOW, Budget
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.turns import Crowded, Turnstile
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


class Queue:
    """A turnstile before a budget of `media` media requests a window, and the order in which it let people through."""

    def __init__(self, tasks: TaskGroup, *, media: int = 1) -> None:
        self.clock, self.budget = FakeClock(), Budget(allowed=media + 2, share=1)
        self.lengths: list[tuple[Lane, int]] = []
        self.turns = Turnstile(self.budget, clock=self.clock, waiting=lambda lane, number: self.lengths.append((lane, number)))
        self.tasks = tasks
        self.passed: list[str] = []

    def come(self, name: str, *, scope: anyio.CancelScope | None = None, lane: Lane = Lane.MEDIA, **more: Any) -> None:
        async def take() -> None:
            with scope or anyio.CancelScope():
                try:
                    await self.turns.take(lane, **more)
                except Crowded as crowded:
                    self.passed.append(f"{name} not, {crowded.wait:.0f}")
                    return
                self.passed.append(name)
                self.budget.ended(lane)
                self.turns.changed()

        self.tasks.start_soon(take)


async def test_of_those_who_wait_the_one_nearest_to_its_end_goes_first() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks)
        queue.come("a")
        await queue.clock.advance(0)
        queue.come("without date")
        queue.come("late", urgency=300)
        queue.come("soon", urgency=100)
        queue.come("soon too", urgency=100)
        for window in range(1, 6):
            assert len(queue.passed) == window
            await queue.clock.advance(WINDOW)
    assert queue.passed == ["a", "soon", "soon too", "late", "without date"]


async def test_one_who_comes_later_and_is_more_urgent_overtakes() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks)
        queue.come("a")
        await queue.clock.advance(0)
        queue.come("late", urgency=300)
        await queue.clock.advance(30)
        queue.come("soon", urgency=100)
        await queue.clock.advance(31)
        assert queue.passed == ["a", "soon"]
        await queue.clock.advance(WINDOW)


async def test_a_crowd_of_media_work_does_not_hold_up_the_other_lanes() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks)
        for number in range(5):
            queue.come(f"media {number}")
        await queue.clock.advance(0)
        queue.come("queues", lane=Lane.CONTROL)
        queue.come("analytics", lane=Lane.RECONCILE)
        await queue.clock.advance(0)
        assert queue.passed == ["media 0", "queues", "analytics"]
        tasks.cancel_scope.cancel()


async def test_who_would_wait_past_its_deadline_is_told_so_at_once_and_by_how_much() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks, media=2)
        for name in ("a", "b", "c", "d"):
            queue.come(name)
        await queue.clock.advance(0)
        queue.come("e", deadline=75.0)
        await queue.clock.advance(0)
        assert queue.passed == ["a", "b", "e not, 120"]
        tasks.cancel_scope.cancel()


async def test_who_is_overtaken_until_its_deadline_does_not_wait_for_ever() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks)
        queue.come("a")
        await queue.clock.advance(0)
        queue.come("patient", urgency=300, deadline=75.0)
        queue.come("first", urgency=100)
        await queue.clock.advance(75)
        assert sorted(queue.passed) == ["a", "first", "patient not, 60"]
        tasks.cancel_scope.cancel()


async def test_one_who_is_cancelled_leaves_its_place_to_the_next() -> None:
    async with anyio.create_task_group() as tasks:
        queue, scope = Queue(tasks), anyio.CancelScope()
        queue.come("a")
        await queue.clock.advance(0)
        queue.come("leaver", scope=scope, urgency=1)
        queue.come("next", urgency=2)
        await queue.clock.advance(10)
        scope.cancel()
        await queue.clock.advance(WINDOW)
    assert queue.passed == ["a", "next"]
    assert queue.lengths[-1] == (Lane.MEDIA, 0)


async def test_those_who_wait_for_one_that_went_ahead_follow_when_it_ends() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(tasks, media=5)
        queue.budget.refused(0.0, 10)
        for name in ("a", "b", "c"):
            queue.come(name)
        await queue.clock.advance(9.9)
        assert queue.passed == []
        await queue.clock.advance(0.2)
        assert queue.passed == ["a", "b", "c"]
