"""What a container's own bookkeeping says: sizes, ends, counts. Decoders look past most of this, so a cut or padded file plays.

Every function reads headers only, with flat memory, and raises Damage where the file contradicts itself. Positions are bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO

from genesys_sync_handlers._magic import Kind
from genesys_sync_handlers._mpeg import walk_mp3
from genesys_sync_handlers._report import Damage, Fault
from genesys_sync_handlers._structure import Structure
from genesys_sync_handlers._waveform import Layout, read_layout

_FIXED_BLOCKS = frozenset({1, 3, 6, 7, 0xFFFE})


def walk(kind: Kind, file: BinaryIO, size: int) -> Structure:
    """Check the container from its beginning to its end. Raises Damage."""
    file.seek(0)
    return _WALKERS[kind](file, size)


def _walk_wav(file: BinaryIO, size: int) -> Structure:
    """RIFF: the sizes in the header against the file's; the number of samples that the data chunk must hold."""
    wav = read_layout(file, size)
    end = max(wav.start + wav.length, 0 if wav.riff_length is None else 8 + wav.riff_length)
    padding = wav.length & 1  # writers disagree on whether to count it
    if wav.start + wav.length > size or end > size + padding:
        raise Damage(Fault.TRUNCATED, f"the header promises {end} bytes, the file has {size}")
    if size > end + padding:
        raise Damage(Fault.JUNK_APPENDED, f"the header promises {end} bytes, the file has {size}")
    return Structure(stated=wav.stated, samples=_wav_samples(wav))


def _wav_samples(wav: Layout) -> int | None:
    if wav.codec not in _FIXED_BLOCKS or wav.block == 0:
        return None
    if wav.length % wav.block:
        raise Damage(Fault.TRUNCATED, f"the audio ends inside a sample: {wav.length} bytes in blocks of {wav.block}")
    return wav.length // wav.block


def _walk_ogg(file: BinaryIO, size: int) -> Structure:
    """Ogg: page after page without a hole, numbers in sequence, nothing behind the end-of-stream pages.

    A stream without such a page may have been cut between two pages, or come from a writer that leaves the mark out.
    """
    position = 0
    numbers: dict[int, int] = {}
    ended: set[int] = set()
    while position < size:
        file.seek(position)
        header = file.read(27)
        if not header.startswith(b"OggS"[: len(header)]):
            if numbers and ended >= numbers.keys():
                raise Damage(Fault.JUNK_APPENDED, f"{size - position} bytes follow the end of the stream")
            raise Damage(Fault.DECODE_FAILED, f"no page begins at byte {position}, where one must")
        if len(header) < 27:
            raise Damage(Fault.TRUNCATED, f"the file ends inside the page at byte {position}")
        flags, _, serial, number, _, segments = struct.unpack("<BqIIIB", header[5:27])
        lacing = file.read(segments)
        following = position + 27 + segments + sum(lacing)
        if len(lacing) < segments or following > size:
            raise Damage(Fault.TRUNCATED, f"the file ends inside the page at byte {position}")
        if serial in numbers and number != numbers[serial] + 1:
            raise Damage(Fault.DECODE_FAILED, f"page {numbers[serial] + 1} is missing at byte {position}")
        if serial not in numbers and not flags & 2:
            raise Damage(Fault.DECODE_FAILED, f"a stream begins in its middle at byte {position}")
        numbers[serial] = number
        if flags & 4:
            ended.add(serial)
        position = following
    whole = ended >= numbers.keys()
    return Structure(stated=whole, ended=whole)


_EBML_SEGMENT = 0x18538067
_EBML_CLUSTER = 0x1F43B675
_EBML_TOP = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, _EBML_CLUSTER, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469, 0xEC, 0xBF})
_EBML_IN_CLUSTER = frozenset({0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF, 0xEC, 0xBF})


