"""What the console reads, at a cost that has a bound: nothing while nobody looks, and at most a share of the time while somebody does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Final, Generic, TypeVar

import anyio
from anyio import to_thread

from genesys_sync.clock import Clock
from genesys_sync.completeness import PlatformSays, Roles, Tally, judge
from genesys_sync.disk import free_bytes
from genesys_sync.errors import LedgerError, ReasonCode
from genesys_sync.feed.intake import STREAM
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Fact
from genesys_sync.logs import get_logger
from genesys_sync.overview import Overview, look
from genesys_sync.reckoning import ended_between, orphans_between
from genesys_sync.settings import Settings
from genesys_sync.uploading import UploadState, state_of

FRESH: Final = 2.0
"""Seconds for which a reading serves whoever asks."""
SHARE: Final = 0.05
"""Of the time a reading may take up so much: the longer it takes, the longer it serves."""
PATIENCE: Final = 1.0
"""Seconds that somebody who asks waits for a newer reading; then the one before has to do."""
UPLOADS: Final = 100
"""So many of the latest uploads are counted by how they stand."""

T = TypeVar("T")
_log = get_logger("console")


class Spared(Generic[T]):
    """A value that costs something to get. `run` gets it when it is asked for; `latest` is None before the first time, and `failed` says
    that the last try brought none."""

    def __init__(self, read: Callable[[], Awaitable[T]], *, clock: Clock) -> None:
        self.latest: T | None = None
        self.failed = False
        self._read = read
        self._clock = clock
        self._asked = anyio.Event()
        self._answered = anyio.Event()
        self._rests = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._asked.wait()
            begun = self._clock.monotonic()
            try:
                self.latest = await self._read()
                self.failed = False
            except LedgerError as error:
                if not self.failed:
                    _log.warning("the console cannot read the ledger", error=str(error))
                self.failed = True
            took = self._clock.monotonic() - begun
            self._rests = True
            self._answered.set()
            self._answered = anyio.Event()
            await self._clock.sleep(max(FRESH, took * (1 / SHARE - 1)))
            self._asked = anyio.Event()
            self._rests = False

    async def get(self) -> T | None:
        """The value, as fresh as it may be had; after `PATIENCE` the one before."""
        if not self._rests:
            self._asked.set()
            with anyio.move_on_after(PATIENCE):
                await self._answered.wait()
        return self.latest


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger and the disks, at one time.

    dead      dead letters by handler and reason
    uploads   the latest `UPLOADS` uploads by how they stand
    sealed    audit entries that lie in files
    checkpointed  audit entries that the last checkpoint covers
    ledger_bytes  what the ledger takes of its disk
    free      bytes that may still be written to the archive's disk; None where that cannot be told
    """

    overview: Overview
    dead: Mapping[tuple[str, ReasonCode], int]
    uploads: Mapping[UploadState, int]
    sealed: int
    checkpointed: int
    ledger_bytes: int
    free: int | None


async def read_books(settings: Settings, clock: Clock) -> Books:
    """As `status` reads them: on a connection of its own, so that the daemon's work waits for nobody who looks. Raises LedgerError."""
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        overview = await look(ledger, stream=STREAM, now_ms=clock.epoch_ms(), costs=settings.costs)
        dead = await ledger.dead_reasons()
        uploads = await ledger.uploads(limit=UPLOADS)
        seal = await ledger.seal()
        checkpointed = await ledger.checkpointed()
        size = (await ledger.statistics())["file_bytes"]
    return Books(
        overview=overview,
        dead=dead,
        uploads=Counter(state_of(upload.asked.deliveries, upload.outcome) for upload in uploads),
        sealed=seal.size,
        checkpointed=checkpointed,
        ledger_bytes=size,
        free=await to_thread.run_sync(_free, settings.storage.root),
    )


@dataclass(frozen=True, slots=True)
class Day:
    """What `report --offline` would say of the time from `start` to `end`."""

    start: datetime
    end: datetime
    tally: Tally


async def read_day(settings: Settings, clock: Clock) -> Day:
    """The present day (UTC) up to now, judged conversation by conversation, in a worker thread. Raises LedgerError."""
    end = clock.now().astimezone(UTC)
    start = datetime.combine(end.date(), time(), UTC)
    roles = Roles.of({name: handler.use for name, handler in settings.handlers.items()})
    tally = Tally()
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        async for ended in ended_between(ledger, _ms(start), _ms(end)):
            facts = await ledger.facts_of(list(ended))
            await to_thread.run_sync(_judge, tally, ended, facts, roles)
        async for item in orphans_between(ledger, start, end, roles):
            tally.add_orphan(item)
    return Day(start, end, tally)


def _judge(tally: Tally, ended: Mapping[str, int], facts: Mapping[str, list[Fact]], roles: Roles) -> None:
    for conversation_id, ended_ms in ended.items():
        moment = datetime.fromtimestamp(ended_ms / 1000, UTC)
        tally.add(judge(conversation_id, moment, facts.get(conversation_id, ()), PlatformSays(), roles))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _free(root: Path) -> int | None:
    try:
        return free_bytes(root)
    except OSError:
        return None
