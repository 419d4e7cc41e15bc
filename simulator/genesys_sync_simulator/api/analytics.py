"""Analytics: the details query, details of named conversations, and asynchronous details jobs."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from genesys_sync_simulator.analytics import JOB_LIFE, BadQuery, DetailsJob, details, matching, page
from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, empty, found, get, need_any, number, reply, several
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.plan import CallPlan
from genesys_sync_simulator.platform import Platform

_CONVERSATIONS = "/api/v2/analytics/conversations"
_JOBS = _CONVERSATIONS + "/details/jobs"
_MOST_JOBS = 100
_JOB_KEYS_ONLY_SYNC = ("paging", "aggregations")


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of analytics."""
    known = _Records(platform)

    async def query(request: web.Request) -> web.Response:
        _permitted(request)
        asked = await _query(request)
        try:
            records = matching(known.all(platform.now() - platform.rules.analytics_delay), asked, by_start_day=True)
            shown = page(records, asked.get("paging"))
            if len(records) > 1 and (asked.get("paging") or {}).get("pageNumber", 1) > 1 and platform.faults.first("page_shift"):
                records = records[1:]
                shown = page(records, asked["paging"])
        except BadQuery as error:
            raise bad_request(f"{error}.") from None
        answer: Json = {"totalHits": len(records)}
        return reply({"conversations": shown, **answer} if shown else answer)

    async def one(request: web.Request) -> web.Response:
        _permitted(request)
        wanted = request.match_info["conversationId"].lower()
        record = known.one(wanted, platform.now() - platform.rules.analytics_delay)
        return reply(found(record, "not.found", "The conversation does not exist."))

    async def some(request: web.Request) -> web.Response:
        _permitted(request)
        wanted = [identity.lower() for identity in several(request, "id")]
        if not wanted:
            raise bad_request("id is required.", code="missing.parameter")
        at = platform.now() - platform.rules.analytics_delay
        records = [record for identity in dict.fromkeys(wanted) if (record := known.one(identity, at)) is not None]
        shown = sorted(records, key=lambda record: str(record["conversationStart"]))
        return reply({"conversations": shown} if shown else {})

    return [
        web.post(_CONVERSATIONS + "/details/query", query),
        get(_CONVERSATIONS + "/details", some),
        *_job_routes(platform, known),
        get(_CONVERSATIONS + "/{conversationId}/details", one),
    ]


def _job_routes(platform: Platform, known: _Records) -> list[web.RouteDef]:
    async def submit(request: web.Request) -> web.Response:
        _permitted(request)
        return _submitted(platform, known, await _query(request))

    async def status(request: web.Request) -> web.Response:
        _permitted(request)
        job = _job(platform, request)
        state = job.state(platform.now(), takes=platform.rules.batch_job_time)
        answer: Json = {"state": state, "submissionDate": iso(job.begun), "expirationDate": iso(job.begun + JOB_LIFE)}
        waiting = state in ("QUEUED", "PENDING")
        if not waiting:
            answer["completionDate"] = iso(job.begun + platform.rules.batch_job_time)
        if state == "FAILED":
            answer["errorMessage"] = "The query could not be executed."
        return reply(answer, status=202 if waiting else 200)

    async def results(request: web.Request) -> web.Response:
        _permitted(request)
        job = _job(platform, request)
        if job.state(platform.now(), takes=platform.rules.batch_job_time) != "FULFILLED" or job.fault is not None:
            raise ApiError(404, "not.found", "The job has no results.")
        size, start = number(request, "pageSize", 1000, high=10_000), number(request, "cursor", 0, low=0)
        shown = job.found[start : start + size]
        answer: Json = {"dataAvailabilityDate": iso(_available_until(platform))}
        if shown:
            answer["conversations"] = shown
        if start + size < len(job.found):
            answer["cursor"] = str(start + size)
        return reply(answer)

    async def remove(request: web.Request) -> web.Response:
        _permitted(request)
        _job(platform, request)
        del platform.details_jobs[request.match_info["jobId"]]
        return empty(204)

    async def availability(request: web.Request) -> web.Response:
        _permitted(request)
        return reply({"dataAvailabilityDate": iso(_available_until(platform))})

    return [
        web.post(_JOBS, submit),
        get(_JOBS + "/availability", availability),
        get(_JOBS + "/{jobId}", status),
        get(_JOBS + "/{jobId}/results", results),
        web.delete(_JOBS + "/{jobId}", remove),
    ]


def _submitted(platform: Platform, known: _Records, asked: dict[str, Any]) -> web.Response:
    if wrong := [key for key in _JOB_KEYS_ONLY_SYNC if key in asked]:
        raise bad_request(f"{wrong[0]} is not a part of an asynchronous details query.")
    by_start_day = asked.get("startOfDayIntervalMatching") is True
    try:
        records = matching(known.all(_available_until(platform)), asked, by_start_day=by_start_day)
    except BadQuery as error:
        raise bad_request(f"{error}.") from None
    job_id = str(uuid.uuid4())
    fault = next((kind for kind in ("details_job_failed", "details_job_expired") if platform.faults.first(kind, jobId=job_id)), None)
    platform.details_jobs[job_id] = DetailsJob(records, platform.now(), fault)
    if len(platform.details_jobs) > _MOST_JOBS:
        del platform.details_jobs[next(iter(platform.details_jobs))]
    return reply({"jobId": job_id}, status=202)


def _permitted(request: web.Request) -> None:
    need_any(request, "analytics:conversationDetail:view", "analytics:agentConversationDetail:view")


def _available_until(platform: Platform) -> float:
    return platform.now() - platform.rules.data_lake_lag


class _Records:
    """What analytics know of each call by a moment. The record of a call that has ended stays as it is, and is made once: a query looks at
    all of them, for each of its pages."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._final: dict[str, Json] = {}

    def all(self, at: float) -> list[Json]:
        """Oldest first; nothing before the world has started."""
        return [self._of(call, at) for call in self._platform.world.calls(at)] if self._platform.world.started_at is not None else []

    def one(self, conversation_id: str, at: float) -> Json | None:
        call = self._platform.world.call(conversation_id, at)
        return None if call is None else self._of(call, at)

    def _of(self, call: CallPlan, at: float) -> Json:
        if self._platform.world.offset(at) < call.wrapped_up:
            return details(self._platform.view(call, at))
        if call.id not in self._final:
            self._final[call.id] = details(self._platform.view(call, at))
        return self._final[call.id]


async def _query(request: web.Request) -> dict[str, Any]:
    document = await body(request)
    if not isinstance(document, dict):
        raise bad_request("The body must be a query.")
    return document


def _job(platform: Platform, request: web.Request) -> DetailsJob:
    return found(platform.details_jobs.get(request.match_info["jobId"]), "not.found", "The job does not exist.")
