"""Who else holds the ledger, for a command that works without a daemon and waits beside one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.ledger import holder
from genesys_sync.locks import Holder

ABSENT_SECONDS: Final = 15.0
"""For so long no daemon must be found: one that is only being restarted shall have its ledger back."""


class Other:
    """The daemon, or the other command, that holds the ledger now. `daemon` also where nobody is found: it may be being restarted."""

    def __init__(self, look: Callable[[], Holder | None], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._seen_at = clock.monotonic()
        self.holder = look()
        self.daemon = self.holder is None or self.holder.daemon

    @classmethod
    def of(cls, url: str, clock: Clock) -> Other:
        """Whoever holds the ledger at this URL."""
        return cls(partial(holder, url), clock)

    def gone(self) -> bool:
        """Whether it has ended for good. To be asked before each look at the work: whoever ends in between has written what it did."""
        now = self._look()
        if not self.daemon:
            return now != self.holder
        if now is not None and now.daemon:
            self._seen_at = self._clock.monotonic()
        return self._clock.monotonic() - self._seen_at >= ABSENT_SECONDS
