"""A simulator in this process, over real sockets, with a clock that moves only when told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio.lowlevel import checkpoint

from genesys_sync_simulator.platform import DEFAULT_CLIENT, Platform, assemble
from genesys_sync_simulator.scenario import PERMISSIONS
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

SECOND_CLIENT = {"id": "second", "secret": "second-secret", "permissions": list(PERMISSIONS)}


class ManualClock:
    """Jumps; whoever sleeps looks again after each jump."""

    def __init__(self) -> None:
        self.ms = 1_785_585_600_000  # 2026-08-01T12:00:00Z
        self._moved = anyio.Event()

    def epoch_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        due = self.ms + seconds * 1000
        await checkpoint()
        while self.ms < due:
            await self._moved.wait()

    def jump(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self._moved.set()
        self._moved = anyio.Event()


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that moves only when told."""
    return ManualClock()


class Answer:
    """What came back, read to its end."""

    def __init__(self, status: int, headers: Any, body: bytes, json: Any) -> None:
        self.status, self.headers, self.body, self.json = status, headers, body, json


class Sim:
    """The running simulator, and a client of it that knows no more than a token and addresses."""

    def __init__(self, platform: Platform, clock: ManualClock, session: aiohttp.ClientSession) -> None:
        self.platform, self.clock, self.session = platform, clock, session
        self.bearer = ""

    async def call(self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        """One request to a path, or to a whole URL; with this client's token unless another (or `""` for none) is given."""
        bearer = self.bearer if token is None else token
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {bearer}"} if bearer and not path.startswith("http") else {})
        url = path if path.startswith("http") else self.platform.base_url + path
        async with self.session.request(method, url, headers=sent, **more) as answer:
            body = await answer.read()
            whole = answer.content_type == "application/json" and "Content-Range" not in answer.headers
            json = await answer.json() if whole and body else None
            return Answer(answer.status, answer.headers, body, json)

    async def log_in(self, client_id: str = DEFAULT_CLIENT.id, secret: str = DEFAULT_CLIENT.secret) -> str:
        """A token, which this client uses from now on if it has none yet."""
        header = {"Authorization": aiohttp.encode_basic_auth(client_id, secret)}
        form = {"grant_type": "client_credentials"}
        answer = await self.call("POST", "/oauth/token", token="", headers=header, data=form)
        assert answer.status == 200
        self.bearer = self.bearer or answer.json["access_token"]
        return str(answer.json["access_token"])

    async def play(self) -> None:
        """Starts the world, and waits until it has begun."""
        await self.call("POST", "/simulator/start", token="")
        self.clock.jump(0.1)
        while self.platform.world.started_at is None:
            await checkpoint()

    async def until_end(self) -> None:
        """Jumps to the end of the scenario and waits until the last truth line is written."""
        await self.play()
        self.clock.jump(max((recording.final_at for recording in self.platform.world.plan.recordings), default=0.0) + 10)
        with anyio.fail_after(20):
            while not self.platform.played:
                await anyio.sleep(0.01)

    async def channel(self, *topics: str) -> dict[str, Any]:
        """A new channel with these subscriptions."""
        channel: dict[str, Any] = (await self.call("POST", "/api/v2/notifications/channels")).json
        if topics:
            answer = await self.call(
                "PUT", f"/api/v2/notifications/channels/{channel['id']}/subscriptions", json=[{"id": t} for t in topics]
            )
            assert answer.status == 200, answer.json
        return channel

    def queue_topics(self, suffix: str = "") -> list[str]:
        return [f"v2.routing.queues.{queue.id}.conversations{suffix}" for queue in self.platform.world.plan.queues]


Play = Callable[..., AbstractAsyncContextManager[Sim]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """`async with play({scenario as a document}) as sim:` a simulator that listens, and a logged-in client of it."""

    @asynccontextmanager
    async def started(document: dict[str, Any] | None = None, *, log_in: bool = True) -> AsyncGenerator[Sim]:
        clock = ManualClock()
        document = {"start": "on-request", "calls": {"count": 3}, **(document or {})}
        platform = assemble(read(document), clock, truth_log=tmp_path / "truth.jsonl")
        async with running(platform), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            sim = Sim(platform, clock, session)
            if log_in:
                await sim.log_in()
            yield sim

    return started
