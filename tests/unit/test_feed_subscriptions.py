"""Which topics are wanted, given the queues that there are and those that were chosen."""

from __future__ import annotations

import pytest

from genesys_sync.feed.subscriptions import Wanted, joined, shared_out, wanted_topics
from genesys_sync.genesys.platform import Queue

FIRST = Queue("aaaaaaaa-1111-4222-8333-444444444444", "Sales")
SECOND = Queue("bbbbbbbb-1111-4222-8333-444444444444", "Care")


def topic(queue: Queue) -> str:
    return f"v2.routing.queues.{queue.id}.conversations"


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (["*"], Wanted((topic(FIRST), topic(SECOND)))),
        (["Care"], Wanted((topic(SECOND),))),
        ([FIRST.id], Wanted((topic(FIRST),))),
        ([FIRST.id.upper()], Wanted((topic(FIRST),))),
        (["care"], Wanted((), unmatched=("care",))),
        ([], Wanted(())),
    ],
)
def test_queues_are_chosen_by_id_in_any_case_or_by_their_exact_name(chosen: list[str], wanted: Wanted) -> None:
    assert wanted_topics([SECOND, FIRST], chosen=chosen, extra=[]) == wanted


def test_topics_that_differ_in_their_last_word_are_joined() -> None:
    topics = ["v2.users.u.presence", "v2.x", "v2.users.u.activity", topic(FIRST), topic(SECOND), "v2.users.u.tokens"]

    assert joined(topics) == ("v2.users.u?presence&activity&tokens", "v2.x", topic(FIRST), topic(SECOND))
    assert joined(topics, apart={"v2.users.u"}) == tuple(topics)


def test_a_joined_topic_stays_below_two_hundred_characters() -> None:
    words = [f"word{number:04d}" for number in range(100)]

    result = joined([f"v2.users.u.{word}" for word in words])

    assert all(len(one) < 200 for one in result)
    assert [word for one in result for word in one.removeprefix("v2.users.u?").split("&")] == words
    assert len(result) == 5


def test_what_is_joined_already_is_left_alone() -> None:
    assert joined(["v2.a?b&c", "v2.a.d", "v2.a.e"]) == ("v2.a?b&c", "v2.a?d&e")


def test_topics_are_shared_out_a_thousand_each_and_what_has_no_room_is_left_out() -> None:
    topics = [f"v2.t.{number}" for number in range(8300)]

    rows, left_out = shared_out(topics, {})

    assert [len(row) for row in rows.values()] == [1000] * 8
    assert left_out == 300


def test_a_topic_stays_with_its_shard_and_new_ones_take_the_room() -> None:
    rows, _ = shared_out([f"v2.t.{number}" for number in range(1500)], {})

    later, _ = shared_out(["v2.new", *(f"v2.t.{number}" for number in range(10, 1500))], rows)

    assert later[1] == rows[1]
    assert later[0] == (*rows[0][10:], "v2.new")


def test_an_empty_shard_ends_but_the_first_stays() -> None:
    rows, _ = shared_out([f"v2.t.{number}" for number in range(1500)], {})

    assert shared_out([], rows) == ({0: ()}, 0)
