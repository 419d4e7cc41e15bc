"""The dispatcher on the real ledger: what it claims, what becomes of it, and how it ends."""

import itertools
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest
import structlog
from tests.integration.dispatch.bench import SETTINGS, done, forever

from genesys_sync.app.condition import Condition
from genesys_sync.errors import HandlerNotStarted, LedgerFull, PermanentError, ReasonCode, StorageFull, TransientError
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.plugin import Done, Park, Skip, Snooze
from genesys_sync.settings import FeedSettings

pytestmark = pytest.mark.anyio


async def test_what_a_handler_emits_reaches_the_next_one(bench):
    async def first(event, delivery):
        return Done(emit=[event.derive("b.followed", occurred_at=bench.clock.now())])

    got = anyio.Event()

    async def second(event, delivery):
        bench.services.audit.record("b.seen", event.id)
        got.set()
        return Skip("seen")

    one, two = bench.loaded("one", first), bench.loaded("two", second, ["b.*"])
    async with bench.working(one, two):
        await bench.record(one, two)
        with anyio.fail_after(20):
            await got.wait()
    assert await bench.states("one") == {DeliveryState.DONE: 1}
    assert await bench.states("two") == {DeliveryState.SKIPPED: 1}
    assert one.handler.life == ["opened", "handled", "closed"]


async def test_at_no_time_more_runs_than_a_handler_allows(bench):
    now, most = 0, 0

    async def does(event, delivery):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.lowlevel.checkpoint()
        now -= 1
        return Done()

    handler = bench.loaded("busy", does, concurrency=8)
    await bench.record(handler, number=1000)
    async with bench.working(handler) as dispatcher:
        await bench.until_states("busy", {DeliveryState.DONE: 1000})
    assert dispatcher.running == {"busy": 0}
    assert most == 8
    assert bench.outcomes("busy", "done") == 1000


async def test_a_handler_whose_every_delivery_is_forbidden_is_told_of_until_one_succeeds(bench):
    """Events flow and nothing is archived: that must not look well. One forbidden conversation is another matter."""
    does = "forbidden"

    async def look(event, delivery):
        if does == "forbidden":
            raise PermanentError("recording:recording:view is missing", code=ReasonCode.FORBIDDEN)
        if does == "not due":
            return Snooze("the first look is not due yet", timedelta(seconds=5))
        return Done()

    handler = bench.loaded("discover", look, ["a.*"])
    async with bench.working(handler) as dispatcher:
        await bench.record(handler, number=2)
        await bench.until_states("discover", {DeliveryState.DEAD: 2})
        assert dispatcher.forbidden == ()
        does = "not due"
        await bench.record(handler, topic="a.second")
        await bench.until_states("discover", {DeliveryState.DEAD: 2, DeliveryState.READY: 1})
        does = "forbidden"
        await bench.clock.advance(5)
        await bench.until_states("discover", {DeliveryState.DEAD: 3})
        assert dispatcher.forbidden == ("discover",)
        condition = make_condition(dispatcher)
        assert "work_forbidden" in condition.report().reasons
        does = "done"
        await bench.record(handler, topic="a.third")
        await bench.until_states("discover", {DeliveryState.DEAD: 3, DeliveryState.DONE: 1})
        assert dispatcher.forbidden == ()
        assert "work_forbidden" not in condition.report().reasons


def make_condition(dispatcher):
    """The daemon's condition, of which everything else is as at a quiet start."""
    quiet = SimpleNamespace(reasons=tuple, waits=0, sensitive=None, near=0, rejected=False, clock_offset=timedelta(0), members=())
    return Condition(FeedSettings(), quiet, dispatcher, quiet, quiet, quiet, quiet, quiet, unsafe=False)


