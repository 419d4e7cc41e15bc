"""How a run of a handler ended → what becomes of its delivery. Pure: the table in `plugin`, as code.

| ending                                   | state   | counted | due                                      | reason when dead              |
| ---------------------------------------- | ------- | ------- | ---------------------------------------- | ----------------------------- |
| Done                                     | done    | yes     |                                          |                               |
| Skip                                     | skipped | yes     |                                          |                               |
| Snooze, within the time limit            | ready   | no      | after its delay, at the limit at latest  |                               |
| Snooze, past the time limit              | dead    | no      |                                          | TIME_EXHAUSTED                |
| Park                                     | ready   | no      | now, once the handler is resumed         |                               |
| TransientError, timeout, the unforeseen  | ready   | yes     | its delay, else the schedule or back-off |                               |
| … and no attempt is left                 | dead    | yes     |                                          | its own, or ATTEMPTS_EXHAUSTED |
| … and the next would be past the limit   | dead    | yes     |                                          | its own, or TIME_EXHAUSTED    |
| TransientError(RATE_LIMITED)             | ready   | no      | its delay, else as for StorageError      |                               |
| StorageError                             | ready   | no      | between `backoff_base` and `backoff_cap` |                               |
| … and the next would be past the limit   | dead    | no      |                                          | STORAGE_FULL, STORAGE_FAILED  |
| PermanentError                           | dead    | yes     |                                          | its own                       |

A limit on the rate of requests says nothing about the delivery that meets it, so nothing ever dies of one: it waits, past its time
limit too. "Its own" is the code that the error carries, unless that is the general HANDLER_FAILED.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import orjson

from genesys_sync import backoff
from genesys_sync.audit import AuditEntry
from genesys_sync.errors import PermanentError, ReasonCode, StorageError, StorageFull, TransientError
from genesys_sync.events import Event, Origin, Topic
from genesys_sync.ledger.base import Claim, DeliveryState, Verdict
from genesys_sync.plugin import Done, Outcome, Park, Policy, Skip, Snooze
from genesys_sync.scrubbing import scrub
from genesys_sync.units import milliseconds

TEXT_LIMIT: Final = 300
"""Characters of an error or a note that the ledger keeps."""

EMIT_LIMIT: Final = 1000
"""Events that one run may emit."""

BODY_LIMIT: Final = 256 << 10
"""Bytes of an emitted event's body as JSON."""

_EVENT_ID: Final = re.compile(r"[0-9a-f]{32}")

SHORTEST_SNOOZE: Final = timedelta(seconds=1)
"""A handler that snoozes for no time at all would turn the dispatcher into a busy loop."""


def judge(ending: Outcome | Exception, claim: Claim, policy: Policy, *, now_ms: int, random: Callable[[], float]) -> Verdict:
    """The verdict on a run that returned an outcome or raised; a timeout is a TransientError(TIMED_OUT)."""
    match ending:
        case Done(note=note):
            return Verdict(state=DeliveryState.DONE, note=sentence(note))
        case Skip(reason=reason):
            return Verdict(state=DeliveryState.SKIPPED, note=sentence(reason))
        case Park(reason=reason):
            return Verdict(state=DeliveryState.READY, counted=False, due_ms=now_ms, note=sentence(reason), park=sentence(reason))
        case Snooze():
            return _snoozed(ending, claim, policy, now_ms)
        case PermanentError():
            return Verdict(
                state=DeliveryState.DEAD, reason=ending.code, error=sentence(ending.reason), correlation_id=_line(ending.correlation_id)
            )
        case StorageError():
            return _waiting_for_storage(ending, claim, policy, now_ms, random)
        case TransientError(code=ReasonCode.RATE_LIMITED):
            return _rate_limited(ending, claim, policy, now_ms, random)
        case TransientError():
            return _failed(ending, claim, policy, now_ms, random)
        case _:
            return _failed(TransientError(_described(ending)), claim, policy, now_ms, random)


def is_foreseen(ending: Outcome | Exception) -> bool:
    """False for an exception that the handler did not raise on purpose: a defect, to be logged with its traceback."""
    return not isinstance(ending, Exception) or isinstance(ending, (TransientError, PermanentError, StorageError))


