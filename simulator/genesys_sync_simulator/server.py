"""The listener: one address on loopback for the API, the login host, the media host and the streaming host."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

from genesys_sync_simulator.api import (
    analytics,
    batch,
    control,
    conversations,
    dependencies,
    flows,
    login,
    media,
    notifications,
    organization,
    orphans,
    prompts,
    recording_control,
    recordings,
    routing,
    socket,
    speech,
    store,
    transcription_settings,
    transcripts,
    uploads,
    written,
)
from genesys_sync_simulator.api.middleware import gate
from genesys_sync_simulator.conductor import Conductor, make_media, watch
from genesys_sync_simulator.platform import Platform

_AREAS = (
    login,
    organization,
    notifications,
    socket,
    routing,
    transcription_settings,
    transcripts,
    speech,
    conversations,
    recordings,
    orphans,
    batch,
    analytics,
    media,
    written,
    recording_control,
    store,
    uploads,
    prompts,
    flows,
    dependencies,
    control,
)
_LARGEST_BODY = 512_000


def application(platform: Platform) -> web.Application:
    """All operations of one platform."""
    app = web.Application(middlewares=[gate(platform)], client_max_size=_LARGEST_BODY)
    for area in _AREAS:
        app.router.add_routes(area.routes(platform))

    async def close_sockets(_: web.Application) -> None:
        for open_socket in platform.hub.sockets:
            open_socket.close()

    app.on_shutdown.append(close_sockets)
    return app


@asynccontextmanager
async def running(platform: Platform, *, port: int = 0) -> AsyncGenerator[Platform]:
    """The platform listens and plays; afterwards it does neither. Raises OSError when the port is taken."""
    runner = web.AppRunner(application(platform), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        platform.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with anyio.create_task_group() as group:
            group.start_soon(make_media, platform)
            group.start_soon(watch, platform)
            group.start_soon(platform.agenda.run)
            group.start_soon(Conductor(platform).run)
            try:
                yield platform
            finally:
                platform.stopping.set()
                group.cancel_scope.cancel()
    finally:
        platform.stopping.set()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
        platform.truth.close()