async def test_a_slow_handler_does_not_hold_up_another(bench):
    slow, quick = bench.loaded("slow", forever, concurrency=2), bench.loaded("quick", done, concurrency=2)
    await bench.record(slow, quick, number=20)
    async with anyio.create_task_group() as group:
        dispatcher = bench.dispatcher(slow, quick)
        await group.start(dispatcher.run)
        await bench.until_states("quick", {DeliveryState.DONE: 20})
        assert await bench.states("slow") == {DeliveryState.LEASED: 2, DeliveryState.READY: 18}

        async def quick_is_idle() -> bool:
            return dispatcher.running == {"slow": 2, "quick": 0}

        await bench.until(quick_is_idle)
        group.cancel_scope.cancel()


async def test_a_failed_delivery_waits_for_its_back_off_then_runs_again(bench):
    runs = []

    async def does(event, delivery):
        runs.append((delivery.attempt, delivery.id, bench.clock.monotonic()))
        if delivery.attempt < 3:
            raise TransientError("busy")
        return Done()

    handler = bench.loaded("flaky", does, backoff_base=timedelta(seconds=10))
    await bench.record(handler)
    async with bench.working(handler):
        await bench.until_states("flaky", {DeliveryState.DONE: 1}, step=1)
    assert [attempt for attempt, _, _ in runs] == [1, 2, 3]
    assert len({delivery_id for _, delivery_id, _ in runs}) == 1
    first, second, third = [at for _, _, at in runs]
    assert second - first >= 10
    assert third - second >= 20


async def test_a_snooze_counts_no_attempt(bench):
    runs = []

    async def does(event, delivery):
        runs.append((delivery.attempt, delivery.snoozes))
        return Snooze("not yet", timedelta(minutes=1)) if delivery.snoozes < 2 else Done()

    handler = bench.loaded("patient", does)
    await bench.record(handler)
    async with bench.working(handler):
        await bench.until_states("patient", {DeliveryState.DONE: 1}, step=5)
    assert runs == [(1, 0), (1, 1), (1, 2)]


async def test_exhausted_attempts_end_as_a_dead_letter_that_others_are_told_of(bench):
    async def does(event, delivery):
        raise TransientError("the platform answered 502", code=ReasonCode.UNREACHABLE)

    told = []

    async def alarm(event, delivery):
        told.append(event.body)
        raise PermanentError("the alarm is broken too")

    failing = bench.loaded("failing", does, attempts=2)
    alarmed = bench.loaded("alarm", alarm, ["delivery.dead_lettered"])
    await bench.record(failing, alarmed)
    async with bench.working(failing, alarmed):
        await bench.until_states("alarm", {DeliveryState.DEAD: 1}, step=1)
    (letter,) = await bench.ledger.dead_letters(handler="failing")
    assert (letter.reason, letter.attempts, letter.last_error) == (ReasonCode.UNREACHABLE, 2, "the platform answered 502")
    assert told == [{"handler": "failing", "deliveryId": letter.delivery_id, "topic": "a.happened", "reason": "UNREACHABLE", "attempts": 2}]
    assert (await bench.ledger.counts(now_ms=0)).events["delivery.dead_lettered"] == 1


async def test_a_full_disk_uses_up_no_attempt_and_loses_nothing(bench):
    tries = 0

    async def does(event, delivery):
        nonlocal tries
        tries += 1
        assert delivery.attempt == 1
        if tries < 6:
            raise StorageFull("the archive is full")
        return Done()

    handler = bench.loaded("archive", does, attempts=2)
    await bench.record(handler)
    async with bench.working(handler):
        await bench.until_states("archive", {DeliveryState.DONE: 1}, step=5)
    assert tries == 6


async def test_a_parked_handler_takes_nothing_until_resumed_and_loses_nothing(bench):
    closed = True

    async def does(event, delivery):
        return Park("410 from the receiver") if closed else Done()

    handler = bench.loaded("webhook", does, concurrency=1)
    await bench.record(handler, number=5)
    async with bench.working(handler):

        async def parked() -> bool:
            counts = await bench.ledger.counts(now_ms=bench.clock.epoch_ms())
            return counts.parked == {"webhook": "410 from the receiver"}

        await bench.until(parked)
        await bench.until_states("webhook", {DeliveryState.READY: 5})
        for _ in range(5):
            await bench.clock.advance(60)
            await bench.ledger.ping()
        assert handler.handler.life.count("handled") == 1
        closed = False
        assert await bench.ledger.resume("webhook", now_ms=bench.clock.epoch_ms())
        await bench.until_states("webhook", {DeliveryState.DONE: 5})


