"""Quiet is told from dead by what analytics shows."""

from __future__ import annotations

from genesys_sync.feed.starvation import CALLS, Starvation

MINUTE = 60_000


def shown(stream: Starvation, count: int, *, ended_ms: int, now_ms: int) -> list[bool]:
    return [stream.ended(f"c{number}", ended_ms, now_ms) for number in range(count)]


def live() -> Starvation:
    stream = Starvation(after=600)
    stream.live(0)
    return stream


def test_three_ends_unheard_while_it_was_live_and_quiet_starve_it() -> None:
    stream = live()

    assert shown(stream, CALLS, ended_ms=5 * MINUTE, now_ms=15 * MINUTE) == [False, False, True]
    assert stream.starved


def test_the_same_conversation_counts_once() -> None:
    stream = live()

    assert [stream.ended("c", 5 * MINUTE, 15 * MINUTE) for _ in range(10)] == [False] * 10


def test_what_ended_before_it_was_live_or_with_the_last_event_does_not_count() -> None:
    stream = live()
    stream.event(4 * MINUTE)

    assert not any(shown(stream, 10, ended_ms=4 * MINUTE + 59_000, now_ms=15 * MINUTE))


def test_it_is_given_its_time() -> None:
    assert not any(shown(live(), 10, ended_ms=5 * MINUTE, now_ms=9 * MINUTE))


def test_a_dark_stream_owes_nothing() -> None:
    stream = live()
    stream.dark()

    assert not any(shown(stream, 10, ended_ms=5 * MINUTE, now_ms=15 * MINUTE))


def test_an_event_proves_it_well_again() -> None:
    stream = live()
    shown(stream, CALLS, ended_ms=5 * MINUTE, now_ms=15 * MINUTE)

    stream.event(16 * MINUTE)

    assert not stream.starved


def test_told_once_for_each_silence() -> None:
    stream = live()
    shown(stream, CALLS, ended_ms=5 * MINUTE, now_ms=15 * MINUTE)

    assert not any(shown(stream, 10, ended_ms=5 * MINUTE, now_ms=30 * MINUTE))
    assert shown(stream, CALLS, ended_ms=20 * MINUTE, now_ms=30 * MINUTE) == [False, False, True]
