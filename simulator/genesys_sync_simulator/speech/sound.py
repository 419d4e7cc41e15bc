"""The sound of a script: a burst for each word, at its time and in its speaker's channel, and the hiss of an idle line elsewhere."""

from __future__ import annotations

import numpy as np

from genesys_sync_simulator.audio import RATE, Samples
from genesys_sync_simulator.speech.script import EXTERNAL, Script

_HISS = 12.0
_LOUD = 3000.0
_FADE = 0.004


def sound(seed: int, script: Script, channels: int) -> Samples:
    """Customer (external) left, agent (internal) right; one channel mixes them. Not one sample is a digital zero.

    Between two words the channel holds hiss of about -69 dBFS, within a word about -22 dBFS. Where nobody speaks at all there is music.
    """
    count = max(1, round(script.seconds * RATE))
    chance = np.random.default_rng(seed)
    both = chance.standard_normal((count, 2), dtype=np.float32) * np.float32(_HISS)
    pitches = chance.uniform(110, 240, 2)
    for utterance in script.utterances:
        side = 0 if utterance.speaker == EXTERNAL else 1
        for word in utterance.words:
            first, stop = round(word.start * RATE), min(count, round(word.end * RATE))
            both[first:stop, side] += _burst(chance, stop - first, float(pitches[side]))
    if not script.utterances:
        both += _music(count)
    mixed = both if channels == 2 else (both.sum(axis=1) * np.float32(0.7))[:, np.newaxis]
    quantised: Samples = np.clip(np.rint(mixed), -32_000, 32_000).astype(np.int16)
    quantised[quantised == 0] = 3
    return quantised


def _burst(chance: np.random.Generator, count: int, pitch: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A voiced sound with its beginning and end softened."""
    time = np.arange(max(0, count), dtype=np.float32) / np.float32(RATE)
    own = pitch * chance.uniform(0.9, 1.2)
    tones = sum(np.sin(2 * np.pi * own * number * time) / number for number in (1, 2, 3, 5, 8))
    fade = np.clip(np.minimum(time, time[::-1]) / _FADE, 0, 1) if count > 0 else time
    wave: np.ndarray[tuple[int], np.dtype[np.float32]] = (_LOUD * tones * fade).astype(np.float32)
    return wave


def _music(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    time = np.arange(count, dtype=np.float32) / np.float32(RATE)
    chord = sum(np.sin(2 * np.pi * tone * time) for tone in (262, 330, 392)) * 700
    wave: np.ndarray[tuple[int, int], np.dtype[np.float32]] = chord.astype(np.float32)[:, np.newaxis]
    return wave
