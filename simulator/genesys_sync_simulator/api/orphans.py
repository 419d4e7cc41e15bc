"""Orphans: recordings that belong to no conversation."""

from __future__ import annotations

import random
import uuid
from math import ceil

from aiohttp import web

from genesys_sync_simulator.api.answers import Json, bad_request, flag, found, get, need_all, number, reply
from genesys_sync_simulator.api.media import refused, refused_address, serve
from genesys_sync_simulator.audio import EXTENSIONS
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.media import Key
from genesys_sync_simulator.plan import RecordingPlan
from genesys_sync_simulator.platform import Platform

_PATH = "/api/v2/orphanrecordings"
_CAP = 500
"""Without `hasConversation=true` the list ends here, whatever there is."""


def routes(platform: Platform) -> list[web.RouteDef]:
    """The list, the single orphan and its media; there are as many as `recordings.orphans` says, none with a conversation."""

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

    async def media(request: web.Request) -> web.Response:
        need_all(request, "recording:orphan:view")
        wanted = request.match_info["orphanId"].lower()
        orphan = found(
            next((one for one in _orphans(platform) if one["id"] == wanted), None),
            "recording.orphan.not.found",
            "The orphan recording does not exist.",
        )
        kind = request.query.get("formatId", "WEBM")
        if kind not in EXTENSIONS:
            raise bad_request(f"{kind} is not a value of formatId.", code="invalid.value")
        due = platform.transcodes.setdefault(Key(wanted, 0, kind), platform.now() + platform.rules.transcode_time)
        if due > platform.now():
            return reply({"id": wanted, "estimatedTranscodeTimeMs": ceil((due - platform.now()) * 1000)}, status=202)
        path = f"/media/orphans/{wanted}/{kind}.{EXTENSIONS[kind]}"
        url = platform.base_url + platform.presigner.sign(path, now=platform.now(), life=platform.rules.url_life)
        return reply({"id": wanted, "fileState": orphan["fileState"], "media": "audio", "mediaUris": {"0": {"mediaUri": url}}})

    async def fetch(request: web.Request) -> web.StreamResponse:
        refusal = refused_address(platform, request)
        if refusal is not None:
            return refused(refusal)
        kind = request.match_info["file"].partition(".")[0]
        return await serve(platform, request, await platform.object(_plan(request.match_info["orphanId"]), 0, kind))

    return [
        get(_PATH, listed),
        get(_PATH + "/{orphanId}", one),
        get(_PATH + "/{orphanId}/media", media),
        web.get("/media/orphans/{orphanId}/{file}", fetch),
    ]


def _plan(orphan: str) -> RecordingPlan:
    """What is heard on it: four seconds, the same whenever asked."""
    seed = uuid.UUID(orphan).int % 2**31
    return RecordingPlan(orphan, "", "", "WAV", 1, seed, began=0.0, ended=4.0, appears=0.0, settles=0.0)


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
