"""The console over HTTP: pages of the health listener, for browsers that name it rightly. It takes no orders and sets no cookie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, Self

import anyio
import orjson
from aiohttp import web

from genesys_sync.clock import Clock
from genesys_sync.console.document import Budget, Process, document
from genesys_sync.console.page import asset, render
from genesys_sync.console.readings import Books, Day, Spared, read_books, read_day
from genesys_sync.feed.listener import Feed
from genesys_sync.genesys.client import Client
from genesys_sync.health import HealthReport, host_of, is_loopback, readiness
from genesys_sync.logs import get_logger
from genesys_sync.sealing import Sealer
from genesys_sync.settings import Settings

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Everything from here, nothing inline, nothing embedded, and embedded by nobody."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASSETS: Final = {"console.css": "text/css", "console.js": "text/javascript", "console.svg": "image/svg+xml"}
_log = get_logger("console")


class Condition(Protocol):
    """What comes to be known only while the process runs."""

    @property
    def feed(self) -> Feed | None: ...

    @property
    def sealer(self) -> Sealer | None: ...


def withheld(settings: Settings) -> str:
    """Why the console is not served, in a sentence; empty when it is. Pure."""
    if not settings.console.enabled:
        return "console.enabled is false"
    host, _ = settings.health.address
    if not is_loopback(host) and not settings.console.allow_hosts:
        return (
            f"health.listen ({host}) can be reached from elsewhere, and the console asks nobody for a password: put a proxy that does in "
            "front, and name it in console.allow_hosts; or keep health.listen on 127.0.0.1"
        )
    return ""


class Console:
    """The page `/` (and `/console`), its document `/console.json`, and three files beside it. `routes` are served while `run` runs."""

    def __init__(
        self, settings: Settings, *, clock: Clock, report: Callable[[], HealthReport], condition: Condition, clients: Sequence[Client]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._report = report
        self._condition = condition
        self._clients = clients
        self._started = clock.now()
        self._books: Spared[Books] = Spared(lambda: read_books(settings, clock), clock=clock)
        self._day: Spared[Day] = Spared(lambda: read_day(settings, clock), clock=clock)
        self._hosts = frozenset(settings.console.allow_hosts)

    @classmethod
    def of(
        cls, settings: Settings, *, clock: Clock, report: Callable[[], HealthReport], condition: Condition, clients: Sequence[Client]
    ) -> Self | None:
        """None where the settings do not want it, and, with a warning, where everybody could read it."""
        why = withheld(settings)
        if not why:
            return cls(settings, clock=clock, report=report, condition=condition, clients=clients)
        if settings.console.enabled:
            _log.warning("the console is not served", reason=why)
        return None

    async def run(self) -> None:
        """Read what is asked for, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._books.run)
            tasks.start_soon(self._day.run)

    def routes(self) -> list[web.RouteDef]:
        """Its paths, for GET and HEAD."""
        pages = [("/", self._page), ("/console", self._page), ("/console.json", self._json)]
        return [web.get(path, self._guarded(answer)) for path, answer in (*pages, *((f"/{name}", _file(name)) for name in _ASSETS))]

    def _guarded(self, answer: Callable[[], Awaitable[web.Response]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            name = host_of(request.headers.get("Host", ""))
            # stricter than health: a probe may call an address of this machine, a person comes through loopback or the proxy
            if not is_loopback(name) and name not in self._hosts:
                return web.json_response({"error": "wrong host"}, status=421, headers=_HEADERS)
            response = await answer()
            response.headers.update(_HEADERS)
            return response

        return handle

    def _process(self) -> Process:
        feed, sealer = self._condition.feed, self._condition.sealer
        return Process(
            at=self._clock.now(),
            monotonic=self._clock.monotonic(),
            started=self._started,
            readiness=readiness(self._report()),
            feed=feed.state if feed is not None else None,
            budgets=[Budget(client.name, *client.budget()) for client in self._clients],
            checkpointed_at=sealer.checkpointed_at if sealer is not None else None,
        )

    async def _document(self) -> dict[str, object]:
        async with anyio.create_task_group() as tasks:  # both at one time: whoever asks waits once
            tasks.start_soon(self._books.get)
            tasks.start_soon(self._day.get)
        unread = self._books.failed or self._day.failed
        return document(self._process(), self._books.latest, self._day.latest, min_free=self._settings.storage.min_free, unread=unread)

    async def _json(self) -> web.Response:
        return web.Response(body=orjson.dumps(await self._document()), content_type="application/json")

    async def _page(self) -> web.Response:
        return web.Response(text=render(await self._document()), content_type="text/html", charset="utf-8")


def _file(name: str) -> Callable[[], Awaitable[web.Response]]:
    async def answer() -> web.Response:
        return web.Response(text=asset(name), content_type=_ASSETS[name], charset="utf-8")

    return answer
