"""WAV files as Architect looks at them: by what is inside, never by name. A parser of our own; nothing is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

LARGEST: Final = 25_000_000
RATES: Final = (8000, 16_000)
_ENCODINGS: Final = {1: ("PCM", 16), 6: ("ALAW", 8), 7: ("ULAW", 8)}
_EXTENSIBLE: Final = 0xFFFE
_GUID_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")


class NotAPrompt(Exception):
    """The file cannot be transcoded; the text says why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The audio of a good file: one channel at one of the two rates."""

    encoding: str
    code: int
    bits: int
    rate: int
    samples: bytes

    @property
    def seconds(self) -> float:
        return len(self.samples) * 8 / self.bits / self.rate

    def file(self) -> bytes:
        """A file with nothing in it but the sound."""
        step = self.bits // 8
        form = struct.pack("<HHIIHH", self.code, 1, self.rate, self.rate * step, step, self.bits)
        chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(self.samples)) + self.samples
        return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def parse(data: bytes) -> Sound:
    """The sound of a file. Raises NotAPrompt."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotAPrompt("it is not a WAV file")
    chunks = _chunks(data)
    form, samples = chunks.get(b"fmt "), chunks.get(b"data")
    if form is None or len(form) < 16 or samples is None:
        raise NotAPrompt("it has no format or no data")
    code, channels, rate, _, step, bits = struct.unpack_from("<HHIIHH", form)
    if code == _EXTENSIBLE and len(form) >= 40 and form[26:40] == _GUID_TAIL:
        code = struct.unpack_from("<H", form, 24)[0]
    encoding, wanted = _ENCODINGS.get(code, ("", 0))
    if not encoding or bits != wanted:
        raise NotAPrompt("its encoding is none of 16-bit PCM, A-law and mu-law")
    if channels != 1 or rate not in RATES:
        raise NotAPrompt("it is not mono at 8 or 16 kHz")
    if step != bits // 8 or not samples or len(samples) % step:
        raise NotAPrompt("it holds no whole samples")
    return Sound(encoding, code, bits, rate, samples)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of each name. Raises NotAPrompt when one claims more than there is."""
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise NotAPrompt("it ends too early")
        found.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return found
