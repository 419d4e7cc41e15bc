"""Units: what people write is what is meant, and a bare number is never taken."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genesys_sync.units import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("48h", 172_800), ("7d", 604_800), ("1.5h", 5400), (" 2 s ", 2), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("1B", 1), ("64KiB", 65_536), ("500MB", 500_000_000), ("2GiB", 2 << 30), ("1.5KiB", 1536), ("1 TiB", 1 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value", [30, 30.0, True, None, "30", "", "s", "-1s", "1e3s", "1,5s", "30 sec", "30S", "1m30s", "0x1s", "9" * 30 + "d", "9" * 400 + "s"]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a duration|longer than can be counted"):
        parse_duration(value)


@pytest.mark.parametrize("value", [1, 1.0, "1", "", "GiB", "-1B", "1 gib", "1KiB2", "9" * 400 + "B"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a size|larger than can be counted"):
        parse_size(value)


@given(st.integers(0, 10**13))
@example(9_007_199_254_743)
def test_a_duration_shown_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            parse(text)
        except ValueError:
            continue
