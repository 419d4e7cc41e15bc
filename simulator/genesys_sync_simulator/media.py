"""What the media host holds: made when first asked for, kept while there is room, made again byte for byte when not."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from genesys_sync_simulator import audio
from genesys_sync_simulator.audio import Samples
from genesys_sync_simulator.digital.screen import pictures
from genesys_sync_simulator.huge import HugeWav
from genesys_sync_simulator.plan import RecordingPlan
from genesys_sync_simulator.speech.sound import sound as speech_sound

_ERROR_PAGE = b"""<!DOCTYPE html>
<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>edge</center>
<p>The upstream answered late. Reference %s.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one object: a part of a recording, in a format."""

    recording_id: str
    part: int
    format: str

    @property
    def path(self) -> str:
        return f"{self.recording_id}/{self.part}/{self.format}.{audio.EXTENSIONS[self.format]}"


@dataclass(frozen=True, slots=True)
class MediaObject:
    """One object of the store. `seconds` is the length that the platform claims for it."""

    size: int
    etag: str
    content_type: str
    seconds: float
    source: bytes | HugeWav

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` up to and without `stop`."""
        if isinstance(self.source, HugeWav):
            yield from self.source.pieces(start, stop)
            return
        view = memoryview(self.source)
        for first in range(start, stop, 1 << 18):
            yield view[first : min(first + (1 << 18), stop)]

    def sha256(self, stop: threading.Event | None = None) -> str:
        """Hash of the bytes that the media host serves; goes through all of them."""
        return self.source.sha256(stop) if isinstance(self.source, HugeWav) else hashlib.sha256(self.source).hexdigest()


def content_type(recording: RecordingPlan, kind: str) -> str:
    """What the store says that a recording in this format is."""
    return audio.CONTENT_TYPES[kind].replace("audio/", "video/") if recording.media == "screen" else audio.CONTENT_TYPES[kind]


class MediaStore:
    """Makes and keeps media objects. `get` works for its living: call it in a thread. Several threads may."""

    def __init__(self, *, room: int = 128 << 20) -> None:
        self._room = room
        self._used = 0
        self._kept: OrderedDict[Key, MediaObject] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, recording: RecordingPlan, part: int = 0, kind: str | None = None) -> MediaObject:
        """Part `part` of the recording, in format `kind` or its own. The same answer always, whether kept or made anew."""
        key = Key(recording.id, part, kind or recording.format)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made = _made(recording, part, key.format)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._used += _weight(made)
                while self._used > self._room and len(self._kept) > 1:
                    self._used -= _weight(self._kept.popitem(last=False)[1])
        return made


def _weight(media: MediaObject) -> int:
    return len(media.source) if isinstance(media.source, bytes) else 16 << 20


def _made(recording: RecordingPlan, part: int, kind: str) -> MediaObject:
    if recording.size:
        huge = HugeWav(recording.clip_seed, recording.size, channels=recording.channels, sample_rate=recording.sample_rate)
        return MediaObject(huge.size, huge.etag, audio.CONTENT_TYPES["WAV"], recording.seconds, huge)
    if recording.media == "screen":
        data = pictures(recording.clip_seed, recording.seconds)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return MediaObject(len(data), etag, content_type(recording, kind), recording.seconds, data)
    sound = _sound(recording, part)
    seconds = round(len(sound) / audio.RATE, 3)
    data = audio.encode(sound, recording.format)
    if kind != recording.format:
        data = audio.transcode(data, kind)
    data = _spoilt(data, recording)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return MediaObject(len(data), etag, audio.CONTENT_TYPES[kind], seconds, data)


def _sound(recording: RecordingPlan, part: int) -> Samples:
    if recording.fault == "silent":
        return audio.silence(recording.seconds, recording.channels)
    if recording.script is not None:
        sound = speech_sound(recording.clip_seed, recording.script, recording.channels)
    else:
        sound = audio.call_sound(recording.clip_seed, recording.seconds, recording.channels)
    share = len(sound) // recording.parts
    return sound[part * share : (part + 1) * share if part + 1 < recording.parts else len(sound)]


def _spoilt(data: bytes, recording: RecordingPlan) -> bytes:
    match recording.fault:
        case "error_page":
            return _ERROR_PAGE % recording.id.encode()
        case "header_only":
            return audio.header_only(recording.channels)
        case "truncated":
            return data[: len(data) * 6 // 10]
        case _:
            return data
