"""What is put to a presigned address: counted and hashed as it comes, kept only where somebody will read it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Parcel:
    """One object that may be put. `headers` are those that were signed: the client sends exactly these, and no further `x-amz-` one."""

    path: str
    headers: Mapping[str, str]
    stored: Callable[[Parcel], None]
    """Called each time when the whole object has come and agrees with its MD5, before the client is told."""
    room: int = 0
    """The content is kept up to this size; larger ones are only counted."""
    resumable: bool = False
    spoilable: bool = False
    """Whether the scenario's upload faults fall upon it."""
    size: int = 0
    """Bytes in place, without a gap, from the beginning."""
    taken: int = 0
    """Bytes that came in all, those sent again included."""
    requests: int = 0
    complete: bool = False
    writer: int = 0
    """Number of the request that may add; a connection that is already replaced adds nothing more."""
    content: bytearray = field(default_factory=bytearray)
    _hash: hashlib._Hash = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)

    def open(self) -> int:
        """A new request takes over; returns its number."""
        self.requests += 1
        self.writer += 1
        return self.writer

    def restart(self) -> None:
        """Nothing is in place any more."""
        self.size, self.complete = 0, False
        self.content.clear()
        self._hash = hashlib.md5(usedforsecurity=False)

    def add(self, piece: bytes) -> None:
        """The next bytes."""
        self.size += len(piece)
        self.taken += len(piece)
        self._hash.update(piece)
        if self.size <= self.room:
            self.content += piece

    @property
    def md5(self) -> str:
        """Of what is in place, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def agrees(self) -> bool:
        """Whether what is in place is what the signed Content-MD5 promises; true when none was signed."""
        promised = self.headers.get("Content-MD5")
        return promised is None or base64.b64decode(promised) == self._hash.digest()


def is_md5(text: object) -> bool:
    """Whether a text is the Base64 form of an MD5."""
    try:
        return isinstance(text, str) and len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
