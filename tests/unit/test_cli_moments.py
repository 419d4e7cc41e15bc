"""`--from` and `--to`: every form, what a date means at either end, and what is refused."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from genesys_sync.cli import main
from genesys_sync.cli.moments import NoWindow, Window, add_window, moment, window

NOW = datetime(2026, 8, 5, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("now", NOW, NOW),
        ("2026-08-01", datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 8, 2, tzinfo=UTC)),
        ("2026-08-01T14:30", datetime(2026, 8, 1, 14, 30, tzinfo=UTC), datetime(2026, 8, 1, 14, 30, tzinfo=UTC)),
        ("2026-08-01T14:30:00+02:00", datetime(2026, 8, 1, 12, 30, tzinfo=UTC), datetime(2026, 8, 1, 12, 30, tzinfo=UTC)),
        (
            "2026-08-01T14:30:00.5Z",
            datetime(2026, 8, 1, 14, 30, 0, 500_000, tzinfo=UTC),
            datetime(2026, 8, 1, 14, 30, 0, 500_000, tzinfo=UTC),
        ),
        ("7d", NOW - timedelta(days=7), NOW - timedelta(days=7)),
        (" 90m ", NOW - 90 * MINUTE, NOW - 90 * MINUTE),
    ],
)
def test_the_forms_of_a_time(text: str, start: datetime, end: datetime) -> None:
    assert moment(text, now=NOW) == start
    assert moment(text, now=NOW, ending=True) == end


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "7", "0001-01-01T00:00+23:59", "99999999999d", "-7d"])
def test_what_is_no_time_is_said_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time: write 2026-08-01 \(UTC\)"):
        moment(text, now=NOW)


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_window(parser)
    return parser.parse_args(words)


def test_one_day_is_that_day() -> None:
    found = window(asked("--from", "2026-08-01", "--to", "2026-08-01"), now=NOW, settle=MINUTE)
    assert found == Window(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 8, 2, tzinfo=UTC))
    assert found.to_ms - found.from_ms == 86_400_000


def test_without_an_end_it_is_as_late_as_analytics_is_filled_and_never_in_the_future() -> None:
    whole = NOW.replace(microsecond=123_000)
    assert window(asked("--from", "1h"), now=NOW, settle=MINUTE).end == whole - MINUTE
    assert window(asked("--from", "1h", "--to", "2030-01-01"), now=NOW, settle=MINUTE).end == whole


@pytest.mark.parametrize("words", [("--from", "2026-08-02", "--to", "2026-08-01"), ("--from", "2030-01-01"), ("--from", "30s")])
def test_no_time_between_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(NoWindow):
        window(asked(*words), now=NOW, settle=MINUTE)


@pytest.mark.parametrize("command", ["report", "backfill"])
@pytest.mark.parametrize("words", [[], ["--from", "soon"], ["--from", "1h", "--to", "32 o'clock"]])
def test_wrong_use_is_64(command: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, *words]) == 64
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("start", ["3700d", "1970-01-01", "0001-01-01"])
def test_a_time_that_nothing_is_believed_of_is_refused(start: str) -> None:
    """A slip of the finger must not become a request of a hundred thousand days, which no command takes back."""
    with pytest.raises(NoWindow, match="more than 10 years back"):
        window(asked("--from", start), now=NOW, settle=MINUTE)
