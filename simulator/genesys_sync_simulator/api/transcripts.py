"""Transcripts of a conversation: where its files are, the files themselves, and what analytics make of them."""

from __future__ import annotations

import hashlib

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Operation, found, get, need_all, need_any, number, reply
from genesys_sync_simulator.api.media import refused, refused_address, serve
from genesys_sync_simulator.media import MediaObject
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.presign import Refusal
from genesys_sync_simulator.speech.document import document
from genesys_sync_simulator.speech.metrics import sentiment_score, speaking_shares
from genesys_sync_simulator.speech.plan import TranscriptPlan

_CONVERSATION = "/api/v2/speechandtextanalytics/conversations/{conversationId}"
_COMMUNICATION = _CONVERSATION + "/communications/{communicationId}"
_DATA = ("recording:recording:view", "speechAndTextAnalytics:data:view")
_NOT_YET = "The transcript URL is not available."


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of speech and text analytics that read one conversation."""

    async def one_url(request: web.Request) -> web.Response:
        need_all(request, *_DATA)
        return reply({"url": _url(platform, _wanted(platform, request))})

    async def urls(request: web.Request) -> web.Response:
        need_any(request, "recording:recording:view", "recording:recordingSegment:view")
        transcript = _wanted(platform, request)
        return reply(
            {
                "conversation": {"id": transcript.call.id, "selfUri": f"/api/v2/conversations/{transcript.call.id}"},
                "communicationId": transcript.session_id,
                "urls": [{"recording": {"id": transcript.recording_id}, "url": _url(platform, transcript)}],
            }
        )

    return [
        get(_COMMUNICATION + "/transcripturl", one_url),
        get(_COMMUNICATION + "/transcripturls", urls),
        *_analytics_routes(platform),
        web.route("*", "/media/speech/{conversationId}/{communicationId}/{file}", _file(platform)),
    ]


def _analytics_routes(platform: Platform) -> list[web.RouteDef]:
    async def metrics(request: web.Request) -> web.Response:
        need_all(request, *_DATA)
        known = _of_conversation(platform, request)
        if not known:
            raise ApiError(404, "resource.not.found", "The conversation has not been analysed.")
        score = sentiment_score(known)
        return reply(
            {
                "conversation": {"id": known[0].call.id, "selfUri": f"/api/v2/conversations/{known[0].call.id}"},
                "sentimentScore": score,
                "sentimentTrend": 0.0,
                "sentimentTrendClass": "NoChange" if score else "NotCalculated",
                "empathyScores": [],
                **({"participantMetrics": speaking_shares(known)} if known[0].call.media == "voice" else {}),
            }
        )

    async def sentiments(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:sentimentData:view")
        raise ApiError(404, "sentiment.data.not.found", "There are no sentiment data for the conversation.")

    async def summaries(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:aiSummary:view")
        raise ApiError(404, "summaries.not.found", "There are no summaries of the conversation.")

    async def categories(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:data:view")
        size, page = number(request, "pageSize", 25, high=50), number(request, "pageNumber", 1)
        return reply({"entities": [], "pageSize": size, "pageNumber": page, "total": 0, "pageCount": 0, "selfUri": request.path_qs})

    return [
        get(_CONVERSATION, metrics),
        get(_CONVERSATION + "/sentiments", sentiments),
        get(_CONVERSATION + "/summaries", summaries),
        get(_CONVERSATION + "/categories", categories),
    ]


def _wanted(platform: Platform, request: web.Request) -> TranscriptPlan:
    """The transcript of the path, once it is there. Raises the published 403 and 404."""
    now, speech = platform.now(), platform.speech
    call = platform.world.call(request.match_info["conversationId"].lower(), now)
    if call is not None and platform.scenario.transcripts is None and speech.settings["transcription"] == "Disabled":
        raise ApiError(403, "forbidden", "Transcription is not enabled for the organization.")
    transcript = speech.transcripts.get(request.match_info["communicationId"].lower())
    if call is None or transcript is None or transcript.call.id != call.id or platform.world.started_at is None:
        raise ApiError(404, "resource.not.found", _NOT_YET)
    if speech.refused(transcript, platform.world.started_at):
        on = speech.enabled(transcript.leg.queue.id, platform.world.moment(transcript.leg.connected)) and transcript.reason == "forbidden"
        sentence = "Access to the transcript is denied." if on else "Transcription was not enabled for the interaction."
        raise ApiError(403, "forbidden", sentence)
    ready = speech.ready(transcript, platform.world.offset(now), platform.world.started_at)
    return found(transcript if ready else None, "resource.not.found", _NOT_YET)


def _of_conversation(platform: Platform, request: web.Request) -> list[TranscriptPlan]:
    """The conversation's transcripts that are there, and those in which nobody was heard to speak."""
    world, speech, now = platform.world, platform.speech, platform.now()
    call = world.call(request.match_info["conversationId"].lower(), now)
    if call is None or world.started_at is None:
        return []
    offset, started_at = world.offset(now), world.started_at
    own = [speech.transcripts[leg.customer_session_id] for leg in call.legs if leg.customer_session_id in speech.transcripts]
    return [
        one for one in own if speech.ready(one, offset, started_at) or (one.reason in ("no_speech", "too_short") and offset >= one.ready_at)
    ]


def _url(platform: Platform, transcript: TranscriptPlan) -> str:
    rules = platform.scenario.transcripts
    assert rules is not None
    path = f"/media/speech/{transcript.call.id}/{transcript.session_id}/{transcript.recording_id}.json"
    return platform.base_url + platform.presigner.sign(path, now=platform.now(), life=rules.file_life)


def _file(platform: Platform) -> Operation:
    async def fetch(request: web.Request) -> web.StreamResponse:
        refusal = refused_address(platform, request)
        if refusal is not None:
            return refused(refusal)
        transcript = platform.speech.transcripts.get(request.match_info["communicationId"])
        if transcript is None or platform.world.started_at is None:
            return refused(Refusal(404, "NoSuchKey", "The specified key does not exist."))
        data = document(platform.world.plan, transcript, platform.world.started_at)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return await serve(platform, request, MediaObject(len(data), etag, "application/json", transcript.script.seconds, data))

    return fetch
