"""F07: daemons that the platform sent away together come back one by one, and soon."""

from collections import Counter
from random import Random

import pytest

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.feed.protocol import Cause, Ending, close_ending, failure_ending, upgrade_ending
from genesys_sync.feed.rests import Rests
from genesys_sync.settings import FeedSettings

DAEMONS = 20
OUTAGE = 30.0
AWAY = upgrade_ending(503, retry_after=0)


def attempts(first: Ending, seed: int) -> list[float]:
    """When one daemon tries, in seconds after the blow, until the platform serves it; the handshake itself takes no time."""
    rests = Rests(FeedSettings(), random=Random(seed).random)
    moments = [rests.after(first, live_for=3600)]
    while moments[-1] < OUTAGE:
        moments.append(moments[-1] + rests.after(AWAY, live_for=0))
    return moments


def fullest(blow: list[list[float]], *, since: float) -> int:
    """The most attempts that any one second holds, wherever it begins."""
    moments = sorted(moment for one in blow for moment in one if moment >= since)
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


def test_no_second_holds_more_than_four_attempts_of_twenty_daemons() -> None:
    blow = [attempts(close_ending(1001), seed) for seed in range(DAEMONS)]
    assert fullest(blow, since=0) <= 4
    assert max(one[-1] for one in blow) <= OUTAGE + 30


def test_after_a_break_without_a_word_it_holds_from_the_second_attempt_on() -> None:
    blow = [attempts(close_ending(None), seed) for seed in range(DAEMONS)]
    firsts = [one[0] for one in blow]
    assert max(firsts) <= 2
    assert max(firsts) - min(firsts) > 1.5
    assert fullest([one[1:] for one in blow], since=0) <= 4
    assert max(one[-1] for one in blow) <= OUTAGE + 30


def test_chance_breaks_the_promise_in_few_outages_and_never_by_much() -> None:
    """Daemons that do not know each other cannot do better than chance; this is how good chance is, by whole seconds."""
    worst: Counter[int] = Counter()
    for outage in range(200):
        moments = [moment for daemon in range(DAEMONS) for moment in attempts(close_ending(1012), DAEMONS * outage + daemon)]
        worst[max(Counter(map(int, moments)).values())] += 1
    assert sum(count for most, count in worst.items() if most <= 4) >= 190
    assert max(worst) <= 6


@pytest.mark.parametrize(
    ("ending", "crowd"),
    [
        (close_ending(1001), True),
        (close_ending(1012), True),
        (close_ending(1013), True),
        (close_ending(1000), False),
        (close_ending(4401), False),
        (close_ending(None), False),
        (upgrade_ending(503, retry_after=0), True),
        (upgrade_ending(429, retry_after=7), False),
        (upgrade_ending(403, retry_after=0), False),
        (failure_ending(TransientError("the platform answered 502", code=ReasonCode.UNREACHABLE)), True),
        (failure_ending(TransientError("the rate budget is used up", code=ReasonCode.RATE_LIMITED)), False),
        (Ending(cause=Cause.SILENT), False),
    ],
)
def test_only_what_the_platform_did_to_all_is_a_crowd(ending: Ending, crowd: bool) -> None:
    assert ending.crowd is crowd


def test_what_the_platform_asked_for_is_waited_for_and_the_places_lie_behind_it() -> None:
    rests = Rests(FeedSettings(), random=lambda: 0.5)
    assert rests.after(upgrade_ending(503, retry_after=20), live_for=0) == 20 + 0.5 * 7
    assert rests.after(upgrade_ending(503, retry_after=60), live_for=0) == 60
    assert rests.after(upgrade_ending(429, retry_after=7), live_for=0) == 7


def test_a_good_connection_begins_the_places_anew() -> None:
    rests = Rests(FeedSettings(), random=lambda: 0.1)
    assert [rests.after(AWAY, live_for=0) for _ in range(3)] == [pytest.approx(2.7), 27, 27]
    assert rests.after(close_ending(1001), live_for=31) == pytest.approx(2.7)
