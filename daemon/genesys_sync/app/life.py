"""How the daemon lives: `run` until a signal ends it; one life under each set of settings; in it `_serve`, from the first open door to
drained; in that `_listen`, the feed."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio

from genesys_sync import __version__, governance, logs, sdnotify, sentry
from genesys_sync.app.composition import Ground, Parts, composed
from genesys_sync.audit import AuditEntry
from genesys_sync.backoff import delays
from genesys_sync.console import Console
from genesys_sync.errors import CredentialsRefused, GenesysSyncError, LedgerFull, PermanentError, TransientError, root_cause
from genesys_sync.feed.listener import Feed
from genesys_sync.health import HealthServer, LoopGuard
from genesys_sync.orders import Orders
from genesys_sync.settings import Settings, find_credentials, find_sentry_dsn

_log = logs.get_logger("app")


async def run(settings: Settings, *, base: Path, reload: Callable[[], Settings] | None = None) -> int:
    """The daemon, until SIGTERM or SIGINT; 0 after a clean drain. `base` is the folder from which handler files are named. `reload` gives
    the settings as they stand when SIGHUP comes; `Orders` says what becomes of them.

    A second signal cuts the drain short. Raises GenesysSyncError, one sentence, for what waiting cannot mend.
    """
    orders = Orders(reload)
    try:
        async with anyio.create_task_group() as signals:
            await signals.start(orders.obey, signals.cancel_scope)
            await _follow(settings, base, orders)
            signals.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise root_cause(group) from None
    _log.info("stopped")
    return 0


async def _follow(settings: Settings, base: Path, orders: Orders) -> None:
    """Life after life, each under the settings that the last SIGHUP brought. Those with which nothing can be opened are rejected, and the
    ones before stay in force."""
    before: Settings | None = None
    while True:
        orders.begin()
        try:
            await _live(settings, base, orders)
        except (GenesysSyncError, BaseExceptionGroup) as error:
            cause = root_cause(error) if isinstance(error, BaseExceptionGroup) else error
            if before is None or orders.serving or not isinstance(cause, GenesysSyncError):
                raise
            orders.reject(cause)
            settings, before = before, None
            continue
        if orders.following is None:
            return
        settings, before = orders.following, settings


async def _live(settings: Settings, base: Path, orders: Orders) -> None:
    """One life: everything opened, served until an order ends it, closed."""
    logs.configure(settings.log)
    credentials = find_credentials(settings.genesys)
    if credentials.source == "the environment" and "INVOCATION_ID" in os.environ:
        _log.warning("the OAuth client comes from the environment, which other programs can read; give it as systemd credentials")
    _report_errors(settings)
    try:
        async with composed(settings, credentials, base=base, orders=orders) as (ground, parts):
            await _serve(ground, parts, orders)
    finally:
        sentry.close()


def _report_errors(settings: Settings) -> None:
    dsn = find_sentry_dsn(settings.sentry)
    if dsn is not None:
        sentry.init(dsn.get_secret_value(), environment=settings.sentry.environment, release=f"genesys-sync@{__version__}")


async def _serve(ground: Ground, parts: Parts, orders: Orders) -> None:
    """From the first open door to drained. What surrounds the work begins before it and ends after it, so that health and metrics tell of
    the drain too."""
    await parts.sealer.open()
    await _audit(ground, "daemon.start")
    async with anyio.create_task_group() as surroundings:
        await _open_doors(ground, parts, surroundings)
        surroundings.start_soon(LoopGuard(parts.pulse, clock=ground.clock, metrics=ground.metrics).run)
        surroundings.start_soon(_feed_watchdog, ground, parts)
        surroundings.start_soon(_prove, ground, parts)
        surroundings.start_soon(_keep_tallies, ground)
        surroundings.start_soon(parts.visibility.run)
        surroundings.start_soon(parts.retention.run)
        async with anyio.create_task_group() as work:
            orders.work = work.cancel_scope
            await work.start(parts.dispatcher.run)
            orders.serving = True
            surroundings.start_soon(parts.sealer.run)
            async with anyio.create_task_group() as listening:
                listening.start_soon(_listen, ground, parts)
                if parts.watch is not None:
                    listening.start_soon(parts.watch.run)
                await orders.stop.wait()
                listening.cancel_scope.cancel()
            await parts.dispatcher.drain()
        await _audit(ground, "daemon.stop")
        await parts.sealer.turn()
        surroundings.cancel_scope.cancel()


async def _open_doors(ground: Ground, parts: Parts, surroundings: anyio.abc.TaskGroup) -> None:
    """Afterwards health, console and callbacks listen. Raises PortInUse, or ConfigurationError for an address that is not ours."""
    settings, condition = ground.settings, parts.condition
    console = Console.of(settings, clock=ground.clock, report=condition.report, condition=condition, clients=ground.platform.pool.clients)
    health = HealthServer(
        settings.health.address,
        report=condition.report,
        metrics=ground.metrics,
        pages=console.routes() if console is not None else (),
        hosts=settings.console.allow_hosts,
    )
    host, port = await surroundings.start(health.run)
    _log.info("health listens", address=f"{host}:{port}")
    if console is not None:
        surroundings.start_soon(console.run)
    if parts.callbacks is not None:
        host, port = await surroundings.start(parts.callbacks.run)
        _log.info("callbacks are taken", address=f"{host}:{port}")


async def _feed_watchdog(ground: Ground, parts: Parts) -> None:
    await sdnotify.feed(parts.pulse.well, sleep=ground.clock.sleep)


async def _prove(ground: Ground, parts: Parts) -> None:
    await parts.condition.prove(ground.ledger, ground.storage, clock=ground.clock)


async def _keep_tallies(ground: Ground) -> None:
    await governance.keep(ground.ledger, ground.metrics, ground.settings.costs, clock=ground.clock)


async def _listen(ground: Ground, parts: Parts) -> None:
    """Learn whose events these are, then hold the feed; a platform that is away is waited for."""
    platform, clock, settings = ground.platform, ground.clock, ground.settings
    for pause in delays(base=2, cap=60, random=random.random):
        try:
            await platform.identify()
            break
        except (TransientError, PermanentError) as error:  # a gateway that redirects or denies may be mended as well
            wait = max(1.0, pause)
            _log.warning("the platform does not answer", error=error.reason, again_in=f"{wait:.0f}s")
            sdnotify.notify(READY=1, STATUS="waiting for the platform")
            await clock.sleep(wait)
    with suppress(TransientError, CredentialsRefused):  # asked again soon; until then what is fetched counts as of an unknown variant
        await parts.visibility.look_at_grants()
    _log.info("running", organization_id=platform.organization_id)
    sdnotify.notify(READY=1, STATUS="running")
    feed = Feed(
        platform=platform,
        ledger=ground.ledger,
        router=ground.router,
        clock=clock,
        settings=settings.feed,
        metrics=ground.metrics,
        book=settings.channel_book,
        kept=settings.kept_frames,
        held=settings.channel_book.with_suffix(".held"),
        redactor=ground.redactor,
    )
    parts.condition.feed = feed
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(platform.pool.run, platform.organization_id)
        await feed.run()


async def _audit(ground: Ground, action: str) -> None:
    """That this process began or ended its work; after a kill the end is missing, which tells of the kill."""
    facts = {"release": __version__, "pid": os.getpid()}
    entry = AuditEntry(at=ground.clock.now(), actor="app", action=action, target=socket.gethostname(), outcome="success", facts=facts)
    try:
        await ground.ledger.record_audit([entry])
    except LedgerFull as error:
        _log.warning("ledger full: an audit entry is left out", action=action, error=str(error))
