"""Runs of one handler that join into one piece of work: the first waits for company and does it for all, each takes its own ending.

Nothing is held here alone: each member is a delivery that the ledger keeps under its lease. A member that is cancelled leaves; when it
was the one that led, the next takes over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

import anyio

from genesys_sync.plugin import Clock, Outcome, PermanentError, TransientError

ItemT = TypeVar("ItemT")
Ending = Outcome | TransientError | PermanentError
"""What becomes of one member; an error is raised for it."""


@dataclass(slots=True, eq=False)
class _Batch(Generic[ItemT]):
    """Members by id. `endings` is None until the work was done."""

    members: dict[str, ItemT] = field(default_factory=dict)
    full: anyio.Event = field(default_factory=anyio.Event)
    changed: anyio.Event = field(default_factory=anyio.Event)
    led: bool = False
    endings: Mapping[str, Ending] | None = None

    def tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Gathering(Generic[ItemT]):
    """Batches of up to `size` members; one that is not full goes `within` after its first member came."""

    def __init__(
        self, work: Callable[[Mapping[str, ItemT]], Awaitable[Mapping[str, Ending]]], *, size: int, within: timedelta, clock: Clock
    ) -> None:
        """`work` returns an ending for every id that it was given."""
        self._work = work
        self._size = size
        self._within = within
        self._clock = clock
        self._open: _Batch[ItemT] | None = None

    async def join(self, member: str, item: ItemT) -> Outcome:
        """Wait until the batch with this member was worked off. Raises the error that is this member's ending, and for the one
        member that leads whatever `work` raised."""
        batch = self._open
        if batch is None:
            batch = self._open = _Batch()
        batch.members[member] = item
        if len(batch.members) >= self._size:
            self._close(batch)
        try:
            return await self._ending(batch, member)
        finally:
            if batch.endings is None:
                del batch.members[member]
                if not batch.members:
                    self._close(batch)

    async def _ending(self, batch: _Batch[ItemT], member: str) -> Outcome:
        while batch.endings is None:
            if batch.led:
                await batch.changed.wait()
                continue
            batch.led = True
            try:
                await self._lead(batch)
            finally:
                batch.led = False
                batch.tell()
        ending = batch.endings[member]
        if isinstance(ending, Exception):
            raise ending
        return ending

    async def _lead(self, batch: _Batch[ItemT]) -> None:
        async with anyio.create_task_group() as timer:
            timer.start_soon(self._close_later, batch)
            await batch.full.wait()
            timer.cancel_scope.cancel()
        members = dict(batch.members)
        endings = await self._work(members)
        # one that came while another led and had to leave is not among them any more; none can have come since it was closed
        batch.endings = endings

    async def _close_later(self, batch: _Batch[ItemT]) -> None:
        await self._clock.sleep(self._within.total_seconds())
        self._close(batch)

    def _close(self, batch: _Batch[ItemT]) -> None:
        """Nobody joins any more."""
        if self._open is batch:
            self._open = None
        batch.full.set()


def halves(members: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Two parts of about equal size, in order; at least two members are given."""
    middle = len(members) // 2
    return members[:middle], members[middle:]
