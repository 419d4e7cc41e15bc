"""The rate budget: never more than our share in a window, and nobody sends during a pause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.genesys.budget import WINDOW, Budget


def headers(count: int, allowed: int, reset: int) -> dict[str, str]:
    return {"inin-ratelimit-count": str(count), "inin-ratelimit-allowed": str(allowed), "inin-ratelimit-reset": str(reset)}


def test_a_burst_stops_at_our_share_and_goes_on_in_the_next_window() -> None:
    budget = Budget(allowed=10, share=0.9)
    sent = 0
    while budget.wait(1.0) == 0:
        budget.sent(1.0)
        budget.ended()
        sent += 1
    assert sent == 9
    assert budget.wait(1.0) == WINDOW
    assert budget.wait(1.0 + WINDOW) == 0


def test_the_limit_is_learnt_from_the_answers() -> None:
    budget = Budget(allowed=300, share=0.5)
    budget.sent(0.0)
    budget.ended()
    budget.learn(0.0, headers(count=1, allowed=20, reset=30))
    assert budget.limit == 10
    assert budget.remaining(0.0) == 9


def test_others_who_use_the_same_token_are_counted() -> None:
    budget = Budget(allowed=100, share=0.9)
    budget.sent(0.0)
    budget.ended()
    budget.learn(0.0, headers(count=90, allowed=100, reset=20))
    assert 20 <= budget.wait(0.0) <= 21


def test_requests_on_their_way_count_in_a_window_that_has_just_begun() -> None:
    budget = Budget(allowed=10, share=1)
    for _ in range(4):
        budget.sent(0.0)
    budget.ended()
    budget.learn(59.0, headers(count=1, allowed=10, reset=60))
    assert budget.remaining(59.0) == 10 - 1 - 3


def test_nobody_sends_during_a_pause_and_a_shorter_one_does_not_cut_it() -> None:
    budget = Budget(allowed=300, share=0.9)
    budget.pause(0.0, 30)
    budget.pause(5.0, 1)
    assert budget.wait(10.0) == 20
    assert budget.wait(30.0) == 0


def test_headers_that_are_nonsense_change_nothing() -> None:
    budget = Budget(allowed=10, share=1)
    for strange in ({"inin-ratelimit-allowed": "-5"}, {"inin-ratelimit-allowed": "0"}, {"inin-ratelimit-count": "many"}, {}):
        budget.learn(0.0, strange)
    budget.learn(0.0, headers(count=9, allowed=10, reset=999_999))
    assert budget.remaining(0.0) == 10


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
        while budget.wait(now) == 0:
            budget.sent(now)
            count += 1
            assert count <= allowed
            budget.ended()
            budget.learn(now, headers(count, allowed, int(WINDOW - now % WINDOW)))
