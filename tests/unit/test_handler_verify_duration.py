"""When is a recording as long as its call?"""

from datetime import timedelta
from typing import Any

import pytest

from genesys_sync_handlers._verdict import agrees, expected_durations, measured_durations, possible, stated_duration
from genesys_sync_handlers._workers import Limits

TWO = timedelta(seconds=2)


@pytest.mark.parametrize(
    ("measured", "expected", "verdict"),
    [
        ([100.0], [100.0], True),
        ([96.0], [100.0], True),
        ([104.0], [100.0], True),
        ([95.9], [100.0], False),
        ([104.1], [100.0], False),
        ([61.0], [240.0, 60.0], True),
        ([60.0, 120.0], [120.0], True),
        ([60.0], [], False),
    ],
)
def test_agreement_is_within_two_seconds_and_two_percent_of_any_candidate(
    measured: list[float], expected: list[float], verdict: bool
) -> None:
    assert agrees(measured, expected, TWO) is verdict


def test_a_pause_shortens_and_nothing_lengthens() -> None:
    assert possible([10.0], [60.0, 240.0], TWO)
    assert possible([246.8], [60.0, 240.0], TWO)
    assert not possible([247.0], [60.0, 240.0], TWO)


def test_parts_count_alone_or_together() -> None:
    assert measured_durations([]) == []
    assert measured_durations([30.0]) == [30.0]
    assert measured_durations([30.0, 20.0]) == [30.0, 50.0]


@pytest.mark.parametrize(
    ("told", "found"),
    [(None, []), ({}, []), ({"durations": None}, []), ({"durations": [3, "x", -1, 0, 2.5]}, [3.0, 2.5]), ({"durations": []}, [])],
)
def test_what_is_expected_is_read_with_care(told: Any, found: list[float]) -> None:
    assert expected_durations(told) == found


@pytest.mark.parametrize(
    ("told", "found"), [({}, None), ({"outputDurationMs": 0}, None), ({"outputDurationMs": "5"}, None), ({"outputDurationMs": 61500}, 61.5)]
)
def test_zero_means_that_the_platform_does_not_know(told: dict[str, Any], found: float | None) -> None:
    assert stated_duration(told) == found


def test_limits_grant_opus_several_times_its_cost_and_a_small_file_little() -> None:
    gigabytes = Limits.of(2 << 30, 3600.0)
    assert gigabytes.cpu_seconds > 4 * (2 << 30) / 2_300_000
    assert gigabytes.wall > timedelta(seconds=gigabytes.cpu_seconds)
    assert Limits.of(50_000, 0.0).cpu_seconds < 60
