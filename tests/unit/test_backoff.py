"""Waits: bounded, jittered, and as long as the other side asks within reason."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.backoff import RETRY_AFTER_MAX, RETRY_AFTER_MIN, delays, full_jitter, retry_after, scheduled

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


@given(attempt=st.integers(-5, 10_000), base=st.floats(0, 1e6), cap=st.floats(0, 1e6), drawn=st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_zero_and_the_cap(attempt: int, base: float, cap: float, drawn: float) -> None:
    assert 0 <= full_jitter(attempt, base=base, cap=cap, random=lambda: drawn) <= cap


def test_the_range_doubles_up_to_the_cap() -> None:
    assert list(islice(delays(base=1, cap=10, random=lambda: 1.0), 6)) == [1, 2, 4, 8, 10, 10]


def test_the_whole_range_is_drawn_from() -> None:
    """Full jitter, not a little on top: clients that failed together must not come back together."""
    assert full_jitter(4, base=1, cap=60, random=lambda: 0.0) == 0
    assert full_jitter(4, base=1, cap=60, random=lambda: 0.5) == 4


@given(attempt=st.integers(-2, 50), drawn=st.floats(0, 1, exclude_max=True))
def test_a_schedule_is_kept_and_its_last_entry_repeats(attempt: int, drawn: float) -> None:
    schedule = [timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=1)]
    planned = schedule[min(max(attempt, 1), 3) - 1]
    assert planned <= scheduled(attempt, schedule, random=lambda: drawn) <= planned * 1.1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        (" 3 ", 3),
        ("0", 1),
        ("901", 900),
        ("9" * 400, 900),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 1),
        (format_datetime(NOW + timedelta(days=300), usegmt=True), 900),
        ("Sat, 01 Aug 2026 12:00:30 -0000", 30),
    ],
)
def test_retry_after_in_both_its_forms(value: str, seconds: int) -> None:
    assert retry_after(value, now=NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "-5",
        "1.5",
        "٣",
        "Sat, 99 Aug 2026 12:00:30 GMT",
        "Sat, 01 Aug 2026 12:00:30 +99999999999999999999",
        f"Sat, {'9' * 20} Aug 2026 12:00:30 GMT",
        f"Sat, 01 Aug 2026 12:00:{'9' * 25} GMT",
    ],
)
def test_a_retry_after_without_meaning_is_none(value: str | None) -> None:
    assert retry_after(value, now=NOW) is None


@given(st.text())
def test_any_header_gives_a_bounded_wait_or_none(value: str) -> None:
    wait = retry_after(value, now=NOW)
    assert wait is None or RETRY_AFTER_MIN <= wait <= RETRY_AFTER_MAX
