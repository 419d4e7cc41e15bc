"""Recording control without I/O: which operation a directive is, what a conversation shows, what stands in the way, when it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from genesys_sync.genesys.grants import Grants, holds, objects
from genesys_sync.services.control import Check, ControlForbidden, ControlRefused, Directive, RecordingMedia, RecordingStatus

PERMISSION: Final = "conversation:recording:pauseOthers"

_SEGMENTS: Final[Mapping[RecordingMedia, str]] = {
    RecordingMedia.CALL: "calls",
    RecordingMedia.CALLBACK: "callbacks",
    RecordingMedia.EMAIL: "emails",
    RecordingMedia.MESSAGE: "messages",
    RecordingMedia.COBROWSE: "cobrowsesessions",
    RecordingMedia.SCREENSHARE: "screenshares",
    RecordingMedia.SOCIAL: "socials",
    RecordingMedia.VIDEO: "videos",
}

_COMMUNICATIONS: Final[Mapping[RecordingMedia, str]] = {
    **_SEGMENTS,
    RecordingMedia.SOCIAL: "socialExpressions",
}
"""Under which name a participant lists its communications of this media."""

_STATES: Final[Mapping[Directive, str]] = {
    Directive.PAUSE: "PAUSED",
    Directive.RESUME: "ACTIVE",
    Directive.START: "ACTIVE",
    Directive.STOP: "NONE",
}

_AD_HOC: Final = (
    "no recording exists that it could act on: a recording policy, or line recording of the trunk, begins one. An ad-hoc recording needs "
    "the token of a user who takes part, which an OAuth client with client credentials does not have: the agent begins it"
)
_SCREEN: Final = (
    "the platform has no operation that starts, stops or pauses a screen recording: a recording policy decides about it, and a pause of "
    "the call's recording (--media call) pauses the screen's too"
)


def request_for(directive: Directive, conversation_id: str, media: RecordingMedia) -> tuple[str, str, Mapping[str, str]]:
    """Method, path and body of the published operation. Raises ControlRefused where there is none."""
    if media is RecordingMedia.SCREEN:
        raise ControlRefused(Check.OPERATION, _SCREEN)
    body = {"recordingState": _STATES[directive]}
    if media is RecordingMedia.CONVERSATION:
        return "PATCH", f"/api/v2/conversations/{conversation_id}/recordingstate", body
    return "PUT", f"/api/v2/conversations/{_SEGMENTS[media]}/{conversation_id}/recordingstate", body


def require_permission(granted: Grants | None) -> None:
    """Raises ControlForbidden when the grants are known and lack what the operation needs; what is not known is left to the platform."""
    if granted is not None and not holds(PERMISSION, granted):
        raise ControlForbidden(f"the permission {PERMISSION} is missing: give it to the role of the OAuth client")


def observed(conversation: Mapping[str, Any], conversation_id: str, media: RecordingMedia) -> RecordingStatus:
    """What `GET /api/v2/conversations/{id}` says of the recording of this media."""
    live = conversation.get("endTime") is None
    communications = list(_communications(conversation, media))
    connected = [one for one in communications if live and _word(one, "state") == "connected"]
    own = [one for one in connected if "recordingState" in one or "securePause" in one]
    told = own or ([conversation] if connected else [])
    states = {_word(one, "recordingState") for one in told} - {"", "none"}
    pauses = {pause for one in told if isinstance(pause := one.get("securePause"), bool)}
    return RecordingStatus(
        conversation_id=conversation_id,
        media=media,
        live=live,
        connected=bool(connected),
        state="mixed" if len(states) > 1 else next(iter(states), "none"),
        secure_pause=True in pauses if pauses else None,
        recorded=bool(states) or any(one.get("recordingId") for one in communications),
        screen=_screen(conversation),
    )


def in_effect(directive: Directive, status: RecordingStatus) -> bool:
    """Whether the recording is as the directive wants it. A hold pauses too, but is no secure pause."""
    match directive:
        case Directive.PAUSE:
            return status.state == "paused" and status.secure_pause is not False
        case Directive.RESUME | Directive.START:
            return status.state == "active" and status.secure_pause is not True
        case Directive.STOP:
            return status.state == "none"


def require_ready(directive: Directive, status: RecordingStatus) -> None:
    """The prerequisites that the conversation itself shows, in the order in which they are told. Raises ControlRefused for the first
    that does not hold; for a directive that is in effect already the last two do not matter."""
    what = "conversation" if status.media is RecordingMedia.CONVERSATION else status.media.value
    if not status.live:
        raise ControlRefused(Check.LIVE, "the conversation has ended: there is nothing left to record")
    if not status.connected:
        raise ControlRefused(Check.CONNECTED, f"no {what} of the conversation is connected: try again when it is, or name another --media")
    if in_effect(directive, status):
        return
    if not status.recorded or (directive in (Directive.PAUSE, Directive.RESUME) and status.state == "none"):
        why = _AD_HOC if not status.recorded else f"the recording was stopped: start it instead of a {directive}"
        raise ControlRefused(Check.RECORDED, f"the {what} is not being recorded: {why}")
    if directive is Directive.RESUME and status.state == "paused" and status.secure_pause is False:
        raise ControlRefused(
            Check.SECURE_PAUSE, "the recording is suppressed by a hold, not by a secure pause: it goes on by itself when the hold ends"
        )
    if directive is Directive.START and status.state == "paused":
        raise ControlRefused(Check.STATE, "the recording is paused, not stopped: resume it instead")


def _communications(conversation: Mapping[str, Any], media: RecordingMedia) -> Iterator[Mapping[str, Any]]:
    names = _COMMUNICATIONS.values() if media not in _COMMUNICATIONS else (_COMMUNICATIONS[media],)
    for participant in objects(conversation, "participants"):
        for name in names:
            yield from objects(participant, name)


def _screen(conversation: Mapping[str, Any]) -> str:
    """The agents' words, `active` before others: one recorded screen is what matters."""
    words = {_word(participant, "screenRecordingState") for participant in objects(conversation, "participants")} - {""}
    return "active" if "active" in words else min(words, default="")


def _word(thing: Mapping[str, Any], name: str) -> str:
    value = thing.get(name)
    return value.lower() if isinstance(value, str) else ""
