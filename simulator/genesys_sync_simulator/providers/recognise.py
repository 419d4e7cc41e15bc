"""Hears what a script says in the sound that was made of it, in whatever format, with whatever has been muted. Works for its living.

A recording of the simulator's own is known by its length and by where the sound is. Of other audio only the bursts can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from genesys_sync_simulator import audio
from genesys_sync_simulator.audio import Samples
from genesys_sync_simulator.plan import RecordingPlan
from genesys_sync_simulator.speech.script import EXTERNAL, INTERNAL, Script, Utterance

_Mask = npt.NDArray[np.bool_]

_FRAME = 0.02
_LENGTHS_DIFFER = 0.25
_QUIET = 250.0
_SURE = 0.85
_ENOUGH = 0.3
_PAUSE = 0.5
_PIECE = 5000


class Unreadable(Exception):
    """The bytes are no audio."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word, seconds from the beginning of the file."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """What one speaker says without a pause. `told` are the places of words that tell personal data."""

    speaker: str
    words: tuple[HeardWord, ...]
    told: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything that was understood. `recording_id` is None for audio that is not the simulator's own."""

    seconds: float
    language: str
    segments: tuple[Segment, ...]
    recording_id: str | None = None


class Recogniser:
    """Knows the scripts of one plan's recordings."""

    def __init__(self, recordings: Iterable[RecordingPlan]) -> None:
        self._known = [(recording.id, recording.script) for recording in recordings if recording.script is not None]

    def listen(self, data: bytes) -> Heard:
        """What the file says. Raises Unreadable. Takes time: call it in a thread."""
        try:
            samples, rate = audio.decode(data)
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise Unreadable("the media cannot be decoded") from error
        seconds = round(len(samples) / rate, 3)
        loud = _loud(samples, rate)
        either: _Mask = np.logical_or.reduce(loud, axis=1)
        found = self._match(either, seconds)
        if found is None:
            return Heard(seconds, "en-us", tuple(_bursts(loud)))
        recording_id, script, sides = found
        segments = tuple(segment for one in script.utterances if one.speaker in sides and (segment := _said(script, one, loud)).words)
        return Heard(seconds, script.languages[0], segments, recording_id)

    def _match(self, loud: _Mask, seconds: float) -> tuple[str, Script, tuple[str, ...]] | None:
        """The script, and the sides of it, that the sound fits best."""
        best: tuple[float, tuple[str, Script, tuple[str, ...]]] | None = None
        for recording_id, script in self._known:
            if abs(script.seconds - seconds) > _LENGTHS_DIFFER or not script.utterances:
                continue
            for sides in ((EXTERNAL, INTERNAL), (EXTERNAL,), (INTERNAL,)):
                expected = _expected(script, sides, len(loud))
                both = float((loud & expected).sum())
                sure, enough = both / max(1.0, float(loud.sum())), both / max(1.0, float(expected.sum()))
                if sure > _SURE and enough > _ENOUGH and (best is None or sure + enough > best[0]):
                    best = (sure + enough, (recording_id, script, sides))
        return best[1] if best is not None else None


def _loud(samples: Samples, rate: int) -> _Mask:
    """For each frame and channel, whether there is more than the hiss of a line. Goes through in pieces: an hour is no small array."""
    step = max(1, round(rate * _FRAME))
    count, channels = max(1, len(samples) // step), samples.shape[1]
    mask = np.zeros((count, channels), dtype=np.bool_)
    for first in range(0, count, _PIECE):
        piece = samples[first * step : min(first + _PIECE, count) * step].astype(np.float32)
        frames = piece[: len(piece) // step * step].reshape(-1, step, channels)
        mask[first : first + len(frames)] = np.sqrt((frames**2).mean(axis=1)) > _QUIET
    return mask


def _expected(script: Script, sides: tuple[str, ...], count: int) -> _Mask:
    mask = np.zeros(count, dtype=np.bool_)
    for utterance in script.utterances:
        if utterance.speaker in sides:
            for word in utterance.words:
                mask[int(word.start / _FRAME) : int(word.end / _FRAME) + 1] = True
    return mask


def _said(script: Script, utterance: Utterance, loud: _Mask) -> Segment:
    """The words of an utterance that can be heard: of a muted one nothing is known."""
    places = {
        place
        for planted in script.planted
        for spot in planted.spots
        if spot.utterance == utterance.index
        for place in range(spot.first, spot.stop)
    }
    side = (0 if utterance.speaker == EXTERNAL else 1) if loud.shape[1] == 2 and loud.any(axis=0).all() else None
    own: _Mask = np.logical_or.reduce(loud, axis=1) if side is None else loud[:, side]
    words: list[HeardWord] = []
    told: set[int] = set()
    for place, word in enumerate(utterance.words):
        frames = own[int(word.start / _FRAME) : max(int(word.start / _FRAME) + 1, int(word.end / _FRAME))]
        if not len(frames) or frames.mean() < 0.5:
            continue
        if place in places:
            told.add(len(words))
        words.append(HeardWord(word.text, word.start, word.end, word.confidence))
    return Segment(utterance.speaker, tuple(words), frozenset(told))


def _bursts(loud: _Mask) -> Iterator[Segment]:
    """Foreign audio: one word for each burst of a channel, a segment wherever there is a pause of half a second before it."""
    for channel in range(loud.shape[1]):
        words: list[HeardWord] = []
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loud[:, channel], [False])).astype(np.int8)))
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            start, end = round(float(first) * _FRAME, 3), round(float(stop) * _FRAME, 3)
            if words and start - words[-1].end > _PAUSE:
                yield Segment(f"channel_{channel}", tuple(words))
                words = []
            words.append(HeardWord("word", start, end, 0.3))
        if words:
            yield Segment(f"channel_{channel}", tuple(words))
