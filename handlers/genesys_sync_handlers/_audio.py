"""Looks inside one file, in the worker process. The whole of it: bytes, container, every packet, what the decoder mutters meanwhile.

PyAV alone accepts damaged files: its exceptions are the last of the signs looked for here. Memory stays flat.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import av
import av.error
import av.logging
import numpy as np

from genesys_sync_handlers._containers import walk
from genesys_sync_handlers._magic import DEMUXERS, HEAD, Kind, sniff
from genesys_sync_handlers._report import Caution, Damage, Fault, Job, Report
from genesys_sync_handlers._structure import Structure

SILENT_BELOW = 0.001
"""Peak, of full scale (-60 dBFS), under which a channel counts as silent."""

_HARMLESS = ("Estimating duration from bitrate", "File extends beyond end of segment")
"""What FFmpeg says of intact files, measured."""

_HARMLESS_IN_WAV = (*_HARMLESS, "Ignoring maximum wav data size", "Packet corrupt")
"""And of WAVs whose last block is short or whose sizes are left open; the header's sizes have been held against the file's already."""

_JOLT = 0.005
"""Seconds by which a packet may begin earlier than the one before it ended: containers round to milliseconds."""

_GAP = 0.1
"""Seconds of nothing between two packets that are worth a word."""

_JSON_LIMIT = 64 << 20
_ZIP_CHUNK = 1 << 20


def inspect(job: Job) -> Report:
    """Everything that can be told of the file. Never raises Damage: it becomes the report's fault. Raises OSError, MemoryError."""
    path = Path(job.path)
    report = Report(size=path.stat().st_size)
    with path.open("rb") as file:
        try:
            report = replace(report, sha256=hashlib.file_digest(file, "sha256").hexdigest())
            if report.sha256 != job.sha256:
                raise Damage(Fault.MEDIA_ALTERED, "the file is not the one that was stored: its SHA-256 is another")
            file.seek(0)
            kind, cautions = sniff(file.read(HEAD), job.content_type, audio=job.audio)
            report = replace(report, container=kind.value, warnings=tuple(cautions))
            if kind in DEMUXERS:
                return _inspect_audio(file, kind, job, report)
            _inspect_document(file, kind, report.size)
        except Damage as damage:
            return replace(report, fault=damage.fault, detail=damage.detail)
    return report


def _inspect_audio(file: BinaryIO, kind: Kind, job: Job, report: Report) -> Report:
    structure = walk(kind, file, report.size)
    file.seek(0)
    # FLAC keeps its checksums inside the frames, where only its decoder looks; it is fast enough to be decoded at any level
    heard = _listen(file, kind, structure, full=job.level == "full" or kind is Kind.FLAC)
    cautions = [*report.warnings, *heard.cautions]
    if not structure.ended:
        cautions.append(Caution.END_MISSING)
    elif not structure.stated:
        cautions.append(Caution.LENGTH_UNSTATED)
    return replace(
        report,
        warnings=tuple(dict.fromkeys(cautions)),
        codec=heard.codec,
        sample_rate=heard.sample_rate,
        channels=heard.channels,
        duration=round(heard.seconds, 3),
        streams=heard.streams,
    )


def _inspect_document(file: BinaryIO, kind: Kind, size: int) -> None:
    """Chats, mails, messages: whole as far as their form can tell."""
    file.seek(0)
    if kind is Kind.ZIP:
        _read_zip(file)
    elif kind is Kind.JSON and size <= _JSON_LIMIT:
        try:
            json.load(file)
        except (ValueError, RecursionError) as error:
            raise Damage(Fault.TRUNCATED, "the JSON document is not whole") from error


