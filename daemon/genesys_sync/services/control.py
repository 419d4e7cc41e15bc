"""Control of a live conversation's recording: what can be asked for, what comes back, and how it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from genesys_sync.errors import EX_NOPERM, EX_UNAVAILABLE, PermanentError, ReasonCode, TransientError


class RecordingMedia(StrEnum):
    """What of a conversation: one kind of communication, each with its own operation, or `conversation` for whatever it has."""

    CALL = "call"
    CALLBACK = "callback"
    EMAIL = "email"
    MESSAGE = "message"
    COBROWSE = "cobrowse"
    SCREENSHARE = "screenshare"
    SOCIAL = "social"
    VIDEO = "video"
    CONVERSATION = "conversation"
    SCREEN = "screen"


class Directive(StrEnum):
    """What is to be done."""

    PAUSE = "pause"
    RESUME = "resume"
    START = "start"
    STOP = "stop"


class Check(StrEnum):
    """A prerequisite, by the name under which its refusal is reported."""

    OPERATION = "operation"
    """The platform offers such an operation, to this kind of client."""
    PERMISSION = "permission"
    CONVERSATION = "conversation"
    """The platform knows it."""
    LIVE = "live"
    CONNECTED = "connected"
    RECORDED = "recorded"
    STATE = "state"
    SECURE_PAUSE = "secure_pause"


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """A recording as the conversation shows it now.

    live          the conversation has not ended
    connected     a communication of the media asked for is connected
    state         `active`, `paused` or `none`; `mixed` while its communications do not agree
    secure_pause  paused on purpose, not by a hold; None where the platform does not say
    recorded      a recording exists, or is being made
    screen        the agents' screens, if they are recorded: the platform's own word, else empty
    """

    conversation_id: str
    media: RecordingMedia
    live: bool
    connected: bool
    state: str
    secure_pause: bool | None
    recorded: bool
    screen: str = ""


@dataclass(frozen=True, slots=True)
class Controlled:
    """A directive that is in effect, as the platform showed when it was read back.

    already  it was so before; nothing was sent
    seconds  from the request to the proof
    """

    directive: Directive
    before: RecordingStatus
    after: RecordingStatus
    already: bool
    seconds: float
    correlation_id: str = ""


class ControlRefused(PermanentError):
    """A prerequisite does not hold, so nothing was sent; `check` names it."""

    exit_code = EX_UNAVAILABLE

    def __init__(self, check: Check, reason: str, *, code: ReasonCode = ReasonCode.REQUEST_REFUSED, correlation_id: str = "") -> None:
        super().__init__(reason, code=code, correlation_id=correlation_id)
        self.check = check


class ControlForbidden(ControlRefused):
    """The OAuth client's role lacks the permission."""

    exit_code = EX_NOPERM

    def __init__(self, reason: str) -> None:
        super().__init__(Check.PERMISSION, reason, code=ReasonCode.FORBIDDEN)


class NotConfirmed(TransientError):
    """The platform accepted the request, but did not show its effect in time. Whether it comes is unknown: ask again, which is harmless."""

    def __init__(self, reason: str, *, correlation_id: str = "") -> None:
        super().__init__(reason, code=ReasonCode.NOT_READY, correlation_id=correlation_id)


Prepare = Callable[[], Awaitable[None]]


class RecordingControl(Protocol):
    """Directives for the recording of a live conversation. Each returns when the platform shows it in effect; one that is in effect
    already is a success that sends nothing, so every one may be repeated.

    Raises ControlRefused (nothing was sent), another PermanentError where the platform refused what was sent, with its code and words,
    NotConfirmed, or another TransientError. Every call but `status` writes one audit entry, `recording.<directive>`.
    """

    async def status(self, conversation_id: str, *, media: RecordingMedia = RecordingMedia.CALL) -> RecordingStatus:
        """The recording now. Raises ControlRefused for a conversation that the platform does not know."""
        ...

    async def control(
        self,
        directive: Directive,
        conversation_id: str,
        *,
        media: RecordingMedia = RecordingMedia.CALL,
        reason: str = "",
        prepare: Prepare | None = None,
    ) -> Controlled:
        """Carry the directive out. PAUSE begins a secure pause, RESUME ends it; STOP ends the recording, START takes a stopped one up.
        `reason` goes into the audit entry: no personal data. `prepare` is awaited when every prerequisite holds, before anything
        is sent (or before returning, when it is in effect already)."""
        ...
