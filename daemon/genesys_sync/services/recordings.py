"""Recordings, conversations and their media: what is known of them, and how they are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit


class SecretUrl:
    """An address that opens what lies there to whoever holds it: presigned media and uploads, a channel. It prints as its host alone;
    `reveal` is for the request itself."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def reveal(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"<hidden URL at {urlsplit(self._url).hostname or 'no host'}>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._url == self._url

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

    url: SecretUrl
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

    async def locate_orphan(self, recording_id: str, *, format_id: str) -> tuple[MediaPart, ...]:
        """Where the media of a recording lie that belongs to no conversation, in this format: the platform hands out no original.
        Raises as `locate`."""
        ...

    async def body(self, conversation_id: str, recording_id: str, *, before: datetime | None = None) -> bytes:
        """The single recording as the platform answers it, byte for byte: what was written in a chat, a message or an e-mail is in it,
        and in no file. No format is asked for, so it names no media. `before` as in `locate`. Holds personal data: it may go into the
        archive, never into an event or a log. Raises TransientError(NOT_READY) until it can be had."""
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


class Media(Protocol):
    """Downloads from the platform's media store."""

    async def download(self, part: MediaPart, into: Path) -> Downloaded:
        """Stream the part into the file `into` (made anew), with flat memory, and fsync it. Interrupted transfers go on with
        range requests when the store proves that the object is still the same. Raises MediaUrlExpired, TransientError or
        PermanentError; the file is then gone."""
        ...
