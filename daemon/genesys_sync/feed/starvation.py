"""Quiet told from dead: a stream that brings heartbeats but no events, while analytics shows that there should have been some. Pure."""

from __future__ import annotations

from typing import Final

CALLS: Final = 3
"""So many conversations must have ended unheard: one alone may be a matter of two clocks."""
_KEPT: Final = 1000


class Starvation:
    """One shard's stream. Times are `Clock.epoch_ms`; `after` is in seconds, and so is `margin`, by which the platform's clock may differ
    from ours. `heard_ms` is when it last brought an event, or went live."""

    def __init__(self, *, after: float, margin: float = 60.0) -> None:
        self.heard_ms = 0
        self._after_ms = round(after * 1000)
        self._margin_ms = round(margin * 1000)
        self._since_ms: int | None = None
        self._unheard: set[str] = set()
        self.starved = False
        """It brought nothing when it should have; until the next event comes."""

    def live(self, now_ms: int) -> None:
        """A connection went live: what ended before does not speak against it."""
        self.heard_ms = self._since_ms = now_ms
        self._unheard.clear()

    def dark(self) -> None:
        """No connection is live: nothing can be expected."""
        self._since_ms = None

    def event(self, now_ms: int) -> None:
        """An event came."""
        self.heard_ms = self._since_ms = now_ms
        self._unheard.clear()
        self.starved = False

    def ended(self, conversation_id: str, ended_ms: int, now_ms: int) -> bool:
        """Analytics shows an end that this stream must have told of. True when that makes it starved: once for each silence."""
        if self._since_ms is None or now_ms - self._since_ms < self._after_ms or ended_ms < self._since_ms + self._margin_ms:
            return False
        if len(self._unheard) < _KEPT:
            self._unheard.add(conversation_id)
        if len(self._unheard) != CALLS:
            return False
        self.starved = True
        self._since_ms = now_ms
        self._unheard.clear()
        return True
