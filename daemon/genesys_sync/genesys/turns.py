"""Who sends next: requests wait here until the budget has room for their lane, the most urgent of a lane first."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable
from itertools import count

import anyio

from genesys_sync.clock import Clock
from genesys_sync.genesys.budget import WINDOW, Budget
from genesys_sync.genesys.lanes import Lane

LAST = math.inf
"""The urgency of what has no moment after which it would be too late."""


class Crowded(Exception):
    """No turn before the deadline; `wait` is about how many seconds it would take."""

    def __init__(self, wait: float) -> None:
        super().__init__("no turn before the deadline")
        self.wait = wait


class _Waiter:
    """One request in a queue. Sorted by urgency, then by arrival."""

    __slots__ = ("called", "rank")

    def __init__(self, urgency: float, number: int) -> None:
        self.rank = (urgency, number)
        self.called = anyio.Event()

    def __lt__(self, other: _Waiter) -> bool:
        return self.rank < other.rank


class Turnstile:
    """One queue for each lane before one budget. Only the head of a queue watches the budget; who passes calls the next head."""

    def __init__(self, budget: Budget, *, clock: Clock, waiting: Callable[[Lane, int], None]) -> None:
        """`waiting` is told how many wait in a lane whenever that changes."""
        self._budget = budget
        self._clock = clock
        self._tell = waiting
        self._queues: dict[Lane, list[_Waiter]] = {lane: [] for lane in Lane}
        self._numbers = count()

    async def take(self, lane: Lane, *, urgency: float = LAST, deadline: float = math.inf) -> None:
        """Return when one request of this lane may be sent now; it is counted as sent. Raises Crowded when that will not be
        before `deadline` (monotonic seconds). `urgency` is any number that is smaller the sooner it is too late."""
        queue = self._queues[lane]
        if not queue and self._budget.wait(self._clock.monotonic(), lane) <= 0:
            self._budget.sent(self._clock.monotonic(), lane)
            return
        waiter = _Waiter(urgency, next(self._numbers))
        insort(queue, waiter)
        self._tell(lane, len(queue))
        try:
            while (wait := self._wait(queue, waiter, lane, deadline)) > 0:
                await self._until_called(waiter, wait)
            self._budget.sent(self._clock.monotonic(), lane)
        finally:
            queue.remove(waiter)
            self._tell(lane, len(queue))
            self._call(queue)

    def waiting(self, lane: Lane) -> int:
        """How many wait in this lane now."""
        return len(self._queues[lane])

    def changed(self) -> None:
        """A request has ended: heads that wait for that look again."""
        for queue in self._queues.values():
            self._call(queue)

    def _wait(self, queue: list[_Waiter], waiter: _Waiter, lane: Lane, deadline: float) -> float:
        """Seconds after which to look again at the latest; 0 when it is this one's turn. Raises Crowded."""
        now = self._clock.monotonic()
        place = queue.index(waiter)
        wait = self._budget.wait(now, lane)
        # whoever waits behind a whole window's worth of others waits for the windows after it, too
        expected = (0.0 if wait == math.inf else wait) + WINDOW * (place // self._budget.most(lane))
        if now + expected > deadline or (now >= deadline and (place or wait > 0)):
            raise Crowded(max(expected, 1.0))
        return deadline - now if place else min(wait, deadline - now)

    async def _until_called(self, waiter: _Waiter, seconds: float) -> None:
        """Return when called, or when so many seconds have passed."""
        waiter.called = called = anyio.Event()

        async def ring() -> None:
            await self._clock.sleep(seconds)
            called.set()

        async with anyio.create_task_group() as tasks:
            if seconds < math.inf:
                tasks.start_soon(ring)
            await called.wait()
            tasks.cancel_scope.cancel()

    @staticmethod
    def _call(queue: list[_Waiter]) -> None:
        if queue:
            queue[0].called.set()
