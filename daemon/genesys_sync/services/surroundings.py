"""What surrounds a handler besides the platform: the archive, room for unfinished work, other systems, the audit trail and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer from a receiver, with as much of its body as was asked for (64 KiB unless said otherwise)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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

    async def listed(self, folder: str) -> Sequence[str]:
        """The keys of the objects that lie in this folder itself, in order; none where there is no such folder."""
        ...

    async def sha256(self, key: str) -> str:
        """Lower-case hexadecimal, read back now. Raises FileNotFoundError."""
        ...

    async def move(self, key: str, to: str) -> None:
        """Rename, replacing `to`. When `key` is gone and `to` is there, nothing happens: a repeated move is no error."""
        ...

    async def remove(self, key: str) -> None:
        """The object is gone, for good. When it is gone already, nothing happens: a repeated removal is no error."""
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
        """As `request`, with a body of pieces of which files are streamed from disk, its length stated, and an answer of up to
        `answer_limit` bytes; a longer one raises TransientError(BAD_ANSWER). Raises FileNotFoundError where a file is not there."""
        ...

    async def admits(self, url: str) -> bool:
        """Whether requests to this URL are allowed, as far as the addresses of its host tell: for `Handler.check`. True where they cannot
        be looked up now. Nothing is sent."""
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
