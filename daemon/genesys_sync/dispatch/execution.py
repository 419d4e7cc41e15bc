"""One run of a handler: everything that can happen in it ends as a verdict, and what it emitted and audited goes along."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import orjson
from structlog.contextvars import bound_contextvars

from genesys_sync.actions import Record
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import Clock
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.dispatch.verdicts import cause_of, dead_letter_entry, dead_lettered, is_foreseen, judge, misuse, sentence
from genesys_sync.errors import ConfigurationError, HandlerNotStarted, ReasonCode, TransientError
from genesys_sync.events import Event
from genesys_sync.ledger.base import Claim, DeliveryState, Ledger, Verdict
from genesys_sync.logs import get_logger
from genesys_sync.plugin import Delivery, Done, Outcome, Park, Services, Snooze
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.units import format_duration

STUCK_AFTER: Final = 5.0
"""Seconds that a cancelled handler has to end before it is reported as stuck."""

AUDIT_LIMIT: Final = 1000
"""Audit entries of one run."""

ENTRY_LIMIT: Final = 64 << 10
"""Bytes of one audit entry."""

_log = get_logger("dispatch")


@dataclass(slots=True)
class _Trail:
    """The audit entries of the run in hand."""

    actor: str
    entries: list[AuditEntry] = field(default_factory=list)
    open: bool = True


_trail: ContextVar[_Trail | None] = ContextVar("genesys_sync_audit_trail", default=None)


class DeliveryAudit:
    """`services.Audit` for all handlers: an entry belongs to the delivery in whose context it is recorded, and commits with it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def open(self) -> bool:
        """There is a delivery in hand, with which an entry recorded now would commit."""
        trail = _trail.get()
        return trail is not None and trail.open

    def record(self, action: str, target: str, *, outcome: str = "success", **facts: Any) -> None:
        """Add an entry to the delivery in hand. Raises RuntimeError outside of a delivery, after its end and past AUDIT_LIMIT entries,
        TypeError for an action, target or outcome that is no text and for facts that are not JSON, and ValueError for an entry that is
        too long for a line of the audit files."""
        trail = _trail.get()
        if trail is None or not trail.open:
            raise RuntimeError(f"audit entry {action!r} outside of a delivery: record it while `handle` runs, so that it commits with it")
        if len(trail.entries) >= AUDIT_LIMIT:
            raise RuntimeError(f"more than {AUDIT_LIMIT} audit entries in one run")
        # raised here it is this handler's fault; in the commit it would be everybody's
        if not all(isinstance(text, str) for text in (action, target, outcome)):
            raise TypeError(f"action, target and outcome of audit entry {action!r} must be text")
        if len(orjson.dumps((action, target, outcome, facts))) > ENTRY_LIMIT:
            raise ValueError(
                f"audit entry {action!r} is longer than {ENTRY_LIMIT} bytes: name a file, or its hash, instead of telling it all"
            )
        entry = AuditEntry(at=self._clock.now(), actor=trail.actor, action=action, target=target, outcome=outcome, facts=facts)
        trail.entries.append(entry)


def action_record(audit: DeliveryAudit, ledger: Ledger) -> Record:
    """Where the daemon's actions are told of: with the delivery in hand, or at once where there is none."""

    async def record(entry: AuditEntry) -> None:
        if audit.open:
            audit.record(entry.action, entry.target, outcome=entry.outcome, **entry.facts)
        else:
            await ledger.record_audit([entry])

    return record


@contextmanager
def auditing(handler: str) -> Iterator[list[AuditEntry]]:
    """Within the context DeliveryAudit records into the list given, in this task and those that it starts; afterwards no more."""
    trail = _Trail(actor=f"handler:{handler}")
    token = _trail.set(trail)
    try:
        yield trail.entries
    finally:
        trail.open = False
        _trail.reset(token)


