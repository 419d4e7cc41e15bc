"""Fetches transcript files and lays them into the archive: raw, in our model, in the forms that were asked for, the sidecar last.

The sidecar of a communication tells of all its files, and of nobody who spoke in them. It is written after what it tells of, so a run
that finds a file there repeats its result without asking the platform; and it stays when redaction takes the originals away, so that
nobody fetches them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
from anyio import CapacityLimiter, to_thread

from genesys_sync.plugin import MediaUrlExpired, ReasonCode, Services, TranscriptFile, TransientError, iso
from genesys_sync.transcripts import (
    FILE_LIMIT,
    FORMS,
    Communication,
    Form,
    Transcript,
    TranscriptUnreadable,
    in_channels,
    people_of,
    read_document,
    read_file,
    written,
)
from genesys_sync.transcripts.fields import language
from genesys_sync_handlers._keys import transcript_key, transcript_sidecar_key

SCHEMA = "genesys-sync/transcript@1"
_READERS = 2
"""Files that are read into the model, or written out of it, at one time: each is in memory as a whole meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose transcripts these are, and where they go."""

    day: date
    conversation_id: str
    communication: Communication
    ended_at: datetime

    @property
    def sidecar(self) -> str:
        return transcript_sidecar_key(self.day, self.conversation_id, self.communication.id)

    def key(self, recording_id: str | None, ending: str) -> str:
        return transcript_key(self.day, self.conversation_id, self.communication.id, recording_id, ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One file read. `stored` is what its event says; None where it was not laid into the archive, because nothing is said in it
    (`empty`) or because of its language."""

    stored: Mapping[str, Any] | None = None
    empty: bool = False


