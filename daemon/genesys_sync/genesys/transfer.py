"""The parts of a download that can be judged without a network: what an answer of the store means, the file, the pace."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from genesys_sync.disk import free_bytes, storage_error
from genesys_sync.errors import GenesysSyncError, MediaUrlExpired, PermanentError, ReasonCode, StorageFull, TransientError

_EXPIRED = re.compile(rb"request has expired|<Code>\s*(?:ExpiredToken|RequestExpired|ExpiredRequest)\s*</Code>", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class Begin(Enum):
    """How a good answer goes on from what we have."""

    ANEW = auto()
    """The body is the whole object: what we have is thrown away."""
    ONWARD = auto()
    """The body begins where our bytes end, and is the same object."""
    RESTART = auto()
    """The answer is of no use; ask for the whole object."""


@dataclass(slots=True)
class Known:
    """What the store has told of the object, to recognise it again."""

    etag: str | None = None
    total: int | None = None

    @property
    def resumable(self) -> bool:
        """Only a strong validator proves that a range is of the same bytes (RFC 9110 §13.1.5)."""
        return self.etag is not None


def strong_etag(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "")
    return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') and len(etag) <= 200 else None


def begin(status: int, headers: Mapping[str, str], *, have: int, known: Known) -> Begin:
    """How to take a 200, 206 or 416 when `have` bytes are on the disk and a range from there was asked for (or 0: none)."""
    if status == 200:
        return Begin.ANEW
    if status == 416 or have == 0:
        return Begin.RESTART
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None:
        return Begin.RESTART
    first, last, total = int(match[1]), int(match[2]), int(match[3])
    same = strong_etag(headers) in {None, known.etag} and known.total in {None, total}
    return Begin.ONWARD if same and first == have and last == total - 1 else Begin.RESTART


def refusal(status: int, body: bytes) -> GenesysSyncError:
    """What an answer of the store other than 200, 206 and 416 means. `body` is read, never shown: it repeats the URL."""
    if 400 <= status < 500 and _EXPIRED.search(body):
        return MediaUrlExpired()
    if 300 <= status < 400:
        return PermanentError(
            "REDIRECT_REFUSED: the media store answered with a redirect, which is never followed", code=ReasonCode.URL_REFUSED
        )
    code = {
        401: ReasonCode.UNAUTHORIZED,
        403: ReasonCode.FORBIDDEN,
        404: ReasonCode.NOT_FOUND,
        410: ReasonCode.NOT_FOUND,
        429: ReasonCode.RATE_LIMITED,
    }.get(status, ReasonCode.UNREACHABLE if status >= 500 else ReasonCode.REQUEST_REFUSED)
    # with a URL asked for afresh any of these may pass, so none is final
    return TransientError(f"the media store answered {status}", code=code)


class Pace:
    """Whether a transfer is worth waiting for: bytes against time spent waiting for the network, not for our disk."""

    def __init__(self, *, floor: int, patience: float) -> None:
        self._floor = floor
        self._patience = patience
        self._seconds = 0.0
        self._bytes = 0

    def too_slow(self, seconds: float, size: int) -> bool:
        """Count one read; True when the last `patience` seconds or more brought less than the floor."""
        self._seconds += seconds
        self._bytes += size
        if self._seconds < self._patience:
            return False
        slow = self._bytes < self._floor * self._seconds
        self._seconds, self._bytes = 0.0, 0
        return slow


class Sink:
    """The file of one download: written and hashed together, in a worker thread. Its methods block; each raises StorageFull or
    StorageError, and none may run while another does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._made = False
        self._hash = hashlib.sha256()
        self.size = 0

    def open(self) -> None:
        """Make the file anew. What waits at its name, a link above all, is an error."""
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise storage_error(error, "PATH_UNSAFE: making the file of a download") from error
        except OSError as error:
            raise storage_error(error, "making the file of a download") from error
        self._made = True

    def write(self, chunks: Sequence[bytes]) -> None:
        try:
            for chunk in chunks:
                self._hash.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._descriptor, view) :]
                self.size += len(chunk)
        except OSError as error:
            raise storage_error(error, "writing a download") from error

    def restart(self) -> None:
        """Throw away what was written."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        except OSError as error:
            raise storage_error(error, "starting a download anew") from error
        self._hash = hashlib.sha256()
        self.size = 0

    def expect(self, more: int) -> None:
        """Raises StorageFull when so many bytes more do not fit, before the first of them is fetched."""
        try:
            free = free_bytes(self._path.parent)
        except OSError as error:
            raise storage_error(error, "looking for free space") from error
        if more > free:
            raise StorageFull(f"a recording of {self.size + more} bytes does not fit: {free} bytes are free; free some, the work waits")

    def finish(self) -> str:
        """The bytes survive a power cut; returns their SHA-256."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise storage_error(error, "making a download durable") from error
        os.close(self._descriptor)
        self._descriptor = -1
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Close and remove the file that `open` made; a file that it found is left alone. What cannot be removed now goes when
        the scratch folder is swept at the next start."""
        with suppress(OSError):
            if self._descriptor >= 0:
                os.close(self._descriptor)
            if self._made:
                self._path.unlink()
        self._descriptor = -1
