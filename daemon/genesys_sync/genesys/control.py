"""Recording control: the conversation is looked at, the directive sent, and looked at again until it shows or the time is up."""

from __future__ import annotations

from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.events import is_canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller, Reply
from genesys_sync.genesys.control_rules import in_effect, observed, request_for, require_permission, require_ready
from genesys_sync.genesys.grants import permissions_of
from genesys_sync.genesys.lanes import Lane
from genesys_sync.services.actions import Action, Actions
from genesys_sync.services.control import (
    Check,
    Controlled,
    ControlRefused,
    Directive,
    NotConfirmed,
    Prepare,
    RecordingMedia,
    RecordingStatus,
)
from genesys_sync.settings import GenesysSettings

_NEEDS_USER = "not.a.user"


class ControlService:
    """Implements `services.RecordingControl`. Everything goes in the control lane: a pause must not wait behind a backlog."""

    def __init__(self, client: Caller, settings: GenesysSettings, *, clock: Clock, actions: Actions) -> None:
        self._client = client
        self._within = settings.control_confirm.total_seconds()
        self._every = settings.control_look.total_seconds()
        self._clock = clock
        self._actions = actions

    async def status(self, conversation_id: str, *, media: RecordingMedia = RecordingMedia.CALL) -> RecordingStatus:
        """See `services.RecordingControl.status`."""
        return (await self._look(conversation_id, media))[0]

    async def _look(self, conversation_id: str, media: RecordingMedia) -> tuple[RecordingStatus, str]:
        """The status, and the correlation id of the answer that showed it."""
        if not is_canonical_uuid(conversation_id):
            raise PermanentError(f"{conversation_id!r} is no conversation id", code=ReasonCode.ID_INVALID)
        try:
            reply = await self._client.call("GET", f"/api/v2/conversations/{conversation_id}", shape=dict, lane=Lane.CONTROL)
        except PlatformRefused as error:
            if error.code is not ReasonCode.NOT_FOUND:
                raise
            reason = f"the platform knows no conversation {conversation_id}"
            raise ControlRefused(Check.CONVERSATION, reason, code=ReasonCode.NOT_FOUND, correlation_id=error.correlation_id) from None
        return observed(reply.body, conversation_id, media), reply.correlation_id

    async def control(
        self,
        directive: Directive,
        conversation_id: str,
        *,
        media: RecordingMedia = RecordingMedia.CALL,
        reason: str = "",
        prepare: Prepare | None = None,
    ) -> Controlled:
        """See `services.RecordingControl.control`."""
        facts = {"media": media.value} | ({"because": reason} if reason else {})
        async with self._actions.perform(f"recording.{directive}", conversation_id, facts=facts) as action:
            try:
                done = await self._carry_out(directive, conversation_id, media, prepare, action)
            except ControlRefused as error:
                action.note(check=error.check.value)
                raise
            action.note(before=done.before.state, after=done.after.state)
            if done.already:
                action.note(already=True)
        return done

    async def _carry_out(
        self, directive: Directive, conversation_id: str, media: RecordingMedia, prepare: Prepare | None, action: Action
    ) -> Controlled:
        request_for(directive, conversation_id, media)  # first of all: what is no operation needs no look
        before, action.correlation_id = await self._look(conversation_id, media)
        require_ready(directive, before)
        if in_effect(directive, before):
            if prepare is not None:
                await prepare()
            return Controlled(directive, before, before, already=True, seconds=0.0)
        require_permission(await self._granted())
        if prepare is not None:
            await prepare()
        started = self._clock.monotonic()
        reply = await self._send(directive, conversation_id, media)
        action.correlation_id = reply.correlation_id
        after = await self._confirmed(directive, before, reply, started)
        return Controlled(
            directive, before, after, already=False, seconds=self._clock.monotonic() - started, correlation_id=reply.correlation_id
        )

    async def _granted(self) -> frozenset[tuple[str, str, str]] | None:
        """None where the platform does not tell: then it decides by itself."""
        try:
            reply = await self._client.call("GET", "/api/v2/authorization/subjects/me", lane=Lane.CONTROL)
        except PlatformRefused:
            return None
        granted = permissions_of(reply.body)
        return None if granted is None else frozenset(granted)

    async def _send(self, directive: Directive, conversation_id: str, media: RecordingMedia) -> Reply:
        method, path, body = request_for(directive, conversation_id, media)
        try:
            # a request for a state may be repeated: sent twice it asks for the same
            return await self._client.call(method, path, json=body, repeatable=True, lane=Lane.CONTROL)
        except PlatformRefused as error:
            if error.platform_code != _NEEDS_USER:
                raise
            reason = f"{error.reason} An OAuth client with client credentials names the media instead: --media call, or another"
            raise ControlRefused(Check.OPERATION, reason, correlation_id=error.correlation_id) from None

    async def _confirmed(self, directive: Directive, before: RecordingStatus, reply: Reply, started: float) -> RecordingStatus:
        """The status in which the directive is in effect. Whatever the request was answered, what counts is what the conversation
        shows."""
        while True:
            status = await self.status(before.conversation_id, media=before.media)
            if in_effect(directive, status) and status.connected:
                return status
            if not status.live:
                raise ControlRefused(
                    Check.LIVE, f"the conversation ended before the {directive} took effect", correlation_id=reply.correlation_id
                )
            if self._clock.monotonic() - started >= self._within:
                reason = (
                    f"the platform accepted the {directive} ({reply.status}), but the recording is still {status.state} after "
                    f"{self._within:g} s; ask for its status, and repeat the {directive}"
                )
                raise NotConfirmed(reason, correlation_id=reply.correlation_id)
            await self._clock.sleep(self._every)
