"""What the daemon is made of: everything is opened here, in the order in which one thing needs another, and closed in the reverse order."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from genesys_sync import logs, outbound
from genesys_sync.actions import AuditedActions
from genesys_sync.app.condition import Condition
from genesys_sync.callbacks import CallbackServer
from genesys_sync.clock import Clock, SystemClock
from genesys_sync.disk import unsafe
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.execution import DeliveryAudit, action_record
from genesys_sync.dispatch.providers import OpenProviders, load_providers
from genesys_sync.dispatch.registry import load_handlers
from genesys_sync.feed.orphans import take_in
from genesys_sync.feed.retention import Retention
from genesys_sync.genesys import platform as genesys_platform
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.genesys.visibility import Visibility
from genesys_sync.health import Pulse
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
from genesys_sync.settings import Credentials, Settings, find_further_clients, find_redactor
from genesys_sync.signing import find_signer
from genesys_sync.storage.local import LocalStorage
from genesys_sync.watching import UploadWatch

_log = logs.get_logger("app")


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything else stands on, open."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    ledger: Ledger
    storage: LocalStorage
    platform: genesys_platform.Platform
    router: Router
    redactor: Redactor

    def organization(self) -> str:
        """Whose events these are; empty until the platform has said so."""
        return self.platform.organization_id


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs on that ground, made and not started. `callbacks` and `watch` are None where the settings want none."""

    dispatcher: Dispatcher
    pulse: Pulse
    visibility: Visibility
    retention: Retention
    sealer: Sealer
    callbacks: CallbackServer | None
    watch: UploadWatch | None
    condition: Condition


@asynccontextmanager
async def composed(settings: Settings, credentials: Credentials, *, base: Path, orders: Orders) -> AsyncGenerator[tuple[Ground, Parts]]:
    """Everything of these settings, open while the context lasts: the ledger is held, the archive can be written, handlers are made;
    nothing was sent, and nobody listens. Raises GenesysSyncError for what cannot be opened."""
    handlers, providers = load_handlers(settings, base=base), load_providers(settings, base=base)
    further = find_further_clients(settings.genesys)
    for client in (credentials, *further.values()):
        register_secret(client.client_secret.get_secret_value())
    clock, metrics = SystemClock(), Metrics()
    router = Router({handler.name: handler.topics for handler in handlers})
    storage = LocalStorage(settings.storage.root, min_free=settings.storage.min_free, metrics=metrics)
    audit = DeliveryAudit(clock)
    client_id = credentials.client_id.get_secret_value()
    redactor = find_redactor(settings.redaction)
    speech = OpenProviders(providers, public_url=settings.callbacks.public_url, metrics=metrics)
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
            recorded=ledger.organization,
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
        ground = Ground(settings, clock, metrics, ledger, storage, platform, router, redactor)
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
        async with speech.running(services):
            yield ground, _parts(ground, dispatcher, speech, orders)


def _parts(ground: Ground, dispatcher: Dispatcher, speech: OpenProviders, orders: Orders) -> Parts:
    settings, clock, metrics = ground.settings, ground.clock, ground.metrics
    ledger, storage, platform, router = ground.ledger, ground.storage, ground.platform, ground.router

    async def take(orphans: Sequence[Orphan]) -> None:
        await take_in(orphans, ledger=ledger, router=router, organization_id=platform.organization_id)

    pulse = Pulse(clock, turned_at=lambda: dispatcher.turned_at)
    visibility = Visibility(platform, clock=clock, metrics=metrics, take=take if settings.feed.orphans else None)
    retention = Retention(query=platform.retention, ledger=ledger, clock=clock, alert=settings.feed.retention_alert, metrics=metrics)
    sealer = Sealer(
        ledger=ledger,
        folder=settings.audit_folder,
        router=router,
        clock=clock,
        organization=ground.organization,
        every=settings.audit.checkpoint_every,
        signer=find_signer(settings.audit),
    )
    return Parts(
        dispatcher=dispatcher,
        pulse=pulse,
        visibility=visibility,
        retention=retention,
        sealer=sealer,
        callbacks=CallbackServer.of(
            settings.callbacks, speech.called_back, ledger=ledger, storage=storage, router=router, clock=clock, metrics=metrics
        ),
        watch=UploadWatch.of(settings.upload, ledger=ledger, router=router, clock=clock, organization=ground.organization),
        condition=Condition(
            settings.feed, platform.pool, dispatcher, pulse, visibility, retention, sealer, orders, _unsafe(settings, metrics)
        ),
    )


def _unsafe(settings: Settings, metrics: Metrics) -> bool:
    """Whether the ledger or the archive lie where what is committed need not last; told in the log and the metrics too."""
    found = {key: unsafe(path) for key, path in settings.places.items()}
    for key, why in found.items():
        metrics.data_dir_unsafe.labels(key).set(int(bool(why)))
        if why:
            _log.warning("DATA_DIR_UNSAFE", setting=key, why=why, action="move it to a local disk")
    return any(found.values())
