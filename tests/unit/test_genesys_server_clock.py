"""The platform's clock, by the `Date` of its answers: believed when two in a row agree, and told of once."""

from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from genesys_sync.genesys.server_clock import TOLERATED, ServerClock
from genesys_sync.testing import FakeClock

HOURS = timedelta(hours=2)


def heard(clock: FakeClock, *offsets: timedelta | None) -> tuple[timedelta, list[str]]:
    server = ServerClock(clock)
    with capture_logs() as logs:
        for offset in offsets:
            server.heard(_now(clock) + offset if offset is not None else None)
    return server.offset, [line["event"] for line in logs]


def _now(clock: FakeClock) -> datetime:
    return clock.now()


@pytest.mark.parametrize("offset", [HOURS, -HOURS])
def test_two_answers_that_agree_are_believed(fake_clock: FakeClock, offset: timedelta) -> None:
    assert heard(fake_clock, offset, offset + timedelta(seconds=1)) == (offset + timedelta(seconds=1), ["CLOCK_UNTRUSTED"])


@pytest.mark.parametrize(
    "offsets", [(HOURS,), (HOURS, None), (timedelta(0), HOURS, timedelta(0)), (HOURS, -HOURS), (TOLERATED, TOLERATED), (None, None)]
)
def test_one_odd_answer_or_a_small_difference_changes_nothing(fake_clock: FakeClock, offsets: tuple[timedelta | None, ...]) -> None:
    assert heard(fake_clock, *offsets) == (timedelta(0), [])


def test_it_is_told_once_and_its_return_too(fake_clock: FakeClock) -> None:
    offsets = (HOURS, HOURS, HOURS, timedelta(0), timedelta(0), timedelta(0))
    assert heard(fake_clock, *offsets) == (timedelta(0), ["CLOCK_UNTRUSTED", "clock_trusted"])