@asynccontextmanager
async def entered(loaded: LoadedHandler, services: Services) -> AsyncGenerator[None]:
    """The handler's `running`, for as long as the context lasts.

    Raises ConfigurationError with the handler's name in front, or HandlerNotStarted, when it fails before it yields.
    """
    started = False
    try:
        async with loaded.handler.running(replace(services, log=get_logger(f"handlers.{loaded.name}"))):
            started = True
            yield
    except ConfigurationError as error:
        if started:
            raise
        key = f"handlers.{loaded.name}"
        raise ConfigurationError([told if told.startswith(f"{key}.") else f"{key}: {told}" for told in error.problems]) from error
    except Exception as error:
        if started:
            raise
        cause = cause_of(error)
        raise HandlerNotStarted(f"handler {loaded.name!r} could not be started: {sentence(f'{type(cause).__name__}: {cause}')}") from error


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to an end: what one `Ledger.settle` is to commit. `outcome` is the label that metrics carry."""

    verdict: Verdict
    outcome: str
    emitted: Sequence[RoutedEvent] = ()
    audit: Sequence[AuditEntry] = ()


class Execution:
    """Runs claims, one at a time for each caller; keeps nothing between them."""

    def __init__(self, *, handlers: Mapping[str, LoadedHandler], router: Router, clock: Clock, random: Callable[[], float]) -> None:
        self._handlers = handlers
        self._router = router
        self._clock = clock
        self._random = random

    async def execute(self, claim: Claim) -> Finished:
        """Run the claim's handler once, with its timeout. Raises nothing but the caller's own cancellation."""
        loaded = self._handlers[claim.handler]
        with (
            bound_contextvars(handler=claim.handler, delivery=claim.delivery_id, topic=claim.event.topic),
            auditing(claim.handler) as audit,
        ):
            ending = await self._run(loaded, claim)
            now_ms = self._clock.epoch_ms()
            verdict = judge(ending, claim, loaded.policy, now_ms=now_ms, random=self._random)
            emitted = list(ending.emit) if isinstance(ending, (Done, Snooze)) else []
            if verdict.state is DeliveryState.DEAD:
                emitted += self._announced(claim, verdict)
                audit.append(self._dead_letter_entry(claim, verdict))
            self._tell(ending, claim, verdict, now_ms)
        return Finished(verdict, _outcome(ending, verdict), self._router.route(emitted), tuple(audit))

    async def _run(self, loaded: LoadedHandler, claim: Claim) -> Outcome | Exception:
        """The ending of one run. A handler that finishes in spite of its timeout has finished: its outcome holds."""
        timeout = loaded.policy.timeout
        delivery = Delivery(
            id=claim.delivery_id,
            handler=claim.handler,
            attempt=claim.attempts + 1,
            snoozes=claim.snoozes,
            created_at=datetime.fromtimestamp(claim.created_ms / 1000, UTC),
        )
        ending: Outcome | Exception = TransientError(f"ran longer than {format_duration(timeout)}", code=ReasonCode.TIMED_OUT)
        async with anyio.create_task_group() as timer:
            scope = anyio.CancelScope()
            timer.start_soon(self._keep_time, scope, timeout)
            with scope:
                ending = await _call(loaded, claim.event, delivery)
            timer.cancel_scope.cancel()
        return ending

    async def _keep_time(self, scope: anyio.CancelScope, timeout: timedelta) -> None:
        await self._clock.sleep(timeout.total_seconds())
        scope.cancel()
        await self._clock.sleep(STUCK_AFTER)
        _log.error("handler is stuck: it goes on although cancelled, and keeps its slot", timeout=format_duration(timeout))

    def _announced(self, claim: Claim, verdict: Verdict) -> list[Event]:
        return dead_lettered(
            claim.event,
            handler=claim.handler,
            delivery_id=claim.delivery_id,
            reason=verdict.reason or ReasonCode.HANDLER_FAILED,
            attempts=claim.attempts + verdict.counted,
            at=self._clock.now(),
        )

    def _dead_letter_entry(self, claim: Claim, verdict: Verdict) -> AuditEntry:
        attempts = claim.attempts + verdict.counted
        return dead_letter_entry(claim.delivery_id, claim.handler, verdict.reason, attempts, at=self._clock.now())

    def _tell(self, ending: Outcome | Exception, claim: Claim, verdict: Verdict, now_ms: int) -> None:
        """The one log line of this run; a defect comes with its traceback, and so reaches the error reports too."""
        if isinstance(ending, Park):
            _log.warning("handler parked: it takes nothing until resumed", reason=verdict.park)
        if verdict.reason is None:
            _log.debug("delivery handled", state=str(verdict.state), note=verdict.note)
            return
        facts = {"reason": str(verdict.reason), "error": verdict.error, "attempts": claim.attempts + verdict.counted}
        if verdict.correlation_id:
            facts["correlation_id"] = verdict.correlation_id
        if verdict.state is DeliveryState.READY:
            facts["again_in"] = format_duration(timedelta(milliseconds=verdict.due_ms - now_ms))
        if not is_foreseen(ending):
            _log.error("handler failed unexpectedly", **facts, exc_info=ending)
        elif verdict.state is DeliveryState.DEAD:
            _log.error("delivery is a dead letter", **facts)
        else:
            _log.warning("delivery failed, and is tried again", **facts)


async def _call(loaded: LoadedHandler, event: Event, delivery: Delivery) -> Outcome | Exception:
    """What the handler returned or raised. Whatever a handler does, the daemon goes on: here everything is caught."""
    try:
        ending: Outcome | Exception = await loaded.handler.handle(event, delivery)
    except anyio.get_cancelled_exc_class():
        if anyio.current_effective_deadline() == -math.inf:
            raise
        # nobody cancelled this run: the handler met the exception in something of its own
        return RuntimeError("the handler raised a cancellation that nobody had asked for")
    except Exception as error:  # noqa: BLE001 - the root of all handlers' code
        ending = cause_of(error)
    except (SystemExit, BaseExceptionGroup):  # the group: a task group of the handler's own, within which it called exit()
        return RuntimeError("the handler called exit()")
    fault = misuse(ending)
    return ending if fault is None else TypeError(fault)


def _outcome(ending: Outcome | Exception, verdict: Verdict) -> str:
    if verdict.state is not DeliveryState.READY:
        return str(verdict.state)
    match ending:
        case Snooze():
            return "snoozed"
        case Park():
            return "parked"
        case _:
            return "retried"
