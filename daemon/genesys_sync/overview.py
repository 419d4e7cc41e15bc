"""How everything stands, by the ledger: what `status` and the console show. One reading and one document, so that the two never differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from genesys_sync.events import iso as iso_time
from genesys_sync.ledger.base import Counts, DeliveryState, Ledger
from genesys_sync.settings import CostsSettings
from genesys_sync.tallies import ClassCost, OperationSum, by_class, by_operation, whole_cost


@dataclass(frozen=True, slots=True)
class Overview:
    """What the ledger held at `at_ms`. `watermark_ms` is that of the feed's stream."""

    at_ms: int
    counts: Counts
    watermark_ms: int | None
    operations: Sequence[OperationSum]
    storage: Sequence[ClassCost]
    currency: str

    @property
    def backlog(self) -> timedelta:
        """How long the oldest due delivery has been waiting; zero when none is due."""
        return self._since(self.counts.oldest_ready_ms)

    def backlog_of(self, handler: str) -> timedelta:
        """The same of one handler."""
        return self._since(self.counts.oldest_ready_of.get(handler))

    @property
    def dead_letters(self) -> int:
        return sum(states.get(DeliveryState.DEAD, 0) for states in self.counts.deliveries.values())

    def _since(self, moment_ms: int | None) -> timedelta:
        return timedelta(0) if moment_ms is None else timedelta(milliseconds=max(0, self.at_ms - moment_ms))


async def look(ledger: Ledger, *, stream: str, now_ms: int, costs: CostsSettings) -> Overview:
    """Read it now. Raises LedgerError."""
    counts = await ledger.counts(now_ms=now_ms)
    watermark = await ledger.watermark(stream)
    tallies = await ledger.tallies()
    return Overview(
        at_ms=now_ms,
        counts=counts,
        watermark_ms=watermark,
        operations=by_operation(tallies.actions),
        storage=by_class(tallies.stored, costs),
        currency=costs.currency,
    )


def as_json(overview: Overview) -> dict[str, Any]:
    """What programs read; durations in seconds, times as ISO 8601. Pure."""
    counts = overview.counts
    return {
        "at": iso_ms(overview.at_ms),
        "events": dict(counts.events),
        "deliveries": {handler: {str(state): count for state, count in states.items()} for handler, states in counts.deliveries.items()},
        "deadLetters": overview.dead_letters,
        "backlogSeconds": overview.backlog.total_seconds(),
        "backlogs": {handler: overview.backlog_of(handler).total_seconds() for handler in sorted(counts.oldest_ready_of)},
        "parked": dict(counts.parked),
        "openGaps": counts.open_gaps,
        "watermark": iso_ms(overview.watermark_ms),
        "actions": [
            {
                "operation": one.operation,
                "success": one.success,
                "refused": one.refused,
                "failure": one.failure,
                "successRate": round(one.success_rate, 4),
                "meanSeconds": round(one.mean_seconds, 3),
                "bytes": one.bytes,
            }
            for one in overview.operations
        ],
        "storage": {
            "currency": overview.currency,
            "costPerMonth": whole_cost(overview.storage),
            "classes": [
                {"class": one.storage_class, "objects": one.stored.objects, "bytes": one.stored.bytes, "costPerMonth": one.per_month}
                for one in overview.storage
            ],
        },
    }


def iso_ms(epoch_ms: int | None) -> str | None:
    """ISO 8601, UTC, milliseconds, Z; None for None."""
    return None if epoch_ms is None else iso_time(datetime.fromtimestamp(epoch_ms / 1000, tz=UTC))
