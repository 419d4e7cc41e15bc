"""Those who ask together share one call; nobody is forgotten, nobody's cancellation hurts another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.gather import Answers, Gatherer, halving
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
WINDOW = timedelta(seconds=2)


class Calls:
    """A call that notes what it was asked, and holds its answer back until told."""

    def __init__(self, *, held: bool = False) -> None:
        self.asked: list[list[int]] = []
        self.cancelled = 0
        self.release = anyio.Event()
        if not held:
            self.release.set()

    async def __call__(self, keys: Sequence[int]) -> Answers[int, str]:
        self.asked.append(list(keys))
        try:
            await self.release.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        return {key: f"value {key}" for key in keys}


async def test_those_who_ask_within_the_window_share_one_call_and_one_key_counts_once() -> None:
    clock, calls, got = FakeClock(), Calls(), []
    async with anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=100)

        async def ask(key: int) -> None:
            got.append(await gatherer.ask(key))

        for key in (1, 2, 1):
            tasks.start_soon(ask, key)
        await clock.advance(1.9)
        assert calls.asked == []
        await clock.advance(0.2)
    assert calls.asked == [[1, 2]]
    assert sorted(got) == ["value 1", "value 1", "value 2"]


async def test_a_full_group_does_not_wait_for_the_window() -> None:
    clock, calls = FakeClock(), Calls()
    async with anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=3)
        for key in range(6):
            tasks.start_soon(gatherer.ask, key)
    assert sorted(map(sorted, calls.asked)) == [[0, 1, 2], [3, 4, 5]]
    assert clock.monotonic() == 0


async def test_an_asker_who_leaves_is_not_called_for_and_the_others_are_served() -> None:
    clock, calls, got = FakeClock(), Calls(), []
    async with anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=100)
        leaving = anyio.CancelScope()

        async def leaver() -> None:
            with leaving:
                await gatherer.ask(1)

        async def stayer() -> None:
            got.append(await gatherer.ask(2))

        tasks.start_soon(leaver)
        tasks.start_soon(stayer)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
        await clock.advance(3)
    assert calls.asked == [[2]]
    assert got == ["value 2"]


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled_and_the_next_asker_gets_a_new_one() -> None:
    clock, calls = FakeClock(), Calls(held=True)
    async with anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=1)
        async with anyio.create_task_group() as askers:
            askers.start_soon(gatherer.ask, 1)
            await anyio.wait_all_tasks_blocked()
            askers.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert calls.cancelled == 1
        calls.release.set()
        assert await gatherer.ask(1) == "value 1"


async def test_when_the_call_fails_everybody_gets_the_error_and_no_two_the_same_object() -> None:
    async def fail(keys: Sequence[int]) -> Answers[int, str]:
        raise TransientError("broken", code=ReasonCode.NOT_READY, correlation_id="c", delay=timedelta(seconds=3))

    clock = FakeClock()
    errors: list[TransientError] = []
    async with anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, fail, clock=clock, window=WINDOW, limit=3)

        async def ask(key: int) -> None:
            with pytest.raises(TransientError) as caught:
                await gatherer.ask(key)
            errors.append(caught.value)

        for key in range(3):
            tasks.start_soon(ask, key)
    assert len({id(error) for error in errors}) == 3
    assert {(e.reason, e.code, e.correlation_id, e.delay) for e in errors} == {("broken", ReasonCode.NOT_READY, "c", timedelta(seconds=3))}


async def test_when_the_client_closes_askers_are_told_and_do_not_hang() -> None:
    clock, calls = FakeClock(), Calls(held=True)
    raised = []
    async with anyio.create_task_group() as askers, anyio.create_task_group() as tasks:
        gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=1)

        async def ask() -> None:
            with pytest.raises(TransientError) as caught:
                await gatherer.ask(1)
            raised.append(caught.value.code)

        askers.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert raised == [ReasonCode.UNREACHABLE]


@settings(max_examples=12, deadline=None)
@given(
    asks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.booleans()), min_size=4, max_size=20),
    limit=st.integers(1, 5),
)
def test_whatever_the_timing_everybody_who_stays_is_answered_and_no_call_is_too_big(asks: list[tuple[int, int, bool]], limit: int) -> None:
    async def run() -> None:
        clock, calls = FakeClock(), Calls()
        answered = 0
        async with anyio.create_task_group() as tasks:
            gatherer = Gatherer(tasks, calls, clock=clock, window=WINDOW, limit=limit)

            async def ask(key: int, leaves: bool) -> None:
                nonlocal answered
                with anyio.CancelScope() as scope:
                    if leaves:
                        tasks.start_soon(later, scope)
                    assert await gatherer.ask(key) == f"value {key}"
                    answered += not leaves

            async def later(scope: anyio.CancelScope) -> None:
                await clock.sleep(1)
                scope.cancel()

            for at, key, leaves in sorted(asks):
                if at > clock.monotonic():
                    await clock.advance(at - clock.monotonic())
                tasks.start_soon(ask, key, leaves)
            await clock.advance(5)
        assert answered == sum(not leaves for _, _, leaves in asks)
        assert all(0 < len(keys) <= limit and len(set(keys)) == len(keys) for keys in calls.asked)

    anyio.run(run)


@given(st.sets(st.integers(0, 99), max_size=4), st.integers(1, 100))
def test_one_bad_key_spoils_only_itself(bad: set[int], size: int) -> None:
    calls = 0

    async def call(keys: Sequence[int]) -> Answers[int, str]:
        nonlocal calls
        calls += 1
        if bad & set(keys):
            raise PlatformRefused("bad request")
        return dict.fromkeys(keys, "good")

    answers = anyio.run(halving, call, list(range(size)))
    assert set(answers) == set(range(size))
    assert {key for key, answer in answers.items() if isinstance(answer, PermanentError)} == bad & set(range(size))
    assert calls <= 1 + 2 * 7 * max(1, len(bad))


async def test_a_refused_permission_is_not_tried_by_halves() -> None:
    calls = 0

    async def call(keys: Sequence[int]) -> Answers[int, str]:
        nonlocal calls
        calls += 1
        raise PlatformRefused("no", code=ReasonCode.FORBIDDEN)

    with pytest.raises(PlatformRefused):
        await halving(call, range(100))
    assert calls == 1
