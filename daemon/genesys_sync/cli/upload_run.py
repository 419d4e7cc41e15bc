"""How `upload` gets its work done: by the daemon where one holds the ledger, else here, with the handler that the settings name.

Somebody at a terminal expects `upload FILE` to upload the file. So it does, daemon or not; and as it is the same handler and the same
ledger either way, a command that is killed is gone on with by whoever comes next.
"""

from __future__ import annotations

import math
import os
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from genesys_sync import logs, outbound
from genesys_sync.actions import AuditedActions
from genesys_sync.cli.acting import workplace
from genesys_sync.cli.holding import Other
from genesys_sync.clock import SystemClock
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.execution import DeliveryAudit, action_record
from genesys_sync.dispatch.registry import LoadedHandler, load_handlers
from genesys_sync.errors import ConfigurationError, LedgerLocked, StorageError
from genesys_sync.events import Event, Topic, delivery_id
from genesys_sync.genesys import platform as genesys_platform
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryRecord, Ledger, Standing
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.scrubbing import register_secret
from genesys_sync.services import Services
from genesys_sync.settings import Settings, find_credentials
from genesys_sync.storage.local import LocalStorage
from genesys_sync.uploading import Asked, UploadState, ask, describe, outcome_of, state_of

COMMAND: Final = "upload"
LOOK_SECONDS: Final = 0.5
LONGEST_LOOK: Final = 0.1
"""Seconds; the files that are left are looked at in the next one."""
LOOK_SHARE: Final = 0.05
"""Of the time, at most, goes into looks: the work itself needs processor and ledger too."""


@dataclass(slots=True)
class Followed:
    """One file of the command, and how it stands. `problem`: why it was not even asked for; `earlier`: it was over before this call;
    `sent`: bytes on their way, where known."""

    path: Path
    asked: Asked | None = None
    problem: str = ""
    earlier: bool = False
    state: UploadState = UploadState.WAITING
    outcome: Event | None = None
    record: DeliveryRecord | None = None
    sent: int = 0

    @property
    def over(self) -> bool:
        return bool(self.problem) or (self.asked is not None and self.state.final)

    @property
    def stored(self) -> bool:
        """The store has it; the platform has not reported on it yet."""
        return not self.over and self.record is not None and self.record.snoozes > 0

    @property
    def good(self) -> bool:
        return not self.problem and self.state.good


@dataclass(slots=True)
class Work:
    """What the command does, and how it tells of it. `show` hears of every look; `say` a sentence for people, once."""

    files: list[Followed]
    again: bool
    show: Callable[[Sequence[Followed]], None]
    say: Callable[[str], None]
    by_daemon: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """What asking and following need, wherever the work is done."""

    ledger: Ledger
    router: Router
    clock: SystemClock
    organization_id: str
    handler: str
    on_the_way: Callable[[str], int]


async def upload(settings: Settings, base: Path, work: Work) -> None:
    """Every file of the work has come to its end. Raises ConfigurationError when no handler uploads, TransientError or CredentialsRefused
    when the platform cannot be asked who we are, and what opening the ledger raises."""
    handlers = load_handlers(settings, base=base)
    uploader = require_uploader(handlers)
    while True:
        try:
            async with _alone(settings, handlers, uploader) as (place, dispatcher):
                work.by_daemon = False
                async with anyio.create_task_group() as group:
                    await group.start(dispatcher.run)
                    await _follow(place, work, await _ask_all(place, work))
                    await dispatcher.drain()
            return
        except LedgerLocked:
            pass
        async with workplace(settings, base=base) as shared:
            other = Other.of(settings.ledger.url, shared.clock)
            work.by_daemon = other.daemon
            work.say(beside(other))
            organization_id = await shared.platform.identify()
            place = _Place(shared.ledger, shared.router, shared.clock, organization_id, uploader.name, lambda _: 0)
            await _follow(place, work, await _ask_all(place, work), gone=other.gone)
        if all(one.over for one in work.files):
            return
        work.say(f"{'the daemon' if other.daemon else 'that command'} has ended: this command goes on by itself")


def beside(other: Other) -> str:
    """Who holds the ledger, and what that means for the files. Pure."""
    if other.daemon:
        return "a daemon holds the ledger and uploads; ending this command does not end that"
    uploads = other.holder is not None and other.holder.command == COMMAND
    then = (
        "may upload these files too; this command uploads what is left when that has ended"
        if uploads
        else "this command uploads when that has ended"
    )
    return f"{other.holder} holds the ledger{' and' if uploads else ';'} {then}"


def require_uploader(handlers: Sequence[LoadedHandler]) -> LoadedHandler:
    """The handler that takes the event by its own name: whoever listens to everything uploads nothing. Raises ConfigurationError."""
    found = next((handler for handler in handlers if Topic.UPLOAD_REQUESTED in handler.topics), None)
    if found is None:
        raise ConfigurationError(
            f"handlers: none takes {Topic.UPLOAD_REQUESTED}, so nobody would upload the file; nothing was asked for. "
            'Add a table [handlers.upload] with use = "upload"'
        )
    return found