def misuse(ending: object) -> str | None:
    """What is wrong with an ending that breaks the interface in a way which only running it shows; None when it keeps to it.

    Checked here, because the ledger would stumble over it in the middle of a commit that other deliveries share.
    """
    match ending:
        case Done():
            return _emit_misuse(ending.emit)
        case Snooze():
            return _emit_misuse(ending.emit) if _is(ending.delay, timedelta) else "Snooze.delay must be a timedelta"
        case TransientError() if not _is(ending.delay, timedelta, type(None)):
            return "TransientError.delay must be a timedelta"
        case TransientError() | PermanentError() if not _is(ending.code, ReasonCode):
            return f"{type(ending).__name__}.code must be a ReasonCode"
        case Skip() | Park() | Exception():
            return None
        case _:
            return f"handle returned {type(ending).__name__}, not Done, Skip, Snooze or Park"


def _is(value: object, *kinds: type) -> bool:
    """isinstance, where the annotation promises as much already, and the promise is what is in doubt."""
    return isinstance(value, kinds)


def _emit_misuse(emit: object) -> str | None:
    if not isinstance(emit, Sequence) or len(emit) > EMIT_LIMIT:
        return f"emit must be a list of at most {EMIT_LIMIT} events"
    for event in emit:
        if not isinstance(event, Event):
            return f"emit holds {type(event).__name__}, not an Event"
        if (fault := _event_fault(event)) is not None:
            return f"an emitted event breaks the rules ({fault}); make events with Event.of or derive"
        try:
            size = len(orjson.dumps(event.body))
        except TypeError as error:
            return f"the body of an emitted {event.topic} is not JSON: {error}"
        if size > BODY_LIMIT:
            return f"the body of an emitted {event.topic} has more than {BODY_LIMIT} bytes"
    return None


def _event_fault(event: Event) -> str | None:
    """What the ledger could not write of an event that was put together by hand."""
    texts = (
        event.id,
        event.topic,
        event.organization_id,
        *(text for text in (event.conversation_id, event.recording_id, event.parent_id) if text is not None),
    )
    if not all(_is(text, str) and text.isprintable() for text in texts):
        return "ids and topic are printable text"
    if _EVENT_ID.fullmatch(event.id) is None:
        return "the id is 32 hexadecimal digits"
    if not _is(event.occurred_at, datetime) or event.occurred_at.tzinfo is None:
        return "occurred_at is a datetime with a time zone"
    if not _is(event.day, date) or isinstance(event.day, datetime):
        return "day is a date"
    if not _is(event.origin, Origin):
        return "origin is an Origin"
    return None if _is(event.body, dict) else "body is a dict"


