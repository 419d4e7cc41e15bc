"""Recordings of a conversation: metadata, single recordings with their media, retention."""

from __future__ import annotations

from math import ceil
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from genesys_sync_simulator.api.answers import (
    VIEW_RECORDINGS,
    ApiError,
    Json,
    bad_request,
    body,
    empty,
    flag,
    found,
    get,
    is_id,
    need_all,
    need_any,
    number,
    reply,
    several,
)
from genesys_sync_simulator.clock import iso, parse_iso
from genesys_sync_simulator.digital.body import RETENTION, metadata, whole, written
from genesys_sync_simulator.media import Key
from genesys_sync_simulator.plan import CallPlan, RecordingPlan
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.scenario import FORMATS
from genesys_sync_simulator.world import FETCHABLE

_CONVERSATION = "/api/v2/conversations/{conversationId}"


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of recordings."""

    async def listed_metadata(request: web.Request) -> web.Response:
        need_any(request, *VIEW_RECORDINGS)
        now = platform.now()
        call = _call(platform, request, now)
        return reply([metadata(platform.world, call, one, state, now) for one, state in platform.world.listed(call, now)])

    async def metadata_of_one(request: web.Request) -> web.Response:
        need_any(request, *VIEW_RECORDINGS)
        now = platform.now()
        call = _call(platform, request, now)
        return reply(metadata(platform.world, call, *_recording(platform, call, request, now), now))

    async def recordings(request: web.Request) -> web.Response:
        _need_view(request)
        now = platform.now()
        call = _call(platform, request, now)
        listed = platform.world.listed(call, now)
        kind = _format(request)
        waits = [await _wait(platform, request, recording, state, kind) for recording, state in listed]
        if any(wait > 0 for wait in waits):
            return empty(202)
        return reply([await _whole(platform, call, recording, state, kind) for recording, state in listed])

    async def recording(request: web.Request) -> web.Response:
        _need_view(request)
        now = platform.now()
        call = _call(platform, request, now)
        one, state = _recording(platform, call, request, now)
        kind = _format(request)
        name = request.query.get("fileName", one.id) if flag(request, "download") else ""
        wait = await _wait(platform, request, one, state, kind)
        if wait > 0:
            waiting = await _whole(platform, call, one, state, None)
            return reply({**waiting, "estimatedTranscodeTimeMs": ceil(wait * 1000)}, status=202)
        return reply(await _whole(platform, call, one, state, kind, file_name=name))

    async def edit(request: web.Request) -> web.Response:
        need_any(request, *VIEW_RECORDINGS)
        need_all(request, "recording:recording:editRetention")
        now = platform.now()
        call = _call(platform, request, now)
        one, state = _recording(platform, call, request, now)
        _edit_retention(platform, one, state, await body(request), now)
        return reply(await _whole(platform, call, one, platform.world.state(one, now) or state, None))

    return [
        get(_CONVERSATION + "/recordingmetadata", listed_metadata),
        get(_CONVERSATION + "/recordingmetadata/{recordingId}", metadata_of_one),
        get(_CONVERSATION + "/recordings", recordings),
        get(_CONVERSATION + "/recordings/{recordingId}", recording),
        web.put(_CONVERSATION + "/recordings/{recordingId}", edit),
        get("/api/v2/recordings/retention/query", _retention_query(platform)),
    ]


def _need_view(request: web.Request) -> None:
    """The recordings themselves have a refusal of their own; it names what would be enough, too."""
    try:
        need_any(request, *VIEW_RECORDINGS)
    except ApiError as refused:
        raise ApiError(403, "recording.recording.permission.check.failed", refused.message, params=refused.params) from None


def _call(platform: Platform, request: web.Request, now: float) -> CallPlan:
    conversation_id = request.match_info["conversationId"].lower()
    if not is_id(conversation_id):
        raise ApiError(400, "quality.query.invalid.conversation", "The conversation id is not well formed.")
    return found(platform.world.call(conversation_id, now), "conversation.not.found", "The conversation does not exist.")


def _recording(platform: Platform, call: CallPlan, request: web.Request, now: float) -> tuple[RecordingPlan, str]:
    wanted = request.match_info["recordingId"].lower()
    listed = {recording.id: (recording, state) for recording, state in platform.world.listed(call, now)}
    return found(listed.get(wanted), "recording.recording.not.found", "The recording does not exist.")


def _format(request: web.Request) -> str | None:
    """The format asked for, or None for none at all. `mediaFormats` overrides `formatId`."""
    formats = several(request, "mediaFormats") or [request.query.get("formatId", "WEBM")]
    if unknown := [name for name in formats if name not in (*FORMATS, "NONE")]:
        raise bad_request(f"{unknown[0]} is not a value of formatId.", code="invalid.value")
    return None if "NONE" in formats else formats[0]


async def _wait(platform: Platform, request: web.Request, recording: RecordingPlan, state: str, kind: str | None) -> float:
    """Seconds until the media are there in this format; 0 when they are, or when there will be none to wait for.

    The first question starts the transcode. Without `maxWaitMs` in the query it is answered at once: a real transcode takes
    longer than one request waits, and clients must know the 202.
    """
    most = number(request, "maxWaitMs", 0, low=0, high=60_000) / 1000
    if kind is None or kind == recording.format or recording.media != "audio" or state not in FETCHABLE:
        return 0.0
    key = Key(recording.id, 0, kind)
    due = platform.transcodes.setdefault(key, platform.now() + platform.rules.transcode_time)
    await platform.clock.sleep(min(most, due - platform.now()))
    return max(0.0, due - platform.now())


async def _whole(
    platform: Platform, call: CallPlan, recording: RecordingPlan, state: str, kind: str | None, *, file_name: str = ""
) -> Json:
    """Recording, with presigned addresses when a format was asked for and the media can be fetched; what is written has none."""
    world, now = platform.world, platform.now()
    if recording.written:
        return written(world, platform.scenario, call, recording, state, now)
    uris: Json | None = None
    size = 0
    if kind is not None and state in FETCHABLE:
        kind = recording.format if recording.media == "screen" else kind
        parts = [await platform.object(recording, part, kind) for part in range(recording.parts)]
        size = sum(part.size for part in parts)
        uris = {
            str(part): {"mediaUri": platform.media_url(recording, part, kind, file_name=file_name), "waveformData": []}
            for part in range(recording.parts)
        }
    return whole(world, call, recording, state, now, uris=uris, size=size)


def _edit_retention(platform: Platform, recording: RecordingPlan, state: str, document: Any, now: float) -> None:
    if not isinstance(document, dict):
        raise bad_request("The body must be a Recording.")
    if state in ("UPLOADING", "DELETED"):
        raise ApiError(400, "recording.not.archivable", f"A recording that is {state} cannot be archived.")
    date = document.get("archiveDate")
    if state != "ARCHIVED" or date is None:
        return
    try:
        until = parse_iso(date)
    except (TypeError, ValueError):
        raise bad_request("archiveDate must be an ISO 8601 moment.", code="invalid.date") from None
    if until > now:
        platform.world.restore(recording, now, until)


def _retention_query(platform: Platform) -> Any:
    async def query(request: web.Request) -> web.Response:
        need_any(request, *VIEW_RECORDINGS)
        if "retentionThresholdDays" not in request.query:
            raise bad_request("retentionThresholdDays is required.", code="missing.parameter")
        days = number(request, "retentionThresholdDays", 0, low=0, high=36_500)
        size = number(request, "pageSize", 100, high=500)
        start = number(request, "cursor", 0, low=0)
        now = platform.now()
        rows = []
        for call in platform.world.calls(now):
            for recording, state in platform.world.listed(call, now):
                expiry = platform.world.moment(recording.ended) + RETENTION
                if state != "DELETED" and expiry <= now + days * 86_400:
                    creation = iso(platform.world.moment(recording.appears))
                    row = {"conversationId": call.id, "recordingId": recording.id, "deleteDate": iso(expiry), "creationTime": creation}
                    rows.append(row)
        answer: Json = {"entities": rows[start : start + size], "selfUri": request.path_qs}
        if start + size < len(rows):
            answer["nextUri"] = f"{request.path}?{urlencode({**request.query, 'cursor': start + size})}"
        return reply(answer)

    return query