async def test_a_handler_that_cannot_be_opened_stops_the_start_before_anything_is_claimed(bench):
    good, bad = bench.loaded("good", done), bench.loaded("bad", done, opening=OSError("no such host"))
    await bench.record(good, bad)
    with pytest.raises(HandlerNotStarted, match="handler 'bad' could not be started: OSError: no such host"):
        await bench.dispatcher(good, bad).run()
    assert good.handler.life == ["opened", "closed"]
    assert await bench.states("good") == {DeliveryState.READY: 1}


async def test_a_handler_new_in_the_settings_receives_what_was_recorded_before(bench):
    old = bench.loaded("old", done)
    await bench.record(old, number=3)
    new = bench.loaded("new", done, ["a.*"])
    async with bench.working(old, new):
        await bench.until_states("new", {DeliveryState.DONE: 3})
    async with bench.working(old, new):  # not new any more
        await bench.until_states("new", {DeliveryState.DONE: 3})
    assert new.handler.life.count("handled") == 3


async def test_a_verdict_waits_for_room_in_the_ledger_and_the_work_is_not_repeated(bench, monkeypatch):
    handler = bench.loaded("archive", done)
    settle = bench.ledger.settle
    refused = 0

    async def full(*args, **kwargs):
        nonlocal refused
        if refused < 3:
            refused += 1
            raise LedgerFull("the ledger's file system is full")
        return await settle(*args, **kwargs)

    monkeypatch.setattr(bench.ledger, "settle", full)
    await bench.record(handler)
    async with bench.working(handler):
        await bench.until_states("archive", {DeliveryState.DONE: 1}, step=5)
    assert handler.handler.life.count("handled") == 1


async def test_the_loop_turns_when_idle_and_the_gauges_tell_what_waits(bench):
    slow = bench.loaded("slow", forever, concurrency=1)
    await bench.record(slow, number=3)
    async with anyio.create_task_group() as group:
        dispatcher = bench.dispatcher(slow)
        await group.start(dispatcher.run)
        await bench.until_states("slow", {DeliveryState.LEASED: 1, DeliveryState.READY: 2})

        async def told() -> bool:
            waiting = bench.metrics.registry.get_sample_value("genesys_sync_deliveries_waiting", {"handler": "slow", "state": "ready"})
            backlog = bench.metrics.registry.get_sample_value("genesys_sync_backlog_seconds")
            return waiting == 2 and backlog >= 10

        await bench.until(told, step=2.5)
        assert bench.clock.monotonic() - dispatcher.turned_at <= SETTINGS.poll.total_seconds() + 2.5
        group.cancel_scope.cancel()


async def test_a_full_ledger_is_told_of_once_and_asked_again_at_the_pace_of_the_poll(bench, monkeypatch):
    handler = bench.loaded("archive", done)
    claim = bench.ledger.claim
    refused: list[float] = []

    async def full(*args, **kwargs):
        if len(refused) < 4:
            refused.append(bench.clock.monotonic())
            raise LedgerFull("the ledger's file system is full")
        return await claim(*args, **kwargs)

    monkeypatch.setattr(bench.ledger, "claim", full)
    await bench.record(handler)
    with structlog.testing.capture_logs() as lines:
        async with bench.working(handler):
            await bench.until_states("archive", {DeliveryState.DONE: 1}, step=1)
    assert sum(line["event"] == "ledger full: nothing can be claimed" for line in lines) == 1
    waits = [later - earlier for earlier, later in itertools.pairwise(refused[1:])]  # the first wake may be the ledger's hint
    assert all(wait >= SETTINGS.poll.total_seconds() for wait in waits)
