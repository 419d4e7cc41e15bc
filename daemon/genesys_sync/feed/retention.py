"""What the platform is about to delete and we do not have yet: told in time for somebody to act.

Two sources, because neither knows all. The ledger knows the `deleteDate` of everything that waits to be fetched. The platform's retention
query also knows of recordings that never became ready; of these only conversations that the ledger follows count, because what ended
before the daemon's first start is nobody's promise. Where the query is refused, the ledger's knowledge is what there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.events import Topic, iso
from genesys_sync.ledger.base import Expiring, Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.units import milliseconds

FIRST: Final = 60.0
"""Seconds after the start."""
EVERY: Final = 3600.0
AGAIN: Final = 120.0
"""Seconds until the next question after one that was not answered."""
_AT_ONCE: Final = 500
_NAMED_MAX: Final = 50
_MOST: Final = 10_000
_DAY: Final = timedelta(days=1)

_log = get_logger("retention")


class Query(Protocol):
    """What is asked of the platform; `genesys.retention.RetentionQuery` offers it."""

    async def within(self, days: int) -> tuple[list[tuple[str, str, datetime]], bool]: ...


class Retention:
    """`near` is how many recordings are in danger, as of the last look."""

    def __init__(self, *, query: Query, ledger: Ledger, clock: Clock, alert: timedelta, metrics: Metrics) -> None:
        self._query = query
        self._ledger = ledger
        self._clock = clock
        self._alert = alert
        self._metrics = metrics
        self._told: frozenset[str] = frozenset()
        self._refused = False
        self.near = 0

    async def run(self) -> None:
        """Look every hour, until cancelled. Raises LedgerError."""
        await self._clock.sleep(FIRST)
        while True:
            await self._clock.sleep(EVERY if await self.look() else AGAIN)

    async def look(self) -> bool:
        """Afterwards `near` and the metric are what is known now, and what is new among it is in the log. False where the platform did
        not answer, so that only the ledger's knowledge counts. Raises LedgerError."""
        now = self._clock.epoch_ms()
        before = now + milliseconds(self._alert)
        found = {one.recording_id: one for one in await self._ledger.expiring(before_ms=before, limit=_MOST) if one.delete_ms > now}
        answered = True
        try:
            listed, whole = await self._query.within(math.ceil(self._alert / _DAY))
        except TransientError as error:
            _log.debug("retention_unknown", reason=error.reason)
            answered, listed, whole = False, [], True
        except PermanentError as error:
            if not self._refused:
                _log.info("retention_not_visible", reason=error.reason, instead="the dates that discover found")
            self._refused, listed, whole = True, [], True
        if not whole:
            _log.warning("retention_not_whole", read=len(listed))
        of_platform = [Expiring(cid, rid, round(date.timestamp() * 1000)) for cid, rid, date in listed]
        for one in await self._followed([one for one in of_platform if now < one.delete_ms < before]):
            found.setdefault(one.recording_id, one)
        self._tell(sorted(found.values(), key=lambda one: one.delete_ms))
        return answered

    async def _followed(self, listed: Sequence[Expiring]) -> list[Expiring]:
        """Those of conversations that the ledger knows, which are not archived."""
        left = []
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            facts = await self._ledger.facts_of(sorted({one.conversation_id for one in some}))
            for one in some:
                known = facts.get(one.conversation_id)
                archived = {fact.event.recording_id for fact in known or () if fact.event.topic == Topic.MEDIA_ARCHIVED}
                if known is not None and one.recording_id not in archived:
                    left.append(one)
        return left

    def _tell(self, near: Sequence[Expiring]) -> None:
        self.near = len(near)
        self._metrics.retention_near.set(len(near))
        if new := [one for one in near if one.recording_id not in self._told]:
            nearest = iso(datetime.fromtimestamp(near[0].delete_ms / 1000, UTC))
            ids = [one.recording_id for one in new[:_NAMED_MAX]]
            _log.error("retention_near", total=len(near), new=len(new), nearest=nearest, recordings=ids)
        self._told = frozenset(one.recording_id for one in near)
