"""Real audio files for the verifier, made once a session by an encoder, and their damages."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from genesys_sync_handlers._audio import inspect
from genesys_sync_handlers._report import Job, Report

SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Format:
    container: str
    codec: str
    rate: int
    channels: int
    content_type: str
    options: Mapping[str, str]


FORMATS: Mapping[str, Format] = {
    "wav_pcm": Format("wav", "pcm_s16le", 8000, 2, "audio/wav", {}),
    "wav_ulaw": Format("wav", "pcm_mulaw", 8000, 2, "audio/wav", {}),
    "ogg_opus": Format("ogg", "libopus", 48000, 2, "audio/ogg", {"b": "48000"}),
    "ogg_vorbis": Format("ogg", "vorbis", 44100, 2, "audio/ogg", {"strict": "-2"}),  # FFmpeg's own: stereo, and experimental by its word
    "webm_opus": Format("webm", "libopus", 48000, 1, "audio/webm", {"b": "24000"}),
    "mp3": Format("mp3", "libmp3lame", 16000, 1, "audio/mpeg", {"b": "32000"}),
}


def tones(seconds: float, rate: int, channels: int) -> np.ndarray:
    """Speech-like sound of shape (channels, samples), 16 bit."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(1).standard_normal((channels, time.size)) * 0.01
    voices = [np.sin(2 * np.pi * (180 + 60 * n) * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 2.1 * time + n)) for n in range(channels)]
    return ((0.3 * np.stack(voices) + noise) * 32767).astype(np.int16)


def encode(name: str, sound: np.ndarray) -> bytes:
    """The sound, of shape (channels, samples), as a whole file."""
    wanted = FORMATS[name]
    layout = "stereo" if len(sound) == 2 else "mono"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T.reshape(1, -1)), format="s16", layout=layout)
    frame.sample_rate, frame.pts = wanted.rate, 0
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=wanted.container) as container:
        stream = container.add_stream(wanted.codec, rate=wanted.rate, layout=layout, options=dict(wanted.options))
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=wanted.rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def sounds() -> Mapping[str, bytes]:
    """An intact file of SECONDS in each format."""
    return {name: encode(name, tones(SECONDS, wanted.rate, wanted.channels)) for name, wanted in FORMATS.items()}


Look = Callable[..., Report]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """`look(data, content_type, audio=, level=, sha256=)`: the report on these bytes, made in this process."""

    def look(data: bytes, content_type: str = "", *, audio: bool = True, level: str = "full", sha256: str = "") -> Report:
        path = tmp_path / "under-inspection"
        path.write_bytes(data)
        digest = sha256 or hashlib.sha256(data).hexdigest()
        return inspect(Job(path=str(path), sha256=digest, content_type=content_type, audio=audio, level=level, cpu_seconds=60))

    return look
