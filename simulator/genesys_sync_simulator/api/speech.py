"""Speech and text analytics of the organisation: programs and their engines, settings, search, reprocessing."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, empty, found, get, need_all, need_any, paged, reply, token
from genesys_sync_simulator.clock import iso, parse_iso
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.speech.phrases import DIALECTS
from genesys_sync_simulator.speech.search import BadSearch, search
from genesys_sync_simulator.speech.state import ReprocessJob

_ROOT = "/api/v2/speechandtextanalytics"
_JOBS = _ROOT + "/reprocessing/jobs"
_MOST_JOBS = 100
_JOB_TIME = 2.0
_ALL_DIALECTS = frozenset(dialect for dialects in DIALECTS.values() for dialect in dialects)
_SETTINGS = {"expectedDialects": list, "textAnalyticsEnabled": bool, "agentEmpathyEnabled": bool}


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of speech and text analytics that concern no single conversation."""

    async def find(request: web.Request) -> web.Response:
        need_any(request, "analytics:conversationDetail:view", "recording:recording:view", "recording:recordingSegment:view")
        asked = await _object(request)
        started_at = platform.world.started_at
        ready = []
        if started_at is not None:
            offset = platform.world.offset(platform.now())
            ready = [one for one in platform.speech.transcripts.values() if platform.speech.ready(one, offset, started_at)]
        try:
            return reply(search(ready, asked, started_at or 0.0))
        except BadSearch as error:
            raise bad_request(f"{error}.", code=error.code) from None

    return [
        web.post(_ROOT + "/transcripts/search", find),
        *_program_routes(platform),
        *_settings_routes(platform),
        *_job_routes(platform),
    ]


