"""How the daemon is: what it proves again and again, and the report that the health listener answers with."""

from __future__ import annotations

from dataclasses import dataclass

from genesys_sync import logs
from genesys_sync.clock import Clock
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.errors import LedgerError, LedgerSyncFailed, StorageError
from genesys_sync.feed.listener import Feed
from genesys_sync.feed.retention import Retention
from genesys_sync.genesys.pool import Pool
from genesys_sync.genesys.visibility import Visibility
from genesys_sync.health import HealthReport, Pulse
from genesys_sync.ledger.base import Ledger
from genesys_sync.orders import Orders
from genesys_sync.sealing import Sealer
from genesys_sync.settings import FeedSettings
from genesys_sync.storage.local import LocalStorage

_log = logs.get_logger("app")

PROVE_EVERY = 10.0
"""Seconds between two proofs that the ledger can be written and that the archive has room."""


@dataclass(slots=True)
class Condition:
    """Those who know how their part is, and what the proofs found last. `unsafe`: ledger or archive lie where what is committed need not
    last. `feed` is None until it is known whose events it brings."""

    settings: FeedSettings
    pool: Pool
    dispatcher: Dispatcher
    pulse: Pulse
    visibility: Visibility
    retention: Retention
    sealer: Sealer
    orders: Orders
    unsafe: bool
    feed: Feed | None = None
    ledger_writable: bool = True
    archive_full: bool = False

    async def prove(self, ledger: Ledger, storage: LocalStorage, *, clock: Clock) -> None:
        """Keep knowing whether the ledger takes writes and whether the archive has room, until cancelled. Raises LedgerSyncFailed, after
        which the process must end."""
        while True:
            self.ledger_writable = await _writable(ledger)
            try:
                await storage.scratch.room()
                self.archive_full = False
            except StorageError as error:
                if not self.archive_full:
                    _log.error("the archive takes nothing more", error=str(error))
                self.archive_full = True
            await clock.sleep(PROVE_EVERY)

    def report(self) -> HealthReport:
        """Ready: the ledger takes writes, and events flow or will again within the tolerance. Alive: nothing stands still."""
        feed = self.feed.state if self.feed is not None else None
        stalled = self.pulse.reasons()
        flowing = feed is not None and feed.ready(self.settings.ready_within)
        found = {
            "ledger_not_writable": not self.ledger_writable,
            "archive_full": self.archive_full,
            "data_dir_unsafe": self.unsafe,
            "audit_not_sealed": bool(self.sealer.waits),
            "no_events": not flowing,
            "work_forbidden": bool(self.dispatcher.forbidden),
            "topics_refused": feed is not None and feed.rejected > 0,
            "topics_left_out": feed is not None and feed.left_out > 0,
            "live_refused": feed is not None and bool(feed.live_refused),
            "live_left_out": feed is not None and feed.live_left_out > 0,
            "backfill_refused": feed is not None and bool(feed.backfill_refused),
            "sensitive_not_visible": self.visibility.sensitive is False,
            "retention_near": self.retention.near > 0,
            "config_rejected": self.orders.rejected,
            "clock_off": bool(self.pool.clock_offset),
            "client_out": feed is not None and any(not member.usable for member in self.pool.members),
        }
        facts: dict[str, int | str] = {"running": sum(self.dispatcher.running.values())}
        if feed is not None:
            facts |= {
                "connected": int(feed.connected),
                "last_ending": feed.cause,
                "topics": feed.permitted,
                "open_gaps": feed.open_gaps,
                "reconnecting_seconds": round(feed.reconnecting_for),
            }
        return HealthReport(
            live=not stalled,
            ready=self.ledger_writable and flowing,
            reasons=(*stalled, *(code for code, true in found.items() if true), *(feed.alerts if feed is not None else ())),
            facts=facts,
        )


async def _writable(ledger: Ledger) -> bool:
    try:
        await ledger.ping()
    except LedgerSyncFailed:
        raise
    except LedgerError as error:
        _log.error("the ledger cannot be written", error=str(error))
        return False
    return True
