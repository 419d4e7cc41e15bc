"""A stand-in for recording control: conversations whose recordings obey at once, by the same rules as the platform's."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from anyio.lowlevel import checkpoint

from genesys_sync.actions import LookOnly
from genesys_sync.errors import ReasonCode
from genesys_sync.genesys.control_rules import in_effect, request_for, require_ready
from genesys_sync.services import Actions, Check, Controlled, ControlRefused, Directive, RecordingMedia, RecordingStatus
from genesys_sync.services.control import Prepare

_AFTER = {Directive.PAUSE: ("paused", True), Directive.RESUME: ("active", False), Directive.START: ("active", False)}


class FakeControl:
    """`services.RecordingControl` over what was put in.

    sent     the directives that were not in effect already: (directive, conversation id, media)
    actions  where it tells what it did; a HandlerHarness sets it
    """

    def __init__(self) -> None:
        self.sent: list[tuple[Directive, str, RecordingMedia]] = []
        self.actions: Actions = LookOnly()
        self._known: dict[str, RecordingStatus] = {}
        self._failures: deque[Exception] = deque()

    def show(
        self,
        conversation_id: str,
        state: str = "active",
        *,
        secure_pause: bool | None = False,
        live: bool = True,
        connected: bool = True,
        recorded: bool = True,
    ) -> None:
        """From now on the conversation is known, and its recording is like this."""
        self._known[conversation_id] = RecordingStatus(
            conversation_id, RecordingMedia.CALL, live, connected, state, secure_pause, recorded=recorded
        )

    def fail(self, *errors: Exception) -> None:
        """The coming directives raise these, one each, before they do anything."""
        self._failures.extend(errors)

    async def status(self, conversation_id: str, *, media: RecordingMedia = RecordingMedia.CALL) -> RecordingStatus:
        """See `services.RecordingControl.status`."""
        await checkpoint()
        if conversation_id not in self._known:
            raise ControlRefused(Check.CONVERSATION, "the platform knows no such conversation", code=ReasonCode.NOT_FOUND)
        return replace(self._known[conversation_id], media=media)

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
        async with self.actions.perform(f"recording.{directive}", conversation_id, facts={"media": media.value, "because": reason}):
            if self._failures:
                raise self._failures.popleft()
            request_for(directive, conversation_id, media)
            before = await self.status(conversation_id, media=media)
            require_ready(directive, before)
            if prepare is not None:
                await prepare()
            if in_effect(directive, before):
                return Controlled(directive, before, before, already=True, seconds=0.0)
            self.sent.append((directive, conversation_id, media))
            state, secure_pause = _AFTER.get(directive, ("none", False))
            after = self._known[conversation_id] = replace(before, state=state, secure_pause=secure_pause)
            return Controlled(directive, before, after, already=False, seconds=0.0)
