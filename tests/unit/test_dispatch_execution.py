"""One run of a handler: every ending becomes a verdict, cancellation stays a cancellation."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import anyio
import pytest
import structlog

from genesys_sync.dispatch.execution import AUDIT_LIMIT, ENTRY_LIMIT, DeliveryAudit, Execution, auditing, entered
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.errors import ConfigurationError, HandlerNotStarted, PermanentError, ReasonCode, StorageFull, TransientError
from genesys_sync.ledger.base import Claim, DeliveryState
from genesys_sync.plugin import Done, Handler, Policy, Snooze
from genesys_sync.routing import Router
from genesys_sync.testing import make_event

pytestmark = pytest.mark.anyio

POLICY = Policy(timeout=timedelta(seconds=30), attempts=3)


class Scripted(Handler[None]):
    """Does what the test gives it."""

    config_type = type(None)

    def __init__(self, does):
        super().__init__("scripted", None)
        self.does = does
        self.deliveries = []

    async def handle(self, event, delivery):
        self.deliveries.append(delivery)
        return await self.does(event, delivery)


def claim_on(clock, topic="media.archived", **changes):
    facts = {
        "event": make_event(topic),
        "handler": "scripted",
        "delivery_id": "dlv_1",
        "attempts": 0,
        "snoozes": 0,
        "created_ms": clock.epoch_ms(),
        "fence": 1,
        "lease_until_ms": clock.epoch_ms() + 60_000,
        "event_seq": 1,
    }
    return Claim(**{**facts, **changes})


def executing(clock, does, *, policy=POLICY, topics=None):
    loaded = LoadedHandler("scripted", Scripted(does), ("media.*",), policy)
    router = Router(topics or {"scripted": ["media.*"], "alarm": ["delivery.*"]})
    return Execution(handlers={"scripted": loaded}, router=router, clock=clock, random=lambda: 1.0), loaded.handler


def raising(error):
    async def does(event, delivery):
        raise error

    return does


def returning(outcome):
    async def does(event, delivery):
        return outcome

    return does


async def test_done_brings_its_emitted_events_routed(fake_clock):
    follow_up = make_event("media.verified")
    execution, handler = executing(fake_clock, returning(Done(emit=[follow_up])))
    finished = await execution.execute(claim_on(fake_clock, attempts=2, snoozes=4))
    assert (finished.verdict.state, finished.outcome) == (DeliveryState.DONE, "done")
    assert [(routed.event, routed.handlers) for routed in finished.emitted] == [(follow_up, ("scripted",))]
    (delivery,) = handler.deliveries
    assert (delivery.id, delivery.attempt, delivery.snoozes, delivery.created_at) == ("dlv_1", 3, 4, fake_clock.now())


async def test_what_a_snooze_emits_is_recorded_all_the_same(fake_clock):
    execution, _ = executing(fake_clock, returning(Snooze("later", timedelta(seconds=5), emit=[make_event("recording.created")])))
    finished = await execution.execute(claim_on(fake_clock))
    assert finished.outcome == "snoozed"
    assert [routed.event.topic for routed in finished.emitted] == ["recording.created"]


async def test_a_dead_delivery_announces_itself_and_is_audited(fake_clock):
    execution, _ = executing(fake_clock, raising(PermanentError("gone", code=ReasonCode.DELETED_UPSTREAM)))
    finished = await execution.execute(claim_on(fake_clock))
    assert finished.verdict.reason is ReasonCode.DELETED_UPSTREAM
    (announced,) = finished.emitted
    assert (announced.event.topic, announced.handlers) == ("delivery.dead_lettered", ("alarm",))
    (entry,) = finished.audit
    assert (entry.action, entry.target, entry.facts["reason"], entry.facts["attempts"]) == (
        "delivery.dead_letter",
        "dlv_1",
        "DELETED_UPSTREAM",
        1,
    )


async def test_a_dead_announcement_is_not_announced_again(fake_clock):
    execution, _ = executing(fake_clock, raising(PermanentError("refused")))
    finished = await execution.execute(claim_on(fake_clock, topic="delivery.dead_lettered"))
    assert finished.verdict.state is DeliveryState.DEAD
    assert finished.emitted == []
    assert len(finished.audit) == 1


@pytest.mark.parametrize(
    "error", [ValueError("odd"), SystemExit(2), asyncio.CancelledError(), ExceptionGroup("g", [OSError(), KeyError()])]
)
async def test_whatever_a_handler_raises_the_daemon_goes_on(fake_clock, error):
    execution, _ = executing(fake_clock, raising(error))
    finished = await execution.execute(claim_on(fake_clock))
    assert (finished.verdict.state, finished.verdict.counted) == (DeliveryState.READY, True)
    assert finished.verdict.reason is ReasonCode.HANDLER_FAILED


async def test_the_unforeseen_is_logged_once_with_its_traceback_and_bound_to_the_delivery(fake_clock):
    error = ValueError("odd")
    execution, _ = executing(fake_clock, raising(error))
    lines = []

    def keep(logger, method, line):
        lines.append(dict(line))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        await execution.execute(claim_on(fake_clock))
    finally:
        structlog.configure(**before)
    (line,) = [line for line in lines if "exc_info" in line]
    assert line["exc_info"] is error
    assert (line["handler"], line["delivery"], line["topic"]) == ("scripted", "dlv_1", "media.archived")


async def test_the_cause_in_a_handler_s_own_task_group_decides(fake_clock):
    async def does(event, delivery):
        async with anyio.create_task_group() as group:
            group.start_soon(raising(PermanentError("gone", code=ReasonCode.NOT_FOUND)), event, delivery)

    execution, _ = executing(fake_clock, does)
    assert (await execution.execute(claim_on(fake_clock))).verdict.reason is ReasonCode.NOT_FOUND


async def test_a_handler_that_returns_nothing_has_failed(fake_clock):
    execution, _ = executing(fake_clock, returning(None))
    finished = await execution.execute(claim_on(fake_clock))
    assert finished.verdict.state is DeliveryState.READY
    assert "NoneType" in finished.verdict.error


async def test_a_full_disk_waits_without_counting(fake_clock):
    execution, _ = executing(fake_clock, raising(StorageFull("the archive is full")))
    finished = await execution.execute(claim_on(fake_clock, attempts=2))
    assert (finished.outcome, finished.verdict.counted, finished.verdict.reason) == ("retried", False, ReasonCode.STORAGE_FULL)


async def _execute_into(execution, claim, results):
    results.append(await execution.execute(claim))


async def test_past_its_timeout_a_run_is_cancelled_and_transient(fake_clock):
    async def does(event, delivery):
        await anyio.sleep_forever()

    execution, _ = executing(fake_clock, does)
    results = []
    async with anyio.create_task_group() as group:
        group.start_soon(_execute_into, execution, claim_on(fake_clock), results)
        await fake_clock.advance(29.9)
        assert results == []
        await fake_clock.advance(0.2)
    (finished,) = results
    assert (finished.verdict.state, finished.verdict.counted, finished.verdict.reason) == (DeliveryState.READY, True, ReasonCode.TIMED_OUT)
    assert finished.verdict.error == "ran longer than 30s"


async def test_five_seconds_after_its_timeout_a_run_is_reported_as_stuck(fake_clock):
    may_end = anyio.Event()

    async def does(event, delivery):
        with anyio.CancelScope(shield=True):
            await may_end.wait()
        return Done(note="after all")

    execution, _ = executing(fake_clock, does)
    results = []
    async with anyio.create_task_group() as group:
        with structlog.testing.capture_logs() as lines:
            group.start_soon(_execute_into, execution, claim_on(fake_clock), results)
            await fake_clock.advance(34.9)
            assert not [line for line in lines if "stuck" in line["event"]]
            await fake_clock.advance(0.2)
            assert len([line for line in lines if "stuck" in line["event"]]) == 1
        may_end.set()
    assert results[0].verdict.note == "after all"  # finished is finished


async def test_cancellation_from_outside_is_never_swallowed(fake_clock):
    async def does(event, delivery):
        await anyio.sleep_forever()

    execution, _ = executing(fake_clock, does)
    results = []
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(_execute_into, execution, claim_on(fake_clock), results)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert results == []


async def test_audit_entries_go_with_their_own_delivery(fake_clock):
    audit = DeliveryAudit(fake_clock)
    together = anyio.Event()

    async def does(event, delivery):
        audit.record("recording.archive", f"first-{delivery.id}", bytes=3)
        if delivery.id == "dlv_2":
            together.set()
        await together.wait()
        async with anyio.create_task_group() as group:

            async def child():
                audit.record("recording.note", f"second-{delivery.id}", outcome="refused")

            group.start_soon(child)
        return Done()

    execution, _ = executing(fake_clock, does)
    results = []
    async with anyio.create_task_group() as group:
        group.start_soon(_execute_into, execution, claim_on(fake_clock), results)
        group.start_soon(_execute_into, execution, claim_on(fake_clock, delivery_id="dlv_2"), results)
    trails = sorted([[(entry.target, entry.outcome) for entry in finished.audit] for finished in results])
    assert trails == [[(f"first-dlv_{n}", "success"), (f"second-dlv_{n}", "refused")] for n in (1, 2)]
    first = results[0].audit[0]
    assert (first.actor, first.at, first.facts) == ("handler:scripted", fake_clock.now(), {"bytes": 3})


async def test_an_audit_entry_outside_of_a_delivery_is_refused(fake_clock):
    audit = DeliveryAudit(fake_clock)
    with pytest.raises(RuntimeError, match="outside of a delivery"):
        audit.record("recording.archive", "r")


async def test_an_audit_entry_after_the_end_of_its_delivery_is_refused(fake_clock):
    audit = DeliveryAudit(fake_clock)
    ended = anyio.Event()

    refused = []

    async def straggler():
        await ended.wait()
        try:
            audit.record("recording.archive", "r")
        except RuntimeError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        with auditing("scripted") as entries:
            group.start_soon(straggler)
            await anyio.wait_all_tasks_blocked()
        ended.set()
    assert len(refused) == 1
    assert entries == []


async def test_audit_entries_are_bounded_and_must_be_json(fake_clock):
    audit = DeliveryAudit(fake_clock)
    with auditing("scripted"):
        with pytest.raises(TypeError):
            audit.record("a.b", "r", at=object())
        with pytest.raises(ValueError, match="longer than"):
            audit.record("a.b", "r", text="x" * ENTRY_LIMIT)
        for _ in range(AUDIT_LIMIT):
            audit.record("a.b", "r")
        with pytest.raises(RuntimeError, match="more than"):
            audit.record("a.b", "r")


class Opening(Scripted):
    def __init__(self, error):
        super().__init__(returning(Done()))
        self.error = error

    @asynccontextmanager
    async def running(self, services):
        if self.error is not None:
            raise self.error
        yield


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError("no such host"), HandlerNotStarted, "handler 'tell-crm' could not be started: OSError: no such host"),
        (TransientError("away"), HandlerNotStarted, "handler 'tell-crm' could not be started: TransientError: away"),
        (ConfigurationError("key: is empty"), ConfigurationError, "handlers.tell-crm: key: is empty"),
    ],
)
async def test_a_handler_that_cannot_be_opened_is_named(handler_harness, error, kind, told):
    loaded = LoadedHandler("tell-crm", Opening(error), ("a.b",), POLICY)
    services = handler_harness(Plain).services
    with pytest.raises(kind) as caught:
        async with entered(loaded, services):
            pass
    assert str(caught.value) == told


async def test_what_fails_while_the_handler_is_open_is_not_taken_for_a_failed_start(handler_harness):
    loaded = LoadedHandler("tell-crm", Opening(None), ("a.b",), POLICY)
    with pytest.raises(ZeroDivisionError):
        async with entered(loaded, handler_harness(Plain).services):
            raise ZeroDivisionError


@dataclass(frozen=True)
class NoConfig:
    pass


class Plain(Handler[NoConfig]):
    config_type = NoConfig

    async def handle(self, event, delivery):
        return Done()
