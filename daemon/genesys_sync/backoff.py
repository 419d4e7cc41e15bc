"""How long to wait before the next attempt. Pure: randomness is given, time is not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

RETRY_AFTER_MIN = timedelta(seconds=1)
RETRY_AFTER_MAX = timedelta(minutes=15)
_PLACES_MIN = 2.0


def full_jitter(attempt: int, *, base: float, cap: float, random: Callable[[], float]) -> float:
    """Seconds to wait after the given attempt (the first is 1): drawn evenly from 0 to min(cap, base * 2^(attempt-1)).

    Full jitter, so that clients which failed together do not come back together.
    """
    exponent = min(max(attempt, 1) - 1, 62)
    return random() * min(cap, base * 2.0**exponent)


def delays(*, base: float, cap: float, random: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each following attempt, without end; take a new iterator after a success."""
    attempt = 1
    while True:
        yield full_jitter(attempt, base=base, cap=cap, random=random)
        attempt += 1


def place_in_line(turn: int, *, window: float, told: float, random: Callable[[], float]) -> float:
    """Seconds to wait after the platform sent everybody away at once; `turn` counts such endings in a row, the first is 1.

    The first draws a place in the window, and every later one waits a whole window, which keeps that place: drawing again each time would
    bring some together again. `told` is the wait that the platform asked for; the places begin behind it.
    """
    if turn <= 1:
        return told + random() * max(_PLACES_MIN, window - told)
    return max(window, told)


def scheduled(attempt: int, schedule: Sequence[timedelta], *, random: Callable[[], float]) -> timedelta:
    """The wait after the given attempt by a fixed schedule, up to 10 % longer; past its end the last entry repeats."""
    planned = schedule[min(max(attempt, 1), len(schedule)) - 1]
    return planned * (1 + 0.1 * random())


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """A `Retry-After` header in either form of RFC 9110 §10.2.3, clamped to 1 s … 15 min; None when absent or meaningless.

    `now` is the server's own `Date` where known, so that a wrong local clock does not stretch the wait.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = min(float(text), RETRY_AFTER_MAX.total_seconds())
        wait = timedelta(seconds=seconds)
    else:
        moment = http_date(text)
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait = moment - now
    return max(RETRY_AFTER_MIN, min(RETRY_AFTER_MAX, wait))


def http_date(text: str) -> datetime | None:
    """A date as HTTP headers carry it, without a zone where it names none; None for whatever else the text is."""
    try:
        return parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for numbers beyond any calendar
        return None
