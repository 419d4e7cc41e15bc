"""Has transcripts made by a speech provider, each once.

The request is in the ledger before anything is sent; its id is the idempotency key. What the provider sends back comes as an event of its
own, `transcription.answered`; what it does not send is asked for on a ladder of waits. Whoever is first lays the transcript into the
archive, and the other finds it there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genesys_sync.plugin import (
    Accepted,
    ConfigurationError,
    Delivery,
    Done,
    Event,
    Failed,
    Handler,
    Outcome,
    PermanentError,
    Policy,
    Progress,
    Provider,
    ReasonCode,
    Services,
    Size,
    Skip,
    Snooze,
    Topic,
    Transcribed,
    TranscriptionJob,
    TranscriptionRequest,
    TransientError,
    is_canonical_uuid,
    request_answered,
)
from genesys_sync.transcripts import TranscriptUnreadable
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._ladder import Rungs
from genesys_sync_handlers._times import parse_iso, steady_now
from genesys_sync_handlers._transcription_preflight import Sound, preflight
from genesys_sync_handlers._transcription_store import KnownJob, TranscriptionStore, Work
from genesys_sync_handlers._transcription_wishes import wishes
from genesys_sync_handlers._workers import Inspectors

_WISHES = frozenset({Topic.MEDIA_VERIFIED.value, Topic.TRANSCRIPT_MISSING.value})
_NO_FACTS: Mapping[str, Any] = {}
_ID = "00000000-0000-4000-8000-000000000000"


class TranscribeConfig(HandlerConfig):
    """By whom, and when to ask.

    provider    who transcribes what events ask for; empty: the first of the settings
    forms       what is written beside the provider's result and the model's JSON, unredacted
    ladder      waits between two questions after a job, since its submission; the last one repeats
    give_up     a job that has not ended by then is given up
    queues      of which queues' conversations recordings are transcribed when events ask for it; empty: of all
    redact      whether the provider is to leave out personal data; ours are left out by the handler `redact`
    speaker_labels   whether the provider is to tell speakers apart
    phrases     words that are likely to be said, such as names of products; nothing personal
    product     a product of the platform's that the organisation must have, by its id; empty: none in particular
    channels    in which channel of the recordings, from 0, each side is heard: speakers whom the provider knows by their channel are
                of that side, and those it knows by their side are heard in that channel
    names       whether the names of those who took part, as the archive knows them, are written into transcripts
    memory      what the process may use that measures a file
    """

    provider: str = ""
    forms: tuple[Literal["vtt", "srt", "txt"], ...] = ()
    ladder: Rungs = (
        timedelta(seconds=10),
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=15),
    )
    give_up: PositiveDuration = timedelta(hours=24)
    queues: tuple[str, ...] = ()
    redact: bool = False
    speaker_labels: bool = True
    phrases: Annotated[tuple[str, ...], Field(max_length=500)] = ()
    product: str = ""
    channels: dict[Literal["internal", "external"], Annotated[int, Field(ge=0, le=63)]] = Field(default={})
    names: bool = True
    memory: Size = 1 << 30

    @model_validator(mode="after")
    def _named(self) -> Self:
        if any(not is_canonical_uuid(one) for one in self.queues):
            raise ValueError(f"queues: must hold ids as Genesys Cloud shows them, in lower case, such as {_ID}")
        return self


class Transcribe(Handler[TranscribeConfig]):
    """`transcription.requested`, `transcription.answered` → `transcript.archived`, `transcription.completed`; with `media.verified` or
    `transcript.missing` among its topics it makes requests by itself."""

    config_type = TranscribeConfig
    topics = (Topic.TRANSCRIPTION_REQUESTED, Topic.TRANSCRIPTION_ANSWERED)
    policy = Policy(concurrency=8, timeout=timedelta(hours=1), attempts=20, time_limit=timedelta(days=7))
    _services: Services
    _store: TranscriptionStore
    _inspectors: Inspectors

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Holds the process that measures files, started when first needed."""
        self._services = services
        self._store = TranscriptionStore(
            services, forms=self.config.forms, names=self.config.names, channels=dict(self.config.channels.items())
        )
        self._inspectors = Inspectors(workers=min(2, os.cpu_count() or 1), memory=self.config.memory)
        try:
            yield
        finally:
            await self._inspectors.aclose()

    async def check(self, services: Services) -> None:
        """Proves that there is a provider, and that each of them can be asked."""
        if not services.speech.names:
            raise ConfigurationError(f"handlers.{self.name}: no speech provider: add a table [providers.NAME]")
        names = services.speech.names if not self.config.provider else (self.config.provider,)
        for name in names:
            try:
                provider = services.speech.provider(name)
                async with provider.running(services):
                    await provider.check()
            except (PermanentError, TransientError) as error:
                raise ConfigurationError(f"providers.{name}: {error.reason}") from None

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """See `Handler.handle`."""
        if event.topic in _WISHES:
            return await self._wish(event)
        if event.topic == Topic.TRANSCRIPTION_ANSWERED:
            return await self._answered(event)
        try:
            work = Work(event, TranscriptionRequest.of(event))
        except ValueError as error:
            raise PermanentError(f"{error}; let `genesys-sync transcribe` make it", code=ReasonCode.HANDLER_REFUSED) from None
        kept, job = await self._store.kept(work), await self._store.job(work)
        if kept is not None:
            # by a run of this delivery that was killed before its commit, or, when nothing of the work is left, by another, which told
            return await self._finish(work, kept, told=job is None and delivery.snoozes > 0)
        provider = self._services.speech.provider(work.request.provider)
        if job is None:
            return await self._submit(work, provider, delivery)
        return await self._look(work, provider, job, delivery)

    async def _submit(self, work: Work, provider: Provider[Any], delivery: Delivery) -> Outcome:
        found = await preflight(work.request, provider, self._services, self._inspectors, product=self.config.product)
        if not isinstance(found, Sound):
            checks = [{"check": one.check.value, "sentence": one.sentence} for one in found]
            return await self._end(work, "refused", found[0].check.value, "; ".join(one.sentence for one in found), checks=checks)
        one = work.request
        facts = {"provider": one.provider, "locale": one.locale, "request": work.event.id, "audioSeconds": round(found.seconds, 3)}
        async with self._services.actions.perform("transcription.submit", work.target, facts=facts) as action:
            action.bytes = one.size
            progress = await self._send(work, provider)
            if isinstance(progress, Failed):
                action.outcome = "refused"
                action.note(code=progress.code)
        if isinstance(progress, Accepted):
            if (kept := await self._store.kept(work)) is not None:  # the result was faster than the answer to the submission
                return await self._finish(work, kept, told=True)
            await self._store.remember(work, KnownJob(progress.job_id, steady_now(self._services.clock)))
            self._services.log.info("submitted", provider=one.provider, recording_id=one.recording_id)
            return Snooze("the provider works on it", self._wait(delivery))
        return await self._conclude(work, provider, progress)

    async def _send(self, work: Work, provider: Provider[Any]) -> Progress:
        one = work.request
        try:
            async with self._services.storage.local(one.key) as path:
                job = TranscriptionJob(
                    key=work.event.id,
                    media=path,
                    content_type=one.content_type,
                    locale=one.locale,
                    phrases=one.phrases,
                    redact=one.redact,
                    speaker_labels=one.speaker_labels,
                    callback_url=self._services.speech.callback_url(one.provider),
                )
                return await provider.submit(job)
        except FileNotFoundError:
            raise TransientError("the recording was moved while it was sent", code=ReasonCode.MEDIA_CHANGED) from None

    async def _look(self, work: Work, provider: Provider[Any], job: KnownJob, delivery: Delivery) -> Outcome:
        progress = await provider.look(job.job_id)
        if progress is None:
            await self._store.forget(work)
            return Snooze("the provider has forgotten the job: it is submitted again, under the same key", self.config.ladder[0])
        if not isinstance(progress, Accepted):
            return await self._conclude(work, provider, progress)
        since = max(job.submitted_at, delivery.created_at)
        if steady_now(self._services.clock) - since >= self.config.give_up:
            raise PermanentError("the provider has not ended the job in time", code=ReasonCode.NOT_READY)
        return Snooze("the provider still works on it", self._wait(delivery))

    def _wait(self, delivery: Delivery) -> timedelta:
        return self.config.ladder[min(delivery.snoozes, len(self.config.ladder) - 1)]

    async def _answered(self, event: Event) -> Outcome:
        """What a provider sent, kept by the listener. It may have been overtaken by an answer to a question of ours."""
        try:
            request = request_answered(event)
            work = Work(request, TranscriptionRequest.of(request))
        except ValueError as error:
            raise PermanentError(str(error), code=ReasonCode.HANDLER_REFUSED) from None
        kept, answer = await self._store.kept(work), await self._store.answer(work)
        if kept is not None:
            return await self._finish(work, kept, told=answer is None)
        provider = self._services.speech.provider(work.request.provider)
        told = None if answer is None else provider.called_back(answer)
        if told is None or isinstance(told[1], Accepted):
            return Skip("what was sent is not there any more, or ends nothing: the job is asked for")
        return await self._conclude(work, provider, told[1])

    async def _conclude(self, work: Work, provider: Provider[Any], progress: Transcribed | Failed) -> Outcome:
        if isinstance(progress, Failed):
            return await self._end(work, "failed", progress.code, progress.reason)
        try:
            body = await self._store.lay(work, provider, progress)
        except TranscriptUnreadable as error:
            return await self._end(work, "failed", "unreadable", str(error))
        return await self._finish(work, body)

    async def _finish(self, work: Work, body: dict[str, Any], *, told: bool = False) -> Outcome:
        """`told`: audit trail and metrics know of it already."""
        now = self._services.now()
        archived = work.event.derive(
            Topic.TRANSCRIPT_ARCHIVED, occurred_at=now, state=work.event.id, revision=work.request.revision, body=body
        )
        facts = {"segments": body["segments"], "words": body["words"], "transcript": body["transcript"]["sha256"]}
        return await self._end(work, "completed", emit=(archived,), key=body["transcript"]["key"], facts=None if told else facts)

    async def _end(
        self,
        work: Work,
        outcome: str,
        reason: str = "",
        sentence: str = "",
        *,
        emit: Sequence[Event] = (),
        key: str | None = None,
        facts: Mapping[str, Any] | None = _NO_FACTS,
        checks: Sequence[Mapping[str, str]] = (),
    ) -> Outcome:
        """The request has ended: an event tells it, once, whoever ends it, and nothing of the work is left. `key` is the transcript's.
        Without `facts` neither audit trail nor metrics are told."""
        now, one = self._services.now(), work.request
        since_request = max(0.0, (now - work.event.occurred_at).total_seconds())
        ended = parse_iso(one.conversation_ended_at)
        since_call = None if ended is None else max(0.0, (now - ended).total_seconds())
        measures = {
            "provider": one.provider,
            "locale": one.locale,
            "request": work.event.id,
            "latencySeconds": round(since_request, 3),
            "afterCallSeconds": None if since_call is None else round(since_call, 3),
        }
        why = {"check" if outcome == "refused" else "reason": reason or None}
        body = {
            **measures,
            **why,
            "outcome": outcome,
            "sentence": sentence or None,
            "checks": list(checks),
            "transcript": key,
            "conversationEndedAt": one.conversation_ended_at,
            "requestedAt": work.event.body.get("requestedAt"),
        }
        completed = work.event.derive(Topic.TRANSCRIPTION_COMPLETED, occurred_at=now, state=work.event.id, body=body)
        if facts is not None:
            result = {"completed": "success", "refused": "refused"}.get(outcome, "failure")
            self._services.audit.record("transcription.complete", work.target, outcome=result, **measures, **why, **facts)
            self._services.speech.measure(one.provider, outcome, since_request=since_request, since_call=since_call)
        await self._store.clear(work)
        return Done((*emit, completed), sentence)

    async def _wish(self, event: Event) -> Outcome:
        """An event that is no request, and asks for one by the settings."""
        name = self.config.provider or next(iter(self._services.speech.names), "")
        provider_locale = self._services.speech.locale(name)
        self._services.speech.provider(name)
        if not provider_locale:
            raise PermanentError(f"providers.{name}.locale is not set, so nobody knows in which language to transcribe")
        found = await wishes(event, self._services, self.config.queues)
        if isinstance(found, str):
            return Skip(found)
        made = [
            TranscriptionRequest(
                provider=name,
                locale=provider_locale,
                phrases=self.config.phrases,
                redact=self.config.redact,
                speaker_labels=self.config.speaker_labels,
                **one,
            )
            for one in found
        ]
        return Done(tuple(one.event(event.organization_id, at=self._services.now(), day=event.day, parent=event) for one in made))
