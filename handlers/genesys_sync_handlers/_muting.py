"""Makes the redacted copy of a recording, in the worker process, and proves it. Memory stays flat.

A WAV of PCM, µ-law, A-law or floating-point samples is copied byte for byte with the samples of the spans replaced. Whatever else is
decoded to 16-bit samples, silenced and written as FLAC, which loses nothing: what is heard outside of the spans is what the decoder
gives of the original.

The proof reads both files anew: as many samples, the same outside of the spans, nothing but the filling within.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import av.logging
import numpy as np
import numpy.typing as npt

from genesys_sync_handlers._magic import DEMUXERS, HEAD, Kind, sniff
from genesys_sync_handlers._mute_job import Filling, Muted, MuteJob
from genesys_sync_handlers._report import Damage, Fault
from genesys_sync_handlers._spans import ALL, Stretch
from genesys_sync_handlers._waveform import Layout, read_layout

_CHUNK = 1 << 16
"""Frames worked on at one time."""
_TONE_HZ = 1000
_TONE_PEAK = 3277
"""A tenth of full scale: heard, and not loud."""
_ROUNDING = 1e-3
"""Of a sample: how far floating point may miss a whole one."""
_PCM, _FLOAT, _A_LAW, _MU_LAW = 1, 3, 6, 7
_WIDTHS: Mapping[int, frozenset[int]] = {
    _PCM: frozenset({1, 2, 3, 4}),
    _FLOAT: frozenset({4, 8}),
    _A_LAW: frozenset({1}),
    _MU_LAW: frozenset({1}),
}
_STEADY = 0.002
"""Seconds by which times may be rounded in a container."""
_GAP = 0.1
"""Seconds by which a frame's time may differ from the samples before it until its own time counts too."""

Cells = npt.NDArray[np.uint8]
"""Shape (frames, channels, bytes of one sample)."""
Mask = npt.NDArray[np.bool_]
"""Shape (frames, channels): what is silenced."""


def mute(job: MuteJob) -> Muted:
    """The copy at `job.output`, proved. Never raises Damage: it becomes the fault. Raises OSError, MemoryError."""
    av.logging.set_level(av.logging.PANIC)
    with Path(job.path).open("rb") as file:
        try:
            if hashlib.file_digest(file, "sha256").hexdigest() != job.sha256:
                raise Damage(Fault.MEDIA_ALTERED, "the file is not the one that was archived: its SHA-256 is another")
            file.seek(0)
            kind, _ = sniff(file.read(HEAD), job.content_type, audio=True)
            layout = read_layout(file, Path(job.path).stat().st_size) if kind is Kind.WAV else None
            if layout is not None and layout.codec in _WIDTHS:
                return _mute_wav(file, layout, job)
            return _mute_decoded(kind, job)
        except Damage as damage:
            return Muted(fault=damage.fault, detail=damage.detail)
        except av.error.FFmpegError as error:
            return Muted(fault=Fault.DECODE_FAILED, detail=f"the decoder refused the file: {error.strerror or type(error).__name__}")


# --- WAV, byte for byte


def _mute_wav(file: BinaryIO, layout: Layout, job: MuteJob) -> Muted:
    channels = layout.channels
    width = layout.block // channels if channels else 0
    if width * channels != layout.block or width not in _WIDTHS[layout.codec] or layout.rate == 0:
        raise Damage(Fault.DECODE_FAILED, "the file contradicts itself about the size of its samples")
    filling = _filled(layout.codec, width, layout.rate, job.filling)
    frames = layout.length // layout.block
    silenced = 0
    with Path(job.output).open("xb") as copy:
        file.seek(0)
        copy.write(file.read(layout.start))
        for at in range(0, frames, _CHUNK):
            cells = _cells(file, min(_CHUNK, frames - at), channels, width)
            mask = _mask(job.stretches, at / layout.rate, len(cells), channels, layout.rate)
            _fill(cells, mask, filling(at, len(cells)))
            silenced += int(mask.sum())
            copy.write(cells.tobytes())
        while rest := file.read(1 << 20):
            copy.write(rest)
    _prove_wav(file, layout, job, filling)
    return _told(job, "wav", channels=channels, rate=layout.rate, frames=frames, silenced=silenced)


def _prove_wav(file: BinaryIO, layout: Layout, job: MuteJob, filling: Callable[[int, int], Cells]) -> None:
    channels, frames = layout.channels, layout.length // layout.block
    width = layout.block // channels
    with Path(job.output).open("rb") as copy:
        file.seek(0)
        if file.read(layout.start) != copy.read(layout.start):
            raise _unproved("its header")
        for at in range(0, frames, _CHUNK):
            count = min(_CHUNK, frames - at)
            before, after = _cells(file, count, channels, width), _cells(copy, count, channels, width)
            _compare(before, after, _mask(job.stretches, at / layout.rate, count, channels, layout.rate), filling(at, count))
        rest = b"..."
        while rest:
            rest = file.read(1 << 20)
            if copy.read(1 << 20) != rest:
                raise _unproved("what follows the samples")


