"""Hides in the sound what was hidden in the transcript: a redacted copy of the recording, each channel by itself, proved sample by sample.

Two things must be there, in whichever order they come: the verified recording, and the spans that `redact` wrote down for it. The
recording's event waits for the spans; a transcript that comes later still has the copy made anew. A file that was given to be transcribed
is treated like a recording: the request for its transcript is what brings it. What was written (a chat, a message, an e-mail) is redacted
in its own text, at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

import anyio
import orjson
from pydantic import Field

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
    Size,
    Skip,
    Snooze,
    Topic,
    is_canonical_uuid,
    iso,
    work_folder,
)
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._keys import quarantine_key, sidecar_key
from genesys_sync_handlers._ladder import Rungs
from genesys_sync_handlers._mute_job import Filling, Muted, MuteJob
from genesys_sync_handlers._quarantine import NO_TRANSCRIPT, read_sidecar, withheld
from genesys_sync_handlers._redacted_copy import SCHEMA, Whose, announced, read_copy, stands
from genesys_sync_handlers._spans import Stretch, digest, of_part, outlast, redacted_key, spans_of, stretches_of, widened
from genesys_sync_handlers._times import steady_now
from genesys_sync_handlers._workers import Limits, WorkerBroken, Workers
from genesys_sync_handlers._written import Unreadable
from genesys_sync_handlers._written_copy import is_written, written_copy

_COMMAND = (sys.executable, "-m", "genesys_sync_handlers._muter")
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_SPANS_LIMIT = 16 << 20


class MuteConfig(HandlerConfig):
    """How the sound is hidden, and what becomes of the original.

    filling        `silence`, or `beep`: a soft tone of 1 kHz
    margin         added at both ends of each span: timings of words are not exact
    keep_original  whether the recording as it was spoken stays in the archive
    ladder         when the spans are looked for, since the recording was verified; the last wait repeats
    give_up        a recording of which no transcript came until then stays as it is, or is withheld:
    without_transcript  `keep` or `quarantine`; what has neither sound nor text, or no conversation, is treated so at once
    workers        processes; 0 is one for each core
    memory         what each of them may use
    """

    filling: Filling = "silence"
    margin: Annotated[PositiveDuration, Field(le=timedelta(seconds=5))] = timedelta(milliseconds=150)
    keep_original: bool = True
    ladder: Rungs = (
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=6),
    )
    give_up: PositiveDuration = timedelta(days=4)
    without_transcript: Literal["keep", "quarantine"] = "keep"
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    memory: Annotated[Size, Field(ge=512 << 20)] = 1 << 30


@dataclass(frozen=True, slots=True)
class _Subject:
    """One recording, and what is known of it.

    whose      its names and places
    media      what a copy is made from, an entry for each part: `key`, `sha256`, and `duration` where known
    originals  the parts as they were spoken; not the media where only an earlier copy is left
    made       what the sidecar of the copy that there is tells
    replaced   the keys that are to go because of a copy of this very run, which a later transcript has overtaken
    """

    whose: Whose
    media: Sequence[Mapping[str, Any]]
    originals: Sequence[Mapping[str, Any]]
    stretches: Sequence[Stretch]
    made: Mapping[str, Any] | None
    replaced: Sequence[str] = ()


class Mute(Handler[MuteConfig]):
    """`media.verified`, `transcript.redacted` and, of a given file, `transcription.requested` → `media.redacted`; or `media.rejected`, of
    what cannot be redacted and must not stay."""

    config_type = MuteConfig
    topics = (Topic.MEDIA_VERIFIED, Topic.TRANSCRIPT_REDACTED, Topic.TRANSCRIPTION_REQUESTED)
    # most deliveries wait for a transcript, which takes no place: only what decodes does
    policy = Policy(concurrency=_CORES + 2, timeout=timedelta(hours=6), attempts=10, time_limit=timedelta(days=14))
    _services: Services
    _workers: Workers

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Holds the pool of workers, each started when first needed, and ends them all."""
        self._services = services
        self._workers = Workers(workers=self.config.workers or _CORES, memory=self.config.memory, command=_COMMAND)
        self._busy: dict[str, anyio.Lock] = {}
        try:
            yield
        finally:
            await self._workers.aclose()

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Afterwards the redacted copy of each recording that the event is about agrees with all spans that are known of it."""
        if event.topic == Topic.TRANSCRIPTION_REQUESTED:
            source = event.body["source"]
            if event.conversation_id is not None:
                return Skip("a recording of the platform's has events of its own")
            return await self._arrived(event, delivery, Whose.given(work_folder(event)), [source])
        heard = event.topic == Topic.MEDIA_VERIFIED
        wanted = [event.recording_id or ""] if heard else list(event.body["recordingIds"])
        named = wanted if event.conversation_id is None else [event.conversation_id, *wanted]
        if not all(is_canonical_uuid(one) for one in named):
            raise PermanentError("the event's ids are not canonical lower-case UUIDs", code=ReasonCode.ID_INVALID)
        if heard:
            return await self._verified(event, delivery)
        emitted = [made for whose in _of_transcript(event, wanted) if (made := await self._again(event, whose)) is not None]
        return Done(emitted) if emitted else Skip("no recording of this transcript has a redacted copy yet; its own event makes one")

    async def _verified(self, event: Event, delivery: Delivery) -> Outcome:
        parts, recording_id = event.body["parts"], event.recording_id or ""
        if event.conversation_id is None:
            orphan = Whose(recording_id, "", sidecar_key(event.day, None, recording_id), "", ())
            return await self._unredacted(event, orphan, parts, "a recording without a conversation has no transcript")
        whose = Whose.recording(event.day, event.conversation_id, recording_id)
        if is_written(parts):
            return await self._typed(event, whose, event.conversation_id, parts)
        if not _sounding(parts):
            return await self._unredacted(event, whose, parts, "nothing is heard in this recording")
        return await self._arrived(event, delivery, whose, parts)

    async def _arrived(self, event: Event, delivery: Delivery, whose: Whose, media: Sequence[Mapping[str, Any]]) -> Outcome:
        async with self._alone(whose.name):
            if await self._begun(event, media):
                return await self._unredacted(event, whose, media, "no redacted transcript came")
            made = await self._made(whose)
            subject = await self._subject(whose, media, [_identity(part) for part in media], made)
            if subject is None:
                waited = steady_now(self._services.clock) - delivery.created_at
                if waited >= self.config.give_up:
                    return await self._unredacted(event, whose, media, "no redacted transcript came")
                wait = self.config.ladder[min(delivery.snoozes, len(self.config.ladder) - 1)]
                return Snooze("no redacted transcript yet", min(wait, self.config.give_up - waited))
            return Done((await self._copied(event, subject),))

    async def _typed(self, event: Event, whose: Whose, conversation_id: str, parts: Sequence[Mapping[str, Any]]) -> Outcome:
        """What was written is redacted in its own text, and waits for no transcript."""
        ended, keep = event.body.get("conversationEndedAt"), self.config.keep_original
        async with self._alone(whose.name):
            try:
                made = await written_copy(self._services, whose, conversation_id, parts, ended_at=ended, keep_original=keep)
            except Unreadable as error:
                return await self._unredacted(event, whose, parts, str(error))
            await self._services.storage.write(whose.copy, orjson.dumps(made, option=orjson.OPT_INDENT_2))
            return Done((await self._announced(event, whose, made),))

    async def _begun(self, event: Event, media: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a run that was interrupted has begun to withhold this recording: a transcript that came since is too late."""
        return await self._services.storage.size(quarantine_key(media[0]["key"], _revision(event))) is not None

    async def _unredacted(self, event: Event, whose: Whose, media: Sequence[Mapping[str, Any]], why: str) -> Outcome:
        """What cannot be redacted stays, or lies in quarantine afterwards, its sidecar naming the reason."""
        if self.config.without_transcript == "keep":
            return Skip(f"{why}: the recording stays as it is")
        storage, revision, now = self._services.storage, _revision(event), self._services.now()
        note = {"reason": NO_TRANSCRIPT, "detail": why, "at": iso(now)}
        sidecar = {**await read_sidecar(storage, whose.noted, revision), "rejected": note}
        held = await withheld(storage, media, whose.noted, revision, noted=sidecar)
        self._services.audit.record(
            "recording.redact", whose.name, outcome="failure", revision=revision, reason=NO_TRANSCRIPT, quarantine=held
        )
        body = {"revision": revision, "reason": NO_TRANSCRIPT, "detail": why, "quarantine": held}
        rejected = event.derive(Topic.MEDIA_REJECTED, occurred_at=now, state=whose.state, revision=revision, body=body)
        return Done((rejected,), f"{NO_TRANSCRIPT}: {why}")

    async def _again(self, event: Event, whose: Whose) -> Event | None:
        """The copy made anew because of a later transcript, or told of again if it was; None where there was none, or it is the
        first, which the recording's own event tells of, and knows this transcript."""
        async with self._alone(whose.name):
            made = await self._made(whose)
            if made is None or is_written(made["body"]["parts"]):
                return None
            originals = media = made["originals"]
            if None in [await self._services.storage.size(part["key"]) for part in originals]:
                media = made["body"]["parts"]  # what was hidden before is hidden in the copy already
            subject = await self._subject(whose, media, originals, made)
            if subject is None or (made["body"]["revision"] == 1 and made["digest"] == self._digest(subject.stretches)):
                return None
            return await self._copied(event, subject)

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncGenerator[None]:
        """Two events of one recording do not work on its copy at one time."""
        lock = self._busy.setdefault(name, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._busy.pop(name, None)

    async def _subject(
        self,
        whose: Whose,
        media: Sequence[Mapping[str, Any]],
        originals: Sequence[Mapping[str, Any]],
        made: Mapping[str, Any] | None,
    ) -> _Subject | None:
        """None while no transcript has told of its spans."""
        stretches = await self._stretches(whose)
        return None if stretches is None else _Subject(whose, media, originals, stretches, made)

    async def _stretches(self, whose: Whose) -> list[Stretch] | None:
        """What all transcripts of the recording say, margins included; None where none has said anything."""
        session, storage = await self._session(whose), self._services.storage
        identities = whose.identities if session is None else (*whose.identities, session)
        files = [await storage.read(key, limit=_SPANS_LIMIT) for key in spans_of(await storage.listed(whose.spans), identities)]
        return widened(stretches_of(files), margin=self.config.margin.total_seconds()) if files else None

    async def _session(self, whose: Whose) -> str | None:
        """The communication that the recording belongs to, as its sidecar in the archive tells."""
        try:
            sidecar = orjson.loads(await self._services.storage.read(whose.noted))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        session = sidecar.get("sessionId") if isinstance(sidecar, dict) else None
        return session if isinstance(session, str) and is_canonical_uuid(session) else None

    async def _made(self, whose: Whose) -> dict[str, Any] | None:
        """What the copy's sidecar tells; None where there is no copy."""
        return await read_copy(self._services.storage, whose.copy)

    def _digest(self, stretches: Sequence[Stretch]) -> str:
        return digest(stretches, self.config.filling)

    async def _copied(self, event: Event, subject: _Subject) -> Event:
        """The copy of all parts lies in the archive and is proved, its sidecar last; then what it takes the place of is gone, if it is
        to go. A run that finds such a copy repeats its result."""
        storage, whose, made = self._services.storage, subject.whose, subject.made
        while True:
            if made is None or not await self._is_of(made, subject):
                made = await self._make(event, subject)
            # Also one that was found: a run killed between its rename and the folder's fsync leaves a name that a power cut may still
            # take back, and then nothing would tell of the copy, while the original is gone.
            await storage.write(whose.copy, orjson.dumps(made, option=orjson.OPT_INDENT_2))
            # A transcript that came meanwhile, perhaps by another process, found no copy to make anew: it is seen now, or sees this one.
            stretches = await self._stretches(whose)
            if stretches is None or stretches == subject.stretches:
                break
            copies = _keys(subject.media) != _keys(subject.originals)
            media = made["body"]["parts"] if copies else subject.media
            subject = replace(subject, stretches=stretches, made=made, media=media, replaced=made["body"]["removed"])
        return await self._announced(event, whose, made)

    async def _announced(self, event: Event, whose: Whose, made: Mapping[str, Any]) -> Event:
        """What the copy takes the place of is gone, if it is to go; the copy's sidecar must be durable."""
        body = await announced(self._services.storage, whose.copy, made)
        for key in body["removed"]:
            await self._services.storage.remove(key)
        parts = body["parts"]
        hashes, spans = [part["sha256"] for part in parts], max(part["spans"] for part in parts)
        self._services.audit.record("recording.redact", whose.name, parts=hashes, spans=spans, removed=body["removed"])
        return event.derive(
            Topic.MEDIA_REDACTED,
            occurred_at=self._services.now(),
            recording_id=None if event.conversation_id is None else whose.name,
            state=whose.state,
            revision=body["revision"],
            body=body,
        )

    async def _is_of(self, made: Mapping[str, Any], subject: _Subject) -> bool:
        """Whether the copy is there, was made from this very recording, and agrees with all spans."""
        same = _hashes(made["originals"]) == _hashes(subject.originals)
        return same and made["digest"] == self._digest(subject.stretches) and await stands(self._services.storage, made)

    async def _make(self, event: Event, subject: _Subject) -> dict[str, Any]:
        """The copy lies in the archive; what its sidecar, not yet written, tells. A copy of a copy has a name of its own: until the
        sidecar is written the former is the one that counts, and must be there as it was."""
        lengths = [float(part.get("duration") or 0.0) for part in subject.media]
        if all(lengths) and outlast(subject.stretches, sum(lengths)):
            raise PermanentError(
                f"{subject.originals[0]['key']}: a transcript has times after the recording's end: it is not known what to silence",
                code=ReasonCode.REDACTION_FAILED,
            )
        revision = 1 if subject.made is None else subject.made["body"]["revision"] + 1
        anew = _keys(subject.media) != _keys(subject.originals)
        before, parts = 0.0, []
        for part, original in zip(subject.media, subject.originals, strict=True):
            stretches = of_part(subject.stretches, before=before, alone=len(subject.media) == 1)
            parts.append(await self._copy(part, stretches, _copy_key(original["key"], f".r{revision}" if anew else "")))
            before += float(part.get("duration") or 0.0)
        gone = [] if self.config.keep_original else _keys(subject.originals)
        former = [*subject.replaced, *([] if subject.made is None else _keys(subject.made["body"]["parts"]))]
        body = {
            "revision": revision,
            "conversationEndedAt": event.body.get("conversationEndedAt"),
            "parts": parts,
            "removed": list(dict.fromkeys([*gone, *(key for key in former if key not in _keys(parts))])),
            "verified": True,
        }
        return {"schema": SCHEMA, "digest": self._digest(subject.stretches), "originals": [*subject.originals], "body": body}

    async def _copy(self, part: Mapping[str, Any], stretches: Sequence[Stretch], stem: str) -> dict[str, Any]:
        """The redacted copy of one part, as events describe it; its key is `stem` with the file's ending."""
        try:
            async with self._services.storage.local(part["key"]) as original, self._services.scratch.file(".muted") as output:
                limits = Limits.of((await anyio.Path(original).stat()).st_size, 4 * float(part.get("duration") or 0.0))
                job = MuteJob(
                    path=str(original),
                    sha256=part["sha256"],
                    content_type="",
                    output=str(output),
                    stretches=stretches,
                    filling=self.config.filling,
                    cpu_seconds=2 * limits.cpu_seconds,
                )
                muted = await self._workers.ask(asdict(job), wall=2 * limits.wall, read=Muted.from_json)
                if muted.fault is not None:
                    raise PermanentError(f"{part['key']}: {muted.fault}: {muted.detail}", code=ReasonCode.REDACTION_FAILED)
                key = f"{stem}.{muted.ending}"
                await self._services.storage.adopt(output, key)
        except FileNotFoundError:
            raise PermanentError(f"{part['key']} is not in the archive any more", code=ReasonCode.NOT_FOUND) from None
        except WorkerBroken as broken:
            raise PermanentError(f"{part['key']}: {broken.fault}: {broken.detail}", code=ReasonCode.REDACTION_FAILED) from None
        return {
            "key": key,
            "sha256": muted.sha256,
            "bytes": muted.size,
            "spans": len(stretches),
            "duration": round(muted.frames / muted.rate, 3) if muted.rate else 0.0,
            "mutedSamples": muted.silenced,
        }


def _of_transcript(event: Event, recording_ids: Sequence[str]) -> list[Whose]:
    """The recordings of a redacted transcript; the given file where it has no conversation, in whose folder its transcript lies too."""
    if event.conversation_id is not None:
        return [Whose.recording(event.day, event.conversation_id, one) for one in recording_ids]
    folder = event.body["transcript"]["key"].rpartition("/")[0]
    return [Whose.given(folder.removeprefix(redacted_key("")))]


def _revision(event: Event) -> int:
    """Of the recording; a given file has one copy in each request's folder."""
    return 1 if event.topic == Topic.TRANSCRIPTION_REQUESTED else int(event.body.get("revision", 1))


def _sounding(parts: Sequence[Mapping[str, Any]]) -> bool:
    return any(part.get("duration") for part in parts)


def _identity(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": part["key"], "sha256": part["sha256"], "duration": part.get("duration")}


def _keys(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [part["key"] for part in parts]


def _hashes(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [part["sha256"] for part in parts]


def _copy_key(key: str, mark: str) -> str:
    """The copy's place, by the original's, without its ending."""
    return redacted_key(key.rpartition(".")[0] + mark)
