"""Real recordings to be muted, and an independent ear: what is in a file is heard by decoding it here."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from genesys_sync_handlers._mute_job import Muted, MuteJob
from genesys_sync_handlers._muting import mute

FORMATS = {
    "pcm": ("wav", "pcm_s16le", 8000, 2),
    "pcm24": ("wav", "pcm_s24le", 16000, 1),
    "pcm8": ("wav", "pcm_u8", 8000, 1),
    "float": ("wav", "pcm_f32le", 16000, 2),
    "ulaw": ("wav", "pcm_mulaw", 8000, 2),
    "alaw": ("wav", "pcm_alaw", 8000, 2),
    "opus": ("ogg", "libopus", 48000, 2),
    "webm": ("webm", "libopus", 48000, 1),
    "mp3": ("mp3", "libmp3lame", 16000, 2),
}
SECONDS = 8.0


def encoded(name: str, seconds: float = SECONDS) -> bytes:
    """Speech-like sound, never silent, as a whole file."""
    container, codec, rate, channels = FORMATS[name]
    time = np.arange(int(seconds * rate)) / rate
    hiss = np.random.default_rng(3).normal(0, 400, (len(time), channels))
    sound = (7000 * np.sin(2 * np.pi * 310 * time)[:, None] + hiss).astype(np.int16)
    layout = "stereo" if channels == 2 else "mono"
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        track = file.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(
            format=track.codec_context.format, layout=layout, rate=rate, frame_size=track.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(track.encode(piece))
    return buffer.getvalue()


def heard(path: Path) -> np.ndarray[Any, Any]:
    """Every sample as the decoder gives it, in its own depth; shape (frames, channels)."""
    with av.open(str(path)) as file:
        pieces = [
            frame.to_ndarray().T if frame.format.is_planar else frame.to_ndarray().reshape(-1, len(frame.layout.channels))
            for frame in file.decode(audio=0)
        ]
    return np.concatenate(pieces)


Mute = Callable[..., Muted]


@pytest.fixture
def muted(tmp_path: Path) -> Mute:
    """`muted(data, stretches, filling=)`: the copy, made in this process, at `tmp_path / "copy"`; the original beside it."""

    def make(data: bytes, stretches: list[tuple[float, float, int]], *, filling: str = "silence", sha256: str = "") -> Muted:
        original, copy = tmp_path / "original", tmp_path / "copy"
        original.write_bytes(data)
        copy.unlink(missing_ok=True)
        return mute(
            MuteJob(
                path=str(original),
                sha256=sha256 or hashlib.sha256(data).hexdigest(),
                content_type="",
                output=str(copy),
                stretches=stretches,
                filling=filling,
                cpu_seconds=60,
            )
        )

    return make
