"""Whatever a handler returns, raises or records, the real ledger can write what becomes of it: one handler's fault stops nobody else."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from genesys_sync.dispatch.execution import DeliveryAudit, Execution
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.plugin import Done, Handler, Park, Policy, Skip, Snooze
from genesys_sync.routing import Router
from genesys_sync.testing import make_event

pytestmark = pytest.mark.anyio

NO_TEXT = "/recordings/\udcff.wav"
"""A file name that holds a byte which is no UTF-8, as `os.listdir` gives it."""


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("not even that")


class Hostile(Handler[None]):
    config_type = type(None)

    def __init__(self, does):
        super().__init__("hostile", None)
        self.does = does

    async def handle(self, event, delivery):
        return await self.does(event)


def emitting(**changes):
    async def does(event):
        return Done(emit=[replace(make_event("a.followed"), **changes)])

    return does


def raising(error):
    async def does(event):
        raise error

    return does


def returning(outcome):
    async def does(event):
        return outcome

    return does


async def exit_within_a_task_group(event):
    async with anyio.create_task_group():
        raise SystemExit(2)


@pytest.mark.parametrize(
    "does",
    [
        pytest.param(emitting(id="mine"), id="an id of its own"),
        pytest.param(emitting(id=None), id="no id"),
        pytest.param(emitting(organization_id=None), id="no organisation"),
        pytest.param(emitting(conversation_id=uuid.UUID(int=1)), id="an id that is no text"),
        pytest.param(emitting(recording_id=NO_TEXT), id="an id that UTF-8 cannot write"),
        pytest.param(emitting(occurred_at=datetime(2026, 8, 1)), id="a naive time"),  # noqa: DTZ001 - that is the test
        pytest.param(emitting(day=datetime(2026, 8, 1, tzinfo=UTC)), id="a day with a time"),
        pytest.param(emitting(origin="nowhere"), id="an unknown origin"),
        pytest.param(emitting(body=["a"]), id="a body that is no object"),
        pytest.param(raising(OSError(2, "No such file", NO_TEXT)), id="an error that UTF-8 cannot write"),
        pytest.param(raising(Unspeakable()), id="an error without words"),
        pytest.param(raising(TransientError(Unspeakable())), id="a reason without words"),
        pytest.param(raising(PermanentError("x", correlation_id=NO_TEXT)), id="a correlation id that UTF-8 cannot write"),
        pytest.param(raising(TransientError("x", correlation_id=uuid.UUID(int=1))), id="a correlation id that is no text"),
        pytest.param(exit_within_a_task_group, id="exit within a task group of its own"),
        pytest.param(returning(Done(note=NO_TEXT)), id="a note that UTF-8 cannot write"),
        pytest.param(returning(Skip(NO_TEXT)), id="a reason that UTF-8 cannot write"),
        pytest.param(returning(Park(NO_TEXT)), id="parked for a reason that UTF-8 cannot write"),
        pytest.param(returning(Snooze(NO_TEXT, timedelta.max)), id="a snooze for ever"),
    ],
)
async def test_the_ledger_takes_the_verdict_on_any_handler(tmp_path, fake_clock, does):
    loaded = LoadedHandler("hostile", Hostile(does), ("a.*",), Policy())
    router = Router({"hostile": ["a.happened"]})
    execution = Execution(handlers={"hostile": loaded}, router=router, clock=fake_clock, random=lambda: 1.0)
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        await ledger.append(router.route([make_event("a.happened")]))
        [claim] = await ledger.claim({"hostile": 1}, worker="test:1", now_ms=fake_clock.epoch_ms(), lease_ms=60_000)
        finished = await execution.execute(claim)
        assert await ledger.settle(claim, finished.verdict, now_ms=fake_clock.epoch_ms(), emitted=finished.emitted, audit=finished.audit)
        states = (await ledger.counts(now_ms=fake_clock.epoch_ms())).deliveries["hostile"]
        assert states == {finished.verdict.state: 1}


@pytest.mark.parametrize("wrong", [{"action": None}, {"target": uuid.UUID(int=1)}, {"target": NO_TEXT}, {"outcome": 5}, {"path": NO_TEXT}])
async def test_an_audit_entry_that_the_ledger_could_not_write_is_its_handler_s_fault(tmp_path, fake_clock, wrong):
    audit = DeliveryAudit(fake_clock)
    entry = {"action": "recording.look", "target": "r", "outcome": "success", **wrong}

    async def does(event):
        audit.record(entry.pop("action"), entry.pop("target"), **entry)
        return Done()

    loaded = LoadedHandler("hostile", Hostile(does), ("a.*",), Policy())
    router = Router({"hostile": ["a.happened"]})
    execution = Execution(handlers={"hostile": loaded}, router=router, clock=fake_clock, random=lambda: 1.0)
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        await ledger.append(router.route([make_event("a.happened")]))
        [claim] = await ledger.claim({"hostile": 1}, worker="test:1", now_ms=fake_clock.epoch_ms(), lease_ms=60_000)
        finished = await execution.execute(claim)
        assert finished.verdict.state is DeliveryState.READY
        assert "TypeError" in finished.verdict.error
        assert await ledger.settle(claim, finished.verdict, now_ms=fake_clock.epoch_ms(), audit=finished.audit)
