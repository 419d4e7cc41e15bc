"""Fetches a recording that is ready and stores it with a sidecar that says what the platform knows of it.

In order: where the media lie (asked now, never kept) → each part into scratch → into its place → the sidecar, last. So a sidecar says
that everything before it is there, and a run that finds one with the right hashes repeats its result without asking the platform.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import anyio
import orjson

from genesys_sync.plugin import (
    Delivery,
    Done,
    Event,
    Handler,
    MediaPart,
    MediaUrlExpired,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    Services,
    Snooze,
    Topic,
    TransientError,
    is_canonical_uuid,
    iso,
)
from genesys_sync_handlers._analytics import candidate_durations, without_free_text
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._keys import extension, media_key, sidecar_key
from genesys_sync_handlers._quarantine import unredacted
from genesys_sync_handlers._redacted_copy import announced, copy_sidecar_key, is_all_there_is, read_copy
from genesys_sync_handlers._times import parse_iso
from genesys_sync_handlers._written import WRITTEN, Unreadable, read

SCHEMA = "genesys-sync/recording@1"
_MOST_PARTS = 64
_ATTEMPTS_WITH_DETAILS = 3
_ATTEMPTS_LEFT_OUT = 8
"""Runs after which a recording that was AVAILABLE and is not handed out is not late any more; about a quarter of an hour."""
_ORPHANS_FORMAT = "WAV"
"""Nothing is lost in it; the original of an orphan is not to be had."""
_VARIANTS = {True: "whole", False: "perhaps_redacted", None: "unknown"}
_HEAD = 16
_JSON = "application/json"


class ArchiveConfig(HandlerConfig):
    """What to fetch.

    format         `original`, as the trunk recorded it and in batches; or a published format, which costs a request for each recording
    refetch_delay  how long to wait before a recording that the verifier refused is fetched again
    free_text      whether the sidecar keeps what people wrote into the analytics record: subjects of e-mails, notes of wrap-ups
    """

    format: Literal["original", "WAV", "WEBM", "WAV_ULAW", "OGG_VORBIS", "OGG_OPUS", "MP3"] = "original"
    refetch_delay: PositiveDuration = timedelta(minutes=1)
    free_text: bool = True


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written lies in its place: the sidecar's entry of it, and what it says of itself."""

    part: Mapping[str, Any]
    media: str
    attachments: int