def _read_zip(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.infolist():
                with archive.open(name) as member:
                    while member.read(_ZIP_CHUNK):
                        pass
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Damage(Fault.TRUNCATED, "the ZIP file is not whole") from error


@dataclass(slots=True)
class _Stream:
    """What was heard of one audio stream so far. `tick` is the unit of packet durations, in seconds; other times are seconds."""

    rate: int
    tick: float
    samples: int = 0
    packets: int = 0
    ticks: int = 0
    begins: float | None = None
    follows: float | None = None
    gaps: int = 0
    peaks: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.samples / self.rate if self.samples and self.rate else self.ticks * self.tick


@dataclass(frozen=True, slots=True)
class _Heard:
    codec: str
    sample_rate: int
    channels: int
    seconds: float
    streams: int
    cautions: tuple[Caution, ...]


def _refuse_other_files(*_: object) -> NoReturn:
    raise PermissionError("a file under inspection opens no other")


def _listen(file: BinaryIO, kind: Kind, structure: Structure, *, full: bool) -> _Heard:
    """Read every packet, and decode it when `full`. Raises Damage."""
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)  # a repeated complaint is one more complaint
    with av.logging.Capture() as mutter:
        try:
            with av.open(file, mode="r", format=DEMUXERS[kind], metadata_errors="replace", io_open=_refuse_other_files) as container:
                return _hear(container, kind, structure, mutter, full=full)
        except av.error.FFmpegError as error:
            raise Damage(Fault.DECODE_FAILED, f"the decoder refused the file: {error.strerror or type(error).__name__}") from error


def _hear(container: Any, kind: Kind, structure: Structure, mutter: list[tuple[int, str, str]], *, full: bool) -> _Heard:
    tracks = list(container.streams.audio)
    if not tracks and not container.streams.video:
        raise Damage(Fault.NOT_MEDIA, "the container holds neither audio nor video")
    heard = {track.index: _Stream(rate=track.codec_context.sample_rate or 0, tick=float(track.time_base or 0)) for track in tracks}
    for track in tracks:
        track.codec_context.thread_count = 1
        if kind is Kind.FLAC:
            track.codec_context.options = {"err_detect": "crccheck"}
    timed = kind in (Kind.OGG, Kind.WEBM, Kind.MP4)
    harmless = _HARMLESS_IN_WAV if kind is Kind.WAV else _HARMLESS
    pictures = _Stream(rate=0, tick=0.0)  # read through, not decoded
    for packet in container.demux():
        stream = heard.get(packet.stream_index, pictures)
        if packet.size:
            stream.packets += 1
            stream.ticks += packet.duration or 0
        if full and stream is not pictures:
            _decode(packet, stream, timed=timed)
        _complain(mutter, harmless, stream.seconds)
    if not tracks and pictures.packets == 0:
        raise Damage(Fault.HEADER_ONLY, "the file holds a header and no pictures")
    _agree(container, structure, heard, full=full)
    return _told(tracks, heard, full=full)


def _decode(packet: Any, stream: _Stream, *, timed: bool) -> None:
    try:
        for frame in packet.decode():
            stream.rate = frame.sample_rate
            # what the decoder still held at the end (the packet without data) carries the last packet's time, not its own
            if timed and packet.size and frame.pts is not None and frame.time_base:
                _keep_pace(stream, float(frame.pts * frame.time_base), frame.samples / frame.sample_rate)
            stream.samples += frame.samples
            _measure(frame, stream)
    except av.error.FFmpegError as error:
        raise Damage(
            Fault.DECODE_FAILED, f"the audio cannot be decoded at {stream.seconds:.2f} s: {error.strerror or type(error).__name__}"
        ) from error


def _keep_pace(stream: _Stream, at: float, seconds: float) -> None:
    """Time goes forward by what was decoded. Overlaps are damage; gaps are counted, for silence may have been left out on purpose."""
    if stream.begins is None:
        stream.begins = at
    elif stream.follows is not None:
        if at < stream.follows - _JOLT:
            raise Damage(Fault.DECODE_FAILED, f"time goes backwards at {at:.2f} s")
        if at > stream.follows + _GAP:
            stream.gaps += 1
    stream.follows = at + seconds


