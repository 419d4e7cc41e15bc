"""Fetches the transcripts of an ended conversation, each communication's by itself, and says why there is none where there is none.

It looks on a ladder of waits since the end of the conversation, by returning `Snooze`. What was fetched is remembered by sidecars in
the archive; what a look has to tell is told as events whose ids make repeats harmless. No communication waits for another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genesys_sync.plugin import (
    ConfigurationError,
    Delivery,
    Done,
    Duration,
    Event,
    Handler,
    NoFiles,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    RecordingInfo,
    Services,
    Skip,
    Snooze,
    StorageError,
    Topic,
    TransientError,
    is_canonical_uuid,
)
from genesys_sync.transcripts import MEDIA_TYPES, Communication, communications
from genesys_sync.transcripts.fields import language
from genesys_sync_handlers._config import PositiveDuration
from genesys_sync_handlers._ladder import LadderConfig, Rungs
from genesys_sync_handlers._times import steady_now
from genesys_sync_handlers._transcript_reasons import PASSING, Case, Missing, is_purged, missing_because
from genesys_sync_handlers._transcript_store import Place, TranscriptStore

_AFTER_TROUBLE = timedelta(seconds=30)
_GONE = frozenset({"DELETED", "ERROR"})
_REMEMBERED = 10_000
_NOBODY = "00000000-0000-4000-8000-000000000000"
"""An id that no conversation has: asked for by `check`."""


class TranscriptConfig(LadderConfig):
    """When to look, what to leave out, and in which forms to write. Times count from the end of the conversation.

    ladder         when looks are due, ascending; past the last rung at every multiple of it
    confirm_after  from when on a reason that will not change ends a communication's looks
    give_up        the moment of the last look
    conversations, queues, media_types, languages   what to fetch; empty: everything. A language is known only after the fetch
    forms          what is written beside the raw file and the model's JSON, unredacted
    channels       in which channel of the recordings, from 0, the speakers of a label are heard; of the others it may be any
    names          whether the names of those who took part are written into transcripts
    shortest       a communication shorter than this is not expected to have a transcript
    """

    ladder: Rungs = (
        timedelta(minutes=1),
        timedelta(minutes=3),
        timedelta(minutes=10),
        timedelta(minutes=30),
        timedelta(hours=1),
        timedelta(hours=3),
        timedelta(hours=6),
        timedelta(hours=12),
        timedelta(days=1),
    )
    confirm_after: PositiveDuration = timedelta(hours=1)
    give_up: PositiveDuration = timedelta(days=3)
    conversations: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    media_types: tuple[Literal["voice", "chat", "message", "email"], ...] = ()
    languages: tuple[str, ...] = ()
    forms: tuple[Literal["vtt", "srt", "txt"], ...] = ()
    channels: dict[Literal["internal", "external"], Annotated[int, Field(ge=0, le=63)]] = Field(default={})
    names: bool = True
    shortest: Duration = timedelta(seconds=2)

    @model_validator(mode="after")
    def _well_named(self) -> Self:
        for key in ("conversations", "queues"):
            if any(not is_canonical_uuid(named) for named in getattr(self, key)):
                raise ValueError(f"{key}: must hold ids as Genesys Cloud shows them, in lower case, such as {_NOBODY}")
        if any(language(named) is None for named in self.languages):
            raise ValueError('languages: must hold names such as "en-US", or "en" for every kind of English')
        return self


@dataclass(slots=True)
class _Look:
    """One look at a conversation: what it needs is asked for once, and only when it is needed."""

    event: Event
    delivery: Delivery
    details: Mapping[str, Any]
    elapsed: timedelta
    alone: bool
    recordings: tuple[RecordingInfo, ...] | None = None


@dataclass(slots=True)
class _Seen:
    """What a look shows of one communication.

    entries   files in the archive, as its sidecar tells of them
    settled   nothing more will come
    missing   why there is no transcript, as far as that is known now
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    settled: bool = False
    missing: Missing | None = None


