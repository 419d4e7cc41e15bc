"""Short ways to claim, to end a delivery, and to see a hint."""

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio

from genesys_sync.audit import AuditEntry
from genesys_sync.errors import ReasonCode
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

DONE = Verdict(state=DeliveryState.DONE)
ENTRY = AuditEntry(at=datetime(2026, 8, 1, tzinfo=UTC), actor="archive", action="recording.archive", target="r", outcome="success")


def dead(reason: ReasonCode = ReasonCode.NOT_FOUND, error: str = "gone") -> Verdict:
    return Verdict(state=DeliveryState.DEAD, reason=reason, error=error)


def nothing(record: DeliveryRecord) -> Sequence[RoutedEvent]:
    return ()


async def claimed(ledger: Ledger, clock: FakeClock, handler: str = "archive", limit: int = 100, lease_ms: int = 60_000) -> list[Claim]:
    return await ledger.claim({handler: limit}, worker="w", now_ms=clock.epoch_ms(), lease_ms=lease_ms)


async def hinted(ledger: Ledger) -> bool:
    """Whether a hint is there now."""
    came = False

    async def wait() -> None:
        nonlocal came
        await ledger.wait_for_ready()
        came = True

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        waiting.cancel_scope.cancel()
    return came
