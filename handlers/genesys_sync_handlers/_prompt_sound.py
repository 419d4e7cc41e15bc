"""Makes a prompt of an audio file, in the worker process: proved whole, decoded, one channel, another rate, its loudness, a plain WAV."""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path
from typing import Any, Final

import av
import av.error
import numpy as np

from genesys_sync_handlers._audio import inspect
from genesys_sync_handlers._loudness import Samples, integrated
from genesys_sync_handlers._magic import DEMUXERS, Kind
from genesys_sync_handlers._report import Damage, Fault, Job, Report

_TAGS: Final = {"pcm": 1, "alaw": 6, "ulaw": 7}
_CODECS: Final = {"alaw": "pcm_alaw", "ulaw": "pcm_mulaw"}
_WIDTHS: Final = {"pcm": 2, "alaw": 1, "ulaw": 1}
_HEADER: Final = 64
_CHUNK: Final = 1 << 16
_CHANNELS: Final = {1: "mono", 2: "stereo"}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One job: `{"path", "cpu_seconds"}` measures a file; with `into`, `encoding`, `rate`, `loudness`, `peak` and `largest` it is
    converted. A file that is no use is answered with `fault`, a sentence."""
    path = Path(job["path"])
    try:
        report = _proved(path, job["cpu_seconds"], decode="into" in job)
        return _convert(path, report, job) if "into" in job else {"seconds": report.duration}
    except Damage as damage:
        return {"fault": damage.detail}


def _proved(path: Path, cpu_seconds: int, *, decode: bool) -> Report:
    """What the file is, by the same proof that archived recordings pass. Raises Damage."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    level = "full" if decode else "structure"
    report = inspect(Job(path=str(path), sha256=sha256, content_type="", audio=True, level=level, cpu_seconds=cpu_seconds))
    if report.fault is not None:
        raise Damage(report.fault, report.detail)
    if not report.streams:
        raise Damage(Fault.NOT_MEDIA, "the file holds no audio")
    return report


def _convert(path: Path, report: Report, job: dict[str, Any]) -> dict[str, Any]:
    rate, encoding = int(job["rate"]), str(job["encoding"])
    most = (int(job["largest"]) - _HEADER) // _WIDTHS[encoding]
    if report.duration * rate > most:
        raise Damage(Fault.NOT_MEDIA, f"it plays {report.duration:.0f} s, of which the platform's limit of 25 MB holds {most // rate} s")
    samples = _mono(path, Kind(report.container), rate)
    gain, loudness, limited = _gain(samples, rate, wanted=job["loudness"], peak=job["peak"])
    samples *= np.float32(10 ** (gain / 20))
    size = _write(Path(job["into"]), samples, rate, encoding)
    channels = _CHANNELS.get(report.channels, f"{report.channels} channels")
    return {
        "seconds": len(samples) / rate,
        "bytes": size,
        "was": f"{report.container} {report.codec} {report.sample_rate} Hz {channels}",
        "gain": round(gain, 2),
        "loudness": None if loudness is None else round(loudness + gain, 2),
        "limited": limited,
        "sha256": report.sha256,
    }


def _mono(path: Path, kind: Kind, rate: int) -> Samples:
    """All of the first audio stream at this rate, its channels averaged; full scale is 1. Raises Damage."""
    pieces: list[Samples] = []
    try:
        with path.open("rb") as file, av.open(file, mode="r", format=DEMUXERS[kind], metadata_errors="replace") as container:
            track = container.streams.audio[0]
            track.codec_context.thread_count = 1
            # its own channels: FFmpeg would weigh them by the sample format
            resampler = av.AudioResampler(format="fltp", layout=track.codec_context.layout, rate=rate)
            for frame in container.decode(track):
                pieces += [one.to_ndarray().mean(axis=0, dtype=np.float32) for one in resampler.resample(frame)]
            pieces += [one.to_ndarray().mean(axis=0, dtype=np.float32) for one in resampler.resample(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise Damage(Fault.DECODE_FAILED, f"the decoder refused the file: {type(error).__name__}") from error
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if not len(samples):
        raise Damage(Fault.HEADER_ONLY, "the file holds no audio")
    return samples


def _gain(samples: Samples, rate: int, *, wanted: float | None, peak: float) -> tuple[float, float | None, bool]:
    """dB to apply, the loudness before, and whether the peak decided. Silence is left alone: there is nothing to bring to a loudness."""
    loudness = integrated(samples, rate)
    highest = float(np.max(np.abs(samples)))
    room = peak - 20 * math.log10(highest) if highest > 0 else math.inf
    asked = 0.0 if wanted is None or loudness is None else wanted - loudness
    return min(asked, room), loudness, room < asked


def _write(into: Path, samples: Samples, rate: int, encoding: str) -> int:
    """A WAV with nothing in it but its format and its samples; how many bytes it has."""
    width = _WIDTHS[encoding]
    data = len(samples) * width
    form = struct.pack("<HHIIHH", _TAGS[encoding], 1, rate, rate * width, width, 8 * width)
    chunks = (
        _chunk(b"fmt ", form) if encoding == "pcm" else _chunk(b"fmt ", form + b"\0\0") + _chunk(b"fact", struct.pack("<I", len(samples)))
    )
    with into.open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks) + 8 + data + (data & 1), b"WAVE") + chunks)
        file.write(struct.pack("<4sI", b"data", data))
        for start in range(0, len(samples), _CHUNK):
            file.write(_coded(samples[start : start + _CHUNK], rate, encoding))
        file.write(b"\0" * (data & 1))
        return file.tell()


def _coded(samples: Samples, rate: int, encoding: str) -> bytes:
    whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    if encoding == "pcm":
        return whole.tobytes()
    codec: Any = av.CodecContext.create(_CODECS[encoding], "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(whole.astype(np.int16)[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = rate
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content
