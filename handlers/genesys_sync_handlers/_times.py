"""Times as events and sidecars carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from genesys_sync.plugin import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def steady_now(clock: Clock) -> datetime:
    """The time for measuring waits: it never steps while the process lives."""
    return _EPOCH + timedelta(milliseconds=clock.epoch_ms())


def parse_iso(value: object) -> datetime | None:
    """A time of the platform, aware; None for what is none. One without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