def _measure(frame: Any, stream: _Stream) -> None:
    """The highest peak of each channel, until every channel has been heard; then nothing is left to find out."""
    channels = len(frame.layout.channels)
    if len(stream.peaks) != channels:
        stream.peaks = [0.0] * channels
    if min(stream.peaks, default=1.0) >= SILENT_BELOW:
        return
    samples = frame.to_ndarray()
    planes = samples if frame.format.is_planar else samples.reshape(-1, channels).T
    for index, plane in enumerate(planes[:channels]):
        stream.peaks[index] = max(stream.peaks[index], _peak(plane))


def _peak(plane: np.ndarray[Any, Any]) -> float:
    """Of full scale, 0 to 1."""
    if plane.size == 0:
        return 0.0
    low, high = float(plane.min()), float(plane.max())
    if plane.dtype == np.uint8:
        return max(high - 128, 128 - low) / 128
    return max(high, -low) / (float(np.iinfo(plane.dtype).max) if np.issubdtype(plane.dtype, np.integer) else 1.0)


def _complain(mutter: list[tuple[int, str, str]], harmless: tuple[str, ...], at: float) -> None:
    """A warning of the decoder is damage, unless it is known of intact files. The list is emptied: it must not grow with the file."""
    said = next((text for _, _, text in mutter if not any(known in text for known in harmless)), None)
    mutter.clear()
    if said is not None:
        plain = " ".join("".join(character if character.isprintable() else " " for character in said).split())
        raise Damage(Fault.DECODE_FAILED, f"the decoder complained at {at:.2f} s: {plain[:120]}")


def _agree(container: Any, structure: Structure, heard: Mapping[int, _Stream], *, full: bool) -> None:
    """Hold what was counted against what the container states. Raises Damage."""
    for stream in heard.values():
        if (stream.samples if full else stream.packets) == 0:
            raise Damage(Fault.HEADER_ONLY, "the file holds a header and no audio")
        for counted, promised, unit in (
            (stream.samples if full else None, structure.samples, "samples"),
            (stream.packets, structure.packets, "packets"),
        ):
            if counted is not None and promised is not None and counted != promised:
                fault = Fault.TRUNCATED if counted < promised else Fault.DECODE_FAILED
                raise Damage(fault, f"{counted} {unit} of each channel were found, the file promises {promised}")
        if stream.gaps and not structure.stated:
            raise Damage(Fault.DECODE_FAILED, f"{stream.gaps} gaps in the file's time")
    if heard and full and container.duration and container.format.name != "mp3":
        longest = max(stream.seconds for stream in heard.values())
        promised = container.duration / av.time_base
        if longest + max(0.5, 0.01 * promised) < promised and not any(stream.gaps for stream in heard.values()):
            raise Damage(Fault.TRUNCATED, f"{longest:.2f} s were found, the file promises {promised:.2f} s")


def _told(tracks: list[Any], heard: Mapping[int, _Stream], *, full: bool) -> _Heard:
    if not tracks:
        return _Heard("", 0, 0, 0.0, 0, ())
    longest = max(tracks, key=lambda track: heard[track.index].seconds)
    stream = heard[longest.index]
    channels = len(longest.codec_context.layout.channels)
    return _Heard(
        codec=longest.codec_context.name,
        sample_rate=stream.rate,
        channels=channels,
        seconds=stream.seconds,
        streams=len(tracks),
        cautions=tuple(_cautions(list(heard.values()), stream.rate, channels, full=full)),
    )


def _cautions(streams: list[_Stream], rate: int, channels: int, *, full: bool) -> Iterator[Caution]:
    if not 1 <= channels <= 2 or not 8000 <= rate <= 48000:
        yield Caution.FORMAT_UNUSUAL
    if any(stream.gaps for stream in streams):
        yield Caution.TIMESTAMP_GAP
    if not full:
        return
    silent = [peak < SILENT_BELOW for stream in streams for peak in stream.peaks]
    if all(silent):
        yield Caution.MEDIA_SILENT
    elif any(silent):
        yield Caution.CHANNEL_SILENT
