"""What the feed writes: events, watermarks, gaps, audit entries. Each function is one operation of the writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import apsw

from genesys_sync.ledger.base import Appended
from genesys_sync.ledger.rows import AuditRow, EventRows
from genesys_sync.ledger.statements import run
from genesys_sync.ledger.writer import Effects


def record_events(connection: apsw.Connection, effects: Effects, events: Sequence[EventRows], *, now_ms: int) -> Appended:
    """Record those that are not yet here, each with its ready deliveries."""
    recorded: Counter[str] = Counter()
    for rows in events:
        found = run(connection, "insert_event", **rows.event, now_ms=now_ms)
        if not found:
            continue
        event_seq, day = found[0][0], rows.event["day"]
        for handler, identity in rows.deliveries:
            run(connection, "insert_delivery", event_seq=event_seq, handler=handler, day=day, id=identity, now_ms=now_ms)
            effects.ready = True
        if rows.stored is not None:
            run(connection, "tally_stored", **rows.stored)
        recorded[rows.event["topic"]] += 1
        effects.recorded[rows.event["topic"], rows.event["origin"]] += 1
    for topic, number in recorded.items():
        run(connection, "tally_events", topic=topic, events=number)
    new = recorded.total()
    return Appended(recorded=new, duplicates=len(events) - new)


def move_watermark(connection: apsw.Connection, stream: str, up_to_ms: int) -> None:
    """Forward, never backward."""
    run(connection, "move_watermark", stream=stream, up_to_ms=up_to_ms)


def open_gap(connection: apsw.Connection, *, from_ms: int, to_ms: int, cause: str, audit: Sequence[AuditRow]) -> int:
    """The new gap's id."""
    [(identity,)] = run(connection, "insert_gap", from_ms=from_ms, to_ms=to_ms, cause=cause)
    record_audit(connection, audit)
    return int(identity)


def close_gap(connection: apsw.Connection, gap_id: int, *, at_ms: int, audit: Sequence[AuditRow]) -> None:
    """The first closing counts."""
    if run(connection, "close_gap", id=gap_id, at_ms=at_ms):
        record_audit(connection, audit)


def advance_gap(connection: apsw.Connection, gap_id: int, *, up_to_ms: int, found: int, recorded: int) -> None:
    """Forward, never backward, and never past its end."""
    run(connection, "advance_gap", id=gap_id, up_to_ms=up_to_ms, found=found, recorded=recorded)


def record_audit(connection: apsw.Connection, entries: Sequence[AuditRow]) -> None:
    """The entries, and the tallies of the actions that they tell of."""
    for row in entries:
        run(connection, "insert_audit", **row.entry)
        if row.action is not None:
            run(connection, "tally_action", **asdict(row.action))


def pulse(connection: apsw.Connection, *, now_ms: int) -> None:
    """Write something, and nothing that matters."""
    run(connection, "pulse", now_ms=now_ms)
