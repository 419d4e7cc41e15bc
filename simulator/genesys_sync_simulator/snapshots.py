"""A call as the platform shows it at a moment: the notification bodies and `GET /api/v2/conversations/{id}`. Pure.

`View` holds one call and one offset; everything is rendered from those. Fields whose moment has not come are left out, as the
platform does. Names and numbers are in here on purpose: they are what a client must not leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.control import Directive, state_at
from genesys_sync_simulator.digital.content import subject
from genesys_sync_simulator.plan import CallPlan, Leg, Plan

Json = dict[str, Any]

MEDIA: Mapping[str, str] = {"voice": "calls", "chat": "chats", "message": "messages", "email": "emails"}
"""Below which name a participant's media are listed, and the topics of one medium end."""
PROVIDERS: Mapping[str, str] = {
    "voice": "Edge",
    "chat": "PureCloud Webchat v2",
    "message": "PureCloud Messaging",
    "email": "PureCloud Email",
}
_OF_SOUND = ("recording", "recordingState", "recordersState", "muted", "confined", "securePause")
"""What a written medium does not have."""


@dataclass(frozen=True, slots=True)
class View:
    """One call at one offset of a world that started at `started_at` (epoch seconds)."""

    plan: Plan
    call: CallPlan
    offset: float
    started_at: float
    directives: tuple[Directive, ...] = ()
    screen: bool = False

    def at(self, moment: float) -> str | None:
        """The moment as the platform writes it, or None while it lies ahead."""
        return iso(self.started_at + moment) if moment <= self.offset else None

    @property
    def ended(self) -> bool:
        return self.offset >= self.call.ended

    @property
    def legs(self) -> list[Leg]:
        """Legs whose agent has at least been alerted."""
        return [leg for leg in self.call.legs if leg.alerted <= self.offset]

    @property
    def queue_ids(self) -> list[str]:
        """Queues that the conversation involves so far; the first from its beginning."""
        return list(dict.fromkeys([self.call.legs[0].queue.id, *(leg.queue.id for leg in self.legs)]))

    @property
    def user_ids(self) -> list[str]:
        """Agents that the conversation involves so far."""
        return list(dict.fromkeys(leg.agent.id for leg in self.legs))

    def state(self, connected: float, ended: float) -> str:
        """The published call state of one side."""
        if self.offset >= ended:
            return "terminated" if self.ended else "disconnected"
        return "connected" if self.offset >= connected else "alerting"

    def recording_now(self, leg: Leg) -> bool:
        """Whether this leg's sound is being recorded at the moment."""
        return leg.recording is not None and not leg.recording.written and leg.connected <= self.offset < leg.ended

    @property
    def subject(self) -> str | None:
        """An e-mail's."""
        script = next((leg.recording.script for leg in self.call.legs if leg.recording is not None), None)
        return subject(script) if self.call.media == "email" and script is not None else None

    def leg_state(self, leg: Leg) -> str:
        """The published `recordingState` of one leg."""
        return (state_at(self.directives, self.offset) or "active") if self.recording_now(leg) else "none"

    def recorder_state(self, recorder: str, leg: Leg | None) -> str:
        """Whether a participant's own recorder runs: `adhoc` or `snippet`."""
        if leg is None or not leg.connected <= self.offset < leg.ended:
            return "none"
        return state_at(self.directives, self.offset, recorder=recorder, participant_id=leg.participant_id) or "none"

    @property
    def recording_state(self) -> str:
        return next((self.leg_state(leg) for leg in self.call.legs if self.recording_now(leg)), "none")

    @property
    def secure_pause(self) -> bool:
        return self.recording_state == "paused"


