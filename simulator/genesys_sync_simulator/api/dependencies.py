"""Dependency tracking: which flows use a prompt, and the build that finds out."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, empty, get, need_all, paged, reply, several
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.platform import Platform

_PATH: Final = "/api/v2/architect/dependencytracking"
_VIEW: Final = "architect:dependencyTracking:view"
_TOPIC: Final = "v2.architect.dependencytracking.build"


def routes(platform: Platform) -> list[web.RouteDef]:
    """Consumers, and the build."""
    shelf = platform.flows

    async def consuming(request: web.Request) -> web.Response:
        need_all(request, _VIEW)
        for name in ("id", "objectType"):
            if not request.query.get(name):
                raise bad_request(f"The query parameter {name} is required.", code="missing.parameter")
        prompt = platform.prompts.prompts.get(request.query["id"].lower()) if request.query["objectType"] == "USERPROMPT" else None
        kinds = several(request, "resourceType")
        entities = [
            {
                "id": flow.id,
                "name": flow.name,
                "type": f"{flow.rules.type.upper()}FLOW",
                "version": f"{flow.checked_in}.0",
                "deleted": False,
                "updated": False,
                "stateUnknown": False,
                "selfUri": f"/api/v2/flows/{flow.id}",
            }
            for flow in shelf.flows.values()
            if prompt is not None and not flow.deleted and prompt.name in flow.rules.uses
        ]
        entities = [one for one in entities if not kinds or one["type"] in kinds]
        if platform.now() >= shelf.tracking_until:
            return paged(request, entities)
        answer = paged(request, entities[: len(entities) // 2])  # what has been found so far
        answer.set_status(206)
        return answer

    async def status(request: web.Request) -> web.Response:
        need_all(request, _VIEW)
        return reply(_status(platform))

    async def build(request: web.Request) -> web.Response:
        need_all(request, "architect:dependencyTracking:rebuild")
        now, lasts = platform.now(), platform.scenario.architect.tracking_time
        if now < shelf.tracking_until:
            raise ApiError(409, "architect.operation.already.in.progress", "A build is in progress.")
        shelf.tracking_since, shelf.tracking_until = now, now + lasts
        platform.publish([(_TOPIC, _status(platform))])
        platform.agenda.after(lasts, lambda: platform.publish([(_TOPIC, _status(platform))]))
        return empty(202)

    return [get(f"{_PATH}/consumingresources", consuming), get(f"{_PATH}/build", status), web.post(f"{_PATH}/build", build)]


def _status(platform: Platform) -> Json:
    """DependencyStatus."""
    shelf = platform.flows
    over = platform.now() >= shelf.tracking_until
    shown: Json = {"status": "OPERATIONAL" if over else "BUILDINPROGRESS", "dateStarted": iso(shelf.tracking_since), "failedObjects": []}
    if over:
        shown["dateCompleted"] = iso(shelf.tracking_until)
    return {**shown, "selfUri": f"{_PATH}/build"}
