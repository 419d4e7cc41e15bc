"""Sound that resembles a telephone call, encoded in the platform's formats: by PyAV, and Vorbis by our own encoder.

The same seed gives the same bytes.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags

from genesys_sync_simulator import vorbis

Samples = npt.NDArray[np.int16]
"""Shape (samples, channels)."""
_Wave = npt.NDArray[np.float32]

RATE: Final = 8000
"""Telephone sound is made at this rate, whatever the codec works at."""

CONTENT_TYPES: Final[Mapping[str, str]] = {
    "WAV": "audio/wav",
    "WAV_ULAW": "audio/wav",
    "OGG_OPUS": "audio/ogg",
    "OGG_VORBIS": "audio/ogg",
    "WEBM": "audio/webm",
    "MP3": "audio/mpeg",
}

EXTENSIONS: Final[Mapping[str, str]] = {
    "WAV": "wav",
    "WAV_ULAW": "wav",
    "OGG_OPUS": "ogg",
    "OGG_VORBIS": "ogg",
    "WEBM": "webm",
    "MP3": "mp3",
}


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    name: str
    bit_rate: int = 0
    options: tuple[tuple[str, str], ...] = ()


_CODECS: Final[Mapping[str, _Codec]] = {
    "WAV": _Codec("wav", "pcm_s16le"),
    "WAV_ULAW": _Codec("wav", "pcm_mulaw"),
    "OGG_OPUS": _Codec("ogg", "libopus", 16_000, (("compression_level", "2"),)),
    "WEBM": _Codec("webm", "libopus", 16_000, (("compression_level", "2"),)),
    "MP3": _Codec("mp3", "libmp3lame", 16_000, (("compression_level", "7"),)),
}


def call_sound(seed: int, seconds: float, channels: int, *, rate: int = RATE) -> Samples:
    """Speech-like sound: two speakers who take turns, each on a channel of its own in stereo. No stretch is digital silence."""
    count = max(1, round(seconds * rate))
    chance = np.random.default_rng(seed)
    noise = chance.standard_normal((count, 2), dtype=np.float32)
    time = (np.arange(count, dtype=np.float32) / np.float32(rate)).astype(np.float32)
    turn: _Wave = (np.floor(time / chance.uniform(0.7, 1.3) + chance.random()) % 2).astype(np.float32)
    customer = _voice(chance, time, turn) + noise[:, 0] * (12 + 500 * turn * _syllables(chance, time))
    agent = _voice(chance, time, 1 - turn) + noise[:, 1] * (12 + 500 * (1 - turn) * _syllables(chance, time))
    sound = np.stack((customer, agent), axis=1) if channels == 2 else ((customer + agent) * 0.7)[:, np.newaxis]
    quantised = np.clip(np.rint(sound), -32_000, 32_000).astype(np.int16)
    quantised[quantised == 0] = 3  # an idle line hisses: not one sample is a digital zero
    return quantised


def _syllables(chance: np.random.Generator, time: _Wave) -> _Wave:
    wave: _Wave = np.clip(np.sin(2 * np.pi * chance.uniform(2.5, 4.5) * time + chance.uniform(0, 6)), 0, 1).astype(np.float32)
    return wave


def _voice(chance: np.random.Generator, time: _Wave, speaking: _Wave) -> _Wave:
    pitch = chance.uniform(90, 240)
    phase = 2 * np.pi * (pitch * time + 2.0 * np.sin(2 * np.pi * chance.uniform(0.3, 0.8) * time))
    tones = sum(np.sin(number * phase) * (2600 / number) * chance.uniform(0.5, 1) for number in (1, 2, 3, 5, 8))
    wave: _Wave = (tones * (0.02 + speaking * _syllables(chance, time))).astype(np.float32)
    return wave


def silence(seconds: float, channels: int) -> Samples:
    """Digital silence: every sample zero."""
    return np.zeros((max(1, round(seconds * RATE)), channels), dtype=np.int16)


def encode(sound: Samples, kind: str, *, rate: int = RATE) -> bytes:
    """The sound as a complete file of one of the published formats, with proper lengths in its container."""
    if kind == "OGG_VORBIS":
        return vorbis.encode(sound, rate, serial=zlib.crc32(sound.tobytes()))
    codec = _CODECS[kind]
    layout = "mono" if sound.shape[1] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=codec.container, options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(codec.name, rate=rate, layout=layout, options=dict(codec.options))
        stream.codec_context.flags |= Flags.bitexact
        if codec.bit_rate:
            stream.bit_rate = codec.bit_rate * sound.shape[1]
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return buffer.getvalue()


def decode(data: bytes) -> tuple[Samples, int]:
    """All samples of a file and their rate. Raises av.FFmpegError for what is no audio."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono" if stream.channels == 1 else "stereo", rate=stream.rate)
        pieces = [piece for frame in container.decode(stream) for piece in resampler.resample(frame)] + resampler.resample(None)
        arrays = [piece.to_ndarray().reshape(-1, stream.channels) for piece in pieces]
        return np.concatenate(arrays), stream.rate


def transcode(data: bytes, kind: str) -> bytes:
    """The same sound in another format. Opus and MP3 take certain rates only, so what they cannot take is made 8 kHz telephone sound."""
    sound, rate = decode(data)
    if rate != RATE:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound).reshape(1, -1), format="s16", layout="mono" if sound.shape[1] == 1 else "stereo"
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(format="s16", layout=frame.layout, rate=RATE)
        pieces = [*resampler.resample(frame), *resampler.resample(None)]
        sound = np.concatenate([piece.to_ndarray().reshape(-1, sound.shape[1]) for piece in pieces])
    return encode(sound, kind)


def header_only(channels: int) -> bytes:
    """A WAV header with nothing behind it: 44 bytes."""
    block = 2 * channels
    return (
        b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + (1).to_bytes(2, "little")
        + channels.to_bytes(2, "little") + RATE.to_bytes(4, "little") + (RATE * block).to_bytes(4, "little")
        + block.to_bytes(2, "little") + (16).to_bytes(2, "little") + b"data" + (0).to_bytes(4, "little")
    )  # fmt: skip
