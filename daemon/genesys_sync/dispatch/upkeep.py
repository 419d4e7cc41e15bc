"""What keeps the deliveries moving beside the dispatcher's loop: leases, deliveries whose process died, new handlers, gauges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.dispatch.runs import Runs
from genesys_sync.dispatch.verdicts import dead_letter_entry, dead_lettered
from genesys_sync.errors import LedgerFull, ReasonCode
from genesys_sync.ledger.base import Counts, DeliveryRecord, DeliveryState, Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.settings import DispatchSettings
from genesys_sync.units import milliseconds

CRASHES_OF_RESUMABLE: Final = 1000
"""In a row, of a handler whose runs go on where they were: it is not what kills the process."""

GAUGES_EVERY: Final = 10.0
"""Seconds between two readings of the ledger's counts."""

_log = get_logger("dispatch.upkeep")


class Upkeep:
    """The upkeep of one dispatcher. Its loops run until cancelled; a ledger without space is waited for."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        handlers: Sequence[LoadedHandler],
        router: Router,
        clock: Clock,
        metrics: Metrics,
        settings: DispatchSettings,
        runs: Runs,
    ) -> None:
        self._ledger = ledger
        self._handlers = handlers
        self._router = router
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._runs = runs
        lenient = max(settings.max_crashes, CRASHES_OF_RESUMABLE)
        self._max_crashes_of = {loaded.name: lenient for loaded in handlers if loaded.handler.resumable}

    async def welcome_new_handlers(self) -> None:
        """A handler that never had a delivery gets one for each event of its topics recorded within its time limit.

        So no event falls between two versions of the settings. Called again, it finds nothing new.
        """
        now_ms = self._clock.epoch_ms()
        known = (await self._ledger.counts(now_ms=now_ms)).deliveries
        for loaded in self._handlers:
            if loaded.name not in known:
                since_ms = now_ms - milliseconds(loaded.policy.time_limit)
                added = await self._ledger.add_deliveries(loaded.name, loaded.topics, since_ms=since_ms, now_ms=now_ms)
                if added:
                    _log.info("new handler receives earlier events", handler=loaded.name, deliveries=added)

    async def take_over(self) -> None:
        """In a ledger that only one process can hold, what is leased before the first claim belonged to a process that has died."""
        if self._ledger.exclusive:
            while await self._return_expired(abandoned=True):
                pass

    async def keep_leases(self) -> None:
        """Every half lease: prolong those of our runs, cancel the runs whose lease is lost, return what dead processes left."""
        while True:
            try:
                await self._renew()
                await self._return_expired()
            except LedgerFull as error:
                _log.warning("ledger full: leases cannot be written", error=str(error))
            await self._clock.sleep(self._settings.lease.total_seconds() / 2)

    async def keep_gauges(self) -> None:
        """Every `GAUGES_EVERY` seconds: what the ledger holds, as gauges."""
        while True:
            now_ms = self._clock.epoch_ms()
            self._show(await self._ledger.counts(now_ms=now_ms), now_ms)
            await self._clock.sleep(GAUGES_EVERY)

    async def _renew(self) -> None:
        """Our own leases come before `_return_expired`: after a stall they are prolonged, not taken from ourselves."""
        runs = [run for run in self._runs if not run.lost]
        if not runs:
            return
        held = await self._ledger.renew(
            [run.claim for run in runs], now_ms=self._clock.epoch_ms(), lease_ms=milliseconds(self._settings.lease)
        )
        renewed = {(claim.delivery_id, claim.fence): claim for claim in held}
        current = set(self._runs)
        for run in runs:
            claim = renewed.get((run.claim.delivery_id, run.claim.fence))
            if claim is not None:
                run.claim = claim
            elif run in current and not run.writing:  # one that ends meanwhile gives its lease up, it does not lose it
                _log.error(
                    "lease lost: the run is cancelled and its result discarded", handler=run.claim.handler, delivery=run.claim.delivery_id
                )
                run.lose()

    async def _return_expired(self, *, abandoned: bool = False) -> int:
        at = self._clock.now()

        def announce(record: DeliveryRecord) -> list[RoutedEvent]:
            return self._router.route(
                dead_lettered(
                    record.event,
                    handler=record.handler,
                    delivery_id=record.delivery_id,
                    reason=record.reason or ReasonCode.HANDLER_CRASHED,
                    attempts=record.attempts,
                    at=at,
                )
            )

        returned = await self._ledger.return_expired(
            now_ms=self._clock.epoch_ms(),
            max_crashes=self._settings.max_crashes,
            max_crashes_of=self._max_crashes_of,
            announce=announce,
            audit=lambda record: [dead_letter_entry(record.delivery_id, record.handler, record.reason, record.attempts, at=at)],
            abandoned=abandoned,
        )
        for record in returned:
            facts = {"handler": record.handler, "delivery": record.delivery_id, "attempts": record.attempts}
            if record.state is DeliveryState.DEAD:
                _log.error("delivery is a dead letter: its process died each time", reason=str(record.reason), **facts)
                self._metrics.deliveries.labels(record.handler, "dead").inc()
            else:
                _log.warning("lease expired: the delivery is ready again", **facts)
                self._metrics.deliveries.labels(record.handler, "expired").inc()
        return len(returned)

    def _show(self, counts: Counts, now_ms: int) -> None:
        waiting, dead = self._metrics.deliveries_waiting, self._metrics.dead_letters
        waiting.clear()  # a handler that has left the ledger must not stand still at its last value
        dead.clear()
        for handler in {*counts.deliveries, *(loaded.name for loaded in self._handlers)}:
            states = counts.deliveries.get(handler, {})
            for state in (DeliveryState.READY, DeliveryState.LEASED):
                waiting.labels(handler, str(state)).set(states.get(state, 0))
            dead.labels(handler).set(states.get(DeliveryState.DEAD, 0))
        overdue_ms = 0 if counts.oldest_ready_ms is None else max(0, now_ms - counts.oldest_ready_ms)
        self._metrics.backlog_seconds.set(overdue_ms / 1000)
        self._metrics.gaps_open.set(counts.open_gaps)
