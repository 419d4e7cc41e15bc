"""Times as events and sidecars carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from genesys_sync.plugin import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def steady_now(clock: Clock) -> datetime:
    """The time for measuring waits: it never steps while the process lives."""
    return _EPOCH + timedelta(milliseconds=clock.epoch_ms())