class Archive(Handler[ArchiveConfig]):
    """`recording.ready`, `recording.orphaned` → `media.archived`. A `recording.lost` becomes a dead letter with its true reason: it cannot
    be archived."""

    config_type = ArchiveConfig
    topics = (Topic.RECORDING_READY, Topic.RECORDING_LOST, Topic.RECORDING_ORPHANED)
    # more than there are download slots: those who wait for one share their requests for details and locations
    policy = Policy(
        concurrency=100,
        timeout=timedelta(hours=2),
        attempts=12,
        time_limit=timedelta(days=14),
        backoff_base=timedelta(seconds=2),
        backoff_cap=timedelta(minutes=15),
    )
    _services: Services

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Keeps the services; holds nothing open."""
        self._services = services
        yield

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Afterwards media and sidecar are durable. Run again, it stores the same bytes under the same keys, or finds them there."""
        conversation, recording = _identity(event)
        if event.topic == Topic.RECORDING_LOST:
            lost = _lost(event)
            self._services.audit.record("recording.lose", recording, outcome="failure", reason=lost.code.value)
            raise lost
        revision = _revision(event)
        if revision > 1 and delivery.snoozes == 0:
            return Snooze("fetched again after a pause, because the last copy was refused", self.config.refetch_delay)
        if (redacted := await self._redacted(event, conversation, recording)) is not None:
            return Done((redacted,), "only its redacted copy is kept: it is not fetched again")
        key = sidecar_key(event.day, conversation, recording)
        if (held := await unredacted(self._services.storage, key)) is not None:
            rejected = event.derive(Topic.MEDIA_REJECTED, occurred_at=self._services.now(), revision=held["revision"], body=held)
            return Done((rejected,), "it was withheld because no transcript came: it is not fetched again")
        sidecar = await self._already(key, revision)
        if sidecar is None:
            sidecar = await self._fetch(event, delivery, conversation, recording, revision)
        # Also one that was found: a run killed between a rename and the folder's fsync leaves names which a power cut may still take
        # back. Media and sidecar share the folder, so what makes the sidecar durable makes them durable too.
        await self._services.storage.write(key, orjson.dumps(sidecar, option=orjson.OPT_INDENT_2))
        sidecar_hash = await self._services.storage.sha256(key)
        parts = sidecar["parts"]
        size = sum(part["bytes"] for part in parts)
        hashes = [part["sha256"] for part in parts]
        facts = {"revision": revision, "bytes": size, "sha256": hashes, "sidecar": key, "sidecarSha256": sidecar_hash}
        self._services.audit.record("recording.archive", recording, **facts)
        self._services.log.info("archived", recording_id=recording, bytes=size, parts=len(parts), revision=revision)
        body = _body(sidecar, key, sidecar_hash)
        return Done((event.derive(Topic.MEDIA_ARCHIVED, occurred_at=self._services.now(), revision=revision, body=body),))

    async def _redacted(self, event: Event, conversation: str | None, recording: str) -> Event | None:
        """What told of the redacted copy, where the original was removed because of it, and a ledger that knows nothing of that asks for
        it once more: what was hidden must not come back."""
        storage, place = self._services.storage, copy_sidecar_key(event.day, conversation, recording)
        made = await read_copy(storage, place)
        if made is None or not await is_all_there_is(storage, made):
            return None
        body = await announced(storage, place, made)
        original = sidecar_key(event.day, conversation, recording)
        if (size := await storage.size(original)) is not None:
            body["originalSidecar"] = {"key": original, "sha256": await storage.sha256(original), "bytes": size}
        return event.derive(Topic.MEDIA_REDACTED, occurred_at=self._services.now(), revision=body["revision"], body=body)

    async def _already(self, key: str, revision: int) -> dict[str, Any] | None:
        """The sidecar of an earlier run of this revision, when every part that it names is there unaltered."""
        try:
            sidecar = orjson.loads(await self._services.storage.read(key))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(sidecar, dict) or sidecar.get("schema") != SCHEMA or sidecar.get("revision") != revision:
            return None
        try:
            for part in sidecar["parts"]:
                if await self._services.storage.sha256(part["key"]) != part["sha256"]:
                    return None
        except FileNotFoundError:
            return None
        return sidecar

    async def _fetch(self, event: Event, delivery: Delivery, conversation: str | None, recording: str, revision: int) -> dict[str, Any]:
        """Download every part into its place; the sidecar that tells of it, not yet written."""
        details, missing = await self._details(conversation, delivery)
        before = parse_iso(event.body.get("deleteDate"))
        media = event.body.get("media", "")
        in_its_body = media in WRITTEN and conversation is not None
        try:
            located = () if in_its_body else await self._locate(conversation, recording, fresh=False, before=before)
            writing = await self._writing(event, conversation, recording, located, before)
        except (TransientError, PermanentError) as error:
            raise self._true_reason(error, delivery, before) from None
        if writing is not None:
            return self._sidecar(
                event, revision, [writing.part], details, missing, media=media or writing.media, attachments=writing.attachments
            )
        parts = await self._files(event, conversation, recording, located, before)
        return self._sidecar(event, revision, parts, details, missing, media=media)

    async def _files(
        self, event: Event, conversation: str | None, recording: str, located: Sequence[MediaPart], before: datetime | None
    ) -> list[dict[str, Any]]:
        """Every part downloaded into its place."""
        renewed = False
        parts: list[dict[str, Any]] = []
        while len(parts) < len(located):
            number = len(parts) + 1
            try:
                parts.append(await self._part(event, conversation, recording, number, located[number - 1]))
            except MediaUrlExpired:
                if renewed:
                    raise
                renewed, count = True, len(located)
                located = await self._locate(conversation, recording, fresh=True, before=before)
                if len(located) != count:
                    raise TransientError("the recording changed its number of parts meanwhile", code=ReasonCode.MEDIA_CHANGED) from None
        return parts

    async def _writing(
        self, event: Event, conversation: str | None, recording: str, located: Sequence[MediaPart], before: datetime | None
    ) -> _Written | None:
        """What was written, byte for byte as the platform answers it, in its place; None for what has files. Batches that name a file of
        it (`application/json`) name it in vain: that file's form is not published, the body's is."""
        typed = all(part.content_type.partition(";")[0].strip().lower() == _JSON for part in located)
        if conversation is None or not typed:
            return None
        data = await self._services.genesys.recordings.body(conversation, recording, before=before)
        try:
            writing = read(data)
        except Unreadable as error:
            raise TransientError(str(error), code=ReasonCode.NOT_READY) from None
        if writing.withheld:
            raise PermanentError(f"the platform hands out no contents: {writing.withheld}", code=ReasonCode.FILESTATE_ERROR)
        key = media_key(event.day, conversation, recording, 1, extension(_JSON, b""))
        async with self._services.scratch.file(".body") as path:
            await anyio.Path(path).write_bytes(data)
            await self._services.storage.adopt(path, key)
        part = {
            "key": key,
            "sha256": sha256(data).hexdigest(),
            "bytes": len(data),
            "contentType": _JSON,
            "lengthStated": True,
            "resumed": 0,
        }
        return _Written(part, writing.media, writing.attachments)

    def _sidecar(
        self,
        event: Event,
        revision: int,
        parts: Sequence[Mapping[str, Any]],
        details: Mapping[str, Any] | None,
        missing: str | None,
        *,
        media: str,
        attachments: int | None = None,
    ) -> dict[str, Any]:
        """What is known of the recording; `attachments` where it was written."""
        conversation, recording, session = event.conversation_id, event.recording_id, event.body.get("sessionId")
        chosen = _ORPHANS_FORMAT if conversation is None and self.config.format == "original" else self.config.format
        durations = [] if details is None else candidate_durations(details, session)
        return {
            "schema": SCHEMA,
            "organizationId": event.organization_id,
            "conversationId": conversation,
            "recordingId": recording,
            "revision": revision,
            "fetchedAt": iso(self._services.now()),
            "conversationEndedAt": event.body.get("conversationEndedAt"),
            "media": media,
            "sessionId": session,
            "deleteDate": event.body.get("deleteDate"),
            "format": chosen if attachments is None else "body",
            "variant": _VARIANTS[self._services.genesys.sees_sensitive],
            "parts": [*parts],
            **({} if attachments is None else {"attachments": attachments}),
            "expected": {"durations": durations, "source": "analytics" if durations else "none"},
            "conversationMissing": missing,
            "conversation": details if self.config.free_text or details is None else without_free_text(details),
        }

    def _true_reason(
        self, error: TransientError | PermanentError, delivery: Delivery, before: datetime | None
    ) -> TransientError | PermanentError:
        """What the platform does not say: that the time it kept the recording for is over, or that it leaves out what we may not see."""
        gone = isinstance(error, PermanentError) and error.code in (ReasonCode.NOT_FOUND, ReasonCode.DELETED_UPSTREAM)
        if gone and before is not None and before <= self._services.now():
            told = "the platform has deleted the recording at its deleteDate, before it was archived"
            return PermanentError(told, code=ReasonCode.RETENTION_ELAPSED, correlation_id=error.correlation_id)
        left_out = isinstance(error, TransientError) and error.code is ReasonCode.NOT_READY
        if left_out and self._services.genesys.sees_sensitive is False and delivery.attempt >= _ATTEMPTS_LEFT_OUT:
            told = "the platform leaves the recording out without a word, and recording:recording:viewSensitiveData is missing"
            return PermanentError(told, code=ReasonCode.FORBIDDEN_SENSITIVE, correlation_id=error.correlation_id)
        return error

    async def _part(self, event: Event, conversation: str | None, recording: str, number: int, part: MediaPart) -> dict[str, Any]:
        async with self._services.scratch.file(".part") as path:
            got = await self._services.media.download(part, path)
            async with await anyio.open_file(path, "rb") as file:
                head = await file.read(_HEAD)
            content_type = got.content_type or part.content_type
            key = media_key(event.day, conversation, recording, number, extension(content_type, head))
            await self._services.storage.adopt(path, key)
        return {
            "key": key,
            "sha256": got.sha256,
            "bytes": got.size,
            "contentType": content_type,
            "lengthStated": got.length_stated,
            "resumed": got.resumed,
        }

    async def _locate(self, conversation: str | None, recording: str, *, fresh: bool, before: datetime | None) -> tuple[MediaPart, ...]:
        recordings = self._services.genesys.recordings
        format_id = None if self.config.format == "original" else self.config.format
        if conversation is None:
            located = await recordings.locate_orphan(recording, format_id=format_id or _ORPHANS_FORMAT)
        else:
            located = await recordings.locate(conversation, recording, format_id=format_id, fresh=fresh, before=before)
        if not located:
            raise TransientError("the platform names no media for the recording yet", code=ReasonCode.NOT_READY)
        if len(located) > _MOST_PARTS:
            raise PermanentError(f"the recording claims {len(located)} parts; {_MOST_PARTS} is the most", code=ReasonCode.BAD_ANSWER)
        return located

    async def _details(self, conversation: str | None, delivery: Delivery) -> tuple[Mapping[str, Any] | None, str | None]:
        """The analytics record, or why there is none. The media matter more: a refusal, or trouble that lasts, does not hold them up."""
        if conversation is None:
            return None, ReasonCode.NOT_FOUND.value
        try:
            details = await self._services.genesys.conversations.details(conversation)
        except PermanentError as error:
            return None, error.code.value
        except TransientError as error:
            if delivery.attempt <= _ATTEMPTS_WITH_DETAILS:
                raise
            return None, error.code.value
        return details, None if details is not None else ReasonCode.NOT_READY.value


