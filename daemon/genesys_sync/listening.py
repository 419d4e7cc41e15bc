"""A listening socket for people and programs that we do not know: of bounded patience, with a sentence when it cannot be had."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

import anyio
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from genesys_sync.errors import ConfigurationError, PortInUse

CONNECTION_LIMIT: Final = 64
HEADER_LIMIT: Final = 8190
"""Bytes of the request's line, and of one header."""
PLAIN: Final = {"Server": "genesys-sync", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer; aiohttp's own `Server` names its version and Python's."""

Refuse = Callable[[int, BaseException | None], web.Response]
"""The answer to what could not be read or handled, from its status (400, 431, or 500 for an error of ours) and what was raised."""


class BoundedSite(web.BaseSite):
    """Of its connections at most CONNECTION_LIMIT stay: a newcomer ends the oldest, so that idle ones lock nobody out. With `longest` none
    stays open for more seconds than that, whatever it is about."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, *, refuse: Refuse, longest: float | None = None) -> None:
        super().__init__(runner, backlog=CONNECTION_LIMIT)
        self._host, self._port = host, port
        self._refuse = refuse
        self._longest = longest
        self._standing: dict[_Connection, None] = {}
        """In the order in which they came. Kept here, because aiohttp's own list lags behind when many come in one turn of the loop."""

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        import asyncio  # aiohttp's server is asyncio's; anyio has no listener for its protocol

        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(self._accept, self._host, self._port, backlog=self._backlog)

    def _accept(self) -> web.RequestHandler:
        server = self._runner.server
        assert server is not None, "set up before it listens"
        options = server._kwargs  # noqa: SLF001 - what the server itself makes its connections with
        connection = _Connection(server, self._refuse, lambda: self._standing.pop(connection, None), loop=self._loop, **options)
        while len(self._standing) >= CONNECTION_LIMIT:
            oldest = next(iter(self._standing))
            del self._standing[oldest]
            oldest.force_close()
        self._standing[connection] = None
        if self._longest is not None:
            self._loop.call_later(self._longest, connection.force_close)
        return connection


class _Connection(web.RequestHandler):
    """aiohttp's, but for what it would itself refuse: that answer would quote what was sent, and so would its traceback in the log."""

    __slots__ = ("_ended", "_refuse", "began")

    def __init__(self, manager: web.Server, refuse: Refuse, ended: Callable[[], object], **more: Any) -> None:
        super().__init__(manager, **more)
        self._refuse = refuse
        self._ended = ended
        self.began = anyio.current_time()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ended()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        too_large = isinstance(exc, LineTooLong) or message == "Too many headers received"
        response = self._refuse(431 if too_large else status, exc)
        response.force_close()
        return response


def age(request: web.BaseRequest) -> float:
    """Seconds since the connection of this request was accepted by a `BoundedSite`."""
    assert isinstance(request.protocol, _Connection), "it came in here"
    return anyio.current_time() - request.protocol.began


async def bind(
    runner: web.BaseRunner, address: tuple[str, int], *, setting: str, refuse: Refuse, longest: float | None = None
) -> tuple[str, int]:
    """Listen; the address really bound. Raises PortInUse, or ConfigurationError for an address that this machine does not have."""
    host, port = address
    site = BoundedSite(runner, host, port, refuse=refuse, longest=longest)
    try:
        await site.start()
    except OSError as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"{setting}: {shown} is in use by another process; set {setting} or stop it") from None
        reason = error.strerror or "cannot be listened on"
        raise ConfigurationError(f"{setting}: {shown}: {reason}; set {setting} to an address of this machine") from None
    bound = runner.addresses[0]
    return str(bound[0]), int(bound[1])
