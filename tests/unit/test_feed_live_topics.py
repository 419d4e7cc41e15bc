"""Live topics take the places that queues leave, keep their shard, come back when they may, and are asked for no oftener than that."""

from __future__ import annotations

import pytest
import structlog

from genesys_sync.feed.book import SHARDS_MOST
from genesys_sync.feed.following import live_topic
from genesys_sync.feed.subscriptions import RECHECK, SPARE_FOR, TOPICS_LIMIT, LiveTopics
from genesys_sync.metrics import Metrics

MISSING = ("conversation:transcription:view",)


def calls(first: int, end: int) -> list[str]:
    return [f"{number:08x}-1111-4222-8333-444444444444" for number in range(first, end)]


@pytest.fixture
def topics() -> LiveTopics:
    return LiveTopics(Metrics())


def queues(count: int) -> dict[int, tuple[str, ...]]:
    return {0: tuple(f"v2.q.{number}" for number in range(count))}


def grant(topics: LiveTopics) -> None:
    for shard, row in topics.rows.items():
        topics.answered(shard, dict.fromkeys(row, True), ())


def test_queues_keep_their_places_and_what_has_no_room_is_left_out_and_said_once(topics: LiveTopics) -> None:
    with structlog.testing.capture_logs() as lines:
        assert topics.place(calls(0, 20_000), queues(900), 0) == frozenset(range(SHARDS_MOST))
        topics.place(calls(0, 19_000), queues(900), 1)
    assert [len(row) for row in topics.rows.values()] == [100] + [TOPICS_LIMIT] * (SHARDS_MOST - 1)
    assert topics.left_out == 19_000 - 8000 + 900
    assert [line["event"] for line in lines] == ["live_topics_left_out"]


def test_new_queues_push_live_topics_aside_and_not_the_other_way_round(topics: LiveTopics) -> None:
    topics.place(calls(0, 100), queues(900), 0)
    topics.place(calls(0, 100), queues(950), 1)
    assert len(topics.rows[0]) == 50
    assert set(topics.rows[0]) | set(topics.rows[1]) == set(map(live_topic, calls(0, 100)))


def test_a_call_stays_where_it_is_while_others_come_and_go(topics: LiveTopics) -> None:
    topics.place(calls(0, 1500), queues(3), 0)
    second = topics.rows[1]
    assert topics.place([*calls(100, 1500), *calls(2000, 2010)], queues(3), 1) == {0}
    assert topics.rows[1] == second
    assert topics.place([*calls(100, 1500), *calls(2000, 2010)], queues(3), 2) == frozenset(), "nothing has changed"


def test_who_was_left_out_gets_the_place_that_becomes_free(topics: LiveTopics) -> None:
    topics.place(calls(0, 8001), queues(0), 0)
    assert topics.left_out == 1
    topics.place(calls(1, 8001), queues(0), 1)
    assert topics.left_out == 0
    assert live_topic(calls(8000, 8001)[0]) in topics.rows[0]


def test_a_channel_of_live_topics_alone_is_kept_for_an_hour_so_that_none_is_made_with_each_wave(topics: LiveTopics) -> None:
    topics.place(calls(0, 1010), queues(0), 0)
    assert topics.place(calls(0, 5), queues(0), 1) == {0, 1}
    assert len(topics.rows[1]) == 1
    topics.place(calls(0, 5), queues(0), SPARE_FOR)
    assert 1 in topics.rows
    topics.place(calls(0, 5), queues(0), 1 + SPARE_FOR)
    assert 1 not in topics.rows


def test_a_missing_permission_is_told_once_and_asked_for_again_with_one_topic_after_a_while(topics: LiveTopics) -> None:
    with structlog.testing.capture_logs() as lines:
        topics.place(calls(0, 10), queues(3), 0)
        topics.answered(0, dict.fromkeys(topics.rows[0], False), MISSING)
        assert topics.refused == MISSING
        assert topics.place(calls(0, 20), queues(3), 1) == {0}
        for now in (2.0, RECHECK):
            topics.place(calls(0, 20), queues(3), now)
            assert topics.rows == {}
        topics.place(calls(0, 20), queues(3), 1 + RECHECK)
        assert topics.rows == {0: (live_topic(calls(0, 1)[0]),)}
        topics.answered(0, dict.fromkeys(topics.rows[0], False), MISSING)
        topics.place(calls(0, 20), queues(3), 2 + RECHECK)
        topics.place(calls(0, 20), queues(3), 2 + 2 * RECHECK)
        assert len(topics.rows[0]) == 1
        grant(topics)
        topics.place(calls(0, 20), queues(3), 3 + 2 * RECHECK)
    assert len(topics.rows[0]) == 20
    assert [(line["event"], line.get("missing_permissions")) for line in lines] == [
        ("live_topics_refused", list(MISSING)),
        ("live_topics_permitted", None),
    ]


def test_a_topic_that_is_refused_for_a_reason_of_its_own_is_not_asked_for_again_and_harms_no_other(topics: LiveTopics) -> None:
    topics.place(calls(0, 3), queues(3), 0)
    odd = topics.rows[0][1]
    topics.answered(0, {topic: topic != odd for topic in topics.rows[0]}, ())
    assert (topics.refused, topics.carried) == ((), 2)
    topics.place(calls(0, 4), queues(3), 1)
    assert odd not in topics.rows[0]
    assert len(topics.rows[0]) == 3
