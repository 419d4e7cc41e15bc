"""Finds out which recordings an ended conversation has, because the platform announces none.

It looks on a ladder of waits since the end of the conversation, by returning `Snooze`, and tells what it sees as events whose ids make
repeats harmless. Nothing is remembered between looks: what to do follows from the time since the end and from what this look shows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Literal

from genesys_sync.plugin import (
    Delivery,
    Done,
    Event,
    Handler,
    Look,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    RecordingInfo,
    Services,
    Snooze,
    Topic,
    TransientError,
    is_canonical_uuid,
    iso,
)
from genesys_sync_handlers._analytics import recording_started
from genesys_sync_handlers._config import PositiveDuration
from genesys_sync_handlers._ladder import LadderConfig, Rungs
from genesys_sync_handlers._restore import Restores
from genesys_sync_handlers._times import steady_now
from genesys_sync_handlers._written import WRITTEN

_READY = frozenset({"AVAILABLE", "RESTORED"})
_LOST = {"DELETED": ReasonCode.DELETED_UPSTREAM, "ERROR": ReasonCode.FILESTATE_ERROR}
_UNDER_WAY = frozenset({"UPLOADING", "ARCHIVED", "RESTORING"})
_STATE_LIMIT = 64


class DiscoverConfig(LadderConfig):
    """When to look, when to be content, and what becomes of what the platform has archived. Times count from the end of the conversation.

    ladder         when looks are due, ascending; past the last rung at every multiple of it
    confirm_after  the earliest moment at which a conversation is finished
    confirm        `metadata`: only a definitive look finishes it (one more request a conversation);
                   `batch`: a look shared with other conversations is enough
    give_up        the moment of the last look; for what is being restored it counts from when the conversation was first heard of
    restore        whether archived recordings are brought back, by moving their `archiveDate`
    restore_for    how long the platform is to keep them then
    """

    ladder: Rungs = (
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=2),
        timedelta(minutes=5),
        timedelta(minutes=10),
        timedelta(minutes=30),
        timedelta(hours=1),
    )
    confirm_after: PositiveDuration = timedelta(hours=1)
    confirm: Literal["metadata", "batch"] = "metadata"
    give_up: PositiveDuration = timedelta(hours=48)
    restore: bool = True
    restore_for: PositiveDuration = timedelta(days=7)


class Discover(Handler[DiscoverConfig]):
    """`conversation.ended` → `recording.created`, `recording.status_changed`, `recording.ready`, `recording.lost`."""

    config_type = DiscoverConfig
    topics = (Topic.CONVERSATION_ENDED,)
    policy = Policy(concurrency=200, timeout=timedelta(minutes=3), attempts=20, time_limit=timedelta(hours=96))
    _services: Services
    _restores: Restores

    def __init__(self, name: str, config: DiscoverConfig) -> None:
        super().__init__(name, config)
        self._ladder = config.climbed()

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Keeps the services; holds nothing open."""
        self._services = services
        self._restores = Restores(services, keep=self.config.restore_for)
        yield

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """One look, if one is due. Repeated looks emit the same events again, which the ledger records once."""
        conversation = event.conversation_id or ""
        if not is_canonical_uuid(conversation):
            raise PermanentError("the event carries no valid conversation id", code=ReasonCode.ID_INVALID)
        elapsed = steady_now(self._services.clock) - event.occurred_at
        first = self.config.ladder[0]
        if elapsed < first:
            return Snooze("the first look is not due yet", first - elapsed)
        expected = _expected(event)
        try:
            look = await self._look(conversation, elapsed, expected=expected, written=_written(event))
        except PermanentError as error:
            if error.code is not ReasonCode.NOT_FOUND or self._ladder.over(elapsed):
                raise
            return Snooze("the platform does not know the conversation yet", self._ladder.next_look(elapsed))
        return await self._judge(event, delivery, look, elapsed, expected=expected)

    async def _look(self, conversation: str, elapsed: timedelta, *, expected: bool | None, written: bool) -> Look:
        """A shared look where that can tell enough, a definitive one where it cannot: what was written has no file, and whether batches
        name it all the same is not published."""
        recordings = self._services.genesys.recordings
        finishing = self.config.confirm == "metadata" and self._ladder.confirming(elapsed)
        look = await recordings.look(conversation, definitive=finishing or written)
        if look.definitive or look.recordings or expected is False or not self._ladder.patient(elapsed):
            return look
        return await recordings.look(conversation, definitive=True)

    async def _judge(self, event: Event, delivery: Delivery, look: Look, elapsed: timedelta, *, expected: bool | None) -> Outcome:
        news = tuple(_news(event, look.recordings, self._services.now()))
        pending = [recording for recording in look.recordings if not _is_final(recording)]
        self._tell_unknown(pending)
        refusals, restoring = await self._restore(event, pending)
        if self._ladder.confirming(elapsed) and (look.definitive or self.config.confirm == "batch"):
            if look.recordings and not pending:
                return Done(news, _summary(look.recordings))
            if not look.recordings and await self._none_expected(event, expected=expected):
                return Done(note="none expected")
        if not self._ladder.over(elapsed):
            return Snooze(_summary(look.recordings), self._wait(look, pending, elapsed), news)
        heard = self._services.now() - delivery.created_at
        if pending and (delivery.snoozes == 0 or (restoring and heard < self.config.give_up)):
            # a failure commits no events: what this first look of an old conversation found is told before it is given up
            return Snooze(_summary(look.recordings), self._ladder.next_look(elapsed), news)
        return self._given_up(pending, refusals, expected=expected)

    async def _restore(self, event: Event, pending: Sequence[RecordingInfo]) -> tuple[Sequence[PermanentError], bool]:
        """The platform's refusals to restore, and whether anything is on its way back."""
        archived = [recording for recording in pending if recording.file_state == "ARCHIVED"] if self.config.restore else []
        restoring = any(recording.file_state == "RESTORING" for recording in pending)
        refusals: list[PermanentError] = []
        for recording in archived:
            try:
                refusal = await self._restores.ask(event.conversation_id or "", recording.recording_id)
            except TransientError as error:
                # not asked yet, or not known: the next look does, and what this one found is told meanwhile
                self._services.log.info("restore_not_asked", recording_id=recording.recording_id, reason=error.reason)
                refusal = None
            if refusal is not None:
                refusals.append(refusal)
            else:
                restoring = True
        return refusals, restoring

    def _tell_unknown(self, pending: Sequence[RecordingInfo]) -> None:
        for recording in pending:
            if recording.file_state not in _UNDER_WAY:
                self._services.log.warning("file_state_unknown", recording_id=recording.recording_id, file_state=_state(recording))

    def _wait(self, look: Look, pending: Sequence[RecordingInfo], elapsed: timedelta) -> timedelta:
        """Once everything seen has reached its end, only the confirming look is left: rungs between would cost and show nothing."""
        settled = look.recordings and not pending and self._ladder.patient(elapsed) and not self._ladder.confirming(elapsed)
        return self.config.confirm_after - elapsed if settled else self._ladder.next_look(elapsed)

    async def _none_expected(self, event: Event, *, expected: bool | None) -> bool:
        """Whether the absence of recordings is right. Where the event does not say, analytics is asked (a shared request)."""
        if expected is None:
            details = await self._services.genesys.conversations.details(event.conversation_id or "")
            expected = None if details is None else recording_started(details)
        return expected is False

    def _given_up(self, pending: Sequence[RecordingInfo], refusals: Sequence[PermanentError], *, expected: bool | None) -> Outcome:
        if pending:
            states = sorted({_state(recording) for recording in pending})
            advice = "; archived ones must be restored, then replay this" if "ARCHIVED" in states else ""
            if refusals:
                reasons = "; ".join(sorted({refusal.reason for refusal in refusals}))
                advice = f"; restoring was refused ({reasons}): grant what is missing or restore them, then replay this"
            told = f"{len(pending)} recordings never became downloadable ({', '.join(states)}){advice}"
            forbidden = any(refusal.code is ReasonCode.FORBIDDEN for refusal in refusals)
            raise PermanentError(told, code=ReasonCode.FORBIDDEN if forbidden else ReasonCode.NOT_READY)
        if expected:
            raise PermanentError("the call was recorded, but no recording ever appeared", code=ReasonCode.NEVER_APPEARED)
        return Done(note="no recording appeared, and nothing says that one was made")


