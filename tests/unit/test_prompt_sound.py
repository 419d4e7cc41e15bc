"""Prompts made of audio files: loudness as FFmpeg's own meter has it, every format, and nothing in the file but its sound."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.filter import Graph

from genesys_sync_handlers._loudness import integrated
from genesys_sync_handlers._prompt_sound import work

JOB = {"encoding": "pcm", "rate": 16000, "loudness": -20.0, "peak": -1.0, "largest": 25_000_000, "cpu_seconds": 60}


def ebur128(samples: np.ndarray[Any, Any], rate: int) -> float:
    """What FFmpeg's meter says."""
    graph = Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=f"1/{rate}")
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    source.push(frame)
    source.push(None)
    told = math.nan
    while True:
        try:
            told = float(sink.pull().metadata["lavfi.r128.I"])
        except (av.error.EOFError, av.error.BlockingIOError):
            return told


def tone(seconds: float, rate: int, *, level: float = 0.1, pitch: float = 997) -> np.ndarray[Any, Any]:
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "seconds"), [(8000, 0.5), (8000, 22.0), (16000, 0.5), (16000, 3.0), (16000, 22.0), (44100, 3.0), (48000, 3.0)]
)
def test_the_measured_loudness_is_that_of_ffmpegs_meter(rate: int, seconds: float) -> None:
    chance = np.random.default_rng(2)  # of which no block lies within a hair of the gate, where the meters may differ
    noise = chance.standard_normal(round(seconds * rate)).astype(np.float32)
    gated = noise * (np.sin(2 * np.pi * 0.7 * np.arange(len(noise)) / rate) > 0.5).astype(np.float32)
    for samples in (tone(seconds, rate), tone(seconds, rate, pitch=60, level=0.3), 0.05 * noise, 0.3 * gated):
        measured = integrated(samples, rate)
        assert measured is not None
        assert measured == pytest.approx(ebur128(samples, rate), abs=0.02)


def test_the_recommendations_own_check_tone() -> None:
    """BS.1770: 997 Hz at 0 dBFS in one channel reads -3.01 LUFS."""
    assert integrated(tone(5, 48000, level=1.0), 48000) == pytest.approx(-3.01, abs=0.02)


def test_silence_has_no_loudness_and_what_is_shorter_than_a_block_has() -> None:
    assert integrated(np.zeros(16000, np.float32), 16000) is None
    assert integrated(np.zeros(0, np.float32), 16000) is None
    assert integrated(tone(0.2, 16000), 16000) == pytest.approx(-23, abs=0.3)


def encoded(path: Path, codec: str, samples: np.ndarray[Any, Any], *, rate: int, layout: str = "stereo", **metadata: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        container.metadata.update(metadata)
        channels = len(stream.layout.channels)
        frame = av.AudioFrame.from_ndarray(np.repeat(samples[np.newaxis, :], channels, axis=0), format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def converted(source: Path, into: Path, **job: Any) -> dict[str, Any]:
    return work({**JOB, **job, "path": str(source), "into": str(into)})


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "encoding"),
    [
        ("a.wav", "pcm_s16le", 44100, "stereo", "pcm"),
        ("a.wav", "pcm_f32le", 96000, "mono", "ulaw"),
        ("a.mp3", "libmp3lame", 44100, "stereo", "alaw"),
        ("a.ogg", "libopus", 48000, "mono", "pcm"),
        ("a.mp4", "aac", 44100, "stereo", "ulaw"),
        ("a.flac", "flac", 32000, "stereo", "alaw"),
        ("a.wav", "pcm_s16le", 44100, "5.1", "pcm"),
    ],
)
def test_every_format_becomes_a_plain_wav(tmp_path: Path, name: str, codec: str, rate: int, layout: str, encoding: str) -> None:
    source = encoded(tmp_path / name, codec, tone(1.5, rate), rate=rate, layout=layout, title="a secret of the studio")
    told = converted(source, tmp_path / "out.wav", encoding=encoding, rate=8000)
    data = (tmp_path / "out.wav").read_bytes()
    tag, width = {"pcm": (1, 2), "ulaw": (7, 1), "alaw": (6, 1)}[encoding]
    assert told["bytes"] == len(data)
    assert struct.unpack_from("<HHIIHH", data, 20) == (tag, 1, 8000, 8000 * width, width, 8 * width)
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert b"secret" not in data
    assert b"LIST" not in data
    assert told["seconds"] == pytest.approx(1.5, abs=0.1)
    assert told["loudness"] == pytest.approx(-20.0, abs=0.01)
    with av.open(str(tmp_path / "out.wav")) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype(np.float32) / 32768
    assert integrated(heard, 8000) == pytest.approx(-20.0, abs=0.2), "the file itself has the loudness that was told"
    assert work({"path": str(tmp_path / "out.wav"), "cpu_seconds": 60}) == {"seconds": pytest.approx(told["seconds"], abs=0.001)}


def test_the_peak_keeps_a_prompt_softer_and_says_so(tmp_path: Path) -> None:
    clicks = tone(2, 16000, level=0.01)
    clicks[::4000] = 0.9
    told = converted(encoded(tmp_path / "a.wav", "pcm_f32le", clicks, rate=16000, layout="mono"), tmp_path / "out.wav")
    assert told["limited"]
    assert told["loudness"] < -20
    with wave.open(str(tmp_path / "out.wav")) as file:
        highest = np.abs(np.frombuffer(file.readframes(1 << 20), "<i2").astype(float)).max() / 32768
    assert 20 * math.log10(highest) == pytest.approx(-1.0, abs=0.05)


def test_silence_stays_silent_and_keep_leaves_the_loudness(tmp_path: Path) -> None:
    silent = encoded(tmp_path / "a.wav", "pcm_s16le", np.zeros(16000, np.float32), rate=16000)
    told = converted(silent, tmp_path / "out.wav")
    assert (told["gain"], told["loudness"], told["limited"]) == (0.0, None, False)
    kept = converted(encoded(tmp_path / "b.wav", "pcm_f32le", tone(1, 16000), rate=16000), tmp_path / "out.wav", loudness=None)
    assert (kept["gain"], kept["loudness"]) == (0.0, pytest.approx(-22.97, abs=0.05))


def test_what_is_no_whole_audio_is_refused_with_its_reason(tmp_path: Path) -> None:
    good = encoded(tmp_path / "a.wav", "pcm_s16le", tone(1, 16000), rate=16000)
    bad = {
        "empty": (b"", "holds no bytes"),
        "text": (b"hello", "no known audio"),
        "page": (b"<html>", "HTML"),
        "cut": (good.read_bytes()[:20_000], "promises"),
        "header": (good.read_bytes()[:44], ""),
        "playlist": (b"#EXTM3U\n/etc/passwd\n", "playlist"),
    }
    for name, (content, why) in bad.items():
        (tmp_path / name).write_bytes(content)
        told = converted(tmp_path / name, tmp_path / "out.wav")
        assert why in told["fault"], name
        assert not (tmp_path / "out.wav").exists()


def test_what_would_become_too_large_is_refused_before_it_is_converted(tmp_path: Path) -> None:
    source = encoded(tmp_path / "a.wav", "pcm_s16le", tone(2, 16000), rate=16000)
    assert "of which the platform's limit" in converted(source, tmp_path / "out.wav", largest=60_000)["fault"]
    assert converted(source, tmp_path / "out.wav", largest=64_100)["bytes"] == 64_044
