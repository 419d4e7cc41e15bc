"""What `transcribe` has transcribed: the recordings of a conversation, as the ledger knows them, or a file, put into the archive."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyio import to_thread

from genesys_sync.cli.acting import Workplace
from genesys_sync.cli.transcribe import Asked, Wanted, not_found
from genesys_sync.errors import StorageError
from genesys_sync.events import Event, Topic
from genesys_sync.ledger.base import Fact
from genesys_sync.metrics import Metrics
from genesys_sync.services import TranscriptionRequest, work_folder
from genesys_sync.storage.local import LocalStorage

_REVISIONS_MOST: Final = 1000
_TYPES: Final[Mapping[str, str]] = {
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".webm": "audio/webm", ".m4a": "audio/mp4",
    ".mp4": "audio/mp4", ".flac": "audio/flac",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commit:
    """Makes requests durable."""

    place: Workplace
    wanted: Wanted

    def wish(self, **sound: Any) -> TranscriptionRequest:
        """The request for this sound, in its first revision."""
        one = self.wanted
        more: dict[str, Any] = {"phrases": one.phrases, "redact": one.redact, "speaker_labels": one.speaker_labels}
        return TranscriptionRequest(provider=one.provider, locale=one.locale, **more, **sound)

    async def revised(self, one: TranscriptionRequest, organization_id: str) -> tuple[TranscriptionRequest, Event | None]:
        """The request's latest revision with its event, if it was asked for before; with `--again` the next one, which has none."""
        found: Event | None = None
        for number in range(1, _REVISIONS_MOST):
            candidate = replace(one, revision=number)
            known = await self.place.ledger.events_about(candidate.id_for(organization_id), limit=1)
            if not known:
                latest = found is None or self.wanted.again
                return (candidate, None) if latest else (replace(one, revision=number - 1), found)
            found = known[0]
        raise not_found(f"it was asked for {_REVISIONS_MOST} times already")

    async def record(self, event: Event) -> Asked:
        """In the ledger, with its delivery."""
        await self.place.ledger.append(self.place.router.route([event]))
        return Asked(event, new=True)


async def conversation(commit: Commit, conversation_id: str) -> list[Asked]:
    """A request for each file with sound of the conversation. Raises PermanentError(NOT_FOUND) that says what to do."""
    facts = (await commit.place.ledger.facts_of([conversation_id])).get(conversation_id)
    if not facts:
        raise not_found(
            f"the ledger knows no conversation {conversation_id}; "
            "`genesys-sync backfill` brings in what is older than the daemon, and a file is named by its path"
        )
    sounds = sounds_of(facts)
    if not sounds:
        raise not_found(f"no recording with sound of {conversation_id} is in the archive; `genesys-sync find {conversation_id}` shows why")
    asked = []
    for event, sound in sounds:
        one, known = await commit.revised(commit.wish(conversation_id=conversation_id, **sound), event.organization_id)
        made = one.event(event.organization_id, at=commit.place.clock.now(), day=event.day)
        asked.append(Asked(known, new=False) if known is not None else await commit.record(made))
    return asked


def sounds_of(facts: Sequence[Fact]) -> list[tuple[Event, dict[str, Any]]]:
    """Each file of each recording's latest copy that was archived and not rejected, with what the verifier measured of it. Pure."""
    latest: dict[str, Event] = {}
    verdicts: dict[tuple[str, int], Event] = {}
    sessions: dict[str, str] = {}
    for fact in facts:
        event = fact.event
        recording = event.recording_id or ""
        if event.topic == Topic.MEDIA_ARCHIVED and (recording not in latest or _revision(event) > _revision(latest[recording])):
            latest[recording] = event
        elif event.topic in (Topic.MEDIA_VERIFIED, Topic.MEDIA_REJECTED):
            verdicts[recording, _revision(event)] = event
        if isinstance(session := event.body.get("sessionId"), str):
            sessions[recording] = session
    found = []
    for recording, archived in latest.items():
        verdict = verdicts.get((recording, _revision(archived)))
        if verdict is not None and verdict.topic == Topic.MEDIA_REJECTED:
            continue
        measured = {} if verdict is None else {part["key"]: part for part in verdict.body["parts"]}
        silent = None if verdict is None else "MEDIA_SILENT" in verdict.body.get("warnings", ())
        for part in archived.body["parts"]:
            sound = _sound(part, measured.get(part["key"]), silent)
            if sound is not None:
                own = {
                    "recording_id": recording,
                    "communication_id": sessions.get(recording),
                    "conversation_ended_at": archived.body.get("conversationEndedAt"),
                }
                found.append((archived, sound | own))
    return found


def _sound(part: Mapping[str, Any], measured: Mapping[str, Any] | None, silent: bool | None) -> dict[str, Any] | None:  # noqa: FBT001 - a fact, not a switch
    """None for what is no sound: chats, mails."""
    content_type = str(part.get("contentType") or "")
    if measured is not None and not measured.get("duration"):
        return None
    if measured is None and not content_type.startswith(("audio/", "video/")):
        return None
    return {
        "key": part["key"],
        "sha256": part["sha256"],
        "size": part["bytes"],
        "content_type": content_type,
        "seconds": None if measured is None else measured["duration"],
        "silent": silent,
    }


def _revision(event: Event) -> int:
    return int(event.body.get("revision", 1))


async def file(commit: Commit, path: Path) -> list[Asked]:
    """A request for the file, which lies in the archive before it is committed. Raises PermanentError for what is no such file, and what
    asking the platform whose it is raises."""
    digest, size = await to_thread.run_sync(partial(_hashed, path))
    content_type = _TYPES.get(path.suffix.lower())
    if content_type is None:
        raise not_found(f"{path} does not end in {', '.join(_TYPES)}: convert it, or name it as what it is")
    organization_id = await commit.place.platform.identify()
    wish = commit.wish(key="", sha256=digest, size=size, content_type=content_type)
    one, known = await commit.revised(wish, organization_id)
    if known is not None:
        return [Asked(known, new=False)]
    now = commit.place.clock.now()
    day = date(now.year, now.month, now.day)
    folder = work_folder(one.event(organization_id, at=now, day=day))
    one = replace(one, key=f"{folder}/media{path.suffix.lower()}")
    settings = commit.place.settings.storage
    storage = LocalStorage(settings.root, min_free=settings.min_free, metrics=Metrics())
    await storage.prove()
    async with storage.scratch.file(path.suffix.lower()) as copy:
        await to_thread.run_sync(partial(_copied, path, copy))
        await storage.adopt(copy, one.key)
    if await storage.sha256(one.key) != digest:
        await storage.remove(one.key)
        raise StorageError(f"{path} was changed while it was read; ask again when it is finished")
    return [await commit.record(one.event(organization_id, at=now, day=day))]


def _hashed(path: Path) -> tuple[str, int]:
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no conversation id, and there is no such file"
            raise not_found(f"{path} {what}; name a conversation's id, or a sound file")
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            size = source.tell()
    except OSError as error:
        raise not_found(f"{path}: {error.strerror or 'cannot be read'}") from None
    if not size:
        raise not_found(f"{path} is empty")
    return digest, size


def _copied(path: Path, to: Path) -> None:
    try:
        shutil.copyfile(path, to)
    except OSError as error:
        raise StorageError(f"{path} cannot be copied into the archive: {error.strerror or type(error).__name__}") from None
