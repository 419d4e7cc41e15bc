"""MPEG audio, layer III: frame after frame without a hole, and the counts and checksum in the Xing/LAME header where there is one."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from genesys_sync_handlers._report import Damage, Fault
from genesys_sync_handlers._structure import Structure

_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_CHUNK = 1 << 20
_TOC = 100


@dataclass(frozen=True, slots=True)
class _Frame:
    length: int
    kind: tuple[int, int]  # version and sample rate: the same in every frame
    side_info: int


@dataclass(frozen=True, slots=True)
class _Stated:
    """The Xing/Info header: number of frames after it, bytes with it, CRC of the bytes after it; None where it does not say."""

    frames: int | None
    size: int | None
    crc: int | None


def walk_mp3(file: BinaryIO, size: int) -> Structure:
    """Check the whole file. Raises Damage."""
    start, end = _leading_tags(file, size), _trailing_tags(file, size)
    first = _frame_at(file, start, end)
    if first is None:
        raise Damage(Fault.DECODE_FAILED, f"no audio frame begins at byte {start}, where one must")
    stated = _stated(file, start, first)
    audio = start if stated is None else start + first.length
    if stated is not None and stated.size is not None and start + stated.size != end:
        fault = Fault.TRUNCATED if start + stated.size > end else Fault.JUNK_APPENDED
        raise Damage(fault, f"the header promises {stated.size} bytes of audio, the file has {end - start}")
    frames = _walk_frames(file, audio, end, first.kind)
    if frames == 0:
        raise Damage(Fault.HEADER_ONLY, "the file is a header without any audio")
    if stated is None:
        return Structure(stated=False)
    if stated.frames is not None and stated.frames != frames:
        raise Damage(
            Fault.TRUNCATED if stated.frames > frames else Fault.JUNK_APPENDED,
            f"{frames} frames, where the header promises {stated.frames}",
        )
    if stated.crc is not None and stated.crc != _crc16(file, audio, end):
        raise Damage(Fault.DECODE_FAILED, "the audio does not match the checksum in the header")
    return Structure(stated=stated.size is not None or stated.frames is not None, packets=stated.frames)


def _walk_frames(file: BinaryIO, position: int, end: int, kind: tuple[int, int]) -> int:
    count = 0
    while position < end:
        frame = _frame_at(file, position, end)
        if frame is None or frame.kind != kind:
            raise Damage(Fault.DECODE_FAILED, f"no audio frame begins at byte {position}, where one must")
        position += frame.length
        count += 1
    if position > end:
        raise Damage(Fault.TRUNCATED, f"the last frame ends {position - end} bytes behind the end of the file")
    return count


def _frame_at(file: BinaryIO, position: int, end: int) -> _Frame | None:
    file.seek(position)
    raw = file.read(min(4, max(0, end - position)))
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE6 != 0xE2:
        return None
    version, bits = raw[1] >> 3 & 3, raw[2]
    if version == 1 or bits >> 2 & 3 == 3:
        return None
    bitrate = (_BITRATES_1 if version == 3 else _BITRATES_2)[bits >> 4] * 1000
    if bitrate == 0:
        return None
    rate = _RATES[version][bits >> 2 & 3]
    mono = raw[3] >> 6 == 3
    length = (144 if version == 3 else 72) * bitrate // rate + (bits >> 1 & 1)
    side_info = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return _Frame(length, (version, rate), side_info)


def _stated(file: BinaryIO, start: int, first: _Frame) -> _Stated | None:
    file.seek(start + 4 + first.side_info)
    raw = file.read(min(192, first.length - 4 - first.side_info))
    if raw[:4] not in (b"Xing", b"Info") or len(raw) < 8:
        return None
    (flags,) = struct.unpack(">I", raw[4:8])
    position = 8
    fields: list[int | None] = []
    for flag in (1, 2):
        present = bool(flags & flag) and len(raw) >= position + 4
        fields.append(struct.unpack(">I", raw[position : position + 4])[0] if present else None)
        position += 4 if present else 0
    position += (_TOC if flags & 4 else 0) + (4 if flags & 8 else 0)
    lame = raw[position : position + 36]
    crc = None
    if len(lame) == 36 and lame[:4] in (b"LAME", b"Lavf", b"Lavc"):
        # zero stands for "not computed" with some writers
        crc = struct.unpack(">H", lame[32:34])[0] or None
    return _Stated(fields[0] or None, fields[1] or None, crc)


def _leading_tags(file: BinaryIO, size: int) -> int:
    """Where the audio begins: behind any ID3v2 tags."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        position += 10 + length + (10 if head[5] & 0x10 else 0)
    if position >= size:
        raise Damage(Fault.HEADER_ONLY, "the file is a tag without any audio")
    return position


def _trailing_tags(file: BinaryIO, size: int) -> int:
    """Where the audio ends: before an ID3v1 tag."""
    if size < 128:
        return size
    file.seek(size - 128)
    return size - 128 if file.read(3) == b"TAG" else size


@lru_cache(maxsize=1)
def _crc_table() -> array[int]:
    """CRC-16/ARC of every pair of bytes, so that two bytes cost one step."""
    table = array("H")
    for value in range(1 << 16):
        crc = value
        for _ in range(16):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return table


def _crc16(file: BinaryIO, start: int, end: int) -> int:
    table, crc = _crc_table(), 0
    file.seek(start)
    left = end - start
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        left -= len(chunk)
        words = array("H")
        words.frombytes(chunk[: len(chunk) & ~1])
        if struct.pack("=H", 1) != b"\1\0":
            words.byteswap()
        for word in words:
            crc = table[crc ^ word]
        if len(chunk) & 1:  # only at the end: chunks are even
            crc ^= chunk[-1]
            for _ in range(8):
                crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
