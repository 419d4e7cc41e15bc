"""Orphans: recordings that belong to no conversation."""

from __future__ import annotations

import random
import uuid

from aiohttp import web

from genesys_sync_simulator.api.answers import Json, flag, found, get, need_all, number, reply
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.platform import Platform

_PATH = "/api/v2/orphanrecordings"
_CAP = 500
"""Without `hasConversation=true` the list ends here, whatever there is."""


def routes(platform: Platform) -> list[web.RouteDef]:
    """The list and the single orphan; there are as many as `recordings.orphans` says, none with a conversation."""

    async def listed(request: web.Request) -> web.Response:
        need_all(request, "recording:orphan:view")
        size, page = number(request, "pageSize", 25, high=100), number(request, "pageNumber", 1)
        there = [] if flag(request, "hasConversation") else _orphans(platform)[:_CAP]
        if request.query.get("media") == "Screen":
            there = []
        pages = max(1, -(-len(there) // size))
        return reply(
            {
                "entities": there[(page - 1) * size : page * size],
                "pageSize": size,
                "pageNumber": page,
                "total": len(there),
                "pageCount": pages,
                "selfUri": request.path_qs,
            }
        )

    async def one(request: web.Request) -> web.Response:
        need_all(request, "recording:orphan:view")
        wanted = request.match_info["orphanId"].lower()
        known = {orphan["id"]: orphan for orphan in _orphans(platform)}
        return reply(found(known.get(wanted), "recording.orphan.not.found", "The orphan recording does not exist."))

    return [get(_PATH, listed), get(_PATH + "/{orphanId}", one)]


def _orphans(platform: Platform) -> list[Json]:
    """The same for the same seed, whenever asked."""
    chance = random.Random(f"orphans {platform.scenario.seed}")
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(platform.scenario.recordings.orphans)]
    return [
        {
            "id": orphan,
            "name": "",
            "createdTime": iso(platform.now() - 3600),
            "providerType": "EDGE",
            "mediaSizeBytes": 480_044,
            "mediaType": "CALL",
            "fileState": "AVAILABLE",
            "orphanStatus": "NO_CONVERSATION",
            "selfUri": f"{_PATH}/{orphan}",
        }
        for orphan in ids
    ]
