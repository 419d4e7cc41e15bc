"""The composition root: everything is opened here, runs in one task group, and is closed in the reverse order.

    start   settings are proved → ledger → archive → platform → handlers → health listener → dispatcher → sealer → feed → READY
    stop    STOPPING → feed → dispatcher drains → handlers → last seal → platform → ledger

The daemon does not end because the platform is away: it waits. It ends for what waiting cannot mend, with one sentence:
settings that cannot be used, an OAuth client that is refused at the start, a ledger or folder that cannot be written,
a port that is taken, an fsync that failed.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from genesys_sync import __version__, governance, logs, outbound, sdnotify, sentry
from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.backoff import delays
from genesys_sync.callbacks import CallbackServer
from genesys_sync.clock import Clock, SystemClock
from genesys_sync.console import Console
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.execution import DeliveryAudit, action_record
from genesys_sync.dispatch.providers import LoadedProvider, OpenProviders, load_providers
from genesys_sync.dispatch.registry import LoadedHandler, load_handlers
from genesys_sync.errors import (
    CredentialsRefused,
    GenesysSyncError,
    LedgerError,
    LedgerFull,
    LedgerSyncFailed,
    StorageError,
    TransientError,
    root_cause,
)
from genesys_sync.feed.listener import Feed
from genesys_sync.feed.orphans import take_in
from genesys_sync.feed.retention import Retention
from genesys_sync.genesys import platform as genesys_platform
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.genesys.visibility import Visibility
from genesys_sync.health import HealthReport, HealthServer, LoopGuard, Pulse
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Ledger
from genesys_sync.locks import DAEMON
from genesys_sync.metrics import Metrics
from genesys_sync.orders import Orders
from genesys_sync.redaction import Redactor
from genesys_sync.routing import Router
from genesys_sync.scrubbing import register_secret
from genesys_sync.sealing import Sealer
from genesys_sync.services import Services
from genesys_sync.settings import Credentials, Settings, find_credentials, find_further_clients, find_redactor, find_sentry_dsn
from genesys_sync.signing import find_signer
from genesys_sync.storage.local import LocalStorage
from genesys_sync.watching import UploadWatch

_log = logs.get_logger("app")

PROVE_EVERY = 10.0
"""Seconds between two proofs that the ledger can be written and that the archive has room."""


@dataclass(slots=True)
class Condition:
    """What the proofs found last, and the feed once it is known whose events it brings; read by the health report."""

    ledger_writable: bool = True
    archive_full: bool = False
    feed: Feed | None = None
    sealer: Sealer | None = None
    orders: Orders | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything that runs, open and not started."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    ledger: Ledger
    storage: LocalStorage
    platform: genesys_platform.Platform
    router: Router
    dispatcher: Dispatcher
    pulse: Pulse
    condition: Condition
    visibility: Visibility
    retention: Retention
    callbacks: CallbackServer | None
    redactor: Redactor


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
    """Run after run, each under the settings that the last SIGHUP brought. Those with which nothing can be opened are rejected, and the
    ones before stay in force."""
    before: Settings | None = None
    while True:
        orders.begin()
        try:
            await _run_once(settings, base, orders)
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


async def _run_once(settings: Settings, base: Path, orders: Orders) -> None:
    logs.configure(settings.log)
    credentials = find_credentials(settings.genesys)
    if credentials.source == "the environment" and "INVOCATION_ID" in os.environ:
        _log.warning("the OAuth client comes from the environment, which other programs can read; give it as systemd credentials")
    _report_errors(settings)
    handlers, providers = load_handlers(settings, base=base), load_providers(settings, base=base)
    try:
        async with _opened(settings, credentials, handlers, providers) as opened:
            opened.condition.orders = orders
            await _serve(opened, orders)
    finally:
        sentry.close()


def _report_errors(settings: Settings) -> None:
    dsn = find_sentry_dsn(settings.sentry)
    if dsn is not None:
        sentry.init(dsn.get_secret_value(), environment=settings.sentry.environment, release=f"genesys-sync@{__version__}")


@asynccontextmanager
async def _opened(
    settings: Settings, credentials: Credentials, handlers: list[LoadedHandler], providers: list[LoadedProvider]
) -> AsyncIterator[Opened]:
    register_secret(credentials.client_secret.get_secret_value())
    clock, metrics = SystemClock(), Metrics()
    router = Router({handler.name: handler.topics for handler in handlers})
    storage = LocalStorage(settings.storage.root, min_free=settings.storage.min_free, metrics=metrics)
    audit = DeliveryAudit(clock)
    client_id = credentials.client_id.get_secret_value()
    further = find_further_clients(settings.genesys)
    redactor = find_redactor(settings.redaction)
    speech = OpenProviders(providers, public_url=settings.callbacks.public_url, metrics=metrics)
    for client in further.values():
        register_secret(client.client_secret.get_secret_value())
    async with (
        open_ledger(settings.ledger.url, clock=clock, metrics=metrics, command=DAEMON) as ledger,
        genesys_platform.connect(
            settings.genesys,
            credentials,
            clock=clock,
            metrics=metrics,
            actions=AuditedActions(action_record(audit, ledger), clock=clock, client_id=client_id, actor="app"),
            further=further,
            upload_book=settings.upload_book,
        ) as platform,
        outbound.connect(settings.http) as http,
    ):
        await storage.open()
        services = Services(
            clock=clock,
            genesys=platform,
            media=platform.media,
            storage=storage,
            scratch=storage.scratch,
            http=http,
            audit=audit,
            actions=platform.actions,
            log=logs.get_logger("handler"),
            redactor=redactor,
            speech=speech,
        )
        dispatcher = Dispatcher(
            ledger=ledger,
            handlers=handlers,
            router=router,
            services=services,
            clock=clock,
            metrics=metrics,
            settings=settings.dispatch,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )
        pulse = Pulse(clock, turned_at=lambda: dispatcher.turned_at)

        async def take(orphans: Sequence[Orphan]) -> None:
            await take_in(orphans, ledger=ledger, router=router, organization_id=platform.organization_id)

        visibility = Visibility(platform, clock=clock, metrics=metrics, take=take if settings.feed.orphans else None)
        alert = settings.feed.retention_alert
        retention = Retention(query=platform.retention, ledger=ledger, clock=clock, alert=alert, metrics=metrics)
        callbacks = CallbackServer.of(
            settings.callbacks, speech.called_back, ledger=ledger, storage=storage, router=router, clock=clock, metrics=metrics
        )
        async with speech.running(services):
            yield Opened(
                settings,
                clock,
                metrics,
                ledger,
                storage,
                platform,
                router,
                dispatcher,
                pulse,
                Condition(),
                visibility,
                retention,
                callbacks,
                redactor,
            )


async def _serve(opened: Opened, orders: Orders) -> None:
    """From the first open door to drained."""
    sealer = Sealer(
        ledger=opened.ledger,
        folder=opened.settings.audit_folder,
        router=opened.router,
        clock=opened.clock,
        organization=lambda: opened.platform.organization_id,
        every=opened.settings.audit.checkpoint_every,
        signer=find_signer(opened.settings.audit),
    )
    await sealer.open()
    opened.condition.sealer = sealer
    await _audit(opened, "daemon.start")
    async with anyio.create_task_group() as surroundings:
        console = Console.of(
            opened.settings,
            clock=opened.clock,
            report=lambda: report(opened),
            condition=opened.condition,
            clients=opened.platform.pool.clients,
        )
        health = HealthServer(
            opened.settings.health.address,
            report=lambda: report(opened),
            metrics=opened.metrics,
            pages=console.routes() if console is not None else (),
            hosts=opened.settings.console.allow_hosts,
        )
        host, port = await surroundings.start(health.run)
        _log.info("health listens", address=f"{host}:{port}")
        if console is not None:
            surroundings.start_soon(console.run)
        if opened.callbacks is not None:
            host, port = await surroundings.start(opened.callbacks.run)
            _log.info("callbacks are taken", address=f"{host}:{port}")
        surroundings.start_soon(LoopGuard(opened.pulse, clock=opened.clock, metrics=opened.metrics).run)
        surroundings.start_soon(_prove, opened)
        surroundings.start_soon(opened.visibility.run)
        surroundings.start_soon(opened.retention.run)
        surroundings.start_soon(_feed_watchdog, opened)
        surroundings.start_soon(_keep_tallies, opened)
        async with anyio.create_task_group() as work:
            orders.work = work.cancel_scope
            await work.start(opened.dispatcher.run)
            orders.serving = True
            surroundings.start_soon(sealer.run)
            async with anyio.create_task_group() as listening:
                listening.start_soon(_listen, opened)
                listening.start_soon(_watch, opened)
                await orders.stop.wait()
                listening.cancel_scope.cancel()
            await opened.dispatcher.drain()
        await _audit(opened, "daemon.stop")
        await sealer.turn()
        surroundings.cancel_scope.cancel()


async def _audit(opened: Opened, action: str) -> None:
    """That this process began or ended its work; after a kill the end is missing, which tells of the kill."""
    facts = {"release": __version__, "pid": os.getpid()}
    entry = AuditEntry(at=opened.clock.now(), actor="app", action=action, target=socket.gethostname(), outcome="success", facts=facts)
    try:
        await opened.ledger.record_audit([entry])
    except LedgerFull as error:
        _log.warning("ledger full: an audit entry is left out", action=action, error=str(error))


async def _listen(opened: Opened) -> None:
    """Learn whose events these are, then hold the feed; a platform that is away is waited for."""
    for pause in delays(base=2, cap=60, random=random.random):
        try:
            await opened.platform.identify()
            break
        except TransientError as error:
            wait = max(1.0, pause)
            _log.warning("the platform does not answer", error=error.reason, again_in=f"{wait:.0f}s")
            sdnotify.notify(READY=1, STATUS="waiting for the platform")
            await opened.clock.sleep(wait)
    with suppress(TransientError, CredentialsRefused):  # asked again soon; until then what is fetched counts as of an unknown variant
        await opened.visibility.look_at_grants()
    _log.info("running", organization_id=opened.platform.organization_id)
    sdnotify.notify(READY=1, STATUS="running")
    feed = Feed(
        platform=opened.platform,
        ledger=opened.ledger,
        router=opened.router,
        clock=opened.clock,
        settings=opened.settings.feed,
        metrics=opened.metrics,
        book=opened.settings.channel_book,
        kept=opened.settings.kept_frames,
        redactor=opened.redactor,
    )
    opened.condition.feed = feed
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened.platform.pool.run, opened.platform.organization_id)
        await feed.run()


async def _feed_watchdog(opened: Opened) -> None:
    await sdnotify.feed(opened.pulse.well, sleep=opened.clock.sleep)


async def _watch(opened: Opened) -> None:
    """The folder whose files are uploaded, where the settings name one."""
    watch = UploadWatch.of(
        opened.settings.upload,
        ledger=opened.ledger,
        router=opened.router,
        clock=opened.clock,
        organization=lambda: opened.platform.organization_id,
    )
    if watch is not None:
        await watch.run()


async def _keep_tallies(opened: Opened) -> None:
    await governance.keep(opened.ledger, opened.metrics, opened.settings.costs, clock=opened.clock)


async def _prove(opened: Opened) -> None:
    """Keep knowing whether the ledger takes writes and whether the archive has room."""
    while True:
        opened.condition.ledger_writable = await _writable(opened.ledger)
        try:
            await opened.storage.scratch.room()
            opened.condition.archive_full = False
        except StorageError as error:
            if not opened.condition.archive_full:
                _log.error("the archive takes nothing more", error=str(error))
            opened.condition.archive_full = True
        await opened.clock.sleep(PROVE_EVERY)


async def _writable(ledger: Ledger) -> bool:
    """Raises LedgerSyncFailed, after which the process must end."""
    try:
        await ledger.ping()
    except LedgerSyncFailed:
        raise
    except LedgerError as error:
        _log.error("the ledger cannot be written", error=str(error))
        return False
    return True


def report(opened: Opened) -> HealthReport:
    """Ready: the ledger takes writes, and events flow or will again within the tolerance. Alive: nothing stands still."""
    condition = opened.condition
    feed = condition.feed.state if condition.feed is not None else None
    stalled = opened.pulse.reasons()
    flowing = feed is not None and feed.ready(opened.settings.feed.ready_within)
    found = {
        "ledger_not_writable": not condition.ledger_writable,
        "archive_full": condition.archive_full,
        "audit_not_sealed": condition.sealer is not None and bool(condition.sealer.waits),
        "no_events": not flowing,
        "topics_refused": feed is not None and feed.rejected > 0,
        "topics_left_out": feed is not None and feed.left_out > 0,
        "live_refused": feed is not None and bool(feed.live_refused),
        "live_left_out": feed is not None and feed.live_left_out > 0,
        "backfill_refused": feed is not None and bool(feed.backfill_refused),
        "sensitive_not_visible": opened.visibility.sensitive is False,
        "retention_near": opened.retention.near > 0,
        "config_rejected": condition.orders is not None and condition.orders.rejected,
        "client_out": feed is not None and any(not member.usable for member in opened.platform.pool.members),
    }
    facts: dict[str, int | str] = {"running": sum(opened.dispatcher.running.values())}
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
        ready=condition.ledger_writable and flowing,
        reasons=(*stalled, *(code for code, true in found.items() if true), *(feed.alerts if feed is not None else ())),
        facts=facts,
    )