def _walk_webm(file: BinaryIO, size: int) -> Structure:
    """EBML: every element within its parent, only elements that belong there, the segment as long as it says."""
    head, length = _element(file, 0, size)
    if length is None:
        raise Damage(Fault.DECODE_FAILED, "the file's header has no length")
    segment, body = _element(file, head[1] + length, size)
    if segment[0] != _EBML_SEGMENT:
        raise Damage(Fault.DECODE_FAILED, "no segment follows the file's header")
    position = segment[1]
    end = size if body is None else position + body
    if end > size:
        raise Damage(Fault.TRUNCATED, f"the segment promises {end} bytes, the file has {size}")
    if end < size:
        raise Damage(Fault.JUNK_APPENDED, f"{size - end} bytes follow the end of the segment")
    stated = body is not None
    inside = False  # of a cluster without a length, whose end only the next top element shows
    while position < end:
        (name, start), length = _element(file, position, end)
        known = name in _EBML_TOP or (inside and name in _EBML_IN_CLUSTER)
        if not known or (length is None and name != _EBML_CLUSTER):
            raise Damage(Fault.DECODE_FAILED, f"an element that does not belong there at byte {position}")
        if name in _EBML_TOP:
            inside = length is None
        if length is None:
            stated, position = False, start
            continue
        if start + length > end:
            raise Damage(Fault.TRUNCATED, f"the element at byte {position} is cut off")
        if name == _EBML_CLUSTER:
            _walk_cluster(file, start, start + length)
        position = start + length
    return Structure(stated=stated)


def _walk_cluster(file: BinaryIO, position: int, end: int) -> None:
    while position < end:
        (name, start), length = _element(file, position, end)
        if name not in _EBML_IN_CLUSTER or length is None or start + length > end:
            raise Damage(Fault.DECODE_FAILED, f"a cluster is broken at byte {position}")
        position = start + length


def _element(file: BinaryIO, position: int, end: int) -> tuple[tuple[int, int], int | None]:
    """(id, position of the content) and its length; None for a length that is left open."""
    file.seek(position)
    raw = file.read(min(12, max(0, end - position)))
    id_width = _vint_width(raw, 0, 4, position)
    width = _vint_width(raw, id_width, 8, position)
    name = int.from_bytes(raw[:id_width], "big")
    value = int.from_bytes(raw[id_width : id_width + width], "big") & ((1 << 7 * width) - 1)
    return (name, position + id_width + width), None if value == (1 << 7 * width) - 1 else value


def _vint_width(raw: bytes, offset: int, most: int, position: int) -> int:
    if offset >= len(raw):
        raise Damage(Fault.TRUNCATED, f"the file ends inside the element at byte {position}")
    width = 9 - raw[offset].bit_length()
    if width > most:
        raise Damage(Fault.DECODE_FAILED, f"no element begins at byte {position}, where one must")
    if offset + width > len(raw):
        raise Damage(Fault.TRUNCATED, f"the file ends inside the element at byte {position}")
    return width


def _walk_mp4(file: BinaryIO, size: int) -> Structure:
    """ISO media: boxes that fill the file exactly, an index and media among them."""
    position = 0
    seen: set[bytes] = set()
    while position < size:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            raise Damage(Fault.JUNK_APPENDED, f"{len(header)} bytes follow the last box")
        length, name = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack(">Q", header[8:])
        if not (name.isascii() and name.decode("ascii", "replace").isprintable()) or (0 < length < 8):
            fault = Fault.JUNK_APPENDED if {b"moov", b"mdat"} <= seen else Fault.DECODE_FAILED
            raise Damage(fault, f"no box begins at byte {position}, where one must")
        if length == 0:
            length = size - position
        if position + length > size:
            raise Damage(Fault.TRUNCATED, f"the box at byte {position} promises {position + length} bytes, the file has {size}")
        seen.add(name)
        position += length
    if not {b"moov", b"mdat"} <= seen and b"moof" not in seen:
        raise Damage(Fault.TRUNCATED, "the file lacks its index or its media")
    return Structure(stated=True)


def _walk_flac(file: BinaryIO, size: int) -> Structure:
    """FLAC: the stream's own count of samples. Its frames carry checksums, which the decoder reads."""
    header = file.read(42)
    if len(header) < 42 or size <= 42:
        raise Damage(Fault.TRUNCATED, f"the file ends after {size} bytes, inside its header")
    samples = int.from_bytes(header[21:26], "big") & 0xFFFFFFFFF
    return Structure(stated=samples > 0, samples=samples or None)


_WALKERS: Mapping[Kind, Callable[[BinaryIO, int], Structure]] = {
    Kind.WAV: _walk_wav,
    Kind.OGG: _walk_ogg,
    Kind.WEBM: _walk_webm,
    Kind.MP3: walk_mp3,
    Kind.MP4: _walk_mp4,
    Kind.FLAC: _walk_flac,
}
