"""A handler as the daemon would make and call it, with services that a test holds in its hands."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.dispatch.execution import DeliveryAudit, auditing
from genesys_sync.dispatch.registry import build_handler
from genesys_sync.events import Event, delivery_id
from genesys_sync.logs import get_logger
from genesys_sync.plugin import Delivery, Handler, Outcome, Services
from genesys_sync.testing.clock import FakeClock
from genesys_sync.testing.fakes import FakeGenesys, FakeHttp, FakeMedia, FolderScratch, FolderStorage

HandlerT = TypeVar("HandlerT", bound=Handler[Any])


class HandlerHarness(Generic[HandlerT]):
    """One handler, made from a configuration table, running while the context lasts.

    handler    the handler itself
    clock      a FakeClock: what the handler sleeps passes when the test advances it
    genesys, media, http, storage   its services, to be told what to answer and asked what was done
    audited    the audit entries of all runs so far
    services   all of them together, as `running` got them
    """

    def __init__(
        self,
        kind: type[HandlerT],
        config: Mapping[str, Any] | None = None,
        *,
        folder: Path,
        name: str = "under-test",
        clock: FakeClock | None = None,
    ) -> None:
        """Decode `config` as the settings file's table is decoded. Raises ConfigurationError as the daemon's start would."""
        handler = build_handler(kind, name, config or {})
        assert isinstance(handler, kind)
        self.handler: HandlerT = handler
        self.clock = clock or FakeClock()
        self.media = FakeMedia()
        self.genesys = FakeGenesys(self.media)
        self.http = FakeHttp()
        self.storage = FolderStorage(folder / "archive")
        self.audited: list[AuditEntry] = []
        self._audit = DeliveryAudit(self.clock)
        self.services = Services(
            clock=self.clock,
            genesys=self.genesys,
            media=self.media,
            storage=self.storage,
            scratch=FolderScratch(folder / "scratch"),
            http=self.http,
            audit=self._audit,
            actions=AuditedActions(self._record, clock=self.clock, client_id="client-under-test", actor="test"),
            log=get_logger(f"handlers.{name}"),
        )
        for acting in (self.genesys.control, self.genesys.prompts, self.genesys.flows):
            acting.actions = self.services.actions
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._running.__aenter__()
        await self._running.enter_async_context(self.handler.running(self.services))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        return await self._running.__aexit__(kind, error, trace)

    async def _record(self, entry: AuditEntry) -> None:
        if self._audit.open:
            self._audit.record(entry.action, entry.target, outcome=entry.outcome, **entry.facts)
        else:
            self.audited.append(entry)

    async def check(self) -> None:
        """What `genesys-sync check` would do. Raises ConfigurationError."""
        await self.handler.check(self.services)

    async def handle(self, event: Event, *, attempt: int = 1, snoozes: int = 0) -> Outcome:
        """One run, as one delivery of the event: its outcome, or what it raised. The delivery's id is the real one: the same
        event and handler name give the same id."""
        delivery = Delivery(
            id=delivery_id(event.id, self.handler.name),
            handler=self.handler.name,
            attempt=attempt,
            snoozes=snoozes,
            created_at=self.clock.now(),
        )
        with auditing(self.handler.name) as entries:
            try:
                return await self.handler.handle(event, delivery)
            finally:
                self.audited.extend(entries)
