"""The feed on a stage: a real WebSocket server and a real ledger; only the platform's REST side is scripted."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.events import Event
from genesys_sync.feed.listener import Feed
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import Appended, Gap
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.services import SecretUrl
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock

ORG = "11111111-2222-4333-8444-555555555555"
QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"
Until = Callable[[Callable[[], bool]], Awaitable[None]]


@dataclass(frozen=True)
class Queue:
    id: str
    name: str


@dataclass(frozen=True)
class Channel:
    id: str
    connect_uri: SecretUrl
    expires: datetime | None


@dataclass(frozen=True)
class TopicState:
    id: str
    permitted: bool
    missing_permissions: tuple[str, ...] = ()


class StageClock(FakeClock):
    """Time passes only while no thread is at work: who waits for one has not gone to sleep yet, and would sleep too long."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def settled(self) -> None:
        with anyio.fail_after(10):
            await super().settled()
            while self.writes or anyio.to_thread.current_default_thread_limiter().borrowed_tokens:
                await anyio.sleep(0.001)
                await super().settled()


class ScriptedPlatform:
    """REST as the test says; whatever is put into `failures` is raised once, by the call of that name."""

    organization_id = ORG
    clock_offset = timedelta(0)

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.port = 0
        self.listed = [Queue(QUEUE, "Sales")]
        self.forbidden: set[str] = set()
        self.life: timedelta | None = timedelta(hours=24)
        self.records: list[dict[str, Any]] = []
        self.failures: dict[str, list[Exception]] = {}
        self.created: list[float] = []
        self.put: list[tuple[str, list[str]]] = []
        self.windows: list[tuple[datetime, datetime]] = []
        self.paged_at: list[float] = []
        self.invalidated = 0
        self.refreshed = 0
        self.ends_at: float | None = None
        self.needs: dict[str, tuple[str, ...]] = {}
        self.prefix = "channel"
        self.known: list[Channel] = []
        self.abandoned: list[str] = []
        self.brought: set[str] | None = None
        self.told_missing: tuple[str, ...] = ("conversation:communication:view",)

    @property
    def channels(self) -> ScriptedPlatform:
        return self

    conversations = tokens = channels

    def _fail(self, name: str) -> None:
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    async def queues(self) -> Sequence[Queue]:
        self._fail("queues")
        return list(self.listed)

    async def mine(self) -> list[Channel]:
        self._fail("mine")
        return self.known

    async def create(self) -> Channel:
        self._fail("create")
        self.created.append(self.clock.monotonic())
        name = f"{self.prefix}-{len(self.created)}"
        expires = None if self.life is None else self.clock.now() + self.life
        return self.channel(name, expires)

    def channel(self, name: str, expires: datetime | None = None) -> Channel:
        return Channel(name, SecretUrl(f"ws://127.0.0.1:{self.port}/{name}"), expires)

    async def subscribe(self, channel_id: str, topics: Sequence[str]) -> Sequence[TopicState]:
        self._fail("subscribe")
        self.put.append((channel_id, list(topics)))
        return [TopicState(topic, topic not in self.forbidden, self.told_missing) for topic in topics]

    async def ended_between(self, start: datetime, end: datetime, *, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        self._fail("ended_between")
        self.windows.append((start, end))
        self.paged_at.append(self.clock.monotonic())
        for record in self.records:
            yield record
        self._fail("last_page")

    async def topics(self, channel_id: str) -> set[str]:
        """As of another token's channel, which is not shown, unless the test says what it brings."""
        self._fail("topics")
        if self.brought is None:
            raise PermanentError("another token's channel", code=ReasonCode.NOT_FOUND)
        return {topic.lower() for topic in self.brought}

    async def abandon(self, channel_id: str) -> None:
        self._fail("abandon")
        self.abandoned.append(channel_id)

    async def requirements(self) -> dict[str, tuple[str, ...]]:
        self._fail("requirements")
        return self.needs

    def invalidate(self) -> None:
        self.invalidated += 1

    def refresh(self) -> None:
        self.refreshed += 1


class Notifications:
    """The WebSocket side. `refusals` are answered to the next upgrades; `open` are the connections now."""

    def __init__(self) -> None:
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.paths: list[str] = []
        self.open: list[ServerConnection] = []
        self.pings = 0
        self.closed: list[int | None] = []
        self.answer_pings = True
        self.most = 0

    def decide(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        response = connection.respond(HTTPStatus(status), "no")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def hold(self, connection: ServerConnection) -> None:
        self.open.append(connection)
        self.most = max(self.most, len(self.open))
        try:
            async for message in connection:
                if orjson.loads(message) == {"message": "ping"}:
                    self.pings += 1
                    if self.answer_pings:
                        await connection.send('{"topicName":"channel.metadata","eventBody":{"message":"pong"}}')
        except ConnectionClosed:
            pass
        finally:
            self.open.remove(connection)
            self.closed.append(connection.close_code)

    async def send(self, topic: str, body: object) -> None:
        await self.open[-1].send(orjson.dumps({"topicName": topic, "version": "2", "eventBody": body}).decode())

    async def heartbeat(self) -> None:
        await self.send("channel.metadata", {"message": "WebSocket Heartbeat"})


class TroubledLedger:
    """The real ledger, with an append that the test may hold or break."""

    def __init__(self, ledger: Ledger, clock: StageClock) -> None:
        self._ledger = ledger
        self._clock = clock
        self.gate = anyio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.appended = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        return self._counted(found) if inspect.iscoroutinefunction(found) else found

    def _counted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def called(*args: Any, **named: Any) -> Any:
            self._clock.writes += 1
            try:
                return await call(*args, **named)
            finally:
                self._clock.writes -= 1

        return called

    async def append(self, events: Sequence[RoutedEvent], *, watermark: tuple[str, int] | None = None) -> Appended:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        done: Appended = await self._counted(self._ledger.append)(events, watermark=watermark)
        self.appended += done.recorded
        return done


@dataclass
class Stage:
    topic = f"v2.routing.queues.{QUEUE}.conversations"
    clock: FakeClock
    platform: ScriptedPlatform
    notifications: Notifications
    ledger: TroubledLedger
    feed: Feed
    metrics: Metrics
    until: Until
    stop: Callable[[], None] = lambda: None

    @staticmethod
    def snapshot(ident: str = CONVERSATION, *, state: str = "disconnected", filler: int = 0) -> dict[str, Any]:
        ended = {"endTime": "2026-08-01T11:59:00.000Z"} if state == "disconnected" else {}
        customer = {"id": "c", "startTime": "2026-08-01T11:50:00.000Z", "calls": [{"id": "s", "state": state}], **ended}
        return {"id": ident, "participants": [customer], "filler": "x" * filler}

    @staticmethod
    def record(ident: str = CONVERSATION) -> dict[str, Any]:
        return {
            "conversationId": ident,
            "conversationStart": "2026-08-01T11:50:00.000Z",
            "conversationEnd": "2026-08-01T11:59:00.000Z",
            "participants": [],
        }

    async def live(self) -> None:
        await self.until(lambda: self.feed.state.connected and len(self.notifications.open) == 1)

    async def gaps(self, *, only_open: bool = False) -> list[Gap]:
        found: list[Gap] = await self.ledger.gaps(only_open=only_open)
        return found

    async def events(self) -> list[Event]:
        found: list[Event] = await self.ledger.events_about(CONVERSATION)
        return found

    async def watermark(self) -> int | None:
        mark: int | None = await self.ledger.watermark("feed")
        return mark

    async def reaches(self, fact: Callable[[], Awaitable[bool]]) -> None:
        with anyio.fail_after(10):
            while not await fact():
                await anyio.sleep(0.002)

    async def advance_until(self, fact: Callable[[], bool], *, by: float, steps: int = 200) -> None:
        """Let time pass in steps until the fact holds; between the steps the sockets get their turn."""
        for _ in range(steps):
            if fact():
                return
            await self.clock.advance(by)
            await anyio.sleep(0.002)
        raise AssertionError("it never came true")


Staged = Callable[..., Any]


@pytest.fixture
def staged(tmp_path: Path, until: Until) -> Staged:
    @asynccontextmanager
    async def stage(
        *, prepare: Callable[[Stage], None] | None = None, handlers: dict[str, list[str]] | None = None, port: int = 0, **settings: Any
    ) -> AsyncIterator[Stage]:
        settings = {"ping_every": timedelta(days=1), "silence": timedelta(days=1)} | settings
        clock, metrics, notifications = StageClock(), Metrics(), Notifications()
        platform = ScriptedPlatform(clock)
        url = f"sqlite:///{tmp_path}/ledger.db"
        async with (
            open_ledger(url, clock=clock) as real,
            serve(notifications.hold, "127.0.0.1", port, process_request=notifications.decide) as server,
        ):
            platform.port = next(iter(server.sockets)).getsockname()[1]
            ledger: Any = TroubledLedger(real, clock)
            feed = Feed(
                platform=platform,
                ledger=ledger,
                router=Router(handlers or {"discover": ["conversation.ended"]}),
                clock=clock,
                settings=FeedSettings(**settings),
                metrics=metrics,
                random=lambda: 0.0,
                book=tmp_path / "channels.json",
                kept=tmp_path / "frames",
                redactor=Redactor(),
            )
            built = Stage(clock, platform, notifications, ledger, feed, metrics, until)
            if prepare:
                prepare(built)
            async with anyio.create_task_group() as group:
                await group.start(feed.run)
                built.stop = group.cancel_scope.cancel
                yield built
                group.cancel_scope.cancel()
            assert not feed.state.connected or not notifications.open or await _gone(notifications, until)

    return stage


async def _gone(notifications: Notifications, until: Until) -> bool:
    await until(lambda: not notifications.open)
    return True
