"""Queues."""

from __future__ import annotations

from aiohttp import web

from genesys_sync_simulator.api.answers import Json, bad_request, body, found, get, need_all, paged, reply
from genesys_sync_simulator.plan import Queue
from genesys_sync_simulator.platform import Platform


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of routing."""
    plan = platform.world.plan
    by_name = sorted(plan.queues, key=lambda queue: queue.name)

    def wanted(request: web.Request) -> Queue:
        one = next((queue for queue in plan.queues if queue.id == request.match_info["queueId"].lower()), None)
        return found(one, "not.found", "The queue does not exist.")

    async def queues(request: web.Request) -> web.Response:
        need_all(request, "routing:queue:view")
        name = request.query.get("name", "").strip("*").lower()
        return paged(request, [_queue(platform, queue) for queue in by_name if name in queue.name.lower()])

    async def queue(request: web.Request) -> web.Response:
        need_all(request, "routing:queue:view")
        return reply(_queue(platform, wanted(request)))

    async def edit(request: web.Request) -> web.Response:
        """Replaces the queue. Its name must come with it; of the rest only `enableTranscription` means anything here."""
        need_all(request, "routing:queue:edit")
        one, document = wanted(request), await body(request)
        if not isinstance(document, dict) or not isinstance(document.get("name"), str) or not document["name"].strip():
            raise bad_request("The queue needs a name.", code="invalid.value")
        on = document.get("enableTranscription", False)
        if not isinstance(on, bool):
            raise bad_request("enableTranscription must be true or false.", code="invalid.value")
        platform.speech.queues[one.id] = on
        platform.speech.changed(platform.now())
        return reply(_queue(platform, one))

    return [
        get("/api/v2/routing/queues", queues),
        get("/api/v2/routing/queues/{queueId}", queue),
        web.put("/api/v2/routing/queues/{queueId}", edit),
    ]


def _queue(platform: Platform, queue: Queue) -> Json:
    division = platform.world.plan.division_id
    return {
        "id": queue.id,
        "name": queue.name,
        "division": {"id": division, "name": "Home", "selfUri": f"/api/v2/authorization/divisions/{division}"},
        "memberCount": len(platform.world.plan.agents),
        "enableTranscription": platform.speech.queues[queue.id],
        "selfUri": f"/api/v2/routing/queues/{queue.id}",
    }
