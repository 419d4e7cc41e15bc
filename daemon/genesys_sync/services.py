"""What a handler may use, as interfaces: the implementations live in `genesys`, `storage` and `dispatch`.

Handlers import these names from `genesys_sync.plugin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from genesys_sync.clock import Clock


class MediaUrl:
    """A presigned URL: whoever holds it may read the media. It prints as its host alone; `reveal` is for the request itself."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def reveal(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"<media URL at {urlsplit(self._url).hostname or 'no host'}>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MediaUrl) and other._url == self._url

    def __hash__(self) -> int:
        return hash(self._url)


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """One recording as the platform tells of it.

    file_state  verbatim: AVAILABLE, UPLOADING, DELETED, ARCHIVED, RESTORED, RESTORING, ERROR, or a value that we do not know yet
    media       verbatim: audio, chat, email, message, messaging, screen; empty when the answer did not say
    session_id  joins to the analytics session; None when the answer did not say
    raw         the platform's own object without its URLs
    """

    recording_id: str
    file_state: str
    media: str = ""
    session_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a conversation's recordings showed.

    definitive  True: from `recordingmetadata`, every recording that exists now with its state.
                False: from a batch request shared with other conversations, which shows only what can be downloaded now;
                what is missing from it is unknown, not absent.
    """

    recordings: tuple[RecordingInfo, ...]
    definitive: bool


@dataclass(frozen=True, slots=True)
class MediaPart:
    """One file of a recording (a recording may have several), located now. `url` expires within minutes: use it, never keep it."""

    url: MediaUrl
    content_type: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A finished download.

    size           bytes on disk
    sha256         lower-case hexadecimal, over the bytes as the store served them
    content_type   as the store said; may lie
    length_stated  False when the store gave no Content-Length, so that a short body could not be noticed
    resumed        how often the transfer was interrupted and went on with a range request
    """

    size: int
    sha256: str
    content_type: str
    etag: str | None
    length_stated: bool
    resumed: int


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer from a receiver; at most 64 KiB of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Recordings(Protocol):
    """The recordings of conversations. Every method raises TransientError or PermanentError, with the platform's correlation id."""

    async def look(self, conversation_id: str, *, definitive: bool = False) -> Look:
        """Which recordings exist now. With many callers waiting one batch request serves up to 100 of them, unless
        `definitive` is asked for; with few, each gets its own `recordingmetadata`, and the look is definitive anyhow.
        A conversation that the platform does not know raises PermanentError(NOT_FOUND)."""
        ...

    async def locate(
        self,
        conversation_id: str,
        recording_id: str,
        *,
        format_id: str | None = None,
        fresh: bool = False,
        before: datetime | None = None,
    ) -> tuple[MediaPart, ...]:
        """Where the media lie now, in order of the parts. Without `format_id` in the original format, through batch requests
        shared with whoever else waits; with one (`WAV`, `MP3` …) through the single recording and its 202 answers.
        `fresh` refuses a location that an earlier look brought along. `before`: when the platform deletes the recording; where the
        rate of requests is what holds the work up, the nearest goes first. Raises TransientError(NOT_READY) while nothing is there yet."""
        ...

    async def get(self, conversation_id: str, recording_id: str) -> Mapping[str, Any]:
        """The single recording without transcoding (`formatId=NONE`), URLs removed: `outputDurationMs`, `fileState`, dates."""
        ...


class Conversations(Protocol):
    """What the platform knows of a conversation."""

    async def details(self, conversation_id: str) -> Mapping[str, Any] | None:
        """The analytics detail record (participants, sessions, segments), or None while analytics does not have it.
        Calls that wait together share one request. Holds personal data: it may go into the archive, never into an event or a log."""
        ...

    async def get(self, conversation_id: str) -> Mapping[str, Any]:
        """`GET /api/v2/conversations/{id}`; raises PermanentError(NOT_FOUND)."""
        ...


class Genesys(Protocol):
    """The platform, under one token, one rate budget and one retry policy."""

    @property
    def organization_id(self) -> str: ...

    @property
    def recordings(self) -> Recordings: ...

    @property
    def conversations(self) -> Conversations: ...

    async def request(self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object | None = None) -> Any:
        """Any operation of the published API: parsed JSON, or None for an empty answer. `path` begins with `/api/v2/`.
        Safe methods are retried, others only where the platform
        said that it did not act (429). Raises TransientError or PermanentError."""
        ...


class Media(Protocol):
    """Downloads from the platform's media store."""

    async def download(self, part: MediaPart, into: Path) -> Downloaded:
        """Stream the part into the file `into` (made anew), with flat memory, and fsync it. Interrupted transfers go on with
        range requests when the store proves that the object is still the same. Raises MediaUrlExpired, TransientError or
        PermanentError; the file is then gone."""
        ...


class Storage(Protocol):
    """The archive. Keys are relative paths with `/`, of ASCII letters, digits, `.`, `_`, `-`; no part begins with a dot.

    What returned is durable: it survives kill and power cut. Every method may raise StorageFull or StorageError.
    """

    async def adopt(self, source: Path, key: str) -> None:
        """Move a finished, fsynced scratch file in under `key`; replaces what was there."""
        ...

    async def write(self, key: str, data: bytes) -> None:
        """Write a small object (a sidecar) whole or not at all; replaces what was there."""
        ...

    async def read(self, key: str, *, limit: int = 16 << 20) -> bytes:
        """A small object. Raises FileNotFoundError, or StorageError when it is larger than `limit`."""
        ...

    async def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such object."""
        ...

    async def sha256(self, key: str) -> str:
        """Lower-case hexadecimal, read back now. Raises FileNotFoundError."""
        ...

    async def move(self, key: str, to: str) -> None:
        """Rename, replacing `to`. When `key` is gone and `to` is there, nothing happens: a repeated move is no error."""
        ...

    def local(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A local file with the object's bytes, to be read only, for as long as the context lasts. Raises FileNotFoundError."""
        ...


class Scratch(Protocol):
    """Room for unfinished work on the archive's own file system."""

    def file(self, suffix: str = "") -> AbstractAsyncContextManager[Path]:
        """A path that does not exist yet, unique to the caller; whatever is there when the context ends is removed."""
        ...


class Http(Protocol):
    """Requests to other systems: no redirects, addresses checked at connect (no private, loopback or link-local one unless
    the settings allow it), at most 64 KiB of an answer read."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: timedelta = timedelta(seconds=15),
    ) -> HttpReply:
        """Any status is an answer, not an error. Raises TransientError(RECEIVER_UNREACHABLE) when none came, and
        PermanentError(URL_REFUSED) for an address that is not allowed."""
        ...


class Audit(Protocol):
    """Audit entries of the delivery in hand: they commit together with its outcome, or not at all. Outside of `handle`
    there is no delivery, and `record` raises RuntimeError."""

    def record(self, action: str, target: str, *, outcome: str = "success", **facts: Any) -> None: ...


class Log(Protocol):
    """A structured logger, bound to the handler and the delivery: `log.info("archived", bytes=1234)`."""

    def debug(self, event: str, /, **facts: Any) -> Any: ...
    def info(self, event: str, /, **facts: Any) -> Any: ...
    def warning(self, event: str, /, **facts: Any) -> Any: ...
    def error(self, event: str, /, **facts: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a handler is given, in `running` and `check`; what it needs later it keeps."""

    clock: Clock
    genesys: Genesys
    media: Media
    storage: Storage
    scratch: Scratch
    http: Http
    audit: Audit
    log: Log

    def now(self) -> datetime:
        return self.clock.now()
