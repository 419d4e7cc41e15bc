"""Real servers for tests of clients: one aiohttp server on a free port, whatever it should answer given as a function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _served(answer: Answer) -> AsyncIterator[str]:
    async def timeless(request: web.Request) -> web.StreamResponse:
        """The clock of the test is not that of the machine, whose time the server would tell."""
        response = await answer(request)
        response.headers.setdefault("Date", "untold")
        return response

    runner = web.ServerRunner(web.Server(timeless, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Answer], Awaitable[str]]]:
    """`await serve(answer)` → base URL of a server that lives as long as the test."""
    async with AsyncExitStack() as stack:

        async def start(answer: Answer) -> str:
            return await stack.enter_async_context(_served(answer))

        yield start


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """`await until(fact)`: return when the fact holds; the test fails when that takes ten seconds."""

    async def wait(fact: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not fact():
                await anyio.sleep(0.001)

    return wait