def _identity(event: Event) -> tuple[str | None, str]:
    """Both ids, proved to be canonical UUIDs before any key is made of them; an orphan has no conversation."""
    conversation, recording = event.conversation_id, event.recording_id or ""
    if not is_canonical_uuid(recording) or (conversation is not None and not is_canonical_uuid(conversation)):
        raise PermanentError("the event's ids are not canonical lower-case UUIDs", code=ReasonCode.ID_INVALID)
    return conversation, recording


def _revision(event: Event) -> int:
    revision = event.body.get("revision")
    return revision if isinstance(revision, int) and revision > 0 else 1


def _lost(event: Event) -> PermanentError:
    try:
        code = ReasonCode(event.body.get("reason", ""))
    except ValueError:
        code = ReasonCode.NOT_FOUND
    return PermanentError("the platform no longer has this recording; it was never archived", code=code)


def _body(sidecar: Mapping[str, Any], key: str, sidecar_hash: str) -> dict[str, Any]:
    """What `media.archived` says: identities and measures, none of the personal data in the sidecar."""
    told = ("key", "sha256", "bytes", "contentType", "lengthStated")
    return {
        "revision": sidecar["revision"],
        "conversationEndedAt": sidecar["conversationEndedAt"],
        "media": sidecar["media"],
        "variant": sidecar.get("variant", "unknown"),
        "parts": [{name: part[name] for name in told} for part in sidecar["parts"]],
        "sidecar": key,
        "sidecarSha256": sidecar_hash,
        "expected": sidecar["expected"],
    }
