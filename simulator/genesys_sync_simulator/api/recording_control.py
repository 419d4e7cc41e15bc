"""Pausing and resuming recordings of live calls, ad-hoc and snippet recording, and what shows whether trunks record at all."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from genesys_sync_simulator import snapshots
from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, empty, found, get, need_all, need_any, reply, token
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.control import Directive, stretches
from genesys_sync_simulator.plan import CallPlan, Leg
from genesys_sync_simulator.platform import Platform

_MEDIA: Final = ("calls", "callbacks", "emails", "messages", "cobrowsesessions", "screenshares", "socials", "videos")
_DIRECTIVES: Final = ("ACTIVE", "PAUSED", "NONE")
_NOT_FOUND: Final = "conversation.error.conversation.not.found"
_NOT_ACTIVE: Final = "conversation.error.forbidden.not.active.participant"
_PARTICIPANT: Final = "/api/v2/conversations/calls/{conversationId}/participants/{participantId}"
_PERMISSIONS_TO_RECORD: Final = ("conversation:participant:wrapup", "conversation:call:record", "conversation:communication:disconnect")


def routes(platform: Platform) -> list[web.RouteDef]:
    """The control operations; every one may be repeated."""

    async def put(request: web.Request) -> web.Response:
        need_all(request, "conversation:recording:pauseOthers")
        wanted = await _recording_state(request, _DIRECTIVES)
        call = _live(platform, request, "conversation.error.conversation.disconnected")
        if not request.path.startswith("/api/v2/conversations/calls/"):
            raise ApiError(404, _NOT_FOUND, "The conversation has no communication of this media type.")
        if platform.scenario.control.participants_only:
            raise ApiError(403, _NOT_ACTIVE, "The requester is not an active participant of the conversation.")
        return _policy(platform, call, wanted, "PUT", 202 if wanted == "PAUSED" else 200)

    async def patch(request: web.Request) -> web.Response:
        need_all(request, "conversation:recording:pauseOthers")
        _need_user(request)
        wanted = await _recording_state(request, _DIRECTIVES)
        call = _live(platform, request, "conversation.error.conversation.disconnected")
        return _policy(platform, call, wanted, "PATCH", 202)

    async def patch_call(request: web.Request) -> web.Response:
        need_all(request, "conversation:communication:disconnect")
        _need_user(request)
        wanted = await _recording_state(request, _DIRECTIVES[:2])
        call = _live(platform, request, "conversation.error.call.disconnected")
        return _policy(platform, call, wanted, "PATCH call", 202 if wanted == "PAUSED" else 200)

    async def trunks(request: web.Request) -> web.Response:
        need_all(request, "telephony:plugin:all")
        recorded = any(call.recordings for call in platform.world.planned)
        return reply({"enabledCount": int(recorded), "disabledCount": int(not recorded)})

    return [
        *(web.put(f"/api/v2/conversations/{media}/{{conversationId}}/recordingstate", put) for media in _MEDIA),
        web.patch("/api/v2/conversations/{conversationId}/recordingstate", patch),
        web.patch("/api/v2/conversations/calls/{conversationId}", patch_call),
        get("/api/v2/telephony/providers/edges/trunkswithrecording", trunks),
        *_participant_routes(platform),
        *_pages(platform),
    ]


def _participant_routes(platform: Platform) -> list[web.RouteDef]:
    """A participant's own recorders: for users only."""

    async def patch_participant(request: web.Request) -> web.Response:
        need_any(request, *_PERMISSIONS_TO_RECORD)
        _need_user(request)
        document = await _document(request)
        if not isinstance(document.get("recording"), bool):
            raise bad_request("recording must be true or false.")
        call = _live(platform, request, "conversation.error.call.disconnected")
        return _own_recorder(platform, call, _leg(platform, call, request), "adhoc", 202, record=document["recording"])

    async def snippet(request: web.Request) -> web.Response:
        need_all(request, "conversation:recording:snippetRecord")
        _need_user(request)
        document = await _document(request)
        if document.get("type") not in ("snippet", "adhoc") or not isinstance(document.get("record"), bool):
            raise bad_request("type must be snippet or adhoc, and record must be true or false.")
        call = _live(platform, request, "conversation.error.call.disconnected")
        leg = _leg(platform, call, request)
        if leg.ended <= platform.world.offset(platform.now()):
            raise ApiError(403, _NOT_ACTIVE, "The participant is not active any more.")
        return _own_recorder(platform, call, leg, document["type"], 202 if document["record"] else 200, record=document["record"])

    return [web.patch(_PARTICIPANT, patch_participant), web.post(_PARTICIPANT + "/snippet/record", snippet)]


