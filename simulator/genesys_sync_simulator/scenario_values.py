"""The values of a scenario file, read.

A reader takes what TOML gave, and returns what it means; it raises ValueError with the rest of a sentence that begins with the key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from genesys_sync_simulator.scenario import OTHER_PERMISSIONS, PERMISSIONS
from genesys_sync_simulator.scenario_speech import Span
from genesys_sync_simulator.speech.phrases import LANGUAGES

Reader = Callable[[Any], Any]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)")
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def duration(value: Any) -> float:
    """Seconds from `"1.5s"`, `"250ms"`, `"24h"` or a plain number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'is {value!r}, and must be a duration such as "2s", "250ms" or "24h"')
    return float(match[1]) * _DURATION_UNITS[match[2]]


def size(value: Any) -> int:
    """Bytes from `"2GB"`, `"512KiB"` or a plain number."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'is {value!r}, and must be a size such as "2GB" or "512KiB"')
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def span(value: Any) -> Span:
    """Bounds from one duration, or from a list of two."""
    if isinstance(value, list):
        if len(value) != 2:
            raise ValueError('must be one duration, or two: ["2s", "6s"]')
        low, high = duration(value[0]), duration(value[1])
    else:
        low = high = duration(value)
    if low > high:
        raise ValueError("has its bounds the wrong way round")
    return Span(low, high)


def integer(low: int, high: int = 10_000_000) -> Reader:
    """A reader of whole numbers between two bounds."""

    def reader(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"is {value!r}, and must be a whole number from {low} to {high}")
        return value

    return reader


def positive(value: Any) -> float:
    """A number above zero."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"is {value!r}, and must be a number above zero")
    return float(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"is {value!r}, and must be true or false")
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {value!r}, and must be a text that is not empty")
    return value


def one_of(*allowed: Any) -> Reader:
    """A reader of one of these values."""

    def reader(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"is {value!r}, and must be one of {', '.join(map(str, allowed))}")
        return value

    return reader


def several(reader: Reader, *, empty: bool = False) -> Reader:
    """A reader of lists whose entries another reader takes."""

    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not (value or empty):
            raise ValueError("must be a list" + ("" if empty else " with at least one entry"))
        return tuple(reader(entry) for entry in value)

    return read_all


def share(value: Any) -> float:
    """A number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"is {value!r}, and must be a share from 0 to 1")
    return float(value)


def pause(value: Any) -> float:
    """Seconds between two things that repeat: never so short that they crowd out everything else."""
    seconds = duration(value)
    if seconds < 0.05:
        raise ValueError(f"is {value!r}, and must be at least 50ms")
    return seconds


def language(value: Any) -> str:
    """A language in which something can be said."""
    if value not in LANGUAGES:
        raise ValueError(f"is {value!r}, and must be one of {', '.join(LANGUAGES)}")
    return str(value)


def permission(value: Any) -> str:
    """The name of a permission that some operation or topic asks for."""
    known = {*PERMISSIONS, *OTHER_PERMISSIONS}
    if value not in known:
        raise ValueError(f"names {value!r}, which is no permission that the simulator knows{nearest(str(value), sorted(known))}")
    return str(value)


def nearest(key: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for what is nearly a known key, else nothing."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
