"""What the platform does later by itself: a state that changes, a transcode that ends, an operation that completes."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from genesys_sync_simulator.clock import Clock

Deed = Callable[[], None]

_MOST_WAITING = 100_000


class Agenda:
    """Deeds with a delay. What they tell of is decided by the clock, not by them: they only send the notifications."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._send, self._receive = anyio.create_memory_object_stream[tuple[float, Deed]](_MOST_WAITING)

    def after(self, seconds: float, deed: Deed) -> None:
        """`deed` is done when the clock has advanced by so much, as long as `run` runs. Never waits."""
        self._send.send_nowait((self._clock.epoch_ms() / 1000 + seconds, deed))

    async def run(self) -> None:
        """Does what is due until cancelled."""
        async with self._send, self._receive, anyio.create_task_group() as group:
            async for due, deed in self._receive:
                group.start_soon(self._do, due, deed)

    async def _do(self, due: float, deed: Deed) -> None:
        await self._clock.sleep(due - self._clock.epoch_ms() / 1000)
        deed()
