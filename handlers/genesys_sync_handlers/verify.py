"""Proves that an archived recording is what it claims to be, by decoding all of it in a worker process.

A good one is announced. A bad one goes to quarantine and is fetched again, for the platform may have served a fault once; at the last
fetch it is rejected with its reason. Every step may be repeated: after a kill the same file is found in either place and judged afresh.
"""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal

import anyio
from pydantic import Field

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
    Services,
    Size,
    Skip,
    Topic,
    TransientError,
    is_canonical_uuid,
    iso,
)
from genesys_sync_handlers import _verdict
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._keys import quarantine_key
from genesys_sync_handlers._quarantine import read_sidecar, withheld
from genesys_sync_handlers._report import Caution, Fault, Job, Report
from genesys_sync_handlers._workers import Inspectors, Limits

_SOUNDING = frozenset({"", "audio", "screen"})
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_LEAST_MEMORY = 512 << 20


class VerifyConfig(HandlerConfig):
    """How hard to look, and what to refuse.

    level               `full` decodes every packet; `structure` reads containers and packets without decoding
    workers             processes; 0 is one for each core
    memory              what each of them may use
    duration_tolerance  by how much the measured duration may differ from the expected one, besides 2 %
    silence             what becomes of a recording without any sound: `warn` or `reject`
    fetches             how often a recording is fetched in all before it is rejected
    """

    level: Literal["full", "structure"] = "full"
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    memory: Annotated[Size, Field(ge=_LEAST_MEMORY)] = 1 << 30
    duration_tolerance: PositiveDuration = timedelta(seconds=2)
    silence: Literal["warn", "reject"] = "warn"
    fetches: Annotated[int, Field(ge=1, le=10)] = 2


