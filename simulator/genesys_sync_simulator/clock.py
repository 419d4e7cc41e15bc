"""The simulator's time: one reading and one way to wait, both given from outside so that tests own them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the simulator asks of time."""

    def epoch_ms(self) -> int:
        """Milliseconds since 1970 that never step while the process lives."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero and less."""
        ...


class SystemClock:
    """The machine's clock as it stood at the start, plus the monotonic time since."""

    def __init__(self) -> None:
        self._anchor_ms = time.time_ns() // 1_000_000
        self._anchor_monotonic = time.monotonic()

    def epoch_ms(self) -> int:
        return self._anchor_ms + int((time.monotonic() - self._anchor_monotonic) * 1000)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))


def iso(epoch_seconds: float) -> str:
    """The platform's way to write a moment: ISO 8601, UTC, milliseconds, `Z`."""
    return datetime.fromtimestamp(round(epoch_seconds * 1000) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Epoch seconds of an ISO 8601 moment; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