def _cells(file: BinaryIO, frames: int, channels: int, width: int) -> Cells:
    data = file.read(frames * channels * width)
    if len(data) != frames * channels * width:
        raise Damage(Fault.TRUNCATED, "the file ends before its samples do")
    return np.frombuffer(bytearray(data), dtype=np.uint8).reshape(frames, channels, width)


# --- everything else, decoded


def _mute_decoded(kind: Kind, job: MuteJob) -> Muted:
    first = next(_decoded(kind, job.path), None)
    if first is None:
        raise Damage(Fault.HEADER_ONLY, "the file holds a header and no audio")
    channels, rate = first.samples.shape[1], first.rate
    filling = _filled(_PCM, 2, rate, job.filling)
    frames = silenced = 0
    with av.open(job.output, mode="w", format="flac") as copy:
        track = copy.add_stream("flac", rate=rate)
        track.codec_context.layout = "mono" if channels == 1 else "stereo"
        track.codec_context.format = "s16"
        for piece in _decoded(kind, job.path):
            mask = _masked(piece, frames, job.stretches)
            samples = piece.samples
            cells = samples.view(np.uint8).reshape(len(samples), channels, 2)
            _fill(cells, mask, filling(frames, len(cells)))
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=track.codec_context.layout.name)
            frame.sample_rate, frame.pts = rate, frames
            for packet in track.encode(frame):
                copy.mux(packet)
            frames += len(samples)
            silenced += int(mask.sum())
        for packet in track.encode(None):
            copy.mux(packet)
    _prove_decoded(kind, job, filling)
    return _told(job, "flac", channels=channels, rate=rate, frames=frames, silenced=silenced)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some decoded samples, shape (frames, channels). `time`: where the container's clock puts them, in seconds; None without one."""

    samples: npt.NDArray[np.int16]
    rate: int
    time: float | None


def _decoded(kind: Kind, path: str) -> Iterator[_Piece]:
    """All of the one audio stream, in order, as 16-bit samples at the stream's own rate. Raises Damage.

    A decoder gives 20 ms at a time: those that follow one another are taken together, because work on each costs more than on its samples.
    """
    together: list[_Piece] = []
    count = 0
    for piece in _frames(kind, path):
        if together and (count >= _CHUNK or not _follows(piece, together[0], count)):
            yield _joined(together)
            together, count = [], 0
        together.append(piece)
        count += len(piece.samples)
    if together:
        yield _joined(together)


def _follows(piece: _Piece, first: _Piece, count: int) -> bool:
    """Whether the container's clock says that it comes `count` samples after the first."""
    if piece.time is None or first.time is None:
        return piece.time is first.time
    return abs(piece.time - first.time - count / first.rate) <= _STEADY


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    return _Piece(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate, pieces[0].time)


def _frames(kind: Kind, path: str) -> Iterator[_Piece]:
    with Path(path).open("rb") as file, av.open(file, mode="r", format=DEMUXERS[kind], metadata_errors="replace") as container:
        if len(container.streams.audio) != 1 or container.streams.video:
            raise Damage(Fault.NOT_MEDIA, "only a file with one audio stream and nothing else can be muted")
        track = container.streams.audio[0]
        track.codec_context.thread_count = 1
        resampler: av.AudioResampler | None = None
        for frame in container.decode(track):
            channels = len(frame.layout.channels)
            if channels > 2:
                raise Damage(Fault.NOT_MEDIA, f"a file with {channels} channels cannot be muted")
            if resampler is None:
                resampler = av.AudioResampler(format="s16", layout="mono" if channels == 1 else "stereo", rate=frame.sample_rate)
                rate, known = frame.sample_rate, channels
            if (frame.sample_rate, channels) != (rate, known):
                raise Damage(Fault.DECODE_FAILED, "the file changes its form in the middle")
            time = None if frame.pts is None or not frame.time_base else float(frame.pts * frame.time_base)
            for whole in resampler.resample(frame):
                yield _Piece(whole.to_ndarray().astype(np.int16, copy=False).reshape(-1, channels), rate, time)


def _masked(piece: _Piece, at: int, stretches: Sequence[Stretch]) -> Mask:
    """By the count of samples, and where the container's clock runs apart from it, by that too."""
    count, channels = piece.samples.shape
    mask = _mask(stretches, at / piece.rate, count, channels, piece.rate)
    if piece.time is not None and abs(piece.time - at / piece.rate) > _GAP:
        mask |= _mask(stretches, piece.time, count, channels, piece.rate)
    return mask


def _prove_decoded(kind: Kind, job: MuteJob, filling: Callable[[int, int], Cells]) -> None:
    copies = _decoded(Kind.FLAC, job.output)
    waiting = np.empty((0, 0), dtype=np.int16)
    frames = 0
    for piece in _decoded(kind, job.path):
        count, channels = piece.samples.shape
        while len(waiting) < count:
            more = next(copies, None)
            if more is None or more.samples.shape[1] != channels or more.rate != piece.rate:
                raise _unproved("its length or form")
            waiting = more.samples if not len(waiting) else np.concatenate((waiting, more.samples))
        after, waiting = waiting[:count], waiting[count:]
        shape = (count, channels, 2)
        before_cells, after_cells = (np.ascontiguousarray(side).view(np.uint8).reshape(shape) for side in (piece.samples, after))
        _compare(before_cells, after_cells, _masked(piece, frames, job.stretches), filling(frames, count))
        frames += count
    if len(waiting) or next(copies, None) is not None:
        raise _unproved("its length")


