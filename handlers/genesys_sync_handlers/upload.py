"""Uploads a file to the platform: proved by its content, sent no more often than needed, and followed until the platform reports on it.

Every step may be repeated. What was sent is known to the upload service under the delivery's id, so a killed run is gone on with; what is
stored already is not sent again, even if the file is gone from the disk meanwhile.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import anyio
import anyio.to_thread
from pydantic import Field, model_validator

from genesys_sync.plugin import (
    ConfigurationError,
    Delivery,
    Done,
    Event,
    Handler,
    Outcome,
    PermanentError,
    Policy,
    ReasonCode,
    Reported,
    Sent,
    Services,
    Size,
    Snooze,
    StorageError,
    Topic,
    TranscriptionRequest,
    UploadFile,
    UploadStatus,
    work_folder,
)
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._keys import GIVEN
from genesys_sync_handlers._report import Fault, Job
from genesys_sync_handlers._times import steady_now
from genesys_sync_handlers._uploadable import CONTENT_TYPES, TOO_LARGE, refusal
from genesys_sync_handlers._workers import Inspectors, Limits

_LEAST_MEMORY = 512 << 20
_FIRST_LOOK = 2.0
_LONGEST_LOOK = 300.0
PLATFORM_FAILURE = "PLATFORM_FAILURE"


class UploadConfig(HandlerConfig):
    """What may be uploaded, and how long the platform's report is waited for.

    max_size       of a file
    max_duration   of what it holds
    containers     by content: wav, ogg, webm, mp3, mp4, flac
    codecs         of the audio in it, as FFmpeg names them
    level          `full` decodes every packet; `structure` reads containers and packets without decoding
    workers        processes that look inside
    memory         what each of them may use
    report_within  how long after the upload the platform may take to report on it
    transcribe     the speech provider that transcribes what was uploaded; empty: nothing is transcribed
    locale         in which language it is spoken, BCP 47; needed with `transcribe`
    """

    max_size: Annotated[Size, Field(ge=1)] = 2 << 30
    max_duration: PositiveDuration = timedelta(minutes=30)
    containers: tuple[Literal["wav", "ogg", "webm", "mp3", "mp4", "flac"], ...] = ("wav", "ogg", "webm", "mp3", "mp4", "flac")
    codecs: tuple[str, ...] = (
        "pcm_s16le",
        "pcm_s24le",
        "pcm_s32le",
        "pcm_u8",
        "pcm_f32le",
        "pcm_mulaw",
        "pcm_alaw",
        "opus",
        "vorbis",
        "mp3",
        "aac",
        "flac",
    )
    level: Literal["full", "structure"] = "full"
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    memory: Annotated[Size, Field(ge=_LEAST_MEMORY)] = 1 << 30
    report_within: PositiveDuration = timedelta(hours=24)
    transcribe: str = ""
    locale: str = ""

    @model_validator(mode="after")
    def _spoken(self) -> Self:
        if self.transcribe and not self.locale:
            raise ValueError('locale: is needed with transcribe, such as "en-US"')
        return self


class _Unfit(Exception):
    """The file is not to be uploaded; that is final."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the event asks for."""

    path: Path
    name: str
    bytes: int
    sha256: str
    md5: str

    @classmethod
    def of(cls, body: Any) -> _Wanted:
        """Raises PermanentError for an event that no command of ours made."""
        try:
            return cls(Path(body["path"]), str(body["fileName"]), int(body["bytes"]), str(body["sha256"]), str(body["md5"]))
        except (KeyError, TypeError, ValueError):
            reason = "the event names no path, fileName, bytes, sha256 or md5; let `genesys-sync upload` make it"
            raise PermanentError(reason, code=ReasonCode.HANDLER_REFUSED) from None


