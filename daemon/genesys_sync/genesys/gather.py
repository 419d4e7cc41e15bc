"""Many who ask the same kind of thing at about the same time share one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from genesys_sync.clock import Clock
from genesys_sync.errors import GenesysSyncError, ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Answers = Mapping[K, V | GenesysSyncError]
"""What a call made of each key: a value, or the error that its askers get."""


class _Group(Generic[K, V]):
    """Those who wait together: each key with the number of its askers."""

    def __init__(self) -> None:
        self.askers: dict[K, int] = {}
        self.full = anyio.Event()
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()
        self.answers: Answers[K, V] = {}
        self.failure: GenesysSyncError = TransientError("the platform client was closed", code=ReasonCode.UNREACHABLE)

    def abandoned(self) -> bool:
        return not any(self.askers.values())


class Gatherer(Generic[K, V]):
    """Collects keys for `window`, or until `limit` of them are here, and then makes one call for all.

    Askers of one key count once. An asker who is cancelled leaves; a key without askers is not called for, and a call that
    nobody waits for any more is cancelled. When the call fails, everybody in its group gets the error.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        call: Callable[[Sequence[K]], Awaitable[Answers[K, V]]],
        *,
        clock: Clock,
        window: timedelta,
        limit: int,
    ) -> None:
        self._tasks = tasks
        self._call = call
        self._clock = clock
        self._window = window.total_seconds()
        self._limit = limit
        self._open: _Group[K, V] | None = None

    async def ask(self, key: K) -> V:
        """The value for this key. Raises what the call raised, or what it answered for this key."""
        group = self._join(key)
        try:
            await group.done.wait()
        finally:
            group.askers[key] -= 1
            if group.abandoned():
                self._close(group)
                group.scope.cancel()
        answer = group.answers.get(key, group.failure)
        if isinstance(answer, GenesysSyncError):
            # a copy for each: one exception raised in many tasks would collect all their tracebacks
            raise copy(answer)
        return answer

    def _join(self, key: K) -> _Group[K, V]:
        group = self._open
        if group is None:
            group = self._open = _Group()
            self._tasks.start_soon(self._serve, group)
        group.askers[key] = group.askers.get(key, 0) + 1
        if len(group.askers) >= self._limit:
            self._close(group)
            group.full.set()
        return group

    def _close(self, group: _Group[K, V]) -> None:
        if self._open is group:
            self._open = None

    async def _serve(self, group: _Group[K, V]) -> None:
        try:
            with group.scope:
                await self._gathered(group)
                self._close(group)
                group.answers = await self._call([key for key, askers in group.askers.items() if askers])
                group.failure = TransientError("the shared request brought no answer for this one", code=ReasonCode.BAD_ANSWER)
        except GenesysSyncError as error:
            group.failure = error
        finally:
            self._close(group)
            group.done.set()

    async def _gathered(self, group: _Group[K, V]) -> None:
        """Return when the window has passed or the group is full, whichever is first."""

        async def window() -> None:
            await self._clock.sleep(self._window)
            group.full.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(window)
            await group.full.wait()
            tasks.cancel_scope.cancel()


async def halving(call: Callable[[Sequence[K]], Awaitable[Answers[K, V]]], keys: Sequence[K]) -> dict[K, V | GenesysSyncError]:
    """Call for all keys; where the platform refuses the request as such, for each half, so that one bad key spoils only itself.

    A refused permission is the same for every half and passes through.
    """
    try:
        return dict(await call(keys))
    except PlatformRefused as error:
        if error.code is ReasonCode.FORBIDDEN:
            raise
        if len(keys) == 1:
            return {keys[0]: error}
    middle = len(keys) // 2
    return await halving(call, keys[:middle]) | await halving(call, keys[middle:])