def _program_routes(platform: Platform) -> list[web.RouteDef]:
    state = platform.speech

    def program(program_id: str) -> Json:
        return {"id": program_id, "name": "Default program", "published": True, "selfUri": f"{_ROOT}/programs/{program_id}"}

    async def programs(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:program:view")
        return reply({"entities": [program(one) for one in state.engines], "pageSize": 25, "selfUri": request.path})

    async def one_program(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:program:view")
        _engines(platform, request)
        return reply(program(request.match_info["programId"]))

    async def dialects(_: web.Request) -> web.Response:
        return reply({"entities": [{"engine": engine, "dialects": list(known)} for engine, known in DIALECTS.items()]})

    async def engines(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:program:view")
        return reply(_with_program(_engines(platform, request), request))

    async def put_engines(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:program:edit")
        _engines(platform, request)
        wanted = (await _object(request)).get("transcriptionEngines")
        if not isinstance(wanted, list) or not wanted or not all(_is_engine(one) for one in wanted):
            raise bad_request("transcriptionEngines must list engines with dialects that they support.", code="invalid.value")
        state.engines[request.match_info["programId"]] = {"transcriptionEngines": wanted}
        return reply(_with_program(_engines(platform, request), request))

    return [
        get(_ROOT + "/programs", programs),
        get(_ROOT + "/programs/transcriptionengines/dialects", dialects),
        get(_ROOT + "/programs/{programId}", one_program),
        get(_ROOT + "/programs/{programId}/transcriptionengines", engines),
        web.put(_ROOT + "/programs/{programId}/transcriptionengines", put_engines),
    ]


def _settings_routes(platform: Platform) -> list[web.RouteDef]:
    state = platform.speech

    async def settings(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:settings:view")
        return reply(state.analytics)

    async def change(request: web.Request) -> web.Response:
        """PUT and PATCH take the same body; PUT sets what is left out to its default."""
        need_all(request, "speechAndTextAnalytics:settings:edit")
        wanted = await _object(request)
        for key, kind in _SETTINGS.items():
            if key in wanted and not isinstance(wanted[key], kind):
                raise bad_request(f"{key} is not of the published type.", code="invalid.value")
        if unknown := sorted(set(wanted.get("expectedDialects", [])) - _ALL_DIALECTS):
            raise bad_request(f"{unknown[0]} is not a supported dialect.", code="invalid.value")
        program_id = wanted.pop("defaultProgramId", None)
        if program_id is not None:
            if program_id not in state.engines:
                raise ApiError(404, "resource.not.found", "The program does not exist.")
            wanted["defaultProgram"] = {"id": program_id, "name": "Default program"}
        empty_settings: Json = {"expectedDialects": [], "textAnalyticsEnabled": False, "agentEmpathyEnabled": False}
        kept = state.analytics if request.method == "PATCH" else {**state.analytics, **empty_settings}
        state.analytics = {key: wanted.get(key, value) for key, value in kept.items()}
        return reply(state.analytics)

    path = _ROOT + "/settings"
    return [get(path, settings), web.put(path, change), web.patch(path, change)]


def _job_routes(platform: Platform) -> list[web.RouteDef]:
    jobs = platform.speech.jobs

    def shown(job: ReprocessJob) -> Json:
        share = min(1.0, (platform.now() - job.created) / _JOB_TIME)
        return {
            **job.request,
            "id": job.id,
            "createdBy": {"id": job.client_id},
            "dateCreated": iso(job.created),
            "jobStatus": "Completed" if share >= 1 else "InProgress" if share > 0 else "Queued",
            "queueOrder": 0,
            "processedInteractionsCount": int(job.total * share),
            "failedInteractionsCount": 0,
            "totalInteractionsCount": job.total,
            "selfUri": f"{_JOBS}/{job.id}",
        }

    def job(request: web.Request) -> ReprocessJob:
        return found(jobs.get(request.match_info["jobId"]), "resource.not.found", "The reprocessing job does not exist.")

    async def submit(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:reprocessInteractions:add")
        wanted = await _object(request)
        start, end = _span(wanted)
        created = ReprocessJob(str(uuid.uuid4()), wanted, token(request).client.id, platform.now(), _transcribed(platform, start, end))
        jobs[created.id] = created
        if len(jobs) > _MOST_JOBS:
            del jobs[next(iter(jobs))]
        return reply(shown(created), status=201)

    async def listed(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:reprocessInteractions:view")
        return paged(request, [shown(one) for one in jobs.values()])

    async def one(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:reprocessInteractions:view")
        return reply(shown(job(request)))

    async def remove(request: web.Request) -> web.Response:
        need_all(request, "speechAndTextAnalytics:reprocessInteractions:delete")
        del jobs[job(request).id]
        return empty(204)

    return [
        web.post(_JOBS, submit),
        get(_JOBS, listed),
        get(_JOBS + "/{jobId}", one),
        web.delete(_JOBS + "/{jobId}", remove),
    ]


def _engines(platform: Platform, request: web.Request) -> Json:
    return found(platform.speech.engines.get(request.match_info["programId"]), "resource.not.found", "The program does not exist.")


def _with_program(engines: Json, request: web.Request) -> Json:
    return {"program": {"id": request.match_info["programId"]}, **engines}


def _is_engine(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("engine") not in DIALECTS or not isinstance(one.get("dialects"), list):
        return False
    return bool(one["dialects"]) and set(map(str, one["dialects"])) <= set(DIALECTS[one["engine"]])


def _span(wanted: Json) -> tuple[float, float]:
    try:
        start, end = parse_iso(wanted["dateStart"]), parse_iso(wanted["dateEnd"])
    except (KeyError, TypeError, ValueError):
        raise bad_request("dateStart and dateEnd must be ISO 8601 moments.", code="invalid.date") from None
    if start >= end or not isinstance(wanted.get("name"), str):
        raise bad_request("A reprocessing job needs a name, and a dateEnd after its dateStart.", code="invalid.value")
    return start, end


def _transcribed(platform: Platform, start: float, end: float) -> int:
    """How many transcripts there are of calls that began in a span. Only these are looked through: none is made."""
    world, speech = platform.world, platform.speech
    if world.started_at is None:
        return 0
    offset, began = world.offset(platform.now()), world.started_at
    return sum(start <= world.moment(one.call.began) < end and speech.ready(one, offset, began) for one in speech.transcripts.values())


async def _object(request: web.Request) -> Json:
    document = await body(request)
    if not isinstance(document, dict):
        raise bad_request("The body must be an object.")
    return document
