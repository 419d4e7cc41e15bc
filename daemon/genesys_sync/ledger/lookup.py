"""What people and gauges ask. Each function runs within one snapshot, on a connection that cannot write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

import apsw
import orjson

from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event
from genesys_sync.ledger.base import Counts, DeliveryRecord, DeliveryState, Expiring, Fact, Gap, Standing, Upload
from genesys_sync.ledger.rows import EVENT_COLUMNS, day_number, day_of, event_of, parse_delivery_id, parse_event_id, record_of
from genesys_sync.ledger.statements import run
from genesys_sync.tallies import ActionTally, Stored, Tallies

_LAST = (1 << 63) - 1


def watermark(connection: apsw.Connection, *, stream: str) -> int | None:
    rows = run(connection, "watermark", stream=stream)
    return int(rows[0][0]) if rows else None


def organization(connection: apsw.Connection) -> str | None:
    rows = run(connection, "organization")
    return str(rows[0][0]) if rows else None


def gaps(connection: apsw.Connection, *, only_open: bool, limit: int) -> list[Gap]:
    return [Gap(*row) for row in run(connection, "open_gaps" if only_open else "all_gaps", limit=limit)]


def gap(connection: apsw.Connection, *, gap_id: int) -> Gap | None:
    rows = run(connection, "gap", id=gap_id)
    return Gap(*rows[0]) if rows else None


def next_due(connection: apsw.Connection, *, handlers: Sequence[str]) -> int | None:
    found = [run(connection, "next_due", handler=handler)[0][0] for handler in handlers]
    return min((due_ms for due_ms in found if due_ms is not None), default=None)


def expiring(connection: apsw.Connection, *, before_ms: int, limit: int) -> list[Expiring]:
    return [Expiring(*row) for row in run(connection, "expiring", before_ms=before_ms, limit=limit)]


def counts(connection: apsw.Connection, *, now_ms: int) -> Counts:
    deliveries: dict[str, dict[DeliveryState, int]] = defaultdict(dict)
    due: dict[str, int] = {}
    for handler, number, oldest_ms in run(connection, "ready_tally"):
        deliveries[handler][DeliveryState.READY] = number
        if oldest_ms <= now_ms:
            due[handler] = oldest_ms
    for handler, number in run(connection, "leased_tally"):
        deliveries[handler][DeliveryState.LEASED] = number
    for handler, state, number in run(connection, "delivery_tally"):
        deliveries[handler][DeliveryState(state)] = number
    [(open_gaps,)] = run(connection, "open_gap_tally")
    return Counts(
        events=dict(run(connection, "event_tally")),
        deliveries=dict(deliveries),
        oldest_ready_ms=min(due.values(), default=None),
        parked=dict(run(connection, "parked_handlers")),
        open_gaps=open_gaps,
        oldest_ready_of=due,
    )


def tallies(connection: apsw.Connection) -> Tallies:
    return Tallies(
        actions=tuple(ActionTally(*row) for row in run(connection, "action_tally")),
        stored={kind: Stored(objects, size) for kind, objects, size in run(connection, "stored_tally")},
    )


def find(connection: apsw.Connection, *, text: str, limit: int) -> list[DeliveryRecord]:
    identity = parse_delivery_id(text.strip())
    if identity is not None:
        return _records(connection, run(connection, "delivery_by_id", id=identity)[:limit])
    return _records(connection, run(connection, "deliveries_about", **_sought(text), limit=limit))


def events_about(connection: apsw.Connection, *, text: str, limit: int) -> list[Event]:
    return [event_of(row) for row in run(connection, "events_about", **_sought(text), limit=limit)]


def event_days(connection: apsw.Connection) -> list[date]:
    return [day_of(number) for (number,) in run(connection, "event_days")]


def events_of_day(connection: apsw.Connection, *, day: date, topics: Sequence[str], after: str, limit: int) -> list[Event]:
    wanted = orjson.dumps(topics).decode()
    rows = run(connection, "events_of_day", day=day_number(day), topics=wanted, after=bytes.fromhex(after), limit=limit)
    return [event_of(row) for row in rows]


def conversations_ended(
    connection: apsw.Connection, *, from_ms: int, to_ms: int, after: tuple[int, str] | None, limit: int
) -> list[tuple[int, str]]:
    after_ms, after_id = (from_ms, "") if after is None else after
    rows = run(connection, "conversations_ended", from_ms=from_ms, to_ms=to_ms, after_ms=after_ms, after_id=after_id, limit=limit)
    return [(int(ended_ms), str(conversation_id)) for ended_ms, conversation_id in rows]


def ends_of(connection: apsw.Connection, *, conversation_ids: Sequence[str]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in map(event_of, run(connection, "ends_of_conversations", ids=orjson.dumps(sorted(set(conversation_ids))).decode())):
        found.setdefault(event.conversation_id or "", []).append(event)
    return found


def facts_of(connection: apsw.Connection, *, conversation_ids: Sequence[str]) -> dict[str, list[Fact]]:
    ids = orjson.dumps(sorted(set(conversation_ids))).decode()
    standings: dict[int, list[Standing]] = defaultdict(list)
    for event_seq, handler, state, reason in run(connection, "standings_of_conversations", ids=ids):
        standings[event_seq].append(Standing(handler, DeliveryState(state), None if reason is None else ReasonCode(reason)))
    found: dict[str, list[Fact]] = {}
    for row in run(connection, "events_of_conversations", ids=ids):
        event = event_of(row)
        found.setdefault(event.conversation_id or "", []).append(Fact(event, tuple(standings[row[EVENT_COLUMNS]])))
    return found


def uploads(connection: apsw.Connection, *, before: int | None, limit: int) -> list[Upload]:
    rows = run(connection, "uploads", before=_LAST if before is None else before, limit=limit)
    numbers = [row[EVENT_COLUMNS] for row in rows]
    standings: dict[int, list[Standing]] = defaultdict(list)
    for event_seq, handler, state, reason in run(connection, "standings_of_uploads", numbers=orjson.dumps(numbers).decode()):
        standings[event_seq].append(Standing(handler, DeliveryState(state), None if reason is None else ReasonCode(reason)))
    asked = [event_of(row) for row in rows]
    ids = orjson.dumps([event.id for event in asked]).decode()
    outcomes = {event.parent_id: event for event in map(event_of, run(connection, "upload_outcomes", ids=ids))}
    return [
        Upload(number, Fact(event, tuple(standings[number])), outcomes.get(event.id)) for number, event in zip(numbers, asked, strict=True)
    ]


def dead_letters(connection: apsw.Connection, *, handler: str | None, reason: ReasonCode | None, limit: int) -> list[DeliveryRecord]:
    code = None if reason is None else reason.value
    return _records(connection, run(connection, "dead_letters", handler=handler, reason=code, limit=limit))


def dead_reasons(connection: apsw.Connection) -> dict[tuple[str, ReasonCode], int]:
    return {(handler, ReasonCode(reason)): number for handler, reason, number in run(connection, "dead_reasons")}


def _sought(text: str) -> dict[str, str | bytes | None]:
    return {"text": text.strip(), "event_id": parse_event_id(text.strip())}


def _records(connection: apsw.Connection, places: Sequence[tuple[Any, ...]]) -> list[DeliveryRecord]:
    found = []
    for event_seq, handler, finished in places:
        [row] = run(connection, "delivery_in_history" if finished else "delivery", event_seq=event_seq, handler=handler)
        found.append(record_of(row))
    return found