def cause_of(error: Exception) -> Exception:
    """The one exception inside of a group, as handlers with a task group of their own raise it; else the error itself."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def sentence(text: object) -> str:
    """Fit for the ledger: no secret, no URL, at most `TEXT_LIMIT` characters."""
    return _line(scrub(_said(text)))


def _line(text: object) -> str:
    """At most `TEXT_LIMIT` characters, all of which UTF-8 can write: a path may hold bytes that are no text."""
    line = _said(text).encode(errors="backslashreplace").decode()
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"


def _said(text: object) -> str:
    """As text, whatever a handler gave instead of it: TransientError(error) holds the exception itself."""
    try:
        return str(text)
    except Exception:  # noqa: BLE001 - the code of a handler's own type, which may raise anything
        return f"a {type(text).__name__} that cannot be shown"


def _described(error: object) -> str:
    said = _said(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def dead_lettered(event: Event, *, handler: str, delivery_id: str, reason: ReasonCode, attempts: int, at: datetime) -> list[Event]:
    """What a dead letter announces: one `delivery.dead_lettered`; nothing when the event is itself such an announcement,
    so that a broken receiver of announcements does not feed itself."""
    if event.topic == Topic.DELIVERY_DEAD_LETTERED:
        return []
    body = {"handler": handler, "deliveryId": delivery_id, "topic": event.topic, "reason": str(reason), "attempts": attempts}
    return [event.derive(Topic.DELIVERY_DEAD_LETTERED, occurred_at=at, state=delivery_id, body=body)]


def dead_letter_entry(delivery_id: str, handler: str, reason: ReasonCode | None, attempts: int, *, at: datetime) -> AuditEntry:
    """What the audit trail says of a dead letter."""
    facts = {"handler": handler, "reason": str(reason), "attempts": attempts}
    return AuditEntry(at=at, actor="dispatch", action="delivery.dead_letter", target=delivery_id, outcome="failure", facts=facts)


def _limit_ms(claim: Claim, policy: Policy) -> int:
    return claim.created_ms + milliseconds(policy.time_limit)


def _snoozed(snooze: Snooze, claim: Claim, policy: Policy, now_ms: int) -> Verdict:
    limit_ms = _limit_ms(claim, policy)
    if now_ms >= limit_ms:
        return Verdict(
            state=DeliveryState.DEAD, counted=False, snoozed=True, reason=ReasonCode.TIME_EXHAUSTED, error=sentence(snooze.reason)
        )
    due_ms = min(now_ms + milliseconds(max(snooze.delay, SHORTEST_SNOOZE)), limit_ms)  # one last look at the limit itself
    return Verdict(state=DeliveryState.READY, counted=False, snoozed=True, due_ms=due_ms, note=sentence(snooze.reason))


def _failed(error: TransientError, claim: Claim, policy: Policy, now_ms: int, random: Callable[[], float]) -> Verdict:
    attempts = claim.attempts + 1
    dead: ReasonCode | None = None
    due_ms = now_ms + milliseconds(_delay(error, attempts, policy, random))
    if attempts >= policy.attempts:
        dead = ReasonCode.ATTEMPTS_EXHAUSTED
    elif due_ms > _limit_ms(claim, policy):
        dead = ReasonCode.TIME_EXHAUSTED
    if dead is not None and error.code is not ReasonCode.HANDLER_FAILED:
        dead = error.code
    return Verdict(
        state=DeliveryState.READY if dead is None else DeliveryState.DEAD,
        due_ms=due_ms if dead is None else 0,
        reason=dead or error.code,
        error=sentence(error.reason),
        correlation_id=_line(error.correlation_id),
    )


def _delay(error: TransientError, attempts: int, policy: Policy, random: Callable[[], float]) -> timedelta:
    if error.delay is not None:
        return max(error.delay, timedelta(0))
    if policy.schedule:
        return backoff.scheduled(attempts, policy.schedule, random=random)
    base, cap = policy.backoff_base.total_seconds(), policy.backoff_cap.total_seconds()
    return timedelta(seconds=backoff.full_jitter(attempts, base=base, cap=cap, random=random))


def _rate_limited(error: TransientError, claim: Claim, policy: Policy, now_ms: int, random: Callable[[], float]) -> Verdict:
    wait_ms = (
        milliseconds(max(error.delay, SHORTEST_SNOOZE)) if error.delay is not None else _uncounted_wait_ms(claim, policy, now_ms, random)
    )
    return Verdict(
        state=DeliveryState.READY,
        counted=False,
        due_ms=now_ms + wait_ms,
        reason=error.code,
        error=sentence(error.reason),
        correlation_id=error.correlation_id,
    )


def _uncounted_wait_ms(claim: Claim, policy: Policy, now_ms: int, random: Callable[[], float]) -> int:
    """Where no attempt is used up the wait cannot grow with their number: it grows with the delivery's age instead."""
    base, cap = policy.backoff_base.total_seconds(), policy.backoff_cap.total_seconds()
    age = max(0.0, (now_ms - claim.created_ms) / 1000)
    return round(1000 * max(base, random() * min(cap, age)))


def _waiting_for_storage(error: StorageError, claim: Claim, policy: Policy, now_ms: int, random: Callable[[], float]) -> Verdict:
    due_ms = now_ms + _uncounted_wait_ms(claim, policy, now_ms, random)
    late = due_ms > _limit_ms(claim, policy)
    return Verdict(
        state=DeliveryState.DEAD if late else DeliveryState.READY,
        counted=False,
        due_ms=0 if late else due_ms,
        reason=ReasonCode.STORAGE_FULL if isinstance(error, StorageFull) else ReasonCode.STORAGE_FAILED,
        error=sentence(error),
    )