class TranscriptStore:
    """Everything that the handler does with files."""

    def __init__(
        self, services: Services, *, forms: Sequence[Form], languages: Sequence[str], names: bool, channels: Mapping[str, int]
    ) -> None:
        self._services = services
        self._forms = tuple(form for form in FORMS if form != "json" and form in forms)
        self._languages = tuple(named.lower() for one in languages if (named := language(one)) is not None)
        self._names = names
        self._channels = dict(channels)
        self._readers = CapacityLimiter(_READERS)

    async def kept(self, place: Place) -> list[dict[str, Any]]:
        """What the sidecar tells: an entry for each file, with the `body` of its event; none where there is no sidecar of ours."""
        try:
            sidecar = orjson.loads(await self._services.storage.read(place.sidecar))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return []
        ours = isinstance(sidecar, dict) and sidecar.get("schema") == SCHEMA
        return list(sidecar["files"]) if ours else []

    async def keep(self, place: Place, entries: Sequence[Mapping[str, Any]]) -> None:
        """The sidecar tells of these files from now on. Written again it makes durable what a killed run has left."""
        bodies = [entry["body"] for entry in entries]
        parts = [part for body in bodies for part in (body["raw"], body["transcript"], *body["forms"])]
        sidecar = {
            "schema": SCHEMA,
            "conversationId": place.conversation_id,
            "communicationId": place.communication.id,
            "parts": [{"key": part["key"], "sha256": part["sha256"], "bytes": part["bytes"]} for part in parts],
            "files": list(entries),
        }
        await self._services.storage.write(place.sidecar, orjson.dumps(sidecar, option=orjson.OPT_INDENT_2))

    async def withdraw(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """These files are gone from the archive; no sidecar tells of them."""
        for body in bodies:
            for part in (body["raw"], body["transcript"], *body["forms"]):
                await self._services.storage.remove(part["key"])

    async def fetch(self, place: Place, file: TranscriptFile, details: Mapping[str, Any]) -> Fetched:
        """The file read and, if it is wanted, durable with its forms. Raises MediaUrlExpired, TransientError or PermanentError."""
        async with self._services.scratch.file(".transcript") as path:
            got = await self._services.media.download(file.part, path)
            if got.size > FILE_LIMIT:
                raise TransientError(f"the transcript file has {got.size} bytes, which no transcript has", code=ReasonCode.BAD_ANSWER)
            try:
                transcript = await self._read(place, file.recording_id, details, path)
            except TranscriptUnreadable as error:
                raise TransientError(f"what the store served is no transcript: {error}", code=ReasonCode.BAD_ANSWER) from None
            if not transcript.segments:
                return Fetched(empty=True)
            if not self._wanted(transcript):
                return Fetched()
            key = place.key(file.recording_id, "raw.json")
            await self._services.storage.adopt(path, key)
        return Fetched(stored=await self._laid(place, transcript, file.recording_id, {"key": key, "sha256": got.sha256, "bytes": got.size}))

    async def taken_up(self, place: Place, details: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a killed run had fetched and told nobody of, now that the platform has it no more: a body for each file. Nothing where a
        sidecar tells of the communication. Raises TransientError where such a file cannot be read."""
        storage = self._services.storage
        if await storage.size(place.sidecar) is not None:
            return []
        begins, ends = place.key(None, ""), ".raw.json"
        bodies = []
        for key in await storage.listed(begins.rpartition("/")[0]):
            if not key.startswith(begins) or not key.endswith(ends):
                continue
            recording_id = key[len(begins) : -len(ends)] or None
            data = await storage.read(key, limit=FILE_LIMIT)
            try:
                transcript = await self._read(place, recording_id, details, data)
            except TranscriptUnreadable as error:
                raise TransientError(f"a file that a killed run has left is no transcript: {error}", code=ReasonCode.BAD_ANSWER) from None
            raw = {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            bodies.append(await self._laid(place, transcript, recording_id, raw))
        return bodies

    async def _read(self, place: Place, recording_id: str | None, details: Mapping[str, Any], content: Path | bytes) -> Transcript:
        people = people_of(details) if self._names else []

        def read() -> Transcript:
            transcript = read_file(
                read_document(content if isinstance(content, bytes) else content.read_bytes()),
                conversation_id=place.conversation_id,
                communication_id=place.communication.id,
                recording_id=recording_id,
                people=people,
            )
            return in_channels(transcript, self._channels)

        return await to_thread.run_sync(read, limiter=self._readers)

    async def _laid(self, place: Place, transcript: Transcript, recording_id: str | None, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Model and forms beside the raw file; what its event says."""
        model = await self._write(place, transcript, recording_id, "json")
        forms = [{"form": form, **await self._write(place, transcript, recording_id, form)} for form in self._forms]
        return archived_body(
            transcript,
            communication_id=place.communication.id,
            media_type=place.communication.media_type,
            sidecar=place.sidecar,
            ended_at=iso(place.ended_at),
            revision=1,
            raw=raw,
            model=model,
            forms=forms,
        )

    async def fetch_renewed(self, place: Place, file: TranscriptFile, details: Mapping[str, Any]) -> Fetched:
        """`fetch`, with a new location when the first has grown old on the way."""
        try:
            return await self.fetch(place, file, details)
        except MediaUrlExpired:
            answer = await self._services.genesys.transcripts.find(place.conversation_id, place.communication.id)
            again = next((one for one in answer.files if one.recording_id == file.recording_id), None)
            if again is None:
                raise
            return await self.fetch(place, again, details)

    def _wanted(self, transcript: Transcript) -> bool:
        """A transcript of which the language is not known is kept: only what is known may be left out."""
        spoken = [f"{one.lower()}-" for one in transcript.languages]
        return not self._languages or not spoken or any(one.startswith(f"{wanted}-") for one in spoken for wanted in self._languages)

    async def _write(self, place: Place, transcript: Transcript, recording_id: str | None, form: Form) -> dict[str, Any]:
        data = await to_thread.run_sync(written, transcript, form, limiter=self._readers)
        key = place.key(recording_id, form)
        await self._services.storage.write(key, data)
        return {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def archived_body(
    transcript: Transcript,
    *,
    communication_id: str | None,
    media_type: str | None,
    sidecar: str,
    ended_at: str | None,
    revision: int,
    raw: Mapping[str, Any],
    model: Mapping[str, Any],
    forms: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What `transcript.archived` says, whoever made the transcript: identities and measures, nothing of what was said or by whom. Pure."""
    return {
        "communicationId": communication_id,
        "recordingIds": list(transcript.recording_ids),
        "source": transcript.source,
        "mediaType": media_type,
        "languages": list(transcript.languages),
        "segments": len(transcript.segments),
        "words": transcript.word_count,
        "transcriptDurationSeconds": transcript.duration,
        "raw": dict(raw),
        "transcript": dict(model),
        "forms": [dict(form) for form in forms],
        "sidecar": sidecar,
        "conversationEndedAt": ended_at,
        "revision": revision,
    }
