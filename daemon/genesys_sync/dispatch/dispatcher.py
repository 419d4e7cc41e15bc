"""Claims deliveries, runs handlers, writes the verdicts back.

claim only what there is a free slot for ─► run ─► settle: one commit with what it emitted and audited
    ▲                                                  │
    └── a hint from the ledger · the next due time · a free slot · at latest every `poll` ──┘
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from genesys_sync.clock import Clock
from genesys_sync.dispatch.execution import STUCK_AFTER, Execution, Finished, entered
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.dispatch.runs import Run, Runs, age_of_call
from genesys_sync.dispatch.upkeep import Upkeep
from genesys_sync.errors import ConfigurationError, LedgerFull
from genesys_sync.ledger.base import Claim, DeliveryState, Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.services import Services
from genesys_sync.settings import DispatchSettings
from genesys_sync.units import milliseconds

WRITE_LIMIT: Final = 10.0
"""Seconds that writing a verdict or a release may take while everything else is being cancelled; then the lease's end settles it."""

SHORTEST_TURN: Final = 0.05
"""Seconds between two claims when the ledger says that something is due, and claiming it gives nothing."""

_log = get_logger("dispatch")


class Dispatcher:
    """One process's dispatcher.

    turned_at   `clock.monotonic()` of the loop's last turn; it turns at least every `settings.poll`, while draining too
    running     runs in progress by handler
    random      the source of jitter that was given
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        handlers: Sequence[LoadedHandler],
        router: Router,
        services: Services,
        clock: Clock,
        metrics: Metrics,
        settings: DispatchSettings,
        worker: str,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._ledger = ledger
        self._handlers = {loaded.name: loaded for loaded in handlers}
        self._services = services
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._worker = worker
        self.random = random
        self._lease_ms = milliseconds(settings.lease)
        self._runs = Runs({loaded.name: loaded.policy.concurrency for loaded in handlers})
        self._execution = Execution(handlers=self._handlers, router=router, clock=clock, random=random)
        self._upkeep = Upkeep(
            ledger=ledger, handlers=handlers, router=router, clock=clock, metrics=metrics, settings=settings, runs=self._runs
        )
        self._wake = anyio.Event()
        self._stopping = False
        self._ledger_full = False
        self._started = False
        self._ended = anyio.Event()
        self.turned_at = clock.monotonic()

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Handlers that the platform forbids everything: see `Runs.forbidden`."""
        return self._runs.forbidden

    @property
    def running(self) -> Mapping[str, int]:
        return self._runs.counts

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Open the handlers, then work until `drain` is called; `started` is reported when the first claim is about to be made.

        Returns when drained: no run is in progress, each has settled or is released, the handlers are closed. Cancelled, it
        does the same without patience. Runs once. Raises ConfigurationError or HandlerNotStarted when a handler cannot be
        opened (those before it are closed again), and groups with LedgerError when the ledger cannot be trusted any more.
        """
        self._started = True
        try:
            async with AsyncExitStack() as opened:
                await self._open(opened)
                await self._upkeep.take_over()
                await self._upkeep.welcome_new_handlers()
                task_status.started()
                async with anyio.create_task_group() as surroundings:
                    surroundings.start_soon(self._upkeep.keep_leases)
                    surroundings.start_soon(self._upkeep.keep_gauges)
                    surroundings.start_soon(self._listen)
                    async with anyio.create_task_group() as runs:
                        await self._claim_and_run(runs)
                        surroundings.start_soon(self._end_patience)
                    surroundings.cancel_scope.cancel()
        finally:
            self._ended.set()

    async def drain(self) -> None:
        """Claim nothing more, wait until `run` has ended: running handlers have `settings.drain` to finish, then they are cancelled
        and their deliveries released, uncounted. Called twice, or before `run`, it is the same drain."""
        self._stopping = True
        self._wake.set()
        if self._started:
            await self._ended.wait()

    async def _open(self, opened: AsyncExitStack) -> None:
        """Raises ConfigurationError with the faults of all handlers, or HandlerNotStarted."""
        problems: list[str] = []
        for loaded in self._handlers.values():
            try:
                await opened.enter_async_context(entered(loaded, self._services))
            except ConfigurationError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigurationError(problems)

    # --- the loop

    async def _claim_and_run(self, runs: TaskGroup) -> None:
        while not self._stopping:
            self.turned_at = self._clock.monotonic()
            self._wake = anyio.Event()  # before the claim: what happens during it must not be missed
            for claim in await self._claim():
                run = Run(claim)
                self._runs.add(run)
                runs.start_soon(self._run, run)
            if not self._stopping:
                await self._wait()

    async def _claim(self) -> list[Claim]:
        free = self._runs.free()
        if not free:
            return []
        claims: list[Claim] = []
        try:
            # cut short, a claim might have leased what nobody then runs or releases
            with anyio.move_on_after(WRITE_LIMIT, shield=True):
                claims = await self._ledger.claim(free, worker=self._worker, now_ms=self._clock.epoch_ms(), lease_ms=self._lease_ms)
            self._ledger_full = False
        except LedgerFull as error:
            if not self._ledger_full:  # once, or the log would help to fill the disk
                _log.warning("ledger full: nothing can be claimed", error=str(error))
            self._ledger_full = True
        return claims

    async def _wait(self) -> None:
        """Until something may have become possible; at most `settings.poll`."""
        free = self._runs.free()
        seconds = self._settings.poll.total_seconds()
        due_ms = await self._ledger.next_due(list(free)) if free else None
        if due_ms is not None and not self._ledger_full:
            seconds = min(seconds, max((due_ms - self._clock.epoch_ms()) / 1000, SHORTEST_TURN))
        wake = self._wake
        async with anyio.create_task_group() as timer:
            timer.start_soon(self._wake_after, seconds, wake)
            await wake.wait()
            timer.cancel_scope.cancel()

    async def _wake_after(self, seconds: float, wake: anyio.Event) -> None:
        await self._clock.sleep(seconds)
        wake.set()

    async def _listen(self) -> None:
        """The ledger's hints wake the loop."""
        while True:
            await self._ledger.wait_for_ready()
            self._wake.set()

    # --- one run

    async def _run(self, run: Run) -> None:
        handler = run.claim.handler
        self._metrics.deliveries_running.labels(handler).inc()
        try:
            outcome = await self._conclude(run, await self._executed(run))
            self._metrics.deliveries.labels(handler, outcome).inc()
            if outcome == DeliveryState.DONE and (age := age_of_call(run.claim.event, now=self._clock.now())) is not None:
                self._metrics.done_after_call_seconds.labels(handler).observe(age)
        except anyio.get_cancelled_exc_class():
            await self._release(run)
            raise
        finally:
            self._runs.remove(run)
            self._metrics.deliveries_running.labels(handler).dec()
            self._wake.set()

    async def _executed(self, run: Run) -> Finished | None:
        """How the handler ended; None when this run was cancelled (lost or handed back) and it obeyed."""
        started = self._clock.monotonic()
        finished: Finished | None = None
        with run.scope:
            finished = await self._execution.execute(run.claim)
        self._metrics.delivery_seconds.labels(run.claim.handler).observe(self._clock.monotonic() - started)
        return finished

    async def _conclude(self, run: Run, finished: Finished | None) -> str:
        """Write down how the run ended; returns the outcome's label."""
        while finished is not None and not run.lost:
            try:
                settled = await self._settled(run, finished)
            except LedgerFull as error:
                # the work is done and must not be repeated for want of space: the lease is kept and the verdict offered again
                _log.warning("ledger full: a verdict waits to be written", delivery=run.claim.delivery_id, error=str(error))
                if run.handed_back:
                    break
                await self._clock.sleep(self._settings.poll.total_seconds())
            else:
                if not settled:
                    return "lost"
                self._runs.ended(run.claim.handler, finished.verdict, news=bool(finished.emitted))
                return finished.outcome
        if run.lost:
            return "lost"
        await self._release(run)
        return "released"

    async def _settled(self, run: Run, finished: Finished) -> bool:
        """Write the verdict, uncut by cancellation; False when the lease was lost or the ledger took too long."""
        claim = run.claim
        settled: bool | None = None
        run.writing = True
        try:
            with anyio.move_on_after(WRITE_LIMIT, shield=True):
                settled = await self._ledger.settle(
                    claim, finished.verdict, now_ms=self._clock.epoch_ms(), emitted=finished.emitted, audit=finished.audit
                )
        finally:
            run.writing = False
        if settled is None:
            _log.error("verdict not written in time: the delivery runs again when its lease ends", delivery=claim.delivery_id)
        elif not settled:
            _log.warning("lease lost: the result is discarded", handler=claim.handler, delivery=claim.delivery_id)
        return bool(settled)

    async def _release(self, run: Run) -> None:
        """Hand the delivery back, uncut by cancellation; when that cannot be written the lease's end does it."""
        if run.lost:
            return
        released = False
        with anyio.move_on_after(WRITE_LIMIT, shield=True):
            try:
                await self._ledger.release([run.claim], now_ms=self._clock.epoch_ms())
            except LedgerFull:
                return
            released = True
        if not released:
            _log.error("delivery not released in time: it waits until its lease ends", delivery=run.claim.delivery_id)

    # --- the end

    async def _end_patience(self) -> None:
        """While draining: after `settings.drain` cancel what still runs, and report what does not end even then."""
        deadline = self._clock.monotonic() + self._settings.drain.total_seconds()
        while (left := deadline - self._clock.monotonic()) > 0:
            self.turned_at = self._clock.monotonic()
            await self._clock.sleep(min(left, self._settings.poll.total_seconds()))
        _log.warning("drain time is over: what still runs is handed back", running=len(self._runs))
        for run in self._runs:
            run.hand_back()
        await self._clock.sleep(STUCK_AFTER)
        for run in self._runs:
            _log.error("handler is stuck: it goes on although cancelled", handler=run.claim.handler, delivery=run.claim.delivery_id)