class Verify(Handler[VerifyConfig]):
    """`media.archived` → `media.verified`, or `recording.ready` once more, or `media.rejected`."""

    config_type = VerifyConfig
    topics = (Topic.MEDIA_ARCHIVED,)
    policy = Policy(concurrency=_CORES + 2, timeout=timedelta(hours=6), attempts=10, time_limit=timedelta(days=14))
    _services: Services
    _inspectors: Inspectors

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Holds the pool of workers, each started when first needed, and ends them all."""
        self._services = services
        self._inspectors = Inspectors(workers=self.config.workers or _CORES, memory=self.config.memory)
        try:
            yield
        finally:
            await self._inspectors.aclose()

    async def check(self, services: Services) -> None:
        """Starts one worker under its limits and has it decode a second of sound."""
        inspectors = Inspectors(workers=1, memory=self.config.memory)
        sound = _second_of_sound()
        try:
            async with services.scratch.file(".wav") as path:
                await anyio.Path(path).write_bytes(sound)
                job = Job(
                    path=str(path), sha256=sha256(sound).hexdigest(), content_type="audio/wav", audio=True, level="full", cpu_seconds=30
                )
                report = await inspectors.inspect(job, wall=timedelta(seconds=60))
        except TransientError as error:
            raise ConfigurationError(f"handlers.{self.name}: {error.reason}") from error
        finally:
            await inspectors.aclose()
        if report.fault is not None:
            raise ConfigurationError(f"handlers.{self.name}: the decoder refuses a sound file ({report.fault}): {report.detail}")

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Afterwards the media are where they belong, and what is emitted says so."""
        ids = (event.recording_id or "", *(() if event.conversation_id is None else (event.conversation_id,)))
        if not all(is_canonical_uuid(one) for one in ids):
            raise PermanentError("the event's ids are not canonical lower-case UUIDs", code=ReasonCode.ID_INVALID)
        revision = int(event.body["revision"])
        sidecar = await read_sidecar(self._services.storage, event.body["sidecar"], revision)
        if sidecar.get("revision", revision) > revision:
            return Skip("a later copy of the recording has been archived since")
        reports = [await self._inspect(event, part, revision) for part in event.body["parts"]]
        fault, detail, warnings = await self._judge(event, reports)
        if fault is None:
            return await self._accept(event, revision, reports, warnings)
        self._services.log.warning("withheld", recording_id=event.recording_id, reason=fault.value, detail=detail, revision=revision)
        note = {"reason": fault.value, "detail": detail, "at": iso(self._services.now()), "delivery": delivery.id}
        return await self._withhold(event, revision, {**sidecar, "rejected": note}, fault, detail)

    async def _inspect(self, event: Event, part: Mapping[str, Any], revision: int) -> Report:
        """One file, where it was archived or, after an interrupted run, in quarantine."""
        audio = event.body.get("media", "") in _SOUNDING
        longest = max(_verdict.expected_durations(event.body.get("expected")), default=0.0)
        for key in (part["key"], quarantine_key(part["key"], revision)):
            try:
                async with self._services.storage.local(key) as path:
                    limits = Limits.of((await anyio.Path(path).stat()).st_size, longest)
                    job = Job(
                        path=str(path),
                        sha256=part["sha256"],
                        content_type=part["contentType"],
                        audio=audio,
                        level=self.config.level,
                        cpu_seconds=limits.cpu_seconds,
                    )
                    return await self._inspectors.inspect(job, wall=limits.wall)
            except FileNotFoundError:
                continue
        return Report(fault=Fault.MEDIA_MISSING, detail="the file is neither in the archive nor in quarantine")

    async def _judge(self, event: Event, reports: Sequence[Report]) -> tuple[Fault | None, str, list[str]]:
        """The first fault with its detail, or none with all that is odd."""
        for number, report in enumerate(reports, start=1):
            if report.fault is not None:
                where = f"part {number}: " if len(reports) > 1 else ""
                return report.fault, where + report.detail, []
        warnings = list(dict.fromkeys(warning for report in reports for warning in report.warnings))
        if self.config.silence == "reject" and Caution.MEDIA_SILENT in warnings:
            return Fault.MEDIA_SILENT, "the recording holds no sound", warnings
        measured = _verdict.measured_durations([report.duration for report in reports if report.streams])
        if not measured:
            return None, "", warnings
        fault, caution = await self._judge_duration(event, measured)
        if Caution.END_MISSING in warnings and (fault is not None or caution is not None):
            return Fault.TRUNCATED, "the stream has no end, and nothing confirms that the recording is as long as the call", warnings
        if caution is not None:
            warnings.append(caution)
        return fault, "" if fault is None else f"the recording is {max(measured):.1f} s long, and the call was not", warnings

    async def _judge_duration(self, event: Event, measured: Sequence[float]) -> tuple[Fault | None, Caution | None]:
        """Analytics first, as it came with the event; the platform's own figure costs a request and is asked for only in doubt."""
        expected = _verdict.expected_durations(event.body.get("expected"))
        tolerance = self.config.duration_tolerance
        if not expected:
            return None, Caution.DURATION_UNCONFIRMED
        if _verdict.agrees(measured, expected, tolerance):
            return None, None
        stated = await self._stated_duration(event)
        if stated is not None:
            return (None, None) if _verdict.agrees(measured, [stated], tolerance) else (Fault.DURATION_MISMATCH, None)
        if _verdict.possible(measured, expected, tolerance):
            return None, Caution.DURATION_UNCONFIRMED
        return Fault.DURATION_MISMATCH, None

    async def _stated_duration(self, event: Event) -> float | None:
        if event.conversation_id is None:
            return None
        try:
            recording = await self._services.genesys.recordings.get(event.conversation_id, event.recording_id or "")
        except PermanentError:
            return None  # deleted meanwhile, or not to be read: no reason to doubt the file
        return _verdict.stated_duration(recording)

    async def _accept(self, event: Event, revision: int, reports: Sequence[Report], warnings: Sequence[str]) -> Outcome:
        storage = self._services.storage
        for key in (*(part["key"] for part in event.body["parts"]), event.body["sidecar"]):
            # an interrupted run may have withheld it for a cause that has passed, such as a worker killed from outside
            if await storage.size(key) is None and await storage.size(quarantine_key(key, revision)) is not None:
                await storage.move(quarantine_key(key, revision), key)
        self._services.audit.record("recording.verify", event.recording_id or "", revision=revision, warnings=list(warnings))
        self._services.log.info("verified", recording_id=event.recording_id, warnings=list(warnings))
        body = {
            "revision": revision,
            "conversationEndedAt": event.body.get("conversationEndedAt"),
            "parts": [_measured(part, report) for part, report in zip(event.body["parts"], reports, strict=True)],
            "warnings": list(warnings),
        }
        return Done((event.derive(Topic.MEDIA_VERIFIED, occurred_at=self._services.now(), revision=revision, body=body),))

    async def _withhold(self, event: Event, revision: int, sidecar: Mapping[str, Any], fault: Fault, detail: str) -> Outcome:
        """Media and sidecar lie in quarantine, the sidecar naming the reason; then one more fetch, or the rejection."""
        now = self._services.now()
        storage, parts = self._services.storage, event.body["parts"]
        held = await withheld(storage, parts, event.body["sidecar"], revision, noted=sidecar)
        self._services.audit.record("recording.verify", event.recording_id or "", outcome="failure", revision=revision, reason=fault.value)
        if revision < self.config.fetches:
            body = {
                "media": event.body.get("media", ""),
                "sessionId": sidecar.get("sessionId"),
                "conversationEndedAt": event.body.get("conversationEndedAt"),
                "revision": revision + 1,
            }
            if sidecar.get("deleteDate"):
                body["deleteDate"] = sidecar["deleteDate"]
            again = event.derive(Topic.RECORDING_READY, occurred_at=now, revision=revision + 1, body=body)
            return Done((again,), f"{fault.value}: fetched again")
        body = {"revision": revision, "reason": fault.value, "detail": detail, "quarantine": held}
        return Done((event.derive(Topic.MEDIA_REJECTED, occurred_at=now, revision=revision, body=body),), f"{fault.value}: {detail}")


def _measured(part: Mapping[str, Any], report: Report) -> dict[str, Any]:
    return {
        "key": part["key"],
        "sha256": report.sha256,
        "bytes": report.size,
        "container": report.container,
        "codec": report.codec,
        "sampleRate": report.sample_rate,
        "channels": report.channels,
        "duration": report.duration,
    }


def _second_of_sound() -> bytes:
    """A WAV of one second at 8 kHz: a square wave."""
    samples = b"".join(struct.pack("<h", 8000 if number % 40 < 20 else -8000) for number in range(8000))
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples)
    )
    return header + samples
