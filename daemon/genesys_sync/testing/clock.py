"""Time that stands still until told."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

_TURNS = 30


class FakeClock:
    """A `Clock` that moves only by `advance`. Sleepers wake in order of their time."""

    def __init__(self, start: datetime = datetime(2026, 8, 1, 12, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._wall_step = timedelta(0)
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed) + self._wall_step

    def monotonic(self) -> float:
        return self._elapsed

    def epoch_ms(self) -> int:
        return round((self._start.timestamp() + self._elapsed) * 1000)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await checkpoint()
            return
        event = anyio.Event()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), event))
        await event.wait()

    def step_wall(self, by: timedelta) -> None:
        """Step the wall clock alone, as an administrator or NTP would."""
        self._wall_step += by

    async def advance(self, seconds: float) -> None:
        """Let time pass; each sleeper due on the way wakes and runs until everything waits again."""
        target = self._elapsed + seconds
        await self.settled()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, event = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            event.set()
            await self.settled()
        self._elapsed = target

    async def settled(self) -> None:
        """Return when every task waits. A task that waits for a thread counts as waiting: a test to which that matters overrides this."""
        # The turns of the loop come first, because anyio looks again only after 0.1 s of real time when it finds a single task still
        # running.
        for _ in range(_TURNS):
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
