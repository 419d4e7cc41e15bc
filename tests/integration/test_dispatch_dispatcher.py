"""The dispatcher on the real ledger: what it claims, what becomes of it, and how it ends."""

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import pytest
import structlog

from genesys_sync.actions import LookOnly
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.execution import DeliveryAudit
from genesys_sync.dispatch.registry import LoadedHandler, topics_by_handler
from genesys_sync.errors import HandlerNotStarted, LedgerFull, PermanentError, ReasonCode, StorageFull, TransientError
from genesys_sync.events import Event
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState, Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Delivery, Done, Handler, Outcome, Park, Policy, Services, Skip, Snooze
from genesys_sync.routing import Router
from genesys_sync.settings import DispatchSettings
from genesys_sync.testing import FakeClock, FakeGenesys, FakeHttp, FakeMedia, FolderStorage, make_event
from genesys_sync.testing.fakes import FolderScratch

pytestmark = pytest.mark.anyio

Does = Callable[[Event, Delivery], Awaitable[Outcome]]
SETTINGS = DispatchSettings(max_crashes=3)
LEASE_MS = 60_000


class Scripted(Handler[None]):
    """Does what the test gives it, and remembers who opened and closed it."""

    config_type = type(None)

    def __init__(self, name: str, does: Does, *, opening: Exception | None = None) -> None:
        super().__init__(name, None)
        self.does = does
        self.opening = opening
        self.life: list[str] = []

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        if self.opening is not None:
            raise self.opening
        self.life.append("opened")
        try:
            yield
        finally:
            self.life.append("closed")

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        self.life.append("handled")
        return await self.does(event, delivery)


@dataclass
class Bench:
    """A ledger, a clock, and dispatchers made over them."""

    clock: FakeClock
    ledger: Ledger
    services: Services
    metrics: Metrics = field(default_factory=Metrics)

    def loaded(self, name: str, does: Does, topics=("a.happened",), *, opening=None, **policy) -> LoadedHandler:
        return LoadedHandler(name, Scripted(name, does, opening=opening), tuple(topics), Policy(**policy))

    def dispatcher(self, *handlers: LoadedHandler) -> Dispatcher:
        return Dispatcher(
            ledger=self.ledger,
            handlers=handlers,
            router=Router(topics_by_handler(handlers)),
            services=self.services,
            clock=self.clock,
            metrics=self.metrics,
            settings=SETTINGS,
            worker="test:1",
            random=lambda: 1.0,
        )

    @asynccontextmanager
    async def working(self, *handlers: LoadedHandler) -> AsyncGenerator[Dispatcher]:
        """A dispatcher at work; drained at the end."""
        dispatcher = self.dispatcher(*handlers)
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            yield dispatcher
            await dispatcher.drain()

    async def record(self, *handlers: LoadedHandler, number: int = 1, topic: str = "a.happened") -> list[Event]:
        events = [make_event(topic, state=str(n)) for n in range(number)]
        await self.ledger.append(Router(topics_by_handler(handlers)).route(events))
        return events

    async def until(self, fact: Callable[[], Awaitable[bool]], *, step: float = 0.0) -> None:
        """Wait for a fact; with a step, time passes meanwhile, but never faster than the ledger writes: a ping has its turn after
        everything that was submitted before it."""
        with anyio.fail_after(60):
            while not await fact():
                await self.clock.advance(0)
                await self.ledger.ping()
                await self.clock.advance(step)

    async def states(self, handler: str) -> dict[DeliveryState, int]:
        counts = await self.ledger.counts(now_ms=self.clock.epoch_ms())
        return {state: number for state, number in counts.deliveries.get(handler, {}).items() if number}

    async def until_states(self, handler: str, states: dict[DeliveryState, int], *, step: float = 0.0) -> None:
        async def reached() -> bool:
            return await self.states(handler) == states

        await self.until(reached, step=step)

    def outcomes(self, handler: str, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("genesys_sync_deliveries_total", {"handler": handler, "outcome": outcome}) or 0.0


@pytest.fixture
async def bench(tmp_path, fake_clock):
    media = FakeMedia()
    services = Services(
        clock=fake_clock,
        genesys=FakeGenesys(media),
        media=media,
        storage=FolderStorage(tmp_path / "archive"),
        scratch=FolderScratch(tmp_path / "scratch"),
        http=FakeHttp(),
        audit=DeliveryAudit(fake_clock),
        actions=LookOnly(),
        log=get_logger("test"),
    )
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        yield Bench(fake_clock, ledger, services)


async def done(event: Event, delivery: Delivery) -> Outcome:
    return Done()


async def forever(event: Event, delivery: Delivery) -> Outcome:
    await anyio.sleep_forever()
    raise AssertionError


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