def _expected(event: Event) -> bool | None:
    seen = event.body.get("recordingSeen")
    return seen if isinstance(seen, bool) else None


def _written(event: Event) -> bool:
    media = event.body.get("mediaTypes")
    return isinstance(media, list) and not WRITTEN.isdisjoint(media)


def _state(recording: RecordingInfo) -> str:
    return recording.file_state[:_STATE_LIMIT]


def _is_final(recording: RecordingInfo) -> bool:
    return recording.file_state in _READY or recording.file_state in _LOST


def _summary(recordings: Sequence[RecordingInfo]) -> str:
    """How many are ready, lost and waiting, in words; no ids."""
    ready = sum(recording.file_state in _READY for recording in recordings)
    lost = sum(recording.file_state in _LOST for recording in recordings)
    waiting = len(recordings) - ready - lost
    said = [f"{count} {word}" for count, word in ((ready, "ready"), (lost, "lost"), (waiting, "waiting")) if count]
    return ", ".join(said) or "no recording yet"


def _news(event: Event, recordings: Sequence[RecordingInfo], now: datetime) -> Iterator[Event]:
    """Everything that the look says, as events; those already recorded are recognised by their ids."""
    ended = iso(event.occurred_at)
    for recording in recordings:
        state, rid = _state(recording), recording.recording_id
        identity = {"media": recording.media, "sessionId": recording.session_id}
        ends = _deletion(recording.raw)
        yield event.derive(Topic.RECORDING_CREATED, occurred_at=now, recording_id=rid, body={**identity, "fileState": state, **ends})
        yield event.derive(Topic.RECORDING_STATUS_CHANGED, occurred_at=now, recording_id=rid, state=state, body={"fileState": state})
        if recording.file_state in _READY:
            body = {**identity, "conversationEndedAt": ended, "revision": 1, **ends}
            yield event.derive(Topic.RECORDING_READY, occurred_at=now, recording_id=rid, body=body)
        elif recording.file_state in _LOST:
            # a deleteDate that is first told of what is gone already is the moment of the deletion, and no time that we let pass
            reason = _LOST[recording.file_state]
            body = {"reason": reason.value, "fileState": state}
            yield event.derive(Topic.RECORDING_LOST, occurred_at=now, recording_id=rid, state=reason.value, body=body)


def _deletion(raw: Mapping[str, Any]) -> dict[str, str]:
    """When the platform will delete the recording, as far as the look told."""
    date = raw.get("deleteDate")
    return {"deleteDate": date} if isinstance(date, str) and len(date) <= _STATE_LIMIT else {}
