"""A listening socket for people and programs that we do not know: of bounded patience, with a sentence when it cannot be had."""

from __future__ import annotations

import errno

from aiohttp import web

from genesys_sync.errors import ConfigurationError, PortInUse

CONNECTION_LIMIT = 64


class BoundedSite(web.BaseSite):
    """Of its connections at most CONNECTION_LIMIT stay: a newcomer ends the oldest, so that idle ones lock nobody out. With `longest` none
    stays open for more seconds than that, whatever it is about."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, *, longest: float | None = None) -> None:
        super().__init__(runner, backlog=CONNECTION_LIMIT)
        self._host, self._port = host, port
        self._longest = longest

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
        handler = server()
        standing = server.connections  # in the order in which they came; those that have ended are not among them
        for oldest in standing[: max(0, len(standing) - CONNECTION_LIMIT + 1)]:
            oldest.force_close()
        if self._longest is not None:
            self._loop.call_later(self._longest, handler.force_close)
        return handler


async def bind(runner: web.BaseRunner, address: tuple[str, int], *, setting: str, longest: float | None = None) -> tuple[str, int]:
    """Listen; the address really bound. Raises PortInUse, or ConfigurationError for an address that this machine does not have."""
    host, port = address
    site = BoundedSite(runner, host, port, longest=longest)
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
