"""A WAV file of any size that is never held anywhere: each byte follows from its offset."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

from genesys_sync_simulator.audio import call_sound

HEADER = 44
_PERIOD_FRAMES = 1_000_003
"""The sound repeats after this many frames: a prime, so that no round number of bytes taken from the wrong place looks right."""


class HugeWav:
    """PCM, 16 bits. Deterministic at every offset, so that ranges can be served in any order."""

    def __init__(self, seed: int, size: int, *, channels: int, sample_rate: int) -> None:
        block = 2 * channels
        self.frames = (size - HEADER) // block
        self.size = HEADER + self.frames * block
        """Bytes, rounded down to whole frames."""
        data = self.frames * block
        self._header = (
            b"RIFF" + (36 + data).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + (1).to_bytes(2, "little")
            + channels.to_bytes(2, "little") + sample_rate.to_bytes(4, "little") + (sample_rate * block).to_bytes(4, "little")
            + block.to_bytes(2, "little") + (16).to_bytes(2, "little") + b"data" + data.to_bytes(4, "little")
        )  # fmt: skip
        frames = min(_PERIOD_FRAMES, max(1, self.frames))
        self._period = call_sound(seed, frames / sample_rate, channels, rate=sample_rate)[:frames].tobytes()
        self._sha256 = ""
        # Twice over, so that every piece of up to one period is one slice.
        self._pattern = memoryview(self._period * 2)

    @property
    def etag(self) -> str:
        """As a store shows for an object uploaded in parts: no hash of the whole."""
        return hashlib.md5(self._header + self._period, usedforsecurity=False).hexdigest() + "-2"

    def pieces(self, start: int, stop: int, *, most: int = 1 << 18) -> Iterator[bytes | memoryview]:
        """The bytes from `start` up to and without `stop`, in pieces of at most `most`, which no period is shorter than."""
        most = min(most, len(self._period))
        if start < HEADER:
            yield self._header[start : min(stop, HEADER)]
            start = HEADER
        while start < stop:
            length = min(most, stop - start)
            place = (start - HEADER) % len(self._period)
            yield self._pattern[place : place + length]
            start += length

    def sha256(self, stop: threading.Event | None = None) -> str:
        """Hash of the whole file, made by going through it once and remembered. Ends early and worthless when `stop` is set."""
        if self._sha256:
            return self._sha256
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size, most=1 << 21):
            if stop is not None and stop.is_set():
                return ""
            digest.update(piece)
        self._sha256 = digest.hexdigest()
        return self._sha256
