"""Stand-ins for a handler's services that keep the promises of `services`, and do nothing that they were not told.

What the platform knows is put in (`genesys.recordings.place`), what a receiver answers is put in (`http.answer`), what was sent is
there to be read (`http.sent`). What nobody put in is answered as the platform would: not found, not ready.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from anyio.lowlevel import checkpoint

from genesys_sync.errors import PermanentError, ReasonCode, StorageError, TransientError
from genesys_sync.services import (
    Downloaded,
    HttpReply,
    Look,
    MediaPart,
    NoFiles,
    RecordingInfo,
    SecretUrl,
    TranscriptFile,
    TranscriptFiles,
    TranscriptionSettings,
)
from genesys_sync.testing.architect import FakeFlows, FakePrompts
from genesys_sync.testing.control import FakeControl
from genesys_sync.testing.entitlements import FakeEntitlements
from genesys_sync.testing.samples import ORGANIZATION_ID
from genesys_sync.testing.uploads import FakeUploads

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class _Script(Generic[T]):
    """Answers in their order; the last one repeats. An exception among them is raised."""

    def __init__(self) -> None:
        self._answers: deque[T | Exception] = deque()

    def add(self, answers: Sequence[T | Exception]) -> None:
        self._answers.extend(answers)

    def next(self, otherwise: T | Exception) -> T:
        answer = otherwise
        if self._answers:
            answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeRecordings:
    """`services.Recordings` over what was put in."""

    def __init__(self, media: FakeMedia) -> None:
        self._media = media
        self._looks: defaultdict[str, _Script[Look]] = defaultdict(_Script)
        self._parts: dict[tuple[str, str], tuple[MediaPart, ...]] = {}
        self._raw: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._bodies: dict[tuple[str, str], bytes] = {}
        self._seen: defaultdict[str, dict[str, RecordingInfo]] = defaultdict(dict)

    def looks(self, conversation_id: str, *answers: Look | Exception) -> None:
        """What the coming looks at this conversation show, one after the other; the last one repeats."""
        self._looks[conversation_id].add(answers)

    def place(
        self,
        conversation_id: str,
        recording_id: str,
        *parts: bytes,
        content_type: str = "audio/wav",
        media: str = "audio",
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        """A recording that is AVAILABLE now, with these files; looks show it, `locate` finds it, downloads give these bytes."""
        info = RecordingInfo(recording_id, "AVAILABLE", media, raw={"id": recording_id, "fileState": "AVAILABLE", **(raw or {})})
        self._seen[conversation_id][recording_id] = info
        self._raw[conversation_id, recording_id] = info.raw
        self._parts[conversation_id, recording_id] = tuple(self._media.hold(part, content_type) for part in parts)

    def write(self, conversation_id: str, recording_id: str, body: bytes, *, media: str = "chat") -> None:
        """A written recording that is AVAILABLE now: looks show it, and `body` gives these bytes; there are no files of it."""
        self.place(conversation_id, recording_id, media=media)
        self._bodies[conversation_id, recording_id] = body

    async def look(self, conversation_id: str, *, definitive: bool = False) -> Look:
        await checkpoint()
        placed = self._seen.get(conversation_id)
        otherwise = Look(tuple(placed.values()), definitive=True) if placed else _not_found("conversation")
        return self._looks[conversation_id].next(otherwise)

    async def locate(
        self,
        conversation_id: str,
        recording_id: str,
        *,
        format_id: str | None = None,
        fresh: bool = False,
        before: datetime | None = None,
    ) -> tuple[MediaPart, ...]:
        await checkpoint()
        parts = self._parts.get((conversation_id, recording_id))
        if not parts:
            raise TransientError("the recording is not ready", code=ReasonCode.NOT_READY)
        return parts

    async def locate_orphan(self, recording_id: str, *, format_id: str) -> tuple[MediaPart, ...]:
        """Place one with an empty conversation id."""
        return await self.locate("", recording_id)

    async def body(self, conversation_id: str, recording_id: str, *, before: datetime | None = None) -> bytes:
        await checkpoint()
        if (conversation_id, recording_id) not in self._bodies:
            raise TransientError("the recording is not ready", code=ReasonCode.NOT_READY)
        return self._bodies[conversation_id, recording_id]

    async def get(self, conversation_id: str, recording_id: str) -> Mapping[str, Any]:
        await checkpoint()
        if (conversation_id, recording_id) not in self._raw:
            raise _not_found("recording")
        return self._raw[conversation_id, recording_id]


class FakeConversations:
    """`services.Conversations` over what was put into `known` (for `get`) and `analytics` (for `details`)."""

    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, Any]] = {}
        self.analytics: dict[str, Mapping[str, Any]] = {}

    async def details(self, conversation_id: str) -> Mapping[str, Any] | None:
        await checkpoint()
        return self.analytics.get(conversation_id)

    async def get(self, conversation_id: str) -> Mapping[str, Any]:
        await checkpoint()
        if conversation_id not in self.known:
            raise _not_found("conversation")
        return self.known[conversation_id]


class FakeTranscripts:
    """`services.Transcripts` over what was put in. `asked` holds every communication that was asked about, in order."""

    def __init__(self, media: FakeMedia) -> None:
        self._media = media
        self._finds: defaultdict[str, _Script[TranscriptFiles]] = defaultdict(_Script)
        self.asked: list[str] = []
        self.set = TranscriptionSettings()
        self.queues: dict[str, bool] = {}
        self.analyses: dict[str, Mapping[str, Any]] = {}

    def finds(self, communication_id: str, *answers: TranscriptFiles | Exception) -> None:
        """What the coming questions for this communication are answered, one after the other; the last one repeats."""
        self._finds[communication_id].add(answers)

    def file(self, content: bytes, recording_id: str | None = None) -> TranscriptFile:
        """A transcript file whose download gives these bytes, to be put into an answer of `finds`."""
        return TranscriptFile(recording_id, self._media.hold(content, "application/json"))

    def place(self, communication_id: str, *contents: bytes, recording_id: str | None = None) -> None:
        """From now on these files are there."""
        self.finds(communication_id, TranscriptFiles(tuple(self.file(content, recording_id) for content in contents)))

    async def find(self, conversation_id: str, communication_id: str) -> TranscriptFiles:
        await checkpoint()
        self.asked.append(communication_id)
        return self._finds[communication_id].next(TranscriptFiles(without=NoFiles.NOT_THERE))

    async def settings(self) -> TranscriptionSettings:
        await checkpoint()
        return self.set

    async def queue_enabled(self, queue_id: str) -> bool | None:
        await checkpoint()
        return self.queues.get(queue_id)

    async def analysis(self, conversation_id: str) -> Mapping[str, Any] | None:
        await checkpoint()
        return self.analyses.get(conversation_id)


class FakeGenesys:
    """`services.Genesys` with scripted answers. `requests` holds (method, path, params, json) of every direct request."""

    def __init__(self, media: FakeMedia, organization_id: str = ORGANIZATION_ID) -> None:
        self.organization_id = organization_id
        self.sees_sensitive: bool | None = True
        self.recordings = FakeRecordings(media)
        self.conversations = FakeConversations()
        self.transcripts = FakeTranscripts(media)
        self.entitlements = FakeEntitlements()
        self.control = FakeControl()
        self.uploads = FakeUploads()
        self.prompts = FakePrompts()
        self.flows = FakeFlows()
        self.requests: list[tuple[str, str, Mapping[str, str] | None, object | None]] = []
        self._answers: defaultdict[tuple[str, str], _Script[Any]] = defaultdict(_Script)

    def answer(self, method: str, path: str, *answers: Any) -> None:
        """What the coming requests to this operation are answered, one after the other; the last one repeats, an exception is raised."""
        self._answers[method, path].add(answers)

    async def request(self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object | None = None) -> Any:
        await checkpoint()
        self.requests.append((method, path, params, json))
        return self._answers[method, path].next(_not_found("resource"))


class FakeMedia:
    """`services.Media` over bytes held in memory."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._failures: deque[Exception] = deque()

    def hold(self, content: bytes, content_type: str = "audio/wav") -> MediaPart:
        """A part whose download gives these bytes."""
        url = f"https://media.invalid/{len(self._held)}"
        self._held[url] = content
        return MediaPart(SecretUrl(url), content_type)

    def fail(self, *errors: Exception) -> None:
        """The coming downloads raise these, one each."""
        self._failures.extend(errors)

    async def download(self, part: MediaPart, into: Path) -> Downloaded:
        await checkpoint()
        if self._failures:
            raise self._failures.popleft()
        content = self._held[part.url.reveal()]
        into.write_bytes(content)  # noqa: ASYNC240 - a few bytes of a test
        return Downloaded(len(content), hashlib.sha256(content).hexdigest(), part.content_type, None, length_stated=True, resumed=0)


