"""What a transcription leaves in the archive: the provider's result untouched, our model, the forms, and the sidecar that names them, last;
and, until it has ended, what is known of its job.

A file that belongs to no conversation has its transcript beside it, in the request's own folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from anyio import to_thread

from genesys_sync.plugin import Event, Heard, Provider, Services, Transcribed, TranscriptionRequest, answer_key, iso, work_folder
from genesys_sync.transcripts import FORMS, Form, Transcript, align, alone_on_their_side, in_channels, name_speakers, people_of, written
from genesys_sync_handlers._analytics import recording_began
from genesys_sync_handlers._keys import provided_key, sidecar_key
from genesys_sync_handlers._times import parse_iso
from genesys_sync_handlers._transcript_store import SCHEMA, archived_body


@dataclass(frozen=True, slots=True)
class Work:
    """A request with the event that carries it."""

    event: Event
    request: TranscriptionRequest

    @property
    def target(self) -> str:
        """What the audit trail calls it."""
        return self.request.recording_id or self.event.id

    @property
    def job_key(self) -> str:
        return f"{work_folder(self.event)}/job.json"

    @property
    def recording_sidecar(self) -> str | None:
        """What is noted of the recording in the archive; None for a file of nobody's."""
        one = self.request
        if one.conversation_id is None or one.recording_id is None:
            return None
        return sidecar_key(self.event.day, one.conversation_id, one.recording_id)

    def key(self, ending: str) -> str:
        """Where this form of the transcript lies."""
        one, name = self.request, f"{self.request.provider}-{self.event.id[:8]}"
        if one.conversation_id is None or one.recording_id is None:
            return f"{work_folder(self.event)}/{name}.{ending}"
        return provided_key(self.event.day, one.conversation_id, one.recording_id, name, ending)


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that was submitted."""

    job_id: str
    submitted_at: datetime


class TranscriptionStore:
    """Everything that the handler does with files."""

    def __init__(self, services: Services, *, forms: Sequence[Form], names: bool, channels: Mapping[str, int]) -> None:
        self._services = services
        self._channels = dict(channels)
        self._names = names
        self._storage = services.storage
        self._forms = tuple(form for form in FORMS if form != "json" and form in forms)

    async def kept(self, work: Work) -> dict[str, Any] | None:
        """What `transcript.archived` says, when the transcript is in the archive already; written again it is durable."""
        sidecar = await self._read(work.key("archive.json"))
        if sidecar.get("schema") != SCHEMA:
            return None
        await self._storage.write(work.key("archive.json"), orjson.dumps(sidecar, option=orjson.OPT_INDENT_2))
        body: dict[str, Any] = sidecar["files"][0]["body"]
        return body

    async def lay(self, work: Work, provider: Provider[Any], result: Transcribed) -> dict[str, Any]:
        """The transcript is in the archive; what `transcript.archived` says. The same result gives the same bytes. Raises
        TranscriptUnreadable."""
        heard = await to_thread.run_sync(provider.read, result.document)
        transcript = in_channels(transcript_of(work.request, heard), self._channels)
        if self._names:
            transcript = named(transcript, await self._read(work.recording_sidecar))
        raw = await self._write(work.key("raw.json"), result.document)
        model = await self._write(work.key("json"), await to_thread.run_sync(written, transcript, "json"))
        forms = []
        for form in self._forms:
            data = await to_thread.run_sync(partial(written, transcript, form))
            forms.append({"form": form, **await self._write(work.key(form), data)})
        body = archived_body(
            transcript,
            communication_id=work.request.communication_id,
            media_type="voice",
            sidecar=work.key("archive.json"),
            ended_at=work.request.conversation_ended_at,
            revision=work.request.revision,
            raw=raw,
            model=model,
            forms=forms,
        )
        body |= {"requestedAt": work.event.body.get("requestedAt"), "request": work.event.id}
        parts = [raw, model, *({name: form[name] for name in ("key", "sha256", "bytes")} for form in forms)]
        sidecar = {
            "schema": SCHEMA,
            "conversationId": work.request.conversation_id,
            "communicationId": work.request.communication_id,
            "request": work.event.id,
            "parts": parts,
            "files": [{"body": body}],
        }
        await self._storage.write(work.key("archive.json"), orjson.dumps(sidecar, option=orjson.OPT_INDENT_2))
        return body

    async def job(self, work: Work) -> KnownJob | None:
        """The job, if its submission was written down."""
        told = await self._read(work.job_key)
        at, job_id = parse_iso(told.get("submittedAt")), told.get("jobId")
        return KnownJob(job_id, at) if isinstance(job_id, str) and at is not None else None

    async def remember(self, work: Work, job: KnownJob) -> None:
        """A kill before this has the job submitted once more, under the same key."""
        await self._storage.write(work.job_key, orjson.dumps({"jobId": job.job_id, "submittedAt": iso(job.submitted_at)}))

    async def forget(self, work: Work) -> None:
        """The job is not known any more."""
        await self._storage.remove(work.job_key)

    async def answer(self, work: Work) -> bytes | None:
        """What the provider sent; None when it has been read already."""
        try:
            return await self._storage.read(answer_key(work.event), limit=1 << 30)
        except FileNotFoundError:
            return None

    async def clear(self, work: Work) -> None:
        """Nothing of the work is left: what the provider sent holds what was said."""
        for key in (work.job_key, answer_key(work.event)):
            await self._storage.remove(key)

    async def _read(self, key: str | None) -> dict[str, Any]:
        if key is None:
            return {}
        try:
            found = orjson.loads(await self._storage.read(key))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    async def _write(self, key: str, data: bytes) -> dict[str, Any]:
        await self._storage.write(key, data)
        return {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def transcript_of(request: TranscriptionRequest, heard: Heard) -> Transcript:
    """The model, its speakers those of the provider's marks. A language that a provider names only roughly (`en`) is the locale that was
    asked for. Pure."""
    rough = request.locale.partition("-")[0].lower()

    def exact(language: str | None) -> str:
        return request.locale if language is None or language.lower() == rough else language

    segments = tuple(replace(segment, language=exact(segment.language)) for segment in heard.segments)
    transcript = Transcript(
        conversation_id=request.conversation_id or "",
        communication_id=request.communication_id,
        recording_ids=() if request.recording_id is None else (request.recording_id,),
        source=request.provider,
        languages=tuple(dict.fromkeys(exact(language) for language in heard.languages)) or (request.locale,),
        duration=heard.duration if heard.duration is not None else request.seconds,
        media_type="call",
        segments=segments,
    )
    return align(transcript, heard.marks)


def named(transcript: Transcript, sidecar: Mapping[str, Any]) -> Transcript:
    """The transcript in which the two sides have the role, the id and the name of whoever took part, by what is noted of the recording:
    whoever was alone on their side; of several, by the times, where it is known when the recording began. Pure."""
    details = sidecar.get("conversation")
    if not isinstance(details, Mapping):
        return transcript
    people = people_of(details)
    began = recording_began(details, sidecar.get("sessionId"), transcript.duration)
    if began is None:
        return name_speakers(transcript, alone_on_their_side(people))
    # by lengths alone this is known to some seconds: enough to tell people apart, and not to be told as the transcript's begin
    return replace(name_speakers(replace(transcript, started_at=began), people), started_at=transcript.started_at)
