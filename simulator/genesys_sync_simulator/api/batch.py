"""Batch download requests, and the recording settings."""

from __future__ import annotations

import uuid
from math import ceil

from aiohttp import web

from genesys_sync_simulator.api.answers import VIEW_RECORDINGS, ApiError, Json, body, found, get, is_id, reply, token
from genesys_sync_simulator.batch import Item, Job, problem, without_repeats
from genesys_sync_simulator.media import content_type
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.world import FETCHABLE

_MOST_JOBS = 10_000


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of recording: batch requests and settings."""

    async def ask(request: web.Request) -> web.Response:
        document = await body(request)
        if (wrong := problem(document, is_id)) is not None:
            raise ApiError(400, *wrong)
        asked = document["batchDownloadRequestList"]
        now = platform.now()
        items = without_repeats([item for entry in asked for item in _items(platform, entry, now)])
        client = token(request).client
        job = Job(str(uuid.uuid4()), client.id, len(asked), items, now, platform.rules.batch_job_time)
        platform.jobs[job.id] = job
        if len(platform.jobs) > _MOST_JOBS:
            del platform.jobs[next(iter(platform.jobs))]
        return reply({"id": job.id, "selfUri": f"/api/v2/recording/batchrequests/{job.id}"})

    async def progress(request: web.Request) -> web.Response:
        job = found(
            platform.jobs.get(request.match_info["jobId"]), "batch.download.job.not.found", "The batch download job does not exist."
        )
        client = token(request).client
        if job.client_id != client.id:
            raise ApiError(403, "batch.download.permission.denied", "Only who submitted a batch download job may read it.")
        permitted = any(permission in client.permissions for permission in VIEW_RECORDINGS)
        job.work(platform.now(), lambda item, at: _results(platform, item, at, permitted=permitted))
        return reply(job.body())

    async def settings(_: web.Request) -> web.Response:
        minutes = min(60, max(2, ceil(platform.rules.url_life / 60)))
        return reply(
            {
                "maxSimultaneousStreams": 4,
                "maxConfigurableScreenRecordingStreams": 4,
                "regionalRecordingStorageEnabled": False,
                "recordingPlaybackUrlTtl": minutes,
                "recordingBatchDownloadUrlTtl": minutes,
                "stopRecordingWhenOnlyExternalParticipants": False,
            }
        )

    return [
        web.post("/api/v2/recording/batchrequests", ask),
        get("/api/v2/recording/batchrequests/{jobId}", progress),
        get("/api/v2/recording/settings", settings),
    ]


def _items(platform: Platform, entry: Json, now: float) -> list[Item]:
    """One item as asked for; without a recording id, all of the conversation's that could be downloaded."""
    conversation, recording = entry["conversationId"].lower(), entry.get("recordingId")
    if recording is not None:
        return [Item(conversation, recording.lower())]
    call = platform.world.call(conversation, now)
    listed = platform.world.listed(call, now) if call is not None else []
    items = [Item(conversation, one.id) for one, state in listed if state in FETCHABLE]
    return items or [Item(conversation, "")]


def _results(platform: Platform, item: Item, at: float, *, permitted: bool) -> list[Json]:
    named = {"conversationId": item.conversation_id, "recordingId": item.recording_id or None}
    recording = platform.world.recording(item.recording_id)
    state = None
    if recording is not None and recording.conversation_id == item.conversation_id:
        state = platform.world.state(recording, at)
    if recording is None or state is None:
        return _refused(platform, named, "The recording does not exist.")
    if not permitted:
        return _refused(platform, named, "The permission to view the recording is missing.")
    if state not in FETCHABLE:
        return _refused(platform, named, f"The recording is not available: its file state is {state}.")
    if recording.written:
        if platform.scenario.digital.in_batches != "json":
            return _refused(platform, named, "The recording has no media to download.")
        path = f"/media/written/{recording.id}/recording.json"
        url = platform.base_url + platform.presigner.sign(path, now=platform.now(), life=platform.rules.url_life)
        return [{**named, "resultUrl": url, "contentType": "application/json;charset=UTF-8"}]
    kind = recording.format
    return [
        {**named, "resultUrl": platform.media_url(recording, part, kind), "contentType": content_type(recording, kind)}
        for part in range(recording.parts)
    ]


def _refused(platform: Platform, named: Json, message: str) -> list[Json]:
    return [{**named, "errorMsg": message}] if platform.rules.batch_unavailable == "error" else []