class FolderStorage:
    """`services.Storage` in a folder, without its durability. `fail(error)` makes every coming write raise, `fail(None)` ends that."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._failure: StorageError | None = None

    def fail(self, error: StorageError | None) -> None:
        self._failure = error

    def keys(self) -> list[str]:
        """Everything stored, in order."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())

    def path(self, key: str) -> Path:
        """Where this key lies. Raises StorageError for what is no key."""
        if _KEY.fullmatch(key) is None:
            raise StorageError(f"{key!r} is not a storage key")
        return self.root / key

    async def adopt(self, source: Path, key: str) -> None:
        target = await self._writable(key)
        shutil.move(source, target)

    async def write(self, key: str, data: bytes) -> None:
        target = await self._writable(key)
        target.write_bytes(data)

    async def read(self, key: str, *, limit: int = 16 << 20) -> bytes:
        await checkpoint()
        data = self.path(key).read_bytes()
        if len(data) > limit:
            raise StorageError(f"{key} is larger than {limit} bytes")
        return data

    async def size(self, key: str) -> int | None:
        await checkpoint()
        path = self.path(key)
        return path.stat().st_size if path.is_file() else None

    async def listed(self, folder: str) -> Sequence[str]:
        await checkpoint()
        below = self.path(folder)
        return sorted(f"{folder}/{one.name}" for one in below.iterdir() if one.is_file()) if below.is_dir() else []

    async def sha256(self, key: str) -> str:
        await checkpoint()
        return hashlib.sha256(self.path(key).read_bytes()).hexdigest()

    async def move(self, key: str, to: str) -> None:
        source, target = self.path(key), await self._writable(to)
        if not source.exists() and target.exists():
            return
        source.replace(target)

    async def remove(self, key: str) -> None:
        (await self._writable(key)).unlink(missing_ok=True)

    @asynccontextmanager
    async def local(self, key: str) -> AsyncGenerator[Path]:
        await checkpoint()
        path = self.path(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        yield path

    async def _writable(self, key: str) -> Path:
        await checkpoint()
        path = self.path(key)
        if self._failure is not None:
            raise self._failure
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class FolderScratch:
    """`services.Scratch` in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count()

    @asynccontextmanager
    async def file(self, suffix: str = "") -> AsyncGenerator[Path]:
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._root / f"{next(self._numbers)}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request as a handler sent it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class FakeHttp:
    """`services.Http`: keeps what was sent, answers as told, 204 where nothing was told. `refused`: URLs that are not allowed."""

    def __init__(self) -> None:
        self.sent: list[SentRequest] = []
        self.refused: set[str] = set()
        self._script: _Script[HttpReply] = _Script()

    def answer(self, *answers: HttpReply | int | Exception) -> None:
        """What the coming requests are answered, one after the other; the last one repeats. A number is a status without body."""
        self._script.add([HttpReply(answer, {}, b"") if isinstance(answer, int) else answer for answer in answers])

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: timedelta = timedelta(seconds=15),
    ) -> HttpReply:
        await checkpoint()
        self.sent.append(SentRequest(method, url, dict(headers or {}), body))
        return self._script.next(HttpReply(204, {}, b""))

    async def admits(self, url: str) -> bool:
        await checkpoint()
        return url not in self.refused

    async def transfer(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes | Path] = (),
        answer_limit: int = 64 << 10,
        timeout: timedelta = timedelta(minutes=15),
    ) -> HttpReply:
        whole = b"".join(one if isinstance(one, bytes) else one.read_bytes() for one in body)
        return await self.request(method, url, headers=headers, body=whole)


def _not_found(what: str) -> PermanentError:
    return PermanentError(f"the platform knows no such {what}", code=ReasonCode.NOT_FOUND)
