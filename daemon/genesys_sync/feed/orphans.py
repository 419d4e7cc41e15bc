"""Recordings without a conversation enter the ledger as events, so that they are archived and verified like any other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from genesys_sync.events import Event, Origin, Topic
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.ledger.base import Ledger
from genesys_sync.routing import Router

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
"""The day of an orphan of which the platform does not say when it was made: one day for all, because it is part of the dedupe key."""


async def take_in(orphans: Sequence[Orphan], *, ledger: Ledger, router: Router, organization_id: str) -> None:
    """Afterwards each is in the ledger as `recording.orphaned`, once however often it is taken in. Raises LedgerError."""
    await ledger.append(router.route(told_of(orphan, organization_id) for orphan in orphans))


def told_of(orphan: Orphan, organization_id: str) -> Event:
    """The event of one orphan: a pure function of it. Pure."""
    return Event.of(
        Topic.RECORDING_ORPHANED,
        occurred_at=orphan.created or _UNKNOWN,
        organization_id=organization_id,
        recording_id=orphan.id,
        origin=Origin.BACKFILL,
        body={"fileState": orphan.file_state, "media": "screen" if orphan.media == "screen" else "audio", "revision": 1},
    )
