"""A conversation that is taken up again ends again; one end that is told once more, later or otherwise, does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.events import Event, Origin
from genesys_sync.feed.endings import Told, number
from genesys_sync.feed.facts import ConversationEnd, conversation_ended
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.genesys.ends import ended_again, left_at

ORG = "11111111-2222-4333-8444-555555555555"
CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"
T1 = datetime(2026, 8, 1, 12, 10, tzinfo=UTC)
T2 = datetime(2026, 8, 19, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 8, 19, 12, 30, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.isoformat()


def told(ended: datetime, *, left: datetime | None, origin: Origin = Origin.LIVE, started: datetime | None = None) -> Told:
    end = ConversationEnd(
        conversation_id=CONVERSATION,
        started=started or T1 - timedelta(minutes=10),
        ended=ended,
        media=("email",),
        queue_ids=(),
        recording_seen=None,
    )
    return Told(conversation_ended(end, organization_id=ORG, origin=origin), left)


def numbered(*ends: Told, known: list[Event] | None = None) -> list[Event]:
    return list(number(ends, {CONVERSATION: known} if known else {}))


def participant(ident: str, began: datetime, ended: datetime | None = None) -> dict[str, Any]:
    over = {} if ended is None else {"endTime": text(ended)}
    mail = {"id": f"{ident}-mail", "state": "connected" if ended is None else "disconnected"}
    return {"id": ident, "startTime": text(began), "emails": [mail], **over}


def snapshot(*participants: dict[str, Any]) -> dict[str, Any]:
    return {"id": CONVERSATION, "participants": list(participants)}


FIRST = participant("c1", T1 - timedelta(minutes=10), T1)
AGAIN_OVER = participant("c2", T2 - timedelta(minutes=10), T2)
AGAIN = participant("c2", T2 - timedelta(minutes=10))


def fold(live: LiveConversations, *bodies: dict[str, Any]) -> list[datetime]:
    ends = [live.fold("*", body, received=NOW).end for body in bodies]
    return [end.ended for end in ends if end is not None]


def test_a_part_that_begins_after_the_end_is_followed_to_another_end() -> None:
    live = LiveConversations()
    assert fold(live, snapshot(FIRST), snapshot(FIRST, AGAIN)) == [T1]
    assert len(live) == 1
    assert fold(live, snapshot(FIRST), snapshot(FIRST, AGAIN_OVER), snapshot(FIRST, AGAIN_OVER), snapshot(FIRST, AGAIN)) == [T2]
    assert len(live) == 0


def test_the_second_end_is_seen_where_nothing_came_in_between() -> None:
    assert fold(LiveConversations(), snapshot(FIRST), snapshot(FIRST, AGAIN_OVER)) == [T1, T2]


@pytest.mark.parametrize("late", [participant("c1", T1 - timedelta(minutes=10)), participant("a", T1 - timedelta(seconds=1)), {"id": "x"}])
def test_a_late_snapshot_of_before_the_end_takes_nothing_up_again(late: dict[str, Any]) -> None:
    live = LiveConversations()
    assert fold(live, snapshot(FIRST), snapshot(late), snapshot(FIRST)) == [T1]
    assert len(live) == 0


def test_a_record_of_the_first_end_does_not_end_what_was_taken_up_since() -> None:
    live = LiveConversations()
    fold(live, snapshot(FIRST), snapshot(FIRST, AGAIN))
    live.forget(CONVERSATION, T1)
    assert fold(live, snapshot(FIRST, AGAIN_OVER)) == [T2]


def test_of_what_back_fill_saw_end_twice_nothing_is_told_again() -> None:
    live = LiveConversations()
    live.forget(CONVERSATION, T2)
    live.forget(CONVERSATION, T1)
    assert fold(live, snapshot(FIRST, AGAIN_OVER)) == []


@pytest.mark.parametrize("origin", [Origin.LIVE, Origin.BACKFILL])
def test_socket_and_back_fill_give_a_further_end_one_id(origin: Origin) -> None:
    [first] = numbered(told(T1, left=T1))
    [live] = numbered(told(T2, left=T2), known=[first])
    wrapped_up = told(T2 + timedelta(minutes=3), left=T2 + timedelta(seconds=1), origin=origin)

    assert live.id != first.id
    assert (live.occurred_at, live.day, live.body["revision"]) == (T2, first.day, 2)
    assert numbered(wrapped_up, known=[first])[0].id == live.id, "both before the other was recorded"
    assert numbered(wrapped_up, known=[first, live])[0].id == first.id, "after it: known, so a duplicate"


def test_three_ends_at_once_are_three_events_whatever_the_order_afterwards() -> None:
    later = T2 + timedelta(hours=1)
    known = numbered(told(T1, left=T1), told(T2, left=T2), told(later, left=later))
    assert [event.occurred_at for event in known] == [T1, T2, later]
    assert len({event.id for event in known}) == 3
    again = numbered(told(later, left=later), told(T1, left=T1), told(T2, left=T2), known=known)
    assert {event.id for event in again} <= {event.id for event in known}


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        pytest.param(T1 + timedelta(minutes=40), T1 + timedelta(seconds=2), id="wrap-up"),
        pytest.param(NOW, None, id="nobody says when, so it is the time of receipt"),
        pytest.param(T1 - timedelta(hours=1), T1 - timedelta(hours=1), id="late"),
    ],
)
def test_the_end_that_is_known_told_otherwise_is_the_same_event(ended: datetime, left: datetime | None) -> None:
    [first] = numbered(told(T1, left=T1))
    [again] = numbered(told(ended, left=left), known=[first])
    assert (again.id, again.day) == (first.id, first.day)


def test_a_repeat_that_shows_the_last_part_alone_bears_the_day_of_the_first() -> None:
    """Events are recognised by their day and id: under another day everything that follows would be told twice."""
    [first] = numbered(told(T1, left=T1))
    [repeat] = numbered(told(T1, left=T1, started=T1 + timedelta(days=5)), known=[first])
    [further] = numbered(told(T2, left=T2, started=T2), known=[first])
    assert repeat.day == further.day == first.day


def record(ended: datetime | str | None, *segments: tuple[str, datetime]) -> dict[str, Any]:
    rows = [{"segmentType": kind, "segmentEnd": text(end)} for kind, end in segments]
    return {
        "conversationEnd": text(ended) if isinstance(ended, datetime) else ended,
        "participants": [{"sessions": [{"segments": rows}]}],
    }


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        pytest.param(record(T1), T1, id="no segments"),
        pytest.param(record(T1, ("interact", T1), ("wrapup", T1 - MINUTE)), T1, id="wrapped up before"),
        pytest.param(record(T1, ("interact", T1 - MINUTE), ("wrapup", T1)), T1 - MINUTE, id="the end is the wrap-up's"),
        pytest.param(record(T1, ("interact", T1), ("wrapup", T1 + MINUTE)), T1, id="wrap-up not counted in the end"),
        pytest.param(record(T1, ("wrapup", T1)), T1, id="nothing but wrap-up"),
        pytest.param(record(T2, ("interact", T1), ("wrapup", T1 + MINUTE)), T2, id="a later end that no wrap-up explains"),
        pytest.param(record(None), None, id="it goes on"),
        pytest.param(record("soon"), None, id="nobody can read when"),
        pytest.param({"conversationEnd": text(T1), "participants": [None, {"sessions": 5}]}, T1, id="odd shapes"),
    ],
)
def test_when_the_last_party_left(said: dict[str, Any], left: datetime | None) -> None:
    assert left_at(said) == left


def test_a_moment_later_is_the_same_end() -> None:
    assert not ended_again(T1, T1 + timedelta(seconds=5))
    assert ended_again(T1, T1 + timedelta(seconds=6))
    assert not ended_again(T1, None)
