"""The audit entries' way out of the ledger: reading them in order, and noting how far they are sealed."""

from __future__ import annotations

from datetime import date

import apsw

from genesys_sync.audit import Numbered, Seal
from genesys_sync.ledger.recording import record_events
from genesys_sync.ledger.rows import EventRows, numbered_of
from genesys_sync.ledger.statements import run
from genesys_sync.ledger.writer import Effects


def entries(connection: apsw.Connection, *, after: int, limit: int) -> list[Numbered]:
    return [numbered_of(row) for row in run(connection, "audit_after", after=after, limit=limit)]


def seal(connection: apsw.Connection) -> tuple[Seal, int]:
    """The seal, and how many entries the last checkpoint covered."""
    [(size, root, day, position, checkpointed)] = run(connection, "audit_seal")
    return Seal(size, root, None if day is None else date.fromisoformat(day), position), checkpointed


def mark_sealed(connection: apsw.Connection, sealed: Seal) -> None:
    """Forward, never backward."""
    day = None if sealed.day is None else sealed.day.isoformat()
    run(connection, "mark_sealed", size=sealed.size, root=sealed.root, day=day, position=sealed.position)


def record_checkpoint(connection: apsw.Connection, effects: Effects, size: int, event: EventRows, *, now_ms: int) -> bool:
    """False, and nothing is written, when so many are not sealed, or are covered already."""
    if not run(connection, "mark_checkpointed", size=size):
        return False
    record_events(connection, effects, [event], now_ms=now_ms)
    return True
