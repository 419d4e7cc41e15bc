"""The ladder of looks: everything follows from the time since the end."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync_handlers._ladder import Ladder
from genesys_sync_handlers.discover import DiscoverConfig

_CONFIG = DiscoverConfig()
LADDER = _CONFIG.climbed()


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.parametrize(
    ("elapsed", "wait"),
    [
        (0, 30),
        (29.999, 0.001),
        (30, 30),
        (61, 59),
        (120, 180),
        (300, 300),
        (600, 1200),
        (1800, 1800),
        (3600, 3600),
        (3601, 3599),
        (47.5 * 3600, 1800),
        (48 * 3600 - 1, 1),
    ],
)
def test_the_next_look_is_the_next_rung_then_hourly(elapsed: float, wait: float) -> None:
    assert LADDER.next_look(seconds(elapsed)) == seconds(wait)


def test_confirmation_and_the_last_look_are_never_missed() -> None:
    odd = Ladder((seconds(10), seconds(100)), confirm_after=seconds(42), give_up=seconds(250))
    looks, elapsed = [], seconds(0)
    while not odd.over(elapsed):
        elapsed += odd.next_look(elapsed)
        looks.append(elapsed.total_seconds())
    assert looks == [10, 42, 100, 200, 250]


@given(st.floats(min_value=0, max_value=400 * 3600))
def test_the_wait_is_never_zero_and_never_longer_than_the_last_rung(elapsed: float) -> None:
    assert timedelta(0) < LADDER.next_look(seconds(elapsed)) <= timedelta(hours=1)


def test_patience_begins_with_the_third_rung_or_the_last_of_fewer() -> None:
    assert not LADDER.patient(seconds(119))
    assert LADDER.patient(seconds(120))
    assert Ladder((seconds(5),), seconds(60), seconds(90)).patient(seconds(5))
