"""Reads what the platform writes about speech: every field may be missing, of another kind, or out of all bounds. Raises nothing. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

EPOCH_FROM: Final = 100_000_000_000
"""Milliseconds from here on are a moment since 1970 (it lies in 1973); fewer count from the recording's start (they are three years)."""
_EPOCH_TO: Final = 253_402_300_800_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"milliseconds": 1.0, "millis": 1.0, "ms": 1.0, "seconds": 1e3, "minutes": 6e4, "hours": 3.6e6, "nanos": 1e-6}
_DURATION: Final = re.compile(r"PT(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?")
_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,9})?")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LANGUAGE: Final = re.compile(r"[a-z]{2,8}(?:[-_][a-z0-9]{1,8}){0,4}", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z][a-z_-]{0,63}")


def number(value: object) -> float | None:
    """A finite number; one that is written as text, too."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and abs(found) < _EPOCH_TO else None


def milliseconds(value: object) -> float | None:
    """A duration or an offset: a number of milliseconds, an object such as `{"milliseconds": 900}`, or ISO 8601 (`PT0.9S`)."""
    if isinstance(value, Mapping):
        parts = [amount * unit for name, unit in _UNITS.items() if (amount := number(value.get(name))) is not None]
        return sum(parts) if parts else None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)) is not None:
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return (hours * 60 + minutes) * 6e4 + seconds * 1e3
    return number(value)


def is_moment(value: float) -> bool:
    """Whether so many milliseconds are a moment since 1970, and not a time from the recording's start."""
    return value >= EPOCH_FROM


def moment(epoch_ms: float) -> datetime:
    """The moment, aware, UTC, in milliseconds."""
    return _EPOCH + timedelta(milliseconds=math.floor(epoch_ms))


def epoch_ms(value: datetime) -> float:
    """Milliseconds since 1970 of an aware moment."""
    return (value - _EPOCH) / timedelta(milliseconds=1)


def text(value: object) -> str:
    """Text as it can be written into any file: without control characters, without blanks at its ends. Empty for what is none."""
    return _CONTROLS.sub(" ", value).strip() if isinstance(value, str) else ""


def label(value: object) -> str:
    """A word by which the platform names a kind of thing, lower case; empty for what is none, such as an address in its place."""
    told = text(value).lower()
    return told if _LABEL.fullmatch(told) else ""


def confidence(value: object) -> float | None:
    """From 0 to 1; percents are taken for what they are."""
    found = number(value)
    if found is None or found < 0:
        return None
    return min(1.0, found if found <= 1 else found / 100)


def language(value: object) -> str | None:
    """BCP 47 in its usual spelling: `en-us` and `en_US` are `en-US`. None for what names no language."""
    if not isinstance(value, str) or _LANGUAGE.fullmatch(value) is None:
        return None
    first, *rest = value.replace("_", "-").split("-")
    spelt = [part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part.lower() for part in rest]
    return "-".join([first.lower(), *spelt])


def objects(holder: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; none where there is no list."""
    value = holder.get(key)
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))
