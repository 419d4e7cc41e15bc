"""Conversations as they stand."""

from __future__ import annotations

from aiohttp import web

from genesys_sync_simulator import snapshots
from genesys_sync_simulator.api.answers import found, get, need_all, reply
from genesys_sync_simulator.platform import Platform


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of conversations."""

    async def mine(_: web.Request) -> web.Response:
        return reply({"entities": []})  # the caller's own conversations: a client has none

    async def conversation(request: web.Request) -> web.Response:
        need_all(request, "conversation:communication:view")
        now = platform.now()
        call = platform.world.call(request.match_info["conversationId"].lower(), now)
        return reply(snapshots.conversation(platform.view(found(call, "conversation.not.found", "The conversation does not exist."), now)))

    return [get("/api/v2/conversations", mine), get("/api/v2/conversations/{conversationId}", conversation)]
