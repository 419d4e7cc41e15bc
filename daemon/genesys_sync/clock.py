"""Time, given to whoever needs it, so that tests own it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """The three readings of time that the program uses, and the one way to wait."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC: for what people read and for expiry against a server's `Date`. It may step."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step and mean nothing outside this process: for every timer."""
        ...

    def epoch_ms(self) -> int:
        """Milliseconds since 1970 that never step while the process lives: for due times and leases, which the ledger keeps.

        The wall clock as it stood at the start, plus the monotonic time since. A stepped wall clock therefore makes no
        delivery early and no lease expire; a restart takes the corrected time up.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero and less."""
        ...


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._anchor_ms = time.time_ns() // 1_000_000
        self._anchor_monotonic = time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return self._anchor_ms + int((time.monotonic() - self._anchor_monotonic) * 1000)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))
