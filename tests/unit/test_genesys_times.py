"""Any text in the place of the platform's time is a moment in UTC, or none; it raises nothing."""

from datetime import UTC, datetime

import pytest

from genesys_sync.genesys.details_query import parse_time


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-08-01T12:00:00.000Z", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T14:00:00+02:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T12:00:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+10:00", None),
        ("9999-12-31T23:59:59-10:00", None),
        ("2026-02-30T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1785585600000, None),
    ],
)
def test_a_time_of_the_platform(value: object, moment: datetime | None) -> None:
    assert parse_time(value) == moment
