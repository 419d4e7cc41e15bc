"""Hides personal data in transcripts: text and word list together, in a tree of their own, with a report that shows nothing of it.

Fail-closed: where anything goes wrong nothing is written and nothing is told, and the delivery is a dead letter. What was hidden in time
is written down beside the recording's redacted copy, where `mute` finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import anyio.to_thread
import orjson

from genesys_sync.plugin import (
    Delivery,
    Done,
    Event,
    Handler,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    Services,
    Topic,
    is_canonical_uuid,
)
from genesys_sync.redaction import Redaction, RedactionFailed
from genesys_sync.transcripts import FORMS, Transcript, TranscriptUnreadable, written
from genesys_sync_handlers._config import HandlerConfig
from genesys_sync_handlers._keys import GIVEN
from genesys_sync_handlers._spans import ALL, redacted_key, spans_file, spans_folder, spans_key

_LIMIT = 64 << 20
_SCHEMA = 1


class RedactConfig(HandlerConfig):
    """What is written, and what becomes of the original. What is hidden stands in the section `[redaction]` of the settings.

    forms          what is written of the redacted transcript beside its JSON
    keep_original  whether the transcript as it was spoken stays in the archive
    names          whether the speakers keep their names in the redacted transcript; else they are called by their role
    """

    forms: tuple[Literal["vtt", "srt", "txt"], ...] = ("vtt",)
    keep_original: bool = True
    names: bool = False


@dataclass(frozen=True, slots=True)
class _Written:
    """A file that was laid into the archive, as events describe it."""

    key: str
    sha256: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        return {"key": self.key, "sha256": self.sha256, "bytes": self.size}


class Redact(Handler[RedactConfig]):
    """`transcript.archived` → `transcript.redacted`."""

    config_type = RedactConfig
    topics = (Topic.TRANSCRIPT_ARCHIVED,)
    policy = Policy(concurrency=2, timeout=timedelta(minutes=10), attempts=5)
    _services: Services

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Keeps the services."""
        self._services = services
        yield

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Afterwards the redacted transcript, its report and the spans for the sound lie in the archive, all of them or not all; the
        report last. A run that finds the report of this very transcript repeats its result."""
        if event.conversation_id is not None and not is_canonical_uuid(event.conversation_id):
            raise PermanentError("the event's conversation id is no canonical UUID", code=ReasonCode.ID_INVALID)
        source = event.body["transcript"]
        report_key = redacted_key(source["key"].removesuffix(".json") + ".redaction.json")
        body = await self._kept(report_key, source["sha256"])
        if body is None:
            body = await self._redact(event, source, report_key)
        for key in body["removed"]:
            await self._services.storage.remove(key)
        self._services.audit.record(
            "transcript.redact", event.id, hidden=body["hidden"], sha256=body["transcript"]["sha256"], removed=body["removed"]
        )
        state = f"{body['communicationId']}:{source['sha256']}"
        return Done((event.derive(Topic.TRANSCRIPT_REDACTED, occurred_at=self._services.now(), state=state, body=body),))

    async def _kept(self, report_key: str, sha256: str) -> dict[str, Any] | None:
        """What an earlier run has told of this very transcript."""
        try:
            told = orjson.loads(await self._services.storage.read(report_key, limit=_LIMIT))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(told, dict) or told.get("schema") != _SCHEMA or told.get("source") != sha256:
            return None
        body = dict(told["body"])
        if await self._hash(body["transcript"]["key"]) != body["transcript"]["sha256"]:
            return None
        # a run killed between its rename and the folder's fsync leaves a name that a power cut may still take back
        await self._services.storage.write(report_key, orjson.dumps(told))
        return body

    async def _hash(self, key: str) -> str | None:
        try:
            return await self._services.storage.sha256(key)
        except FileNotFoundError:
            return None

    async def _redact(self, event: Event, source: Mapping[str, Any], report_key: str) -> dict[str, Any]:
        redaction = await anyio.to_thread.run_sync(self._redaction, await self._read(source))
        key = redacted_key(source["key"])
        transcript = await self._write(redaction.transcript, key, "json")
        wanted = [form for form in FORMS if form in self.config.forms]
        forms = [
            {"form": form, **(await self._write(redaction.transcript, key.removesuffix("json") + form, form)).to_dict()} for form in wanted
        ]
        spans_files = await self._write_spans(event, redaction, key)
        body = {
            "communicationId": event.body["communicationId"],
            "recordingIds": event.body["recordingIds"],
            "source": event.body["source"],
            "languages": event.body.get("languages", []),
            "conversationEndedAt": event.body.get("conversationEndedAt"),
            "requestedAt": event.body.get("requestedAt"),
            "transcript": transcript.to_dict(),
            "forms": forms,
            "hidden": dict(redaction.report.hidden),
            "spans": len(redaction.spans),
            "spansFiles": spans_files,
            "report": report_key,
            "removed": [] if self.config.keep_original else _originals(event.body),
        }
        report = {"schema": _SCHEMA, "source": source["sha256"], "report": redaction.report.to_dict(), "body": body}
        await self._services.storage.write(report_key, orjson.dumps(report))
        return body

    async def _read(self, source: Mapping[str, Any]) -> bytes:
        if source["bytes"] > _LIMIT:
            raise PermanentError(f"the transcript is withheld: it is larger than {_LIMIT >> 20} MiB", code=ReasonCode.REDACTION_FAILED)
        try:
            data = await self._services.storage.read(source["key"], limit=_LIMIT)
        except FileNotFoundError:
            raise PermanentError(f"{source['key']} is not in the archive any more", code=ReasonCode.NOT_FOUND) from None
        if hashlib.sha256(data).hexdigest() != source["sha256"]:
            raise PermanentError(f"{source['key']} is not what was archived: its SHA-256 differs", code=ReasonCode.MEDIA_CHANGED)
        return data

    def _redaction(self, data: bytes) -> Redaction:
        try:
            transcript = Transcript.from_dict(orjson.loads(data))
            return self._services.redactor.redact(transcript if self.config.names else _nameless(transcript))
        except (RedactionFailed, TranscriptUnreadable, orjson.JSONDecodeError) as error:
            # the decoder's own message may quote the text; those of the other two never do
            why = "it is no JSON" if isinstance(error, orjson.JSONDecodeError) else str(error)
            raise PermanentError(f"the transcript is withheld: {why}", code=ReasonCode.REDACTION_FAILED) from None

    async def _write(self, transcript: Transcript, key: str, form: Literal["json", "vtt", "srt", "txt"]) -> _Written:
        data = await anyio.to_thread.run_sync(written, transcript, form)
        await self._services.storage.write(key, data)
        return _Written(key, hashlib.sha256(data).hexdigest(), len(data))

    async def _write_spans(self, event: Event, redaction: Redaction, key: str) -> list[str]:
        """A file for each recording of this transcript; for the communication where no recording is named; for the sound itself where it
        was given by hand, beside whose transcript it lies. Their keys."""
        stretches = [(span.start, span.end, ALL if span.channel is None else span.channel) for span in redaction.spans]
        if event.conversation_id is None:
            places = [spans_key(key.rpartition("/")[0], GIVEN, key)]
        else:
            identities = event.body["recordingIds"] or [event.body["communicationId"]]
            places = [spans_key(spans_folder(event.day, event.conversation_id), identity, key) for identity in identities]
        for place in places:
            await self._services.storage.write(place, spans_file(key, stretches))
        return places


def _nameless(transcript: Transcript) -> Transcript:
    segments = tuple(replace(one, speaker=replace(one.speaker, name=None)) for one in transcript.segments)
    return replace(transcript, segments=segments)


def _originals(body: Mapping[str, Any]) -> Sequence[str]:
    """The keys of everything that holds the text as it was spoken."""
    described = [body.get("raw"), body["transcript"], *body.get("forms", ())]
    return [one["key"] for one in described if one is not None]
