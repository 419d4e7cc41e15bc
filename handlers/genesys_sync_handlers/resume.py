"""Resumes a recording whose pause was left with a time to end: `record pause --resume-after` commits the event before it pauses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from genesys_sync.plugin import (
    Check,
    ControlRefused,
    Delivery,
    Directive,
    Done,
    Event,
    Handler,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    RecordingMedia,
    Services,
    Skip,
    Snooze,
    Topic,
)
from genesys_sync_handlers._config import HandlerConfig
from genesys_sync_handlers._times import parse_iso, steady_now

_FOR_GOOD = frozenset({Check.OPERATION, Check.PERMISSION})
"""Refused for these, it is refused again."""
_LOOK_AGAIN = timedelta(seconds=15)
_DISCONNECTED = "conversation.error.conversation.disconnected"


class ResumeConfig(HandlerConfig):
    """There is nothing to set: when to resume stands in the event."""


class Resume(Handler[ResumeConfig]):
    """Waits until the event's time; then the recording is active, or there is nothing left to resume, and the note says which.

    Whether it is still paused is asked of the platform at that time, so a pause that was never accepted, or that somebody ended by
    hand, is left alone.
    """

    config_type = ResumeConfig
    topics = (Topic.RECORDING_PAUSE_LEFT,)
    # a recording that stays paused is lost for good: tried again and again, soon
    policy = Policy(
        timeout=timedelta(minutes=2),
        attempts=10_000,
        time_limit=timedelta(days=2),
        backoff_base=timedelta(seconds=1),
        backoff_cap=timedelta(seconds=10),
    )

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """See `Handler.running`."""
        self._services = services
        yield

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """See `Handler.handle`."""
        due = parse_iso(event.body.get("resumeAt"))
        media = event.body.get("media")
        if event.conversation_id is None or due is None or media not in set(RecordingMedia):
            reason = "the event names no conversation, resumeAt or media; let `record pause --resume-after` make it"
            raise PermanentError(reason, code=ReasonCode.HANDLER_REFUSED)
        left = due - steady_now(self._services.clock)
        if left > timedelta(0):
            return Snooze("the pause has not come to its end", left)
        try:
            return await self._resume(event.conversation_id, RecordingMedia(media))
        except ControlRefused as refused:
            if refused.check is Check.CONVERSATION:
                return Skip(f"nothing to resume: {refused.reason}")
            if refused.check in _FOR_GOOD:
                raise
            return Snooze(refused.reason, _LOOK_AGAIN)  # it changed under our hands
        except PermanentError as refused:
            if refused.platform_code != _DISCONNECTED:
                raise
            return Snooze(refused.reason, _LOOK_AGAIN)

    async def _resume(self, conversation_id: str, media: RecordingMedia) -> Outcome:
        control, log = self._services.genesys.control, self._services.log
        status = await control.status(conversation_id, media=media)
        if not status.live:
            return Skip("nothing to resume: the conversation has ended")
        if status.state == "active":
            log.info("pause_left_alone", conversation_id=conversation_id)
            return Done(note="the recording was active again already")
        if status.state == "none":  # between two legs of a transfer, where a pause may go on; or stopped
            return Snooze("the recording is neither paused nor active", _LOOK_AGAIN)
        if status.secure_pause is False:
            return Skip("nothing to resume: it is a hold that suppresses the recording, and ends by itself")
        done = await control.control(Directive.RESUME, conversation_id, media=media, reason="the pause was left with a time to end")
        log.warning("forgotten_pause_resumed", conversation_id=conversation_id, media=media.value, already=done.already)
        return Done(note="resumed a pause that was left")
