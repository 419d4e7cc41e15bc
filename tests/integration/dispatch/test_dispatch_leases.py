"""Leases: what a dead process left, poison, what is lost, kept, handed back, on the real ledger."""

from datetime import timedelta

import anyio
import pytest
from tests.integration.dispatch.bench import LEASE_MS, SETTINGS, Bench, done, forever

from genesys_sync.errors import ReasonCode
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.plugin import Done

pytestmark = pytest.mark.anyio


async def test_what_a_dead_process_left_is_taken_over_at_once(bench):
    """A ledger that one process holds: nobody waits for the dead one's lease to end."""
    handler = bench.loaded("archive", done)
    await bench.record(handler)
    assert await bench.ledger.claim({"archive": 1}, worker="dead:1", now_ms=bench.clock.epoch_ms(), lease_ms=LEASE_MS)
    started = bench.clock.monotonic()
    async with bench.working(handler):
        await bench.until_states("archive", {DeliveryState.DONE: 1})
        assert bench.clock.monotonic() - started < LEASE_MS / 1000


async def test_a_poison_event_ends_as_a_dead_letter(bench):
    """Three processes have died over it: the next one to look buries it, without running it again."""
    alarm = bench.loaded("alarm", done, ["delivery.dead_lettered"])
    handler = bench.loaded("poisoned", done)
    await bench.record(handler)
    for life in range(3):
        claims = await bench.ledger.claim({"poisoned": 1}, worker=f"dead:{life}", now_ms=bench.clock.epoch_ms(), lease_ms=LEASE_MS)
        assert len(claims) == 1
        await bench.clock.advance(61)
        if life < 2:
            await bench.ledger.return_expired(now_ms=bench.clock.epoch_ms(), max_crashes=3, announce=lambda record: [])
            await bench.clock.advance(5)  # a suspect is not due at once
    async with bench.working(handler, alarm):
        await bench.until_states("alarm", {DeliveryState.DONE: 1})
    (letter,) = await bench.ledger.dead_letters()
    assert (letter.handler, letter.reason, letter.attempts) == ("poisoned", ReasonCode.HANDLER_CRASHED, 3)
    assert "handled" not in handler.handler.life


async def _steal(bench: Bench, handler: str) -> None:
    """As another process would that believes ours dead: the lease ends, and it claims the delivery for itself."""
    later = bench.clock.epoch_ms() + LEASE_MS + 1
    await bench.ledger.return_expired(now_ms=later, max_crashes=3, announce=lambda record: [])
    assert await bench.ledger.claim({handler: 1}, worker="thief:1", now_ms=later, lease_ms=10 * LEASE_MS)


async def test_a_run_whose_lease_is_lost_is_cancelled_and_discarded(bench):
    began, cancelled = anyio.Event(), anyio.Event()

    async def does(event, delivery):
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    handler = bench.loaded("slow", does, timeout=timedelta(days=1))
    await bench.record(handler)
    async with bench.working(handler):
        with anyio.fail_after(20):
            await began.wait()
            await _steal(bench, "slow")

            async def noticed() -> bool:
                return cancelled.is_set() and bench.outcomes("slow", "lost") == 1

            await bench.until(noticed, step=5)
    assert await bench.states("slow") == {DeliveryState.LEASED: 1}  # the thief's, untouched


async def test_what_a_run_returns_after_losing_its_lease_is_discarded(bench):
    began, may_end = anyio.Event(), anyio.Event()

    async def does(event, delivery):
        began.set()
        await may_end.wait()
        return Done(emit=[event.derive("b.followed", occurred_at=bench.clock.now())])

    handler = bench.loaded("slow", does)
    await bench.record(handler)
    async with bench.working(handler):
        with anyio.fail_after(20):
            await began.wait()
            await _steal(bench, "slow")
            may_end.set()

            async def discarded() -> bool:
                return bench.outcomes("slow", "lost") == 1

            await bench.until(discarded)
    counts = await bench.ledger.counts(now_ms=bench.clock.epoch_ms())
    assert "b.followed" not in counts.events
    assert await bench.states("slow") == {DeliveryState.LEASED: 1}


async def test_a_long_run_keeps_its_lease(bench):
    may_end = anyio.Event()

    async def does(event, delivery):
        await may_end.wait()
        return Done()

    handler = bench.loaded("long", does, timeout=timedelta(hours=1))
    await bench.record(handler)
    async with bench.working(handler):
        await bench.until_states("long", {DeliveryState.LEASED: 1})
        for _ in range(20):
            await bench.clock.advance(15)
            await bench.ledger.ping()  # the writer is through with what came before
        may_end.set()
        await bench.until_states("long", {DeliveryState.DONE: 1})
    assert handler.handler.life.count("handled") == 1


async def test_drain_lets_finish_what_finishes_and_hands_back_the_rest(bench):
    may_end = anyio.Event()

    async def finishing(event, delivery):
        await may_end.wait()
        return Done()

    soon, never = bench.loaded("soon", finishing), bench.loaded("never", forever)
    await bench.record(soon, never)
    dispatcher = bench.dispatcher(soon, never)
    async with anyio.create_task_group() as group:
        await group.start(dispatcher.run)
        await bench.until_states("soon", {DeliveryState.LEASED: 1})
        await bench.until_states("never", {DeliveryState.LEASED: 1})
        group.start_soon(dispatcher.drain)
        await anyio.wait_all_tasks_blocked()
        await bench.record(soon, number=3)  # the first is known already; the others come too late to be claimed
        may_end.set()
        await bench.until_states("soon", {DeliveryState.DONE: 1, DeliveryState.READY: 2})
        assert await bench.states("never") == {DeliveryState.LEASED: 1}
        await bench.until_states("never", {DeliveryState.READY: 1}, step=5)
        assert bench.clock.monotonic() >= SETTINGS.drain.total_seconds()
    assert await bench.states("soon") == {DeliveryState.DONE: 1, DeliveryState.READY: 2}
    (claim,) = await bench.ledger.claim({"never": 1}, worker="next:1", now_ms=bench.clock.epoch_ms(), lease_ms=LEASE_MS)
    assert claim.attempts == 0
    assert soon.handler.life[-1] == never.handler.life[-1] == "closed"
    await dispatcher.drain()  # again: nothing left to do


async def test_a_cancelled_dispatcher_hands_back_at_once_and_stays_cancelled(bench):
    handler = bench.loaded("never", forever)
    await bench.record(handler, number=3)
    dispatcher = bench.dispatcher(handler)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            await bench.until_states("never", {DeliveryState.LEASED: 3})
            scope.cancel()
    assert scope.cancelled_caught
    assert bench.clock.monotonic() == 0
    claims = await bench.ledger.claim({"never": 9}, worker="next:1", now_ms=bench.clock.epoch_ms(), lease_ms=LEASE_MS)
    assert [claim.attempts for claim in claims] == [0, 0, 0]
