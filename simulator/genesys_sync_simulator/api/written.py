"""The media host's file of what is written, as a batch download names it: the recording's body, byte for byte as the API answers it."""

from __future__ import annotations

import hashlib

from aiohttp import web

from genesys_sync_simulator.api.media import refused, refused_address, serve
from genesys_sync_simulator.digital.body import written
from genesys_sync_simulator.media import MediaObject
from genesys_sync_simulator.platform import Platform, encoded
from genesys_sync_simulator.presign import Refusal


def routes(platform: Platform) -> list[web.RouteDef]:
    """The one file of each written recording."""

    async def fetch(request: web.Request) -> web.StreamResponse:
        refusal = refused_address(platform, request)
        if refusal is not None:
            return refused(refusal)
        now = platform.now()
        recording = platform.world.recording(request.match_info["recordingId"])
        call = None if recording is None else platform.world.call(recording.conversation_id, now)
        state = None if recording is None else platform.world.state(recording, now)
        if recording is None or call is None or state is None or not recording.written:
            return refused(Refusal(404, "NoSuchKey", "The specified key does not exist."))
        data = encoded(written(platform.world, platform.scenario, call, recording, state, now))
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return await serve(platform, request, MediaObject(len(data), etag, "application/json;charset=UTF-8", 0.0, data))

    return [web.route("*", "/media/written/{recordingId}/recording.json", fetch)]
