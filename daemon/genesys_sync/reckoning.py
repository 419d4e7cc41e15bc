"""What the ledger holds of a time, for whoever judges it: the conversations that ended, and the recordings without any."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from genesys_sync.completeness import Item, Roles, judge_orphan
from genesys_sync.events import Topic
from genesys_sync.ledger.base import Fact, Ledger, Standing

AT_ONCE: Final = 500
_ORPHANS_MOST: Final = 10_000


async def ended_between(ledger: Ledger, from_ms: int, to_ms: int) -> AsyncIterator[dict[str, int]]:
    """The conversations that ended in the time, each once, with its end in ms; at most `AT_ONCE` at a time. Raises LedgerError."""
    seen: set[str] = set()
    after: tuple[int, str] | None = None
    while page := await ledger.conversations_ended(from_ms=from_ms, to_ms=to_ms, after=after, limit=AT_ONCE):
        new = {conversation_id: ended_ms for ended_ms, conversation_id in page if conversation_id not in seen}
        seen |= new.keys()
        yield new
        after = page[-1]


async def orphans_between(ledger: Ledger, start: datetime, end: datetime, roles: Roles) -> AsyncIterator[Item]:
    """The recordings without a conversation that the platform made in the time and that were taken in, judged. Raises LedgerError."""
    for day in await ledger.event_days():
        if not start.date() <= day <= end.date():
            continue
        for event in await ledger.events_of_day(day, [Topic.RECORDING_ORPHANED], limit=_ORPHANS_MOST):
            if event.recording_id is not None and start <= event.occurred_at < end:
                yield judge_orphan(event.recording_id, await _facts_about(ledger, event.recording_id), roles)


async def _facts_about(ledger: Ledger, recording_id: str) -> list[Fact]:
    standings: dict[str, list[Standing]] = {}
    for record in await ledger.find(recording_id):
        standings.setdefault(record.event.id, []).append(Standing(record.handler, record.state, record.reason))
    events = await ledger.events_about(recording_id)
    return [Fact(event, tuple(standings.get(event.id, ()))) for event in events]
