"""The simulator's own pages, beside the platform's paths: look at it, start it, let a fault happen."""

from __future__ import annotations

from aiohttp import web

from genesys_sync_simulator.api.answers import get, reply
from genesys_sync_simulator.conductor import fire
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.scenario import MOMENT_FAULTS


def routes(platform: Platform) -> list[web.RouteDef]:
    """Control and inspection; no token is asked for."""

    async def state(_: web.Request) -> web.Response:
        now = platform.now()
        return reply(
            {
                "scenario": platform.scenario.name,
                "seed": platform.scenario.seed,
                **platform.world.summary(now),
                "finished": platform.played and platform.world.finished(now),
                "channels": len(platform.hub.living(now)),
                "sockets": len(platform.hub.sockets),
                "eventsLost": platform.hub.lost,
                "faultsFired": dict(platform.faults.fired),
            }
        )

    async def requests(_: web.Request) -> web.Response:
        hosts = {host: platform.hosts[host] for host in ("api", "login", "media", "streaming", "other")}
        operations = {name: count for name, count in sorted(platform.requests.items()) if " /simulator/" not in name}
        statuses = {str(status): count for status, count in sorted(platform.statuses.items())}
        return reply({**hosts, "total": sum(hosts.values()), "operations": operations, "statuses": statuses})

    async def fault(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind not in MOMENT_FAULTS:
            return reply({"message": f"there is no fault {kind}; the kinds are {', '.join(MOMENT_FAULTS)}"}, status=404)
        fire(platform, kind)
        return reply({"kind": kind}, status=202)

    async def ask_for_call(_: web.Request) -> web.Response:
        call = platform.world.ask()
        return reply({"conversationId": call.id}, status=202) if call is not None else none_waits()

    async def call_off(_: web.Request) -> web.Response:
        number = platform.world.call_off()
        return reply({"calledOff": number}, status=202) if number else none_waits()

    def none_waits() -> web.Response:
        if platform.scenario.calls.on_request:
            why = f"none of the {platform.scenario.calls.count} calls waits any more: they were asked for, or called off"
        else:
            why = "no call waits to be asked for: in this scenario they begin by themselves; calls.on_request = true lets them wait"
        return reply({"message": why}, status=409)

    async def start(_: web.Request) -> web.Response:
        platform.start_asked.set()
        return reply({"started": True}, status=202)

    return [
        get("/simulator/state", state),
        get("/simulator/requests", requests),
        web.post("/simulator/faults/{kind}", fault),
        web.post("/simulator/start", start),
        web.post("/simulator/calls", ask_for_call),
        web.delete("/simulator/calls", call_off),
    ]
