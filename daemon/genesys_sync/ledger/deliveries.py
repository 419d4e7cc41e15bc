"""The life of a delivery, as operations of the writer: claim, renew, settle, release, and what upkeep and people do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw
import orjson

from genesys_sync.audit import AuditEntry
from genesys_sync.errors import ReasonCode
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState, Verdict
from genesys_sync.ledger.recording import record_audit, record_events
from genesys_sync.ledger.rows import AuditRow, EventRows, Parameters, audit_rows, claim_of, delivery_key, event_rows, record_of
from genesys_sync.ledger.statements import run
from genesys_sync.ledger.writer import Effects
from genesys_sync.routing import RoutedEvent, matches

MAX_EXPIRED = 1_000
END_OF_TIME_MS = (1 << 63) - 1
"""No lease ends later."""
SUSPECT_FROM = 2
"""Crashes in a row after which a delivery may be what kills the process."""
DEATH = 1000
"""The blame for one death of the process, to be shared out."""
FARTHEST_APART_MS = 5_000
"""Milliseconds between two suspects, when there are few …"""
ALL_WITHIN_MS = 30_000
"""… and until the last of them is ready, when there are many."""
UNDATED_MS = 30 * 86_400_000
"""Deliveries without a deadline are ordered as if they had one so long after they are due, so that they are never starved."""
_CRASH = "the lease ran out: the process died while the handler ran, or the handler outlived its lease"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far `add_deliveries` came: how many it made, and the event to go on from (None: it is through)."""

    added: int
    next_seq: int | None


def claim(connection: apsw.Connection, free: Mapping[str, int], *, worker: str, now_ms: int, lease_ms: int) -> list[Claim]:
    """Lease what is due, the nearest deadline first; without one it counts as a month from when it was due."""
    until = now_ms + lease_ms
    rows: list[tuple[Any, ...]] = []
    for handler, places in free.items():
        if places > 0:
            wanted = {"handler": handler, "now_ms": now_ms, "lease_until_ms": until, "limit": places}
            ready = run(connection, "ready_dated_deliveries", **wanted)
            ready += run(connection, "ready_deliveries", **wanted, undated_ms=UNDATED_MS)
            rows += sorted(ready, key=_by_deadline)[:places]
    rows.sort(key=_by_deadline)  # stable: those of one handler come in order
    claims = [claim_of(row) for row in rows]
    for leased in claims:
        run(connection, "lease", **_lease(leased), worker=worker, lease_until_ms=until)
    return claims


def _by_deadline(row: tuple[Any, ...]) -> Any:
    return row[-1]


def renew(connection: apsw.Connection, claims: Sequence[Claim], *, now_ms: int, lease_ms: int) -> list[Claim]:
    """Those still held, with their new end."""
    until = now_ms + lease_ms
    return [replace(held, lease_until_ms=until) for held in claims if run(connection, "renew", **_lease(held), lease_until_ms=until)]


def release(connection: apsw.Connection, effects: Effects, claims: Sequence[Claim], *, now_ms: int) -> None:
    """Ready now, uncounted; those already lost are passed over."""
    for held in claims:
        if run(connection, "release", **_lease(held), now_ms=now_ms):
            effects.ready = True


def settle(
    connection: apsw.Connection,
    effects: Effects,
    held: Claim,
    verdict: Verdict,
    *,
    now_ms: int,
    emitted: Sequence[EventRows],
    audit: Sequence[AuditRow],
) -> bool:
    """False, and nothing is written, when the lease has been lost."""
    if not _end_lease(connection, _lease(held), verdict, now_ms=now_ms):
        return False
    if verdict.park is not None:
        run(connection, "park_handler", handler=held.handler, why=verdict.park, now_ms=now_ms)
    if verdict.state is DeliveryState.READY:
        effects.ready = True
    record_events(connection, effects, emitted, now_ms=now_ms)
    record_audit(connection, audit)
    return True


