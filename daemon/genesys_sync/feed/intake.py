"""The bounded step between feed and ledger: events wait here for their commit, and nothing counts before it.

Bounded by bytes: when full, the connection stops reading. The watermark moves with the commit of everything that was heard before
it, and by itself at most every ten seconds when there was nothing to record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import islice
from typing import Final

import anyio

from genesys_sync.clock import Clock
from genesys_sync.errors import LedgerFull
from genesys_sync.events import Event
from genesys_sync.feed.endings import Told, numbered
from genesys_sync.ledger.base import Ledger
from genesys_sync.logs import get_logger
from genesys_sync.routing import Router

STREAM: Final = "feed"
WATERMARK_EVERY: Final = 10.0
_FULL_RETRY: Final = 5.0
_BATCH_EVENTS: Final = 500
_FLUSH_WITHIN: Final = 5.0

_log = get_logger("feed.intake")


class Intake:
    """Filled by the reader, emptied by `run`, which must be running. `limit` is in bytes of frames."""

    def __init__(
        self, *, ledger: Ledger, router: Router, clock: Clock, limit: int, upstream: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`upstream` returns, once we are cancelled, when nothing more is added."""
        self._upstream = upstream
        self._ledger = ledger
        self._router = router
        self._clock = clock
        self._limit = limit
        self._waiting: deque[tuple[Told, int]] = deque()
        self._bytes = 0
        self._ledger_full = False
        self._heard_ms: int | None = None
        self._written_ms = 0
        self._wake = anyio.Event()
        self._room = anyio.Event()

    @property
    def full(self) -> bool:
        """Reading must stop: the limit is reached, or the ledger has no space."""
        return self._ledger_full or self._bytes >= self._limit

    @property
    def empty(self) -> bool:
        """Everything that was added is in the ledger."""
        return not self._waiting

    @property
    def ledger_full(self) -> bool:
        """The ledger's file system has no space; what is in hand is kept and tried again."""
        return self._ledger_full

    @property
    def heard_ms(self) -> int | None:
        """Up to when everything was heard (`Clock.epoch_ms`); None before the first frame."""
        return self._heard_ms

    def add(self, event: Event, size: int, *, left: datetime | None = None) -> None:
        """Take an event in hand; `left` as in `Told`. Never refuses: whoever adds looks at `full` before reading on."""
        self._waiting.append((Told(event, left), size))
        self._bytes += size
        self._wake.set()

    def heard(self, up_to_ms: int) -> None:
        """Everything that was said until then (`Clock.epoch_ms`) has been added: the watermark may move there. It never moves back."""
        self._heard_ms = max(self._heard_ms or 0, up_to_ms)
        if self._heard_ms - self._written_ms >= WATERMARK_EVERY * 1000:
            self._wake.set()

    async def room(self) -> None:
        """Return when no longer full."""
        while self.full:
            await self._room.wait()

    async def run(self) -> None:
        """Commit what comes, batch after batch, until cancelled; then what is in hand is committed once more, for 5 s at most.
        What is not committed by then was never received: the watermark stays before it. Raises LedgerError, but for a full disk,
        which is waited out."""
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._due():
                    if not await self._commit():
                        await self._clock.sleep(_FULL_RETRY)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FLUSH_WITHIN, shield=True):
                if self._upstream is not None:
                    await self._upstream()
                while self._waiting and await self._commit():
                    pass
            raise

    def _due(self) -> bool:
        return bool(self._waiting) or (self._heard_ms or 0) - self._written_ms >= WATERMARK_EVERY * 1000

    async def _commit(self) -> bool:
        """Commit one batch; False when the ledger has no space for it, and then it is still in hand."""
        batch = list(islice(self._waiting, _BATCH_EVENTS))
        # Only a batch that takes everything in hand may carry the mark: what waits behind it was heard before the mark as well.
        mark = self._heard_ms if len(batch) == len(self._waiting) else None
        try:
            routed = self._router.route(await numbered(self._ledger, [told for told, _ in batch]))
            await self._ledger.append(routed, watermark=None if mark is None else (STREAM, mark))
        except LedgerFull:
            if not self._ledger_full:
                _log.error("ledger_full", action="reading stops; what is in hand is kept and tried again", events=len(self._waiting))
            self._ledger_full = True
            return False
        if self._ledger_full:
            _log.info("ledger_has_room", events=len(batch))
        self._ledger_full = False
        for _, size in batch:
            self._waiting.popleft()
            self._bytes -= size
        if mark is not None:
            self._written_ms = mark
        if not self.full:
            self._room.set()
            self._room = anyio.Event()
        return True
