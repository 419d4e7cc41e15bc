"""What the platform does later by itself: a state that changes, a transcode that ends, an operation that completes."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from genesys_sync_simulator.clock import Clock

Deed = Callable[[], object]


class Agenda:
    """Deeds with a delay. What they tell of is decided by the clock, not by them: they only send the notifications."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._new: list[tuple[float, Deed]] = []
        self._wake = anyio.Event()

    def after(self, seconds: float, deed: Deed) -> None:
        """`deed` is done when the clock has advanced by so much, as long as `run` runs. Never waits."""
        self._new.append((self._clock.epoch_ms() / 1000 + seconds, deed))
        self._wake.set()

    async def run(self) -> None:
        """Does what is due until cancelled."""
        async with anyio.create_task_group() as group:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                for due, deed in self._new:
                    group.start_soon(self._do, due, deed)
                self._new.clear()

    async def _do(self, due: float, deed: Deed) -> None:
        await self._clock.sleep(due - self._clock.epoch_ms() / 1000)
        deed()
