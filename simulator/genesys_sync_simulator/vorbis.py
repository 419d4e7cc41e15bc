"""A small Vorbis I encoder in an Ogg container: FFmpeg's own knows stereo only, and the platform serves mono too.

It is valid Vorbis and not a thrifty one: one block size, a flat floor for each block, eight bits for each coefficient. The bit
order and the tables are those of the Vorbis I specification; the granule position of the last page states the exact length.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]

_BLOCK: Final = 512
_HALF: Final = _BLOCK // 2
_PACKETS_A_PAGE: Final = 40
_LOWEST_FLOOR: Final = 1.0649863e-07
"""Floor value 0 of the specification's table; value 255 is 1.0, and the steps between are even in decibels."""
_REVERSED_BYTES: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def encode(sound: npt.NDArray[np.int16], rate: int, *, serial: int) -> bytes:
    """Samples of shape (count, channels) as an Ogg Vorbis file."""
    count, channels = sound.shape
    packets = list(_packets(sound))
    pages = [_page([_identification(channels, rate)], 0, serial, 0, flags=2), _page([_comment(), _setup()], 0, serial, 1)]
    for number, first in enumerate(range(0, len(packets), _PACKETS_A_PAGE), start=2):
        group = packets[first : first + _PACKETS_A_PAGE]
        last = first + len(group) == len(packets)
        # The first packet gives no samples: it only fills the overlap of the second.
        granule = count if last else (first + len(group) - 1) * _HALF
        pages.append(_page(group, granule, serial, number, flags=4 if last else 0))
    return b"".join(pages)


def _packets(sound: npt.NDArray[np.int16]) -> Iterator[bytes]:
    count, channels = sound.shape
    blocks = -(-count // _HALF) + 1
    padded = np.zeros(((blocks + 1) * _HALF, channels), dtype=np.float32)
    padded[_HALF : _HALF + count] = sound / 32768.0
    starts = np.arange(blocks) * _HALF
    framed = padded[starts[:, np.newaxis] + np.arange(_BLOCK)]  # (blocks, samples, channels)
    spectrum = np.einsum("bsc,sk->bck", framed, _transform(), optimize=True)
    peak = np.maximum(np.abs(spectrum).max(axis=2), _LOWEST_FLOOR * 127)
    step = np.log(1 / _LOWEST_FLOOR) / 255
    floor = np.clip(np.ceil(255 + np.log(peak / 127) / step), 0, 255).astype(np.uint8)
    scale = np.exp((floor.astype(np.float64) - 255) * step)
    residue = (np.clip(np.rint(spectrum / scale[:, :, np.newaxis]), -128, 127) + 128).astype(np.uint8)
    floor_bits = np.unpackbits(floor[:, :, np.newaxis], axis=2, bitorder="little")
    flags = np.ones((blocks, channels, 1), dtype=np.uint8)
    floors = np.concatenate((flags, floor_bits, floor_bits), axis=2).reshape(blocks, -1)
    zero = np.zeros((blocks, 1), dtype=np.uint8)
    classes = np.zeros((blocks, channels), dtype=np.uint8)
    values = np.unpackbits(residue, axis=2, bitorder="big").reshape(blocks, -1)  # code words are written from their highest bit
    packed = np.packbits(np.concatenate((zero, floors, classes, values), axis=1), axis=1, bitorder="little")
    return (row.tobytes() for row in packed)


@cache
def _transform() -> npt.NDArray[np.float32]:
    """Window and MDCT as one matrix, in the scale that a decoder undoes."""
    time = np.arange(_BLOCK)
    window = np.sin(np.pi / 2 * np.sin((time + 0.5) / _BLOCK * np.pi) ** 2)
    angles = 2 * np.pi / _BLOCK * np.outer(time + 0.5 + _BLOCK / 4, np.arange(_HALF) + 0.5)
    return (window[:, np.newaxis] * np.cos(angles) * (4 / _BLOCK)).astype(np.float32)


def _identification(channels: int, rate: int) -> bytes:
    exponent = _BLOCK.bit_length() - 1
    head = b"\x01vorbis" + (0).to_bytes(4, "little") + bytes([channels]) + rate.to_bytes(4, "little")
    return head + bytes(12) + bytes([exponent << 4 | exponent, 1])


def _comment() -> bytes:
    vendor = b"genesys-sync simulator"
    return b"\x03vorbis" + len(vendor).to_bytes(4, "little") + vendor + (0).to_bytes(4, "little") + b"\x01"


@cache
def _setup() -> bytes:
    book_float = 788 << 21  # the exponent that means: times one
    fields: list[tuple[int, int]] = [(1, 8)]  # two code books
    fields += [(0x564342, 24), (1, 16), (2, 24), (0, 1), (0, 1), (0, 5), (0, 5), (0, 4)]  # class book: two words of one bit
    fields += [(0x564342, 24), (1, 16), (256, 24), (0, 1), (0, 1), *[(7, 5)] * 256]  # value book: 256 words of eight bits
    fields += [(1, 4), (1 << 31 | book_float | 128, 32), (book_float | 1, 32), (7, 4), (0, 1), *[(value, 8) for value in range(256)]]
    fields += [(0, 6), (0, 16)]  # one time domain transform, a placeholder
    fields += [(0, 6), (1, 16), (0, 5), (0, 2), (_HALF.bit_length() - 1, 4)]  # one floor, type 1, no partitions: a straight line
    fields += [(0, 6), (1, 16), (0, 24), (_HALF, 24), (_HALF - 1, 24), (0, 6), (0, 8), (1, 3), (0, 1), (1, 8)]  # one residue, type 1
    fields += [(0, 6), (0, 16), (0, 1), (0, 1), (0, 2), (0, 8), (0, 8), (0, 8)]  # one mapping, no coupling
    fields += [(0, 6), (0, 1), (0, 16), (0, 16), (0, 8), (1, 1)]  # one mode, short blocks; framing
    return b"\x05vorbis" + _packed(fields)


def _packed(fields: Sequence[tuple[int, int]]) -> bytes:
    bits = [value >> place & 1 for value, width in fields for place in range(width)]
    return np.packbits(np.array(bits, dtype=np.uint8), bitorder="little").tobytes()


def _page(packets: Sequence[bytes], granule: int, serial: int, number: int, *, flags: int = 0) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS\x00" + bytes([flags]) + granule.to_bytes(8, "little") + serial.to_bytes(4, "little") + number.to_bytes(4, "little")
    tail = bytes([len(lacing)]) + lacing + b"".join(packets)
    return head + _checksum(head + bytes(4) + tail).to_bytes(4, "little") + tail


def _checksum(data: bytes) -> int:
    """Ogg's CRC reads bits from the other end than zlib's does, and starts at zero."""
    mirrored = zlib.crc32(data.translate(_REVERSED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
