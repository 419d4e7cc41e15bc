"""Queues."""

from __future__ import annotations

from aiohttp import web

from genesys_sync_simulator.api.answers import Json, found, get, need_all, paged, reply
from genesys_sync_simulator.plan import Queue
from genesys_sync_simulator.platform import Platform


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of routing."""
    plan = platform.world.plan
    by_name = sorted(plan.queues, key=lambda queue: queue.name)

    async def queues(request: web.Request) -> web.Response:
        need_all(request, "routing:queue:view")
        name = request.query.get("name", "").strip("*").lower()
        return paged(request, [_queue(platform, queue) for queue in by_name if name in queue.name.lower()])

    async def queue(request: web.Request) -> web.Response:
        need_all(request, "routing:queue:view")
        one = next((queue for queue in plan.queues if queue.id == request.match_info["queueId"].lower()), None)
        return reply(_queue(platform, found(one, "not.found", "The queue does not exist.")))

    return [get("/api/v2/routing/queues", queues), get("/api/v2/routing/queues/{queueId}", queue)]


def _queue(platform: Platform, queue: Queue) -> Json:
    division = platform.world.plan.division_id
    return {
        "id": queue.id,
        "name": queue.name,
        "division": {"id": division, "name": "Home", "selfUri": f"/api/v2/authorization/divisions/{division}"},
        "memberCount": len(platform.world.plan.agents),
        "enableTranscription": False,
        "selfUri": f"/api/v2/routing/queues/{queue.id}",
    }