def _pages(platform: Platform) -> list[web.RouteDef]:
    """The truth about who was recorded when; no token is asked for."""

    async def one(request: web.Request) -> web.Response:
        call = platform.world.call(request.match_info["conversationId"].lower(), platform.now())
        if call is None:
            return reply({"message": "there is no such conversation yet"}, status=404)
        return reply(_truth(platform, call))

    async def every(_: web.Request) -> web.Response:
        return reply({"conversations": [_truth(platform, call) for call in platform.world.calls(platform.now())]})

    return [get("/simulator/recording", every), get("/simulator/recording/{conversationId}", one)]


def _truth(platform: Platform, call: CallPlan) -> Json:
    world, now = platform.world, platform.now()
    offset, directives, view = world.offset(now), platform.control.of(call.id), platform.view(call, now)
    cut = list(stretches(call, directives, offset))
    return {
        "conversationId": call.id,
        "live": not view.ended,
        "recordingState": view.recording_state,
        "securePause": view.secure_pause,
        "startedAt": view.at(call.began),
        "endsAt": iso(world.moment(call.ended)),
        "requests": [
            {
                "operation": one.operation,
                "recorder": one.recorder,
                "state": one.state,
                "askedAt": iso(world.moment(one.asked)),
                "effectiveAt": None if one.lost else iso(world.moment(one.effective)),
            }
            for one in directives
        ],
        "stretches": [{"state": one.state, "from": iso(world.moment(one.begin)), "to": iso(world.moment(one.end))} for one in cut],
        "recordedSeconds": round(sum(one.end - one.begin for one in cut if one.state == "active"), 3),
        "pausedSeconds": round(sum(one.end - one.begin for one in cut if one.state != "active"), 3),
    }


def _need_user(request: web.Request) -> None:
    if not token(request).client.user:
        sentence = "This request requires a user context. Client credentials cannot be used for requests to this endpoint."
        raise ApiError(400, "not.a.user", sentence)


async def _document(request: web.Request) -> Json:
    document: Any = await body(request)
    if not isinstance(document, dict):
        raise bad_request("The body must be an object.")
    return document


async def _recording_state(request: web.Request, allowed: tuple[str, ...]) -> str:
    wanted = (await _document(request)).get("recordingState")
    # The platform publishes upper case here and lower case in what it tells; it reads both.
    if not isinstance(wanted, str) or wanted.upper() not in allowed:
        raise bad_request(f"recordingState must be one of {', '.join(allowed)}.", code="invalid.value")
    return wanted.upper()


def _live(platform: Platform, request: web.Request, over: str) -> CallPlan:
    now = platform.now()
    call = found(platform.world.call(request.match_info["conversationId"].lower(), now), _NOT_FOUND, "The conversation does not exist.")
    if platform.world.offset(now) >= call.ended:
        raise ApiError(400, over, "The conversation is disconnected.")
    return call


def _leg(platform: Platform, call: CallPlan, request: web.Request) -> Leg:
    wanted, offset = request.match_info["participantId"].lower(), platform.world.offset(platform.now())
    legs = {leg.participant_id: leg for leg in call.legs if leg.connected <= offset}
    return found(legs.get(wanted), "conversation.error.participant.not.found", "The participant does not exist.")


def _policy(platform: Platform, call: CallPlan, wanted: str, operation: str, status: int) -> web.Response:
    _accept(platform, call, operation, "policy", wanted.lower())
    return empty(status)


def _own_recorder(platform: Platform, call: CallPlan, leg: Leg, recorder: str, status: int, *, record: bool) -> web.Response:
    _accept(platform, call, "PATCH participant", recorder, "active" if record else "none", leg.participant_id)
    return empty(status)


def _accept(platform: Platform, call: CallPlan, operation: str, recorder: str, state: str, participant_id: str = "") -> None:
    """The change is due; when it comes, those who listen to the conversation's queues and agents are told."""
    delay = platform.scenario.control.delay
    asked = platform.world.offset(platform.now())
    lost = platform.faults.first("control_lost", conversationId=call.id)
    directive = Directive(operation, recorder, state, asked, asked + delay, participant_id, lost=lost)
    platform.control.accept(call.id, directive)
    about = {"conversationId": call.id, "operation": operation, "recorder": recorder, "state": state}
    effective = None if lost else iso(platform.world.moment(directive.effective))
    platform.truth.write("recording_control", **about, askedAt=iso(platform.now()), effectiveAt=effective)
    if lost or directive.effective >= call.ended:
        return
    platform.agenda.after(delay, lambda: platform.publish(snapshots.frames(platform.view_at(call, directive.effective))))
