"""Architect's flows: lists, actions with their locks and operations, and jobs that publish YAML."""

from __future__ import annotations

import uuid
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web

from genesys_sync_simulator.api.answers import (
    ApiError,
    Json,
    bad_request,
    body,
    empty,
    flag,
    found,
    get,
    need_all,
    paged,
    reply,
    several,
    token,
)
from genesys_sync_simulator.api.store import offer
from genesys_sync_simulator.flows import Flow, FlowJob, Holder, Operation
from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.platform import Platform

_PATH: Final = "/api/v2/flows"
_NOT_LOCKED: Final = "architect.flow.not.locked.by.user"
_MOST_YAML: Final = 10_000_000


def routes(platform: Platform) -> list[web.RouteDef]:
    """Flows, their actions and jobs; one page of the simulator's own."""

    async def page(_: web.Request) -> web.Response:
        return reply({"flows": platform.flows.listing(platform.now())})

    return [*_job_routes(platform), *_action_routes(platform), *_flow_routes(platform), get("/simulator/flows", page)]


def _flow_routes(platform: Platform) -> list[web.RouteDef]:
    async def listed(request: web.Request) -> web.Response:
        need_all(request, "architect:flow:view")
        now, wanted = platform.now(), request.query.get("name", "").lower()
        words, types, deleted = request.query.get("nameOrDescription", "").lower(), several(request, "type"), flag(request, "deleted")
        chosen = [
            flow
            for flow in sorted(platform.flows.flows.values(), key=lambda flow: flow.name.lower())
            if flow.deleted == deleted
            and (not wanted or fnmatchcase(flow.name.lower(), wanted))
            and (not words or words in flow.name.lower() or words in flow.description.lower())
            and (not types or flow.rules.type.lower() in [kind.lower() for kind in types])
        ]
        return paged(request, [flow_body(flow, now) for flow in chosen])

    async def read(request: web.Request) -> web.Response:
        need_all(request, "architect:flow:view")
        return reply(flow_body(_flow(platform, request.match_info["flowId"]), platform.now()))

    async def edit(request: web.Request) -> web.Response:
        need_all(request, "architect:flow:edit")
        flow, document = _flow(platform, request.match_info["flowId"]), await body(request)
        if not isinstance(document, dict) or not isinstance(document.get("name", flow.name), str):
            raise bad_request("The body must be a flow.")
        _own_lock(flow, request)
        flow.name, flow.description = document.get("name", flow.name), str(document.get("description") or "")
        return reply(flow_body(flow, platform.now()))

    async def remove(request: web.Request) -> web.Response:
        need_all(request, "architect:flow:delete")
        flow = _flow(platform, request.match_info["flowId"])
        _not_locked_by_another(flow, request)
        flow.deleted = True
        tell(platform, flow)
        return empty(204)

    one = _PATH + "/{flowId}"
    return [get(_PATH, listed), get(one, read), web.put(one, edit), web.delete(one, remove)]


def _action_routes(platform: Platform) -> list[web.RouteDef]:
    async def checkout(request: web.Request) -> web.Response:
        flow = _acted(platform, request, "architect:flow:edit")
        _not_locked_by_another(flow, request)
        client = token(request).client
        flow.lock = Holder(client.id, client.name, client=True)
        tell(platform, flow)
        return reply(flow_body(flow, platform.now()))

    async def checkin(request: web.Request) -> web.Response:
        flow = _acted(platform, request, "architect:flow:edit")
        _own_lock(flow, request)
        return _begun(platform, request, flow, "CHECKIN", flow.checked_in + 1, status=200)

    async def publish(request: web.Request) -> web.Response:
        flow = _acted(platform, request, "architect:flow:publish")
        _not_locked_by_another(flow, request)
        asked = request.query.get("version", str(flow.checked_in)).removesuffix(".0")
        if not asked.isdecimal() or not 1 <= int(asked) <= flow.checked_in:
            raise ApiError(404, "architect.flow.version.missing", f"The flow has no version {asked}.", params={"version": asked})
        if flow.rules.missing:
            named = ", ".join(flow.rules.missing)
            details = [{"errorCode": "missing.dependency", "fieldName": "dependency", "entityName": name} for name in flow.rules.missing]
            sentence = f"The flow cannot be published: dependencies are missing: {named}"
            code = "architect.flow.cannot.publish.missing.dependencies"
            raise ApiError(409, code, sentence, params={"dependencies": named}, details=details)
        return _begun(platform, request, flow, "PUBLISH", int(asked), status=202)

    async def revert(request: web.Request) -> web.Response:
        return released(request, "architect:flow:edit", own=True)

    async def unlock(request: web.Request) -> web.Response:
        return released(request, "architect:flow:unlock", own=False)

    def released(request: web.Request, permission: str, *, own: bool) -> web.Response:
        flow = _acted(platform, request, permission)
        if own:
            _own_lock(flow, request)
        elif flow.lock is None:
            raise ApiError(409, _NOT_LOCKED, "The flow is not locked.")
        flow.lock = None
        tell(platform, flow)
        return reply(flow_body(flow, platform.now()))

    async def deactivate(request: web.Request) -> web.Response:
        flow = _acted(platform, request, "architect:flow:publish")
        _not_locked_by_another(flow, request)
        flow.published = None
        tell(platform, flow)
        return reply(flow_body(flow, platform.now()))

    actions = {"checkout": checkout, "checkin": checkin, "publish": publish, "revert": revert, "unlock": unlock, "deactivate": deactivate}
    return [web.post(f"{_PATH}/actions/{name}", action) for name, action in actions.items()]


