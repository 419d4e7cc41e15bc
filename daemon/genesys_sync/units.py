"""Durations and sizes as people write them in settings: a number with its unit, never a bare number."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_MICROSECONDS = {"ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)")
_BYTES = {"B": 1, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30, "TB": 10**12, "TiB": 2**40}


def parse_duration(value: object) -> timedelta:
    """`"250ms"`, `"30s"`, `"5m"`, `"48h"`, `"7d"`. Raises ValueError for anything else, a bare number above all."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration: write a number with its unit (ms, s, m, h, d), such as "30s"')
    try:
        # decimal, because a float of seconds does not hold every millisecond of a long time
        return timedelta(microseconds=round(Decimal(match[1]) * _MICROSECONDS[match[2]]))
    except OverflowError:
        raise ValueError("is longer than can be counted") from None


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back."""
    microseconds = value // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s"):
        if microseconds and microseconds % _MICROSECONDS[unit] == 0:
            return f"{microseconds // _MICROSECONDS[unit]}{unit}"
    return f"{round(microseconds / 1000)}ms"


def milliseconds(span: timedelta) -> int:
    """As the ledger and `Clock.epoch_ms` count, rounded."""
    return round(span.total_seconds() * 1000)


def parse_size(value: object) -> int:
    """`"64KiB"`, `"2GiB"`, `"500MB"`: bytes. Raises ValueError for anything else, a bare number above all."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a size: write a number with its unit (B, KiB, MiB, GiB), such as "2GiB"')
    if len(match[1]) > 15:
        raise ValueError("is larger than can be counted")
    return int(float(match[1]) * _BYTES[match[2]])


def spoken(span: timedelta) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`: for people, rounded down."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((172_800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds // {'days': 86_400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
"""A `timedelta` field that reads `"30s"`."""

Size = Annotated[int, BeforeValidator(parse_size)]
"""An `int` field, bytes, that reads `"2GiB"`."""