class TranscriptFetch(Handler[TranscriptConfig]):
    """`conversation.ended` → `transcript.archived`, `transcript.missing`."""

    config_type = TranscriptConfig
    topics = (Topic.CONVERSATION_ENDED,)
    policy = Policy(concurrency=50, timeout=timedelta(minutes=10), attempts=20, time_limit=timedelta(days=7))
    _services: Services
    _store: TranscriptStore

    def __init__(self, name: str, config: TranscriptConfig) -> None:
        super().__init__(name, config)
        self._ladder = config.climbed()
        self._ended: OrderedDict[tuple[str, str], tuple[Missing, int]] = OrderedDict()

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Keeps the services; holds nothing open."""
        self._services = services
        one = self.config
        self._store = TranscriptStore(
            services,
            forms=one.forms,
            languages=one.languages,
            names=one.names,
            channels=dict(one.channels.items()),
        )
        yield

    async def check(self, services: Services) -> None:
        """Proves that transcripts may be asked for. Raises ConfigurationError that names what is missing."""
        answer = await services.genesys.transcripts.find(_NOBODY, _NOBODY)
        if answer.without is NoFiles.FORBIDDEN:
            raise ConfigurationError(
                f"handlers.{self.name}: transcripts may not be fetched: give the client's role recording:recording:view "
                f"and the client the scope speech-and-text-analytics:readonly ({answer.reason})"
            )

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """One look, if one is due. Repeated looks emit the same events again, which the ledger records once."""
        conversation = event.conversation_id or ""
        if not is_canonical_uuid(conversation):
            raise PermanentError("the event carries no valid conversation id", code=ReasonCode.ID_INVALID)
        if self.config.conversations and conversation not in self.config.conversations:
            return Skip("excluded: the settings name other conversations")
        elapsed = steady_now(self._services.clock) - event.occurred_at
        first = self.config.ladder[0]
        if elapsed < first:
            return Snooze("the first look is not due yet", first - elapsed)
        details = await self._services.genesys.conversations.details(conversation)
        found = communications(details) if details is not None else ()
        if details is None or (not details.get("conversationEnd") and not self._ladder.over(elapsed)):
            if self._ladder.over(elapsed):
                raise PermanentError("analytics never knew the conversation", code=ReasonCode.NOT_FOUND)
            return Snooze("analytics does not tell of the conversation's end yet", self._ladder.next_look(elapsed))
        return await self._look(_Look(event, delivery, details, elapsed, alone=len(found) == 1), found)

    async def _look(self, look: _Look, found: Sequence[Communication]) -> Outcome:
        """Every communication by itself: trouble with one is kept until the others have told what they have."""
        news: list[Event] = []
        waiting, fresh = 0, False
        trouble: TransientError | PermanentError | StorageError | None = None
        counted: dict[str, int] = {}
        for communication in found:
            try:
                seen = self._remembered(look, communication) or await self._visit(look, communication)
            except (TransientError, PermanentError, StorageError) as error:
                trouble = trouble or error
                continue
            events, is_news = self._told(look, communication, seen)
            news += events
            fresh |= is_news
            waiting += not seen.settled
            said = "archived" if seen.entries else str(seen.missing) if seen.settled else "waiting"
            counted[said] = counted.get(said, 0) + 1
        note = ", ".join(f"{number} {said}" for said, number in sorted(counted.items())) or "no communication with a customer"
        if trouble is not None:
            if not fresh:
                raise trouble
            delay = trouble.delay if isinstance(trouble, TransientError) else None
            return Snooze(f"{note}; then again, because one was not fetched", delay or _AFTER_TROUBLE, news)
        if waiting:
            return Snooze(note, self._ladder.next_look(look.elapsed), news)
        return Done(news, note)

    async def _visit(self, look: _Look, communication: Communication) -> _Seen:
        """Afterwards what the platform has of this communication is in the archive."""
        if self._left_out(communication):
            return _Seen(settled=True, missing=Missing.EXCLUDED)
        conversation = look.event.conversation_id or ""
        place = Place(day=look.event.day, conversation_id=conversation, communication=communication, ended_at=look.event.occurred_at)
        seen = _Seen(entries=await self._store.kept(place))
        if seen.entries and self._ladder.confirming(look.elapsed):
            await self._store.keep(place, seen.entries)
            seen.settled = True
            return seen
        answer = await self._services.genesys.transcripts.find(conversation, communication.id)
        known = {recording for entry in seen.entries for recording in entry["body"]["recordingIds"] or [None]}
        before = len(seen.entries)
        empty = excluded = purged = False
        for file in answer.files:
            if file.recording_id in known:
                continue
            theirs = await self._recordings(look, communication, file.recording_id)
            if is_purged(theirs):
                purged = True
                continue
            try:
                got = await self._store.fetch_renewed(place, file, look.details)
            except (TransientError, PermanentError, StorageError):
                # no sidecar tells of what this look has laid down: should nothing more come of it, nobody would ever redact it
                await self._store.withdraw(entry["body"] for entry in seen.entries[before:])
                raise
            empty, excluded = empty or got.empty, excluded or (got.stored is None and not got.empty)
            if got.stored is not None:
                seen.entries.append({"body": got.stored, "snoozes": look.delivery.snoozes})
        if not seen.entries:
            left = await self._store.taken_up(place, look.details)
            seen.entries += [{"body": body, "snoozes": look.delivery.snoozes} for body in left]
        if seen.entries:
            await self._store.keep(place, seen.entries)
            seen.settled = await self._whole(look, communication, seen)
            return seen
        if excluded or purged:
            return _Seen(settled=True, missing=Missing.EXCLUDED if excluded else Missing.PURGED)
        return await self._without(look, communication, answer.without, empty=empty)

    def _remembered(self, look: _Look, communication: Communication) -> _Seen | None:
        """What this process has found out for good while others of the conversation are still waited for."""
        missing = self._ended.get((look.event.id, communication.id))
        return None if missing is None else _Seen(settled=True, missing=missing[0])

    def _left_out(self, communication: Communication) -> bool:
        queues, kinds = self.config.queues, self.config.media_types or MEDIA_TYPES
        return communication.media_type not in kinds or bool(queues and set(queues).isdisjoint(communication.queue_ids))

    async def _whole(self, look: _Look, communication: Communication, seen: _Seen) -> bool:
        """Whether every recording of the communication that still exists has its file, or nothing more is waited for."""
        if self._ladder.confirming(look.elapsed):
            return True
        known = {recording for entry in seen.entries for recording in entry["body"]["recordingIds"]}
        theirs = [one for one in await self._all_recordings(look) if one.session_id == communication.id]
        return all(one.recording_id in known or one.file_state in _GONE for one in theirs)

    async def _without(self, look: _Look, communication: Communication, without: NoFiles | None, *, empty: bool) -> _Seen:
        """Why there is nothing. What the platform says in so many words ends it at once; what follows from other facts once they
        can be believed; what may still change only when there is no further look."""
        if without is NoFiles.NOT_ENABLED:
            return _Seen(settled=True, missing=Missing.NOT_ENABLED)
        if not self._weighs(look.elapsed):
            return _Seen()
        over = self._ladder.over(look.elapsed)
        genesys = self._services.genesys.transcripts
        queues = [await genesys.queue_enabled(queue) for queue in communication.queue_ids]
        case = Case(
            communication=communication,
            without=without,
            empty=empty,
            recordings=await self._recordings(look, communication, None),
            settings=await genesys.settings(),
            queues=[enabled for enabled in queues if enabled is not None],
            analysis=await genesys.analysis(look.event.conversation_id or "") if look.alone else None,
            shortest=self.config.shortest,
        )
        missing = missing_because(case)
        return _Seen(settled=over or missing not in PASSING, missing=missing)

    def _weighs(self, elapsed: timedelta) -> bool:
        """On the first look that may end a communication, and on the last: those between would cost requests and show nothing new."""
        confirm = self.config.confirm_after
        return self._ladder.over(elapsed) or confirm <= elapsed < confirm + self._ladder.next_look(confirm)

    async def _recordings(self, look: _Look, communication: Communication, recording_id: str | None) -> list[RecordingInfo]:
        """The named recording, or all of this communication."""
        known = await self._all_recordings(look)
        if recording_id is not None:
            return [one for one in known if one.recording_id == recording_id]
        return [one for one in known if one.session_id == communication.id]

    async def _all_recordings(self, look: _Look) -> tuple[RecordingInfo, ...]:
        """Of the conversation, asked for once a look; none where the platform does not know it."""
        if look.recordings is None:
            try:
                found = await self._services.genesys.recordings.look(look.event.conversation_id or "", definitive=True)
                look.recordings = found.recordings
            except PermanentError as error:
                if error.code is not ReasonCode.NOT_FOUND:
                    raise
                look.recordings = ()
        return look.recordings

    def _told(self, look: _Look, communication: Communication, seen: _Seen) -> tuple[list[Event], bool]:
        """The events of one communication, and whether any of them is news: what a run before this one found, it has committed, and
        ended by Snooze. What is news has its audit entry."""
        events, news = [], False
        for entry in seen.entries:
            body = entry["body"]
            recording = next(iter(body["recordingIds"]), None)
            events.append(self._event(look, Topic.TRANSCRIPT_ARCHIVED, communication, body, recording))
            if entry["snoozes"] == look.delivery.snoozes:
                news = True
                self._record_archived(look, communication, body)
        if not events and seen.settled and seen.missing is not None:
            body = {"communicationId": communication.id, "reason": str(seen.missing), "looks": look.delivery.snoozes + 1}
            events.append(self._event(look, Topic.TRANSCRIPT_MISSING, communication, body))
            news = self._ends(look, communication, seen.missing)
            if news and seen.missing is not Missing.EXCLUDED:
                self._services.audit.record("transcript.miss", communication.id, outcome="failure", reason=str(seen.missing))
                self._services.log.info("transcript_missing", communication_id=communication.id, reason=str(seen.missing))
        return events, news

    def _event(
        self, look: _Look, topic: Topic, communication: Communication, body: Mapping[str, Any], recording: str | None = None
    ) -> Event:
        return look.event.derive(topic, occurred_at=self._services.now(), recording_id=recording, state=communication.id, body=body)

    def _record_archived(self, look: _Look, communication: Communication, body: Mapping[str, Any]) -> None:
        facts = {"key": body["raw"]["key"], "sha256": body["raw"]["sha256"], "bytes": body["raw"]["bytes"]}
        self._services.audit.record("transcript.archive", communication.id, segments=body["segments"], **facts)
        latency = round(look.elapsed.total_seconds(), 3)
        self._services.log.info("transcript_archived", communication_id=communication.id, seconds_after_end=latency, **facts)

    def _ends(self, look: _Look, communication: Communication, missing: Missing) -> bool:
        """Remember it. True unless a run that found it has committed it."""
        _, snoozes = self._ended.setdefault((look.event.id, communication.id), (missing, look.delivery.snoozes))
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        return snoozes == look.delivery.snoozes
