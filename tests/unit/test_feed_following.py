"""Which calls' live topics are wanted: from the first sign until what was said last has had time to come."""

from genesys_sync.feed.following import (
    CONVERSATIONS_MOST,
    GRACE,
    GRACE_ALONE,
    GRACE_TOLD,
    STALE_AFTER,
    Following,
    is_live_topic,
    live_topic,
)

CALL, OTHER = "0b0b0b0b-1111-4222-8333-444444444444", "0c0c0c0c-1111-4222-8333-444444444444"


def test_a_topic_is_told_from_all_others() -> None:
    assert is_live_topic(live_topic(CALL))
    assert not is_live_topic(f"v2.conversations.{CALL}.transcription.x")
    assert not is_live_topic("v2.routing.queues.q.conversations")


def test_calls_are_wanted_in_the_order_in_which_they_were_first_seen() -> None:
    following = Following()
    for name in (CALL, OTHER, CALL):
        following.seen(name, 0)
    assert following.wanted(1) == (CALL, OTHER)
    assert following.version == 2, "the second sight of a call changes nothing"


def test_what_was_said_last_is_waited_for_and_less_long_when_every_stream_is_over() -> None:
    following = Following()
    for name in (CALL, OTHER):
        following.seen(name, 0)
    following.heard(CALL, "leg-1", 1, ended=False)
    following.heard(CALL, "leg-2", 1, ended=False)
    for name in (CALL, OTHER):
        following.ended(name, 10)
    following.heard(CALL, "leg-1", 11, ended=True)
    assert following.wanted(20) == (CALL, OTHER), "its second stream goes on"
    following.heard(CALL, "leg-2", 21, ended=True)
    assert following.wanted(21 + GRACE_TOLD - 0.1) == (CALL, OTHER)
    assert following.wanted(21 + GRACE_TOLD) == (OTHER,)
    assert following.wanted(10 + GRACE) == ()


def test_a_call_whose_streams_ended_before_it_waits_for_another_leg() -> None:
    following = Following()
    following.seen(CALL, 0)
    following.heard(CALL, "leg-1", 5, ended=True)
    assert following.wanted(5 + GRACE_ALONE - 1) == (CALL,)
    following.heard(CALL, "leg-2", 5 + GRACE_ALONE - 1, ended=False)
    assert following.wanted(5 + 10 * GRACE_ALONE) == (CALL,)
    following.ended(CALL, 2000)
    following.heard(CALL, "leg-2", 2001, ended=True)
    assert following.wanted(2001 + GRACE_TOLD) == ()


def test_a_call_whose_end_was_missed_gives_its_place_back() -> None:
    following = Following()
    following.seen(CALL, 0)
    assert following.wanted(STALE_AFTER - 1) == (CALL,)
    assert following.wanted(STALE_AFTER) == ()


def test_a_message_finds_a_call_of_the_process_before_but_no_call_that_is_over() -> None:
    following = Following()
    following.heard(CALL, "leg", 0, ended=False)
    assert following.wanted(0) == (CALL,)
    following.ended(CALL, 1)
    assert following.wanted(1 + GRACE) == ()
    following.heard(CALL, "leg", 2 + GRACE, ended=False)
    assert following.wanted(2 + GRACE) == ()


def test_the_number_of_calls_is_bounded_and_the_oldest_goes_first() -> None:
    following = Following()
    for number in range(CONVERSATIONS_MOST + 3):
        following.seen(str(number), 0)
    assert len(following) == CONVERSATIONS_MOST
    assert following.wanted(0)[0] == "3"