def _without_nothing(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _media(view: View, session: str, connected: float, ended: float, leg: Leg | None, *, agent: bool) -> Json:
    """One entry of `participants[].calls[]`, or of what stands there for another medium."""
    call = view.call
    state = view.leg_state(leg) if leg is not None else "none"
    outer, inner = {"name": call.customer_name, "address": call.ani}, {"name": leg.agent.name if leg else "Queue", "address": call.dnis}
    own, other = (inner, outer) if agent else (outer, inner)
    shown = _without_nothing(
        {
            "id": session,
            "state": view.state(connected, ended),
            "subject": view.subject,
            "initialState": "alerting",
            "direction": "inbound",
            "recording": state == "active",
            "recordingState": state,
            "recordersState": {
                "adhocState": view.recorder_state("adhoc", leg if agent else None),
                "customerExperienceState": state,
                "agentExperienceState": "none",
                "snippetState": view.recorder_state("snippet", leg if agent else None),
            },
            "recordingId": leg.recording.id if leg is not None and leg.recording is not None and view.offset >= leg.connected else None,
            "muted": False,
            "confined": False,
            "held": False,
            "securePause": state == "paused",
            "provider": PROVIDERS[call.media],
            "self": _address(own),
            "other": _address(other),
            "connectedTime": view.at(connected),
            "disconnectedTime": view.at(ended),
            "disconnectType": _disconnect_type(view, ended, agent=agent),
        }
    )
    return shown if call.media == "voice" else {key: value for key, value in shown.items() if key not in _OF_SOUND}


def _address(party: Json) -> Json:
    number = party["address"]
    return {
        "name": party["name"],
        "nameRaw": party["name"],
        "addressNormalized": number.removeprefix("tel:"),
        "addressRaw": number,
        "addressDisplayable": number.removeprefix("tel:"),
    }


def _disconnect_type(view: View, ended: float, *, agent: bool) -> str | None:
    if view.offset < ended:
        return None
    if ended < view.call.ended:
        return "transfer"
    return "peer" if agent else "endpoint"


def _parts(view: View) -> list[tuple[Json, list[Json]]]:
    """Each participant without its media, and its media: customer, queue, then the agents."""
    call = view.call
    first = call.legs[0]
    customer: Json = {
        "id": call.customer_participant_id,
        "purpose": "customer",
        "name": call.customer_name,
        "address": call.ani,
        "ani": call.ani,
        "dnis": call.dnis,
        "startTime": view.at(call.began),
        "connectedTime": view.at(call.began),
        "endTime": view.at(call.ended),
        "attributes": {},
        "wrapupRequired": False,
    }
    customer_media = [
        # The first session begins with the call, before anybody answers; each transfer gives the customer a new one.
        _media(view, leg.customer_session_id, call.began if leg is first else leg.connected, leg.ended, leg, agent=False)
        for leg in call.legs
        if leg is first or leg.connected <= view.offset
    ]
    acd: Json = {
        "id": call.acd_participant_id,
        "purpose": "acd",
        "name": first.queue.name,
        "queueId": first.queue.id,
        "address": call.dnis,
        "startTime": view.at(call.began),
        "connectedTime": view.at(call.began),
        "endTime": view.at(first.connected),
        "attributes": {},
        "wrapupRequired": False,
    }
    parts = [(customer, customer_media), (acd, [_media(view, call.acd_session_id, call.began, first.connected, None, agent=True)])]
    for leg in view.legs:
        parts.append((_agent(view, leg), [_media(view, leg.agent_session_id, leg.connected, leg.ended, leg, agent=True)]))
    return parts


def _agent(view: View, leg: Leg) -> Json:
    wrapped = view.offset >= view.call.wrapped_up
    return {
        "id": leg.participant_id,
        "purpose": "agent",
        "name": leg.agent.name,
        "address": leg.agent.email,
        "userId": leg.agent.id,
        "queueId": leg.queue.id,
        "startTime": view.at(leg.alerted),
        "connectedTime": view.at(leg.connected),
        "endTime": view.at(leg.ended),
        "attributes": {},
        "screenRecordingState": _screen_state(view, leg),
        "wrapupRequired": True,
        "wrapup": {"code": "7fb334b0-0e9e-11e4-9191-0800200c9a66", "notes": "", "durationSeconds": 1} if wrapped else None,
    }


def _screen_state(view: View, leg: Leg) -> str | None:
    """Follows the call's recording; nobody can start or stop it from outside."""
    if not (view.screen or leg.screen is not None) or view.offset < leg.connected:
        return None
    if view.offset >= leg.ended:
        return "stopped"
    return "paused" if view.leg_state(leg) == "paused" else "active"


def generic(view: View) -> Json:
    """The body of `v2.routing.queues.{id}.conversations` and `v2.users.{id}.conversations`: media nested under participants.

    Leaner than what REST gives: participants have no startTime, ani or dnis here, and calls no recordingId.
    """
    body = _nested(view)
    for participant in body["participants"]:
        for name in ("startTime", "ani", "dnis"):
            participant.pop(name, None)
        for media in participant[MEDIA[view.call.media]]:
            media.pop("recordingId", None)
    return body


def _nested(view: View) -> Json:
    return {
        "id": view.call.id,
        "participants": [_without_nothing({**part, MEDIA[view.call.media]: media}) for part, media in _parts(view)],
        "recordingState": view.recording_state,
        "securePause": view.secure_pause,
        "address": view.call.ani,
        "divisions": [{"division": {"id": view.plan.division_id}, "entities": [{"id": leg.agent.id} for leg in view.legs]}],
    }


def calls(view: View) -> Json:
    """The body of the `.calls` topics, and of those of other media: one flat participant for each of its calls."""
    participants = []
    for part, media in _parts(view):
        flat = {key: value for key, value in part.items() if key not in ("userId", "queueId", "wrapup")}
        if "userId" in part:
            flat["user"] = {"id": part["userId"]}
        if "queueId" in part:
            flat["queue"] = {"id": part["queueId"]}
        newest = media[-1]
        kept = ("state", "direction", "muted", "confined", "held", "securePause", "provider", "subject", "disconnectType")
        flat |= {key: newest.get(key) for key in (*kept, "recording", "recordingState", "recordersState")}
        flat["wrapup"] = part.get("wrapup")
        participants.append(_without_nothing(flat))
    return {
        "id": view.call.id,
        "participants": participants,
        "otherMediaUris": [],
        "recordingState": view.recording_state,
        "securePause": view.secure_pause,
        "divisions": [{"division": {"id": view.plan.division_id}, "entities": []}],
    }


def conversation(view: View) -> Json:
    """`GET /api/v2/conversations/{id}`. There is no status; `endTime` is absent while the call lives."""
    return _without_nothing(
        {
            **_nested(view),
            "startTime": view.at(view.call.began),
            "endTime": view.at(view.call.ended),
            "utilizationLabelId": "",
            "selfUri": f"/api/v2/conversations/{view.call.id}",
        }
    )


def customer_end(view: View) -> Json:
    """The body of `v2.detail.events.conversation.{id}.customer.end`."""
    call, last = view.call, view.call.legs[-1]
    return {
        "eventTime": round((view.started_at + call.ended) * 1000),
        "conversationId": call.id,
        "participantId": call.customer_participant_id,
        "sessionId": last.customer_session_id,
        "disconnectType": "ENDPOINT",
        "mediaType": call.media.upper(),
        "provider": PROVIDERS[call.media],
        "direction": "INBOUND",
        "ani": call.ani,
        "dnis": call.dnis,
        **({} if view.subject is None else {"subject": view.subject}),
        "interactingDurationMs": round((last.ended - last.connected) * 1000),
        "divisionId": view.plan.division_id,
        "conversationExternalContactIds": [],
    }


def frames(view: View) -> list[tuple[str, Json]]:
    """Topic and body of every notification that this change of the call causes."""
    whole, flat = generic(view), calls(view)
    found: list[tuple[str, Json]] = []
    for prefix in [f"v2.routing.queues.{queue}" for queue in view.queue_ids] + [f"v2.users.{user}" for user in view.user_ids]:
        found += [(f"{prefix}.conversations", whole), (f"{prefix}.conversations.{MEDIA[view.call.media]}", flat)]
    if view.offset == view.call.ended:
        found.append((f"v2.detail.events.conversation.{view.call.id}.customer.end", customer_end(view)))
    return found
