"""How long a shard rests before it tries again, so that those who were sent away together do not come back together. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from genesys_sync.backoff import delays, place_in_line
from genesys_sync.feed.protocol import LONG_LIVED, Ending
from genesys_sync.settings import FeedSettings

SPREAD: Final = 2.0
"""Seconds over which the first attempts are spread after a good connection that broke without a word."""
CROWD_WINDOW: Final = 0.45
"""The share of `backoff_cap` over which everybody's attempts are spread after the platform sent everybody away. With the cap of 60 s twenty
daemons make fewer than one attempt a second in all, and each is back 27 s after the platform at the latest."""


class Rests:
    """Told of every ending of one shard, in their order."""

    def __init__(self, settings: FeedSettings, *, random: Callable[[], float]) -> None:
        self._base = settings.backoff_base.total_seconds()
        self._cap = settings.backoff_cap.total_seconds()
        self._random = random
        self._turn = 0
        self._restart()

    def after(self, ending: Ending, *, live_for: float) -> float:
        """Seconds to rest now. `live_for`: for how long the connection that ended was live; 0 where there was none."""
        proven = live_for > LONG_LIVED
        if proven:
            self._restart()
        if not ending.crowd:
            self._turn = 0
            return max(self._random() * SPREAD if proven else next(self._waits), ending.wait)
        self._turn += 1
        return place_in_line(self._turn, window=self._cap * CROWD_WINDOW, told=ending.wait, random=self._random)

    def _restart(self) -> None:
        self._waits = delays(base=self._base, cap=self._cap, random=self._random)
        self._turn = 0
