"""How far this machine's clock is off the platform's, by the `Date` of the platform's answers.

Gaps are recorded in our time and paged in the platform's. Where the two differ by hours, a gap would be looked for where nothing was, and
be closed with nothing found.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.logs import get_logger

TOLERATED: Final = timedelta(seconds=60)
"""The header counts whole seconds, and answers are on their way for some; what overlaps by minutes bears that."""

_log = get_logger("genesys.clock")


class ServerClock:
    """`offset` is what must be added to our time to have the platform's; zero within what is tolerated, and until two answers in a row
    agreed: one alone may have come from a cache."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: timedelta | None = None
        self.offset = timedelta(0)

    def heard(self, told: datetime | None) -> None:
        """An answer came, and its `Date` was this; None: it had none."""
        if told is None:
            return
        found = timedelta(milliseconds=round(told.timestamp() * 1000) - self._clock.epoch_ms())
        before, self._last = self._last, found
        if before is None or abs(found - before) > TOLERATED:
            return
        was_off, self.offset = bool(self.offset), found if abs(found) > TOLERATED else timedelta(0)
        if self.offset and not was_off:
            action = "set the clock and start again; until then what is asked for is shifted by so much"
            _log.error("CLOCK_UNTRUSTED", seconds_behind=round(self.offset.total_seconds()), action=action)
        elif was_off and not self.offset:
            _log.info("clock_trusted")