class Upload(Handler[UploadConfig]):
    """`upload.requested` → `upload.completed` or `upload.failed`."""

    config_type = UploadConfig
    topics = (Topic.UPLOAD_REQUESTED,)
    policy = Policy(
        concurrency=2,
        timeout=timedelta(hours=12),
        attempts=50,
        time_limit=timedelta(days=7),
        backoff_base=timedelta(seconds=2),
        backoff_cap=timedelta(minutes=5),
    )
    resumable = True
    _services: Services
    _inspectors: Inspectors

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """See `Handler.running`."""
        self._require_provider(services)
        self._services = services
        self._inspectors = Inspectors(workers=self.config.workers, memory=self.config.memory)
        try:
            yield
        finally:
            await self._inspectors.aclose()

    async def check(self, services: Services) -> None:
        """Proves that the speech provider is there, where one is named."""
        self._require_provider(services)

    def _require_provider(self, services: Services) -> None:
        if self.config.transcribe and self.config.transcribe not in services.speech.names:
            raise ConfigurationError(f"config.transcribe: there is no table [providers.{self.config.transcribe}]")

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Afterwards the platform has the file and has said what became of it, or it is told why not."""
        wanted = _Wanted.of(event.body)
        try:
            file = await self._fit(wanted, delivery)
        except _Unfit as unfit:
            return self._failed(event, unfit.reason, unfit.detail)
        sent = await self._services.genesys.uploads.send(delivery.id, file)
        reported = await self._services.genesys.uploads.look(sent)
        if reported is None or reported.status is UploadStatus.PENDING:
            return self._not_yet(sent, delivery)
        if reported.status is UploadStatus.FAILURE:
            return self._failed(event, PLATFORM_FAILURE, reported.reason or "the platform gives no reason")
        return self._completed(event, file, sent, reported, await self._to_transcribe(event, file))

    async def _fit(self, wanted: _Wanted, delivery: Delivery) -> UploadFile:
        """The file, proved; what an earlier run proved is not proved again while it has not changed. Raises _Unfit."""
        begun = await self._services.genesys.uploads.begun(delivery.id)
        try:
            now = await anyio.Path(wanted.path).stat()
        except FileNotFoundError:
            if begun is not None:
                return begun  # stored already, perhaps; if not, sending says that it is gone
            raise _Unfit(Fault.MEDIA_MISSING, "the file is not there any more") from None
        except OSError as error:
            raise StorageError(f"a file that is to be uploaded cannot be read: {error.strerror}") from None
        if begun is not None and (begun.bytes, begun.modified_ns) == (now.st_size, now.st_mtime_ns):
            return begun
        if now.st_size != wanted.bytes:
            raise _Unfit(Fault.MEDIA_ALTERED, f"the file had {wanted.bytes} bytes when it was asked for, and has {now.st_size}")
        if now.st_size > self.config.max_size:
            raise _Unfit(TOO_LARGE, f"the file has {now.st_size} bytes; {self.config.max_size} are taken")
        return await self._inspected(wanted, now.st_mtime_ns)

    async def _inspected(self, wanted: _Wanted, modified_ns: int) -> UploadFile:
        limits = Limits.of(wanted.bytes, self.config.max_duration.total_seconds())
        job = Job(
            path=str(wanted.path),
            sha256=wanted.sha256,
            content_type="",
            audio=True,
            level=self.config.level,
            cpu_seconds=limits.cpu_seconds,
        )
        report = await self._inspectors.inspect(job, wall=limits.wall)
        refused = refusal(
            report,
            max_duration=self.config.max_duration,
            containers=frozenset(self.config.containers),
            codecs=frozenset(self.config.codecs),
        )
        if refused is not None:
            raise _Unfit(*refused)
        facts = {
            "container": report.container,
            "codec": report.codec,
            "sampleRate": report.sample_rate,
            "channels": report.channels,
            "duration": report.duration,
            "warnings": list(report.warnings),
        }
        return UploadFile(
            path=wanted.path,
            name=wanted.name,
            bytes=wanted.bytes,
            modified_ns=modified_ns,
            md5=wanted.md5,
            content_type=CONTENT_TYPES[report.container],
            facts=facts,
        )

    def _not_yet(self, sent: Sent, delivery: Delivery) -> Outcome:
        """Raises PermanentError(NOT_READY) when the platform has had its time; a replay looks again, and sends nothing."""
        if steady_now(self._services.clock) - sent.since > self.config.report_within:
            raise PermanentError(
                "the file is stored, but the platform's upload reports do not say what became of it; replay the delivery to look again",
                code=ReasonCode.NOT_READY,
            )
        delay = min(_FIRST_LOOK * 1.5 ** min(delivery.snoozes, 30), _LONGEST_LOOK)
        return Snooze("stored; the platform has not reported on it yet", timedelta(seconds=delay))

    async def _to_transcribe(self, event: Event, file: UploadFile) -> list[Event]:
        """The request for a transcript, where the settings want one, with a copy of the sound in the archive for it."""
        if not self.config.transcribe:
            return []
        services, now = self._services, self._services.now()
        wish = TranscriptionRequest(
            provider=self.config.transcribe,
            locale=self.config.locale,
            key="",
            sha256=str(event.body["sha256"]),
            size=file.bytes,
            content_type=file.content_type,
            seconds=file.facts.get("duration"),
            silent="MEDIA_SILENT" in file.facts.get("warnings", ()),
        )
        folder = work_folder(wish.event(event.organization_id, at=now, day=event.day))
        key = f"{folder}/{GIVEN}.{file.facts['container']}"
        if await services.storage.size(key) is None:
            async with services.scratch.file() as copy:
                try:
                    await anyio.to_thread.run_sync(_copied, file.path, copy)
                except FileNotFoundError:
                    services.log.warning("not_transcribed", event_id=event.id, action="the file was taken away before it was transcribed")
                    return []
                except OSError as error:
                    raise StorageError(f"a copy to be transcribed cannot be made: {error.strerror}") from None
                await services.storage.adopt(copy, key)
        return [replace(wish, key=key).event(event.organization_id, at=now, day=event.day, parent=event)]

    def _completed(self, event: Event, file: UploadFile, sent: Sent, reported: Reported, emit: list[Event]) -> Outcome:
        self._services.audit.record("upload.complete", event.id, status=reported.status.value, bytes=file.bytes)
        self._services.log.info("uploaded", event_id=event.id, status=reported.status.value, bytes=file.bytes)
        body = {
            **_identity(event),
            "uploadKey": sent.upload_key,
            "status": reported.status.value,
            "md5Echoed": sent.md5_echoed,
            **file.facts,
        }
        return Done((self._outcome(event, Topic.UPLOAD_COMPLETED, body), *emit), f"the platform reports {reported.status}")

    def _failed(self, event: Event, reason: str, detail: str) -> Outcome:
        self._services.audit.record("upload.complete", event.id, outcome="failure", reason=str(reason))
        self._services.log.warning("not_uploaded", event_id=event.id, reason=str(reason), detail=detail)
        body = {**_identity(event), "reason": str(reason), "detail": detail}
        return Done((self._outcome(event, Topic.UPLOAD_FAILED, body),), f"{reason}: {detail}")

    def _outcome(self, event: Event, topic: str, body: dict[str, Any]) -> Event:
        return event.derive(
            topic,
            occurred_at=self._services.now(),
            state=str(event.body["sha256"]),
            revision=int(event.body.get("revision", 1)),
            body=body,
        )


def _copied(source: Path, target: Path) -> None:
    """A durable copy, for the owner alone."""
    with source.open("rb") as here, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as there:
        shutil.copyfileobj(here, there, 1 << 20)
        there.flush()
        os.fsync(there.fileno())


def _identity(event: Event) -> dict[str, Any]:
    return {name: event.body.get(name) for name in ("path", "fileName", "bytes", "sha256", "md5")}
