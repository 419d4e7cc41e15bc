"""Where a WAV's samples lie and how they are coded, from its header alone. Pure but for reading."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from genesys_sync_handlers._report import Damage, Fault

_UNSTATED = (0, 0xFFFFFFFF)
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class Layout:
    """A WAV as its header tells of it. Positions and lengths are bytes.

    format       the header's `fmt ` chunk, up to 40 bytes
    start        where the samples begin
    length       how many bytes of them there are: as stated, else to the file's end
    stated       whether the header says so
    riff_length  what the outermost chunk states of itself; None where it states nothing
    """

    format: bytes
    start: int
    length: int
    stated: bool
    riff_length: int | None

    @property
    def codec(self) -> int:
        """The format tag: 1 PCM, 3 floating point, 6 A-law, 7 µ-law. Raises Damage."""
        tag = int(self._fields[0])
        if tag == _EXTENSIBLE and len(self.format) >= 26:
            return int(struct.unpack("<H", self.format[24:26])[0])
        return tag

    @property
    def channels(self) -> int:
        return int(self._fields[1])

    @property
    def rate(self) -> int:
        """Frames a second."""
        return int(self._fields[2])

    @property
    def block(self) -> int:
        """Bytes of one frame: a sample of every channel."""
        return int(self._fields[4])

    @property
    def _fields(self) -> tuple[int, ...]:
        if len(self.format) < 16:
            raise Damage(Fault.DECODE_FAILED, "the file does not say in which format its audio is")
        return struct.unpack("<HHIIH", self.format[:14])


def read_layout(file: BinaryIO, size: int) -> Layout:
    """The layout of a file of `size` bytes. Raises Damage where the header ends before the samples begin."""
    file.seek(0)
    magic, riff_size, _ = struct.unpack("<4sI4s", exactly(file, 12))
    fmt, data, long_data, position = b"", None, 0, 12
    while data is None:
        if position + 8 > size:
            raise Damage(Fault.TRUNCATED, f"the file ends after {size} bytes, before its audio begins")
        file.seek(position)
        name, length = struct.unpack("<4sI", exactly(file, 8))
        if name == b"ds64":
            _, long_data = struct.unpack("<QQ", exactly(file, 16))
        elif name == b"fmt ":
            fmt = file.read(min(length, 40))
        if name == b"data":
            data = (position + 8, long_data if magic == b"RF64" and length == 0xFFFFFFFF else length)
        position += 8 + length + (length & 1)
    start, length = data
    if start >= size or (length == 0 and riff_size not in _UNSTATED):
        raise Damage(Fault.HEADER_ONLY, f"the file is a header of {start} bytes without any audio")
    stated = length not in _UNSTATED
    return Layout(fmt, start, length if stated else size - start, stated, None if riff_size in _UNSTATED else riff_size)


def exactly(file: BinaryIO, count: int) -> bytes:
    """So many bytes. Raises Damage when the file ends before."""
    data = file.read(count)
    if len(data) < count:
        raise Damage(Fault.TRUNCATED, "the file ends inside its header")
    return data
