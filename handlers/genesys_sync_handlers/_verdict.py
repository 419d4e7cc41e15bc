"""Is the recording as long as the call? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

SHARE = 0.02
"""Of the expected duration, allowed on top of the configured tolerance."""


def agrees(measured: Sequence[float], expected: Sequence[float], tolerance: timedelta) -> bool:
    """Whether any measured duration is any of the expected ones, within the tolerance; seconds."""
    return any(abs(found - wanted) <= _slack(wanted, tolerance) for found in measured for wanted in expected)


def possible(measured: Sequence[float], expected: Sequence[float], tolerance: timedelta) -> bool:
    """Whether the shortest measured duration is at most the longest expected one: pauses shorten a recording, nothing lengthens it."""
    longest = max(expected)
    return min(measured) <= longest + _slack(longest, tolerance)


def measured_durations(parts: Sequence[float]) -> list[float]:
    """What may be compared: the longest part (a file for each channel), and all together (a file for each stretch)."""
    return sorted({max(parts), sum(parts)}) if parts else []


def expected_durations(expected: object) -> list[float]:
    """The candidate durations in the body of `media.archived`; empty when there are none."""
    durations = expected.get("durations") if isinstance(expected, Mapping) else None
    if not isinstance(durations, list):
        return []
    return [float(value) for value in durations if isinstance(value, (int, float)) and value > 0]


def stated_duration(recording: Mapping[str, Any]) -> float | None:
    """Seconds by the platform's `outputDurationMs`; None when it is absent or 0, which means "not transcoded"."""
    value = recording.get("outputDurationMs")
    return value / 1000 if isinstance(value, (int, float)) and value > 0 else None


def _slack(expected: float, tolerance: timedelta) -> float:
    return tolerance.total_seconds() + SHARE * expected