def return_expired(
    connection: apsw.Connection,
    effects: Effects,
    *,
    now_ms: int,
    max_crashes: Callable[[str], int],
    announce: Callable[[DeliveryRecord], Sequence[RoutedEvent]],
    audit: Callable[[DeliveryRecord], Sequence[AuditEntry]],
    abandoned: bool,
) -> list[DeliveryRecord]:
    """The least to blame first, at most a thousand; whoever finds so many comes again.

    The blame for one death is shared out among all that were leased at it: who dies alone is to blame for a whole death, who dies in
    company for a part. Those that died twice in a row become ready one after the other, the farther apart the fewer they are, so that
    the guilty one soon dies alone. Whoever ends well is to blame for nothing any more. So a delivery that kills the process is dead
    after a few deaths more than `max_crashes`, and a process that is killed from outside, however often, takes nobody along.
    """
    returned = []
    ended_by_ms = END_OF_TIME_MS if abandoned else now_ms
    expired = run(connection, "expired_leases", ended_by_ms=ended_by_ms, limit=MAX_EXPIRED)
    share = DEATH // max(1, len(expired))
    apart_ms = min(FARTHEST_APART_MS, ALL_WITHIN_MS // max(1, sum(crashes + 1 >= SUSPECT_FROM for *_, crashes, _ in expired)))
    suspects = 0
    for event_seq, handler, fence, crashes, blame in expired:
        key = {"event_seq": event_seq, "handler": handler}
        dead = blame + share >= max_crashes(handler) * DEATH
        suspects += crashes + 1 >= SUSPECT_FROM
        verdict = Verdict(
            state=DeliveryState.DEAD if dead else DeliveryState.READY,
            due_ms=now_ms + suspects * apart_ms,
            reason=ReasonCode.HANDLER_CRASHED,
            error=_CRASH,
        )
        _end_lease(connection, {**key, "fence": fence}, verdict, now_ms=now_ms, blame=share)
        [row] = run(connection, "delivery_in_history" if dead else "delivery", **key)
        record = record_of(row)
        if dead:
            record_events(connection, effects, [event_rows(routed) for routed in announce(record)], now_ms=now_ms)
            record_audit(connection, audit_rows(audit(record)))
        else:
            effects.ready = True
        returned.append(record)
    return returned


def replay(connection: apsw.Connection, effects: Effects, ids: Sequence[bytes], *, now_ms: int, audit: Sequence[AuditRow]) -> int:
    """How many were dead, and are ready now; the audit entries are written unless there was none."""
    replayed = 0
    for identity in ids:
        for event_seq, handler in run(connection, "dead_by_id", id=identity):
            run(connection, "replay", event_seq=event_seq, handler=handler, now_ms=now_ms)
            run(connection, "delete_history", event_seq=event_seq, handler=handler)
            _tally(connection, handler, DeliveryState.DEAD, -1)
            replayed += 1
    if replayed:
        effects.ready = True
        record_audit(connection, audit)
    return replayed


def withdraw(connection: apsw.Connection, topic: str, conversation_id: str, *, note: str, now_ms: int, keep: bytes | None) -> int:
    """How many ready deliveries were skipped."""
    found = run(connection, "ready_of_conversation", topic=topic, conversation_id=conversation_id, kept=keep)
    for event_seq, handler in found:
        run(connection, "withdraw", event_seq=event_seq, handler=handler, note=note, now_ms=now_ms)
        run(connection, "delete_delivery", event_seq=event_seq, handler=handler)
        _tally(connection, handler, DeliveryState.SKIPPED, 1)
    return len(found)


def resume(connection: apsw.Connection, effects: Effects, handler: str, *, now_ms: int, audit: Sequence[AuditRow]) -> bool:
    """False, and nothing is written, when the handler was not parked."""
    if not run(connection, "unpark_handler", handler=handler):
        return False
    run(connection, "due_now", handler=handler, now_ms=now_ms)
    effects.ready = True
    record_audit(connection, audit)
    return True


def add_deliveries(
    connection: apsw.Connection,
    effects: Effects,
    *,
    handler: str,
    patterns: Sequence[str],
    since_ms: int,
    now_ms: int,
    from_seq: int | None,
    limit: int,
) -> Progress:
    """One stretch of at most `limit` events, so that the other operations do not wait for all of them."""
    topics = [topic for topic, _ in run(connection, "event_tally") if matches(topic, patterns)]
    if from_seq is None:
        [(from_seq,)] = run(connection, "first_recorded_since", since_ms=since_ms)
    if from_seq is None or not topics:
        return Progress(0, None)
    wanted = {"handler": handler, "topics": orjson.dumps(topics).decode(), "since_ms": since_ms}
    events = run(connection, "events_for_new_handler", **wanted, from_seq=from_seq, limit=limit)
    added = 0
    for event_seq, day, identity, missing in events:
        if missing:
            key = delivery_key(identity.hex(), handler)
            run(connection, "insert_delivery", event_seq=event_seq, handler=handler, day=day, id=key, now_ms=now_ms)
            effects.ready = True
            added += 1
    return Progress(added, events[-1][0] + 1 if len(events) == limit else None)


def _lease(held: Claim) -> Parameters:
    return {"event_seq": held.event_seq, "handler": held.handler, "fence": held.fence}


def _end_lease(connection: apsw.Connection, lease: Parameters, verdict: Verdict, *, now_ms: int, blame: int | None = None) -> bool:
    """Put the delivery where the verdict says. False, and nothing is written, when the lease has been lost. `blame`: its process died,
    and this is its share in that."""
    run_ended = {
        "crashed": blame is not None,
        "counted": verdict.counted,
        "snoozed": verdict.snoozed,
        "reason": None if verdict.reason is None else verdict.reason.value,
        "error": verdict.error,
        "correlation_id": verdict.correlation_id,
        "note": verdict.note,
    }
    if verdict.state is DeliveryState.READY:
        return bool(run(connection, "settle_ready", **lease, **run_ended, due_ms=verdict.due_ms, blame=blame or 0))
    if not run(connection, "settle_finally", **lease, **run_ended, state=verdict.state.value, now_ms=now_ms):
        return False
    run(connection, "delete_delivery", event_seq=lease["event_seq"], handler=lease["handler"])
    _tally(connection, lease["handler"], verdict.state, 1)
    return True


def _tally(connection: apsw.Connection, handler: str, state: DeliveryState, number: int) -> None:
    run(connection, "tally_deliveries", handler=handler, state=state.value, deliveries=number)
