"""Integrated loudness after ITU-R BS.1770-4, of one channel at any sample rate. Pure.

The K-weighting is two second-order filters that the recommendation gives for 48 kHz; here they are made for the rate at hand, from the
same analogue prototypes, and applied through their frequency response: numpy has no recursive filter, and a loop in Python would be slow.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

Samples = np.ndarray[Any, np.dtype[np.float32]]

OFFSET: Final = -0.691
ABSOLUTE_GATE: Final = -70.0
RELATIVE_GATE: Final = -10.0
_HOP: Final = 0.1
"""Blocks are 400 ms long and begin every 100 ms: each is the mean of four hops."""
_HOPS: Final = 4
_CONTEXT: Final = 0.25
"""Seconds after which the filters have forgotten everything (the slower one by 10^-25)."""
_HOPS_AT_A_TIME: Final = 200

_SHELF: Final = (1681.974450955533, 3.999843853973347, 0.7071752369554196, 0.4996667741545416)
"""Hz, dB, Q and the exponent of the middle gain."""
_HIGH_PASS: Final = (38.13547087602444, 0.5003270373238773)
"""Hz and Q."""


def integrated(samples: Samples, rate: int) -> float | None:
    """LUFS; None for what stays below the absolute gate. What is shorter than a block is measured as one block, without a gate."""
    hop = round(rate * _HOP)
    powers = _hop_powers(samples, rate, hop)
    if len(powers) < _HOPS:
        whole = _weighted(samples, rate, 0)
        return _audible(float(np.mean(np.square(whole)))) if len(samples) else None
    blocks = np.convolve(powers, np.full(_HOPS, 1 / _HOPS), mode="valid")
    loud = blocks[blocks > _power(ABSOLUTE_GATE)]
    if not len(loud):
        return None
    return _audible(float(np.mean(loud[loud > np.mean(loud) * 10 ** (RELATIVE_GATE / 10)])))


def _audible(power: float) -> float | None:
    return None if power <= _power(ABSOLUTE_GATE) else OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))


def _hop_powers(samples: Samples, rate: int, hop: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The weighted mean square of each whole hop; a stretch at a time, so that memory stays flat."""
    context, stretch = round(rate * _CONTEXT), hop * _HOPS_AT_A_TIME
    found = [np.zeros(0)]
    for start in range(0, len(samples) - hop + 1, stretch):
        before = min(context, start)
        end = min(start + stretch, start + (len(samples) - start) // hop * hop)
        weighted = _weighted(samples[start - before : end], rate, before)
        found.append(np.mean(np.square(weighted.reshape(-1, hop)), axis=1))
    return np.concatenate(found)


def _weighted(samples: Samples, rate: int, skip: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """K-weighted, without the first `skip` samples, which are there for the filters to have heard them."""
    length = len(samples) + round(rate * _CONTEXT)
    spectrum = np.fft.rfft(samples.astype(np.float64), length)
    z = np.exp(-2j * np.pi * np.arange(len(spectrum)) / length)
    return np.fft.irfft(spectrum * _response(z, rate), length)[skip : len(samples)]


def _response(z: np.ndarray[Any, Any], rate: int) -> np.ndarray[Any, Any]:
    """Of both filters, at each 1/z."""
    shelf_at, gain, q, middle = _SHELF
    k = math.tan(math.pi * shelf_at / rate)
    high = 10 ** (gain / 20)
    mid = high**middle
    above = (high + mid * k / q + k * k, 2 * (k * k - high), high - mid * k / q + k * k)
    shelf = _ratio(z, above, (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k))
    pass_at, q = _HIGH_PASS
    k = math.tan(math.pi * pass_at / rate)
    norm = 1 + k / q + k * k
    return np.asarray(shelf * _ratio(z, (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm)))


def _ratio(z: np.ndarray[Any, Any], above: tuple[float, float, float], below: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    (b0, b1, b2), (a0, a1, a2) = above, below
    return np.asarray((b0 + (b1 + b2 * z) * z) / (a0 + (a1 + a2 * z) * z))