# --- both


def _mask(stretches: Sequence[Stretch], start: float, frames: int, channels: int, rate: int) -> Mask:
    """What is silenced of `frames` frames that begin at `start` seconds. A channel that the file does not have means all of them."""
    mask = np.zeros((frames, channels), dtype=np.bool_)
    for begin, end, channel in stretches:
        first, last = floor((begin - start) * rate + _ROUNDING), ceil((end - start) * rate - _ROUNDING)
        if last <= 0 or first >= frames:
            continue
        rows = slice(max(0, first), min(frames, last))
        if channel == ALL or channel >= channels:
            mask[rows] = True
        else:
            mask[rows, channel] = True
    return mask


def _fill(cells: Cells, mask: Mask, filling: Cells) -> None:
    frames, channels = np.nonzero(mask)
    cells[frames, channels] = filling[frames, 0]


def _compare(before: Cells, after: Cells, mask: Mask, filling: Cells) -> None:
    """Raises Damage unless the copy is the filling where it is silenced, and the original elsewhere."""
    touched = bool(mask.any())
    if not (np.array_equal(before[~mask], after[~mask]) if touched else np.array_equal(before, after)):
        raise _unproved("a sample outside of the spans")
    if touched and not np.array_equal(np.broadcast_to(filling, before.shape)[mask], after[mask]):
        raise _unproved("a sample within a span")


def _filled(codec: int, width: int, rate: int, filling: Filling) -> Callable[[int, int], Cells]:
    """What stands in a span: from the frame and for the number of frames that are asked for, shape (frames, 1, width)."""
    period = rate if filling == "beep" else 1
    levels = np.zeros(period)
    if filling == "beep":
        levels = np.rint(_TONE_PEAK * np.sin(2 * np.pi * _TONE_HZ * np.arange(period) / rate))
    coded = _coded(levels, codec, width)
    return partial(_repeated, coded)


def _repeated(coded: Cells, at: int, frames: int) -> Cells:
    repeated: Cells = np.take(coded, np.arange(at, at + frames) % len(coded), axis=0)
    return repeated


def _coded(levels: npt.NDArray[np.float64], codec: int, width: int) -> Cells:
    """16-bit levels in a codec's samples, little-endian, shape (levels, 1, width)."""
    if codec in (_A_LAW, _MU_LAW):
        table = _a_law() if codec == _A_LAW else _mu_law()
        nearest: Cells = np.abs(table[np.newaxis, :] - levels[:, np.newaxis]).argmin(axis=1).astype(np.uint8)
        return nearest.reshape(-1, 1, 1)
    if codec == _FLOAT:
        single: Cells = (levels / 32768).astype("<f4").view(np.uint8).reshape(-1, 1, 4)
        double: Cells = (levels / 32768).astype("<f8").view(np.uint8).reshape(-1, 1, 8)
        return single if width == 4 else double
    if width == 1:  # 8-bit PCM has its zero in the middle
        middled: Cells = (np.rint(levels / 256) + 128).astype(np.uint8)
        return middled.reshape(-1, 1, 1)
    scaled = (levels.astype(np.int64) << (8 * (width - 2))).astype("<i8")
    cells: Cells = scaled.view(np.uint8).reshape(-1, 1, 8)
    return np.ascontiguousarray(cells[:, :, :width])


def _mu_law() -> npt.NDArray[np.float64]:
    """The level of each code (ITU-T G.711). Zero has two, of which the positive one is silence on the wire: it is put first in rank."""
    codes = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (codes >> 4) & 7, (codes & 15).astype(np.int64)
    level = ((mantissa * 8 + 132) << exponent.astype(np.int64)) - 132
    levels = np.where(codes & 0x80, -level, level).astype(np.float64)
    levels[0x7F] = -0.5  # negative zero gives way to 0xFF
    return levels


def _a_law() -> npt.NDArray[np.float64]:
    """The level of each code (ITU-T G.711): there is none for zero, silence is the smallest positive one, 0xD5."""
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((codes >> 4) & 7).astype(np.int64), (codes & 15).astype(np.int64)
    level = np.where(exponent == 0, mantissa * 16 + 8, (mantissa * 16 + 264) << np.maximum(exponent - 1, 0))
    levels = np.where(codes & 0x80, level, -level).astype(np.float64)
    levels[0x55] -= 0.5  # the smallest negative one is the further from zero
    return levels


def _told(job: MuteJob, ending: str, *, channels: int, rate: int, frames: int, silenced: int) -> Muted:
    path = Path(job.output)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Muted(ending=ending, sha256=sha256, size=path.stat().st_size, channels=channels, rate=rate, frames=frames, silenced=silenced)


def _unproved(what: str) -> Damage:
    return Damage(Fault.MEDIA_ALTERED, f"the copy was made and is wrong: {what} differs from what it must be")