def _job_routes(platform: Platform) -> list[web.RouteDef]:
    async def register(request: web.Request) -> web.Response:
        need_all(request, "architect:job:create")
        job = FlowJob(str(uuid.uuid4()), token(request).client)

        def stored(_: Parcel) -> None:
            platform.flows.stored(job, platform.now())
            if job.flow is not None:
                _tell_through(platform, job.flow, job.flow.operations[-1])

        headers = {"x-amz-tagging": f"organizationId={platform.world.plan.organization_id}"}
        job.parcel, url = offer(platform, "flowjobs", headers, stored, life=platform.rules.url_life, room=_MOST_YAML)
        platform.flows.jobs[job.id] = job
        return reply({"id": job.id, "presignedUrl": url, "headers": headers, "selfUri": f"{_PATH}/jobs/{job.id}"}, status=202)

    async def progress(request: web.Request) -> web.Response:
        need_all(request, "architect:job:view")
        job = found(platform.flows.jobs.get(request.match_info["jobId"]), "architect.job.not.found", "The job does not exist.")
        status = job.status(platform.now(), platform.scenario.architect.operation_time)
        shown: Json = {"id": job.id, "status": status, "command": "Publish", "selfUri": f"{_PATH}/jobs/{job.id}"}
        if job.flow is not None:
            shown["flow"] = {"id": job.flow.id, "name": job.flow.name, "selfUri": f"{_PATH}/{job.flow.id}"}
        if "messages" in several(request, "expand"):
            over = status in ("Success", "Failure")
            shown["messages"] = [{"type": "Error", "text": text} for text in job.messages] if over else []
        return reply(shown)

    return [web.post(f"{_PATH}/jobs", register), get(f"{_PATH}/jobs/{{jobId}}", progress)]


def _flow(platform: Platform, flow_id: str) -> Flow:
    flow = found(platform.flows.flows.get(flow_id.lower()), "architect.flow.not.found", "The flow does not exist.")
    if flow.deleted:
        raise ApiError(410, "architect.flow.deleted", "The flow was deleted.")
    flow.settle(platform.now())
    return flow


def _acted(platform: Platform, request: web.Request, permission: str) -> Flow:
    """The flow that an action is for, if one may be begun on it now."""
    need_all(request, permission)
    if "flow" not in request.query:
        raise bad_request("The query parameter flow is required.", code="missing.parameter")
    flow = _flow(platform, request.query["flow"])
    if flow.rules.fixed:
        raise ApiError(405, "method.not.allowed", "Flows of this type have no such action.")
    if flow.running(platform.now()) is not None:
        raise ApiError(409, "architect.operation.already.in.progress", "Another operation of this flow is in progress.")
    return flow


def _not_locked_by_another(flow: Flow, request: web.Request) -> None:
    if flow.lock is not None and flow.lock.id != token(request).client.id:
        sentence = f"The flow is locked by {flow.lock.name}."
        raise ApiError(409, "architect.flow.locked.by.user", sentence, params={"user": flow.lock.name})


def _own_lock(flow: Flow, request: web.Request) -> None:
    _not_locked_by_another(flow, request)
    if flow.lock is None:
        raise ApiError(409, _NOT_LOCKED, "The flow is not locked by you.")


def _begun(platform: Platform, request: web.Request, flow: Flow, action: str, version: int, *, status: int) -> web.Response:
    now = platform.now()
    operation = platform.flows.begin(flow, action, token(request).client, now, version)
    _tell_through(platform, flow, operation)
    return reply(operation_body(flow, operation, now), status=200 if now >= operation.ends else status)


def _tell_through(platform: Platform, flow: Flow, operation: Operation) -> None:
    """Now, half way, and at the end."""
    tell(platform, flow)
    for share in (0.5, 1.0) if operation.ends > operation.begun else ():
        platform.agenda.after((operation.ends - operation.begun) * share, lambda: tell(platform, flow))


def tell(platform: Platform, flow: Flow) -> None:
    """The flow's topic."""
    now = platform.now()
    flow.settle(now)
    kept = ("id", "name", "description", "deleted", "checkedInVersion", "savedVersion", "publishedVersion", "currentOperation")
    whole = flow_body(flow, now)
    platform.publish([(f"v2.flows.{flow.id}", {name: whole[name] for name in kept if name in whole})])


def flow_body(flow: Flow, now: float) -> Json:
    """Flow."""
    flow.settle(now)
    version = {"id": f"{flow.checked_in}.0"}
    shown: dict[str, Any] = {
        "id": flow.id,
        "name": flow.name,
        "description": flow.description,
        "type": flow.rules.type,
        "active": flow.published is not None,
        "deleted": flow.deleted,
        "system": False,
        "checkedInVersion": version,
        "savedVersion": version,
        "selfUri": f"{_PATH}/{flow.id}",
    }
    if flow.published is not None:
        shown["publishedVersion"] = {"id": f"{flow.published}.0"}
    if flow.lock is not None:
        shown["lockedClient" if flow.lock.client else "lockedUser"] = {"id": flow.lock.id, "name": flow.lock.name}
    if flow.operations:
        shown["currentOperation"] = operation_body(flow, flow.operations[-1], now)
    return shown


def operation_body(flow: Flow, operation: Operation, now: float) -> Json:
    """Operation; its errors appear with its end."""
    over = now >= operation.ends
    shown: Json = {
        "id": operation.id,
        "complete": over,
        "client": {"id": operation.client_id},
        "actionName": operation.action,
        "actionStatus": operation.status(now),
    }
    if over and operation.error:
        detail = {"errorCode": "architect.flow.validation.failed", "fieldName": "flow", "entityId": flow.id, "entityName": flow.name}
        shown |= {"errorCode": "architect.flow.validation.failed", "errorMessage": operation.error, "errorDetails": [detail]}
    return shown