@asynccontextmanager
async def _alone(
    settings: Settings, handlers: Sequence[LoadedHandler], uploader: LoadedHandler
) -> AsyncGenerator[tuple[_Place, Dispatcher]]:
    """The ledger held as the daemon holds it, and a dispatcher for this one handler; what follows from its work waits for the daemon."""
    clock, metrics = SystemClock(), Metrics()
    credentials = find_credentials(settings.genesys)
    register_secret(credentials.client_secret.get_secret_value())
    router = Router({handler.name: handler.topics for handler in handlers})
    audit = DeliveryAudit(clock)
    async with open_ledger(settings.ledger.url, clock=clock, command=COMMAND) as ledger:
        record, client_id = action_record(audit, ledger), credentials.client_id.get_secret_value()
        actions = AuditedActions(record, clock=clock, client_id=client_id, actor=_actor())
        storage = LocalStorage(settings.storage.root, min_free=settings.storage.min_free, metrics=metrics)
        async with (
            genesys_platform.connect(
                settings.genesys,
                credentials,
                clock=clock,
                metrics=metrics,
                actions=actions,
                upload_book=settings.upload_book,
                recorded=ledger.organization,
            ) as platform,
            outbound.connect(settings.http) as http,
        ):
            organization_id = await platform.identify()
            await storage.open()
            dispatcher = Dispatcher(
                ledger=ledger,
                handlers=[uploader],
                router=router,
                services=Services(
                    clock=clock,
                    genesys=platform,
                    media=platform.media,
                    storage=storage,
                    scratch=storage.scratch,
                    http=http,
                    audit=audit,
                    actions=actions,
                    log=logs.get_logger("handler"),
                ),
                clock=clock,
                metrics=metrics,
                settings=settings.dispatch,
                worker=f"{socket.gethostname()}:{os.getpid()}",
            )
            on_the_way = platform.uploads.on_the_way
            place = _Place(ledger, router, clock, organization_id, uploader.name, lambda key: on_the_way.get(key, 0))
            yield place, dispatcher


async def _ask_all(place: _Place, work: Work) -> deque[Followed]:
    """Each file is in the ledger, or has its problem; those that are not over. Called again, it finds what it recorded."""
    asked: deque[Followed] = deque()
    looked_at = place.clock.monotonic()
    for one in work.files:
        if one.over:
            continue
        if place.clock.monotonic() - looked_at >= LOOK_SECONDS:
            await _look_in_turn(place, asked)
            work.show(work.files)
            looked_at = place.clock.monotonic()
        try:
            described = await describe(one.path)
        except StorageError as error:
            one.problem = str(error)
            continue
        known = one.asked
        one.asked = await ask(
            described,
            ledger=place.ledger,
            router=place.router,
            clock=place.clock,
            organization_id=place.organization_id,
            actor=_actor(),
            again=work.again and known is None,
        )
        if known is not None:
            one.asked = Asked(one.asked.event, one.asked.revision, new=known.new)
        elif not one.asked.new:
            await _look(place, one)
            one.earlier = one.state.final
        if not one.over:
            asked.append(one)
    return asked


async def _follow(place: _Place, work: Work, asked: deque[Followed], *, gone: Callable[[], bool] = lambda: False) -> None:
    """Look until every file is over, or nobody is there any more who would work (`gone`)."""
    while True:
        began = place.clock.monotonic()
        nobody = gone()
        await _look_in_turn(place, asked, longest=math.inf if nobody else LONGEST_LOOK)
        work.show(work.files)
        if nobody or not asked:
            return
        await place.clock.sleep(rest_after(place.clock.monotonic() - began))


async def _look_in_turn(place: _Place, asked: deque[Followed], *, longest: float = LONGEST_LOOK) -> None:
    """Of the files that are not over some are looked at, those first that wait for it longest; what is over then is left out."""
    began = place.clock.monotonic()
    for _ in range(len(asked)):
        if place.clock.monotonic() - began > longest:
            return
        one = asked.popleft()
        await _look(place, one)
        if not one.over:
            asked.append(one)


def rest_after(look: float) -> float:
    """Seconds until the next look, after one that took `look` seconds. Pure."""
    return max(LOOK_SECONDS, look / LOOK_SHARE - look)


async def _look(place: _Place, one: Followed) -> None:
    assert one.asked is not None  # `_ask_all` leaves none without it or a problem
    event = one.asked.event
    records = await place.ledger.find(event.id)
    one.outcome = await outcome_of(place.ledger, event)
    one.record = next((record for record in records if record.handler == place.handler), None)
    standings = [Standing(record.handler, record.state, record.reason) for record in records]
    one.state = state_of(standings, one.outcome, handler=place.handler)
    one.sent = place.on_the_way(delivery_id(event.id, place.handler))


def _actor() -> str:
    return f"operator:{os.getuid()}"
