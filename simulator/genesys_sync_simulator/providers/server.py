"""The listener of the stand-in providers: one address on loopback for both."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from genesys_sync_simulator.clock import Clock
from genesys_sync_simulator.digital.plan import with_digital
from genesys_sync_simulator.plan import make
from genesys_sync_simulator.providers import at_once, by_job
from genesys_sync_simulator.providers.desk import Desk
from genesys_sync_simulator.providers.recognise import Recogniser
from genesys_sync_simulator.providers.requests import Refused, answer
from genesys_sync_simulator.scenario import Scenario
from genesys_sync_simulator.speech.plan import spoken


def assemble(scenario: Scenario, clock: Clock) -> Desk:
    """Providers that understand what is said in a scenario's calls."""
    plan, _ = spoken(scenario, with_digital(scenario, make(scenario)))
    return Desk(scenario.providers, clock, Recogniser(plan.recordings))


@asynccontextmanager
async def running(desk: Desk, *, port: int = 0) -> AsyncGenerator[Desk]:
    """The providers listen; afterwards they do not, and what they were working on is forgotten. Raises OSError when the port is taken."""
    app = web.Application(middlewares=[_refusals])
    for area in (at_once, by_job):
        app.router.add_routes(area.routes(desk))
    app.router.add_get("/simulator/state", _state(desk))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        desk.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with anyio.create_task_group() as desk.group:
            try:
                yield desk
            finally:
                desk.group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response()
    except web.HTTPNotFound:
        return Refused(404, "not_found", "There is nothing at this address.").response()
    except web.HTTPMethodNotAllowed:
        return Refused(405, "method_not_allowed", "The method is not allowed here.").response()


def _state(desk: Desk) -> Handler:
    async def state(_: web.Request) -> web.StreamResponse:
        return answer({"counts": dict(desk.counts), "jobs": len(desk.jobs), "faultsFired": dict(desk.fired)})

    return state
