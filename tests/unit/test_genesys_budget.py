"""The rate budget: never more than our share in a window, and nobody sends during a pause."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_sync.genesys.budget import WINDOW, Budget
from genesys_sync.genesys.lanes import Lane, reserve

MEDIA, CONTROL, RECONCILE = Lane.MEDIA, Lane.CONTROL, Lane.RECONCILE


def headers(count: int, allowed: int, reset: int) -> dict[str, str]:
    return {"inin-ratelimit-count": str(count), "inin-ratelimit-allowed": str(allowed), "inin-ratelimit-reset": str(reset)}


def test_a_burst_stops_at_our_share_and_goes_on_in_the_next_window() -> None:
    budget = Budget(allowed=10, share=0.9)
    sent = 0
    while budget.wait(1.0, MEDIA) == 0:
        budget.sent(1.0, MEDIA)
        budget.ended(MEDIA)
        sent += 1
    assert sent == 9 - 2, "two are kept for the other lanes"
    assert budget.wait(1.0, MEDIA) == WINDOW
    assert budget.wait(1.0 + WINDOW, MEDIA) == 0


def test_the_limit_is_learnt_from_the_answers() -> None:
    budget = Budget(allowed=300, share=0.5)
    budget.sent(0.0, MEDIA)
    budget.ended(MEDIA)
    budget.learn(0.0, headers(count=1, allowed=20, reset=30))
    assert budget.limit == 10
    assert budget.remaining(0.0) == 9


def test_others_who_use_the_same_token_are_counted() -> None:
    budget = Budget(allowed=100, share=0.9)
    budget.sent(0.0, MEDIA)
    budget.ended(MEDIA)
    budget.learn(0.0, headers(count=90, allowed=100, reset=20))
    assert 20 <= budget.wait(0.0, MEDIA) <= 21


def test_an_outage_uses_up_no_window_and_a_count_that_was_made_all_the_same_is_learnt() -> None:
    budget = Budget(allowed=10, share=1)
    for _ in range(1000):
        assert budget.wait(1.0, CONTROL) == 0
        budget.sent(1.0, CONTROL)
        budget.ended(CONTROL)
        budget.unheard(1.0, CONTROL)
    assert budget.remaining(1.0) == 10
    budget.sent(2.0, CONTROL)
    budget.ended(CONTROL)
    budget.learn(2.0, headers(count=9, allowed=10, reset=30))
    assert budget.remaining(2.0) == 1


def test_requests_on_their_way_count_in_a_window_that_has_just_begun() -> None:
    budget = Budget(allowed=10, share=1)
    for _ in range(4):
        budget.sent(0.0, MEDIA)
    budget.ended(MEDIA)
    budget.learn(59.0, headers(count=1, allowed=10, reset=60))
    assert budget.remaining(59.0) == 10 - 1 - 3


def test_nobody_sends_during_a_pause_and_a_shorter_one_does_not_cut_it() -> None:
    budget = Budget(allowed=300, share=0.9)
    assert budget.refused(0.0, 30)
    assert not budget.refused(5.0, 1)
    assert [budget.wait(10.0, lane) for lane in Lane] == [20] * len(Lane)
    assert budget.wait(30.0, MEDIA) == 0


def test_headers_that_are_nonsense_change_nothing() -> None:
    budget = Budget(allowed=10, share=1)
    for strange in ({"inin-ratelimit-allowed": "-5"}, {"inin-ratelimit-allowed": "0"}, {"inin-ratelimit-count": "many"}, {}):
        budget.learn(0.0, strange)
    budget.learn(0.0, headers(count=9, allowed=10, reset=999_999))
    assert budget.remaining(0.0) == 10


def spend(budget: Budget, lane: Lane, now: float = 0.0) -> int:
    """Send in this lane for as long as it may; how many that were."""
    sent = 0
    while budget.wait(now, lane) == 0:
        budget.sent(now, lane)
        budget.ended(lane)
        sent += 1
    return sent


def test_media_work_leaves_the_others_their_reserve() -> None:
    budget = Budget(allowed=300, share=0.9)
    assert spend(budget, MEDIA) == 270 - 27 - 27 == budget.most(MEDIA)
    assert spend(budget, RECONCILE) == 27
    assert spend(budget, CONTROL) == 27
    assert budget.remaining(0.0) == 0


def test_what_is_reserved_for_nobody_is_lent_to_whoever_comes() -> None:
    budget = Budget(allowed=300, share=0.9)
    assert spend(budget, RECONCILE) == 270 - 27, "all but the reserve of control; media has none"
    assert spend(budget, MEDIA) == 0
    assert spend(budget, CONTROL) == 27


def test_another_program_that_eats_the_token_s_rate_leaves_reconciliation_its_share() -> None:
    """F13: 60 % of the limit is used by somebody else."""
    budget = Budget(allowed=300, share=0.9)
    budget.learn(0.0, headers(count=180, allowed=300, reset=60))
    assert spend(budget, MEDIA) == 270 - 180 - 54
    assert spend(budget, RECONCILE) == 27


def test_a_limit_too_small_for_a_reserve_and_the_rest_has_none() -> None:
    assert [reserve(CONTROL, limit) for limit in (1, 2, 3, 10, 270)] == [0, 0, 1, 1, 27]
    assert spend(Budget(allowed=2, share=1), MEDIA) == 2


def test_after_a_pause_one_goes_ahead_and_the_others_follow_when_it_was_served() -> None:
    budget = Budget(allowed=300, share=0.9)
    budget.refused(0.0, 5)
    assert budget.wait(5.0, MEDIA) == 0
    budget.sent(5.0, MEDIA)
    assert budget.wait(5.0, CONTROL) == math.inf
    budget.ended(MEDIA)
    budget.served(5.1)
    budget.sent(5.1, MEDIA)
    assert budget.wait(5.1, MEDIA) == 0


def test_an_answer_to_what_was_sent_before_the_pause_proves_nothing() -> None:
    budget = Budget(allowed=300, share=0.9)
    budget.refused(0.0, 5)
    budget.served(1.0)
    budget.sent(5.0, MEDIA)
    assert budget.wait(5.0, MEDIA) == math.inf


def test_a_second_429_within_a_minute_makes_the_pause_a_minute() -> None:
    budget = Budget(allowed=300, share=0.9)
    assert budget.refused(0.0, 1)
    assert budget.refused(2.0, 1)
    assert budget.pause(2.0) == WINDOW
    assert budget.refused(80.0, 1)
    assert budget.pause(80.0) == 1


def test_a_429_for_a_window_that_is_used_up_lasts_to_its_end_whatever_retry_after_says() -> None:
    budget = Budget(allowed=300, share=0.9)
    budget.learn(0.0, headers(count=301, allowed=300, reset=40))
    budget.refused(0.0, 2)
    assert 40 <= budget.pause(0.0) <= 41


@given(
    allowed=st.integers(1, 50),
    share=st.floats(0.1, 1),
    steps=st.lists(st.floats(0, 20), min_size=1, max_size=150),
)
def test_a_platform_with_aligned_windows_never_answers_429(allowed: int, share: float, steps: list[float]) -> None:
    """We send whenever we may, against a platform that counts in windows of a minute and tells so."""
    budget = Budget(allowed=allowed, share=share)
    now, window, count = 0.0, 0, 0
    for step in steps:
        now += step
        if int(now // WINDOW) != window:
            window, count = int(now // WINDOW), 0
        while budget.wait(now, MEDIA) == 0:
            budget.sent(now, MEDIA)
            count += 1
            assert count <= allowed
            budget.ended(MEDIA)
            budget.learn(now, headers(count, allowed, int(WINDOW - now % WINDOW)))


class Windowed:
    """The platform: counts what arrives in windows of a minute, aligned to the clock or beginning with a request."""

    def __init__(self, allowed: int, *, aligned: bool) -> None:
        self.allowed, self.aligned = allowed, aligned
        self.begun, self.count = -math.inf, 0

    def arrive(self, now: float) -> dict[str, str]:
        if now >= self.begun + WINDOW:
            self.begun, self.count = (now // WINDOW * WINDOW if self.aligned else now), 0
        self.count += 1
        return headers(self.count, self.allowed, int(self.begun + WINDOW - now))


@settings(max_examples=20, deadline=None)
@given(
    allowed=st.integers(3, 60),
    aligned=st.booleans(),
    seed=st.integers(0, 1 << 32),
    pause=st.floats(0.01, 3),
    delay=st.floats(0, 2),
)
def test_requests_on_their_way_in_all_lanes_never_exceed_the_limit_nor_eat_a_reserve(allowed, aligned, seed, pause, delay) -> None:
    """Work in all lanes over some minutes, each request on its way for a while in either direction."""
    budget, platform, order, random = Budget(allowed=allowed, share=0.9), Windowed(allowed, aligned=aligned), count(), Random(seed)
    steps: list[tuple[float, int, str, Lane, dict[str, str]]] = [(7.0, next(order), "work", MEDIA, {})]
    while steps:
        now, _, what, lane, told = heapq.heappop(steps)
        if what == "arrive":
            told = platform.arrive(now)
            assert platform.count <= allowed
            heapq.heappush(steps, (now + random.uniform(0, delay), next(order), "answer", lane, told))
        elif what == "answer":
            budget.ended(lane)
            budget.learn(now, told)
        elif now < 260:
            lane = random.choices([MEDIA, RECONCILE, CONTROL], [20, 2, 1])[0]
            if budget.wait(now, lane) == 0:
                budget.sent(now, lane)
                heapq.heappush(steps, (now + random.uniform(0, delay), next(order), "arrive", lane, {}))
            heapq.heappush(steps, (now + random.uniform(0, pause), next(order), "work", MEDIA, {}))


@given(allowed=st.integers(3, 400), work=st.lists(st.sampled_from(Lane), max_size=400))
def test_whatever_the_others_did_a_lane_has_its_reserve(allowed: int, work: list[Lane]) -> None:
    budget, sent = Budget(allowed=allowed, share=0.9), Counter[Lane]()
    for lane in work:
        if budget.wait(0.0, lane) == 0:
            budget.sent(0.0, lane)
            budget.ended(lane)
            sent[lane] += 1
    for lane in (CONTROL, RECONCILE):
        assert sent[lane] + spend(budget, lane) >= reserve(lane, budget.limit)
    assert sent.total() <= budget.limit
