"""Snapshots fold into one end of each conversation, whichever shape, order and repetition they come in."""

from __future__ import annotations

import copy
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.events import Origin
from genesys_sync.feed.facts import ConversationEnd, conversation_ended, platform_unknown, read_time
from genesys_sync.feed.frames import FaultCode
from genesys_sync.feed.snapshots import Folded, LiveConversations, from_analytics, snapshot_view

ORG = "11111111-2222-4333-8444-555555555555"
CONVERSATION = "0b0b0b0b-1111-4222-8333-444444444444"
QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER_QUEUE = "bbbbbbbb-1111-4222-8333-444444444444"
NOW = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)


def at(minute: int) -> str:
    return f"2026-08-01T12:{minute:02d}:00.000Z"


def call(state: str = "connected", *, ident: str = "s1", **more: Any) -> dict[str, Any]:
    return {"id": ident, "state": state, **more}


def participant(ident: str, *sessions: dict[str, Any], medium: str = "calls", **more: Any) -> dict[str, Any]:
    return {"id": ident, **({medium: list(sessions)} if sessions else {}), **more}


def snapshot(*participants: dict[str, Any], ident: str = CONVERSATION, **more: Any) -> dict[str, Any]:
    return {"id": ident, "participants": list(participants), **more}


def fold_all(*bodies: dict[str, Any], view: str = "*") -> list[ConversationEnd]:
    live = LiveConversations()
    ends = [live.fold(view, body, received=NOW).end for body in bodies]
    return [end for end in ends if end is not None]


@pytest.mark.parametrize(
    ("topic", "view"),
    [
        (f"v2.routing.queues.{QUEUE}.conversations", "*"),
        (f"v2.routing.queues.{QUEUE}.conversations.calls", "calls"),
        (f"v2.users.{QUEUE}.conversations", "*"),
        (f"v2.users.{QUEUE}.conversations.cobrowseSessions", "cobrowsesessions"),
        (f"v2.users.{QUEUE}.conversations.summaries", None),
        (f"v2.users.{QUEUE}.conversations.{CONVERSATION}.recordings", None),
        (f"v2.routing.queues.{QUEUE}.users", None),
        (f"v2.detail.events.conversation.{CONVERSATION}.customer.end", None),
    ],
)
def test_only_conversation_topics_carry_snapshots(topic: str, view: str | None) -> None:
    assert snapshot_view(topic) == view


def test_a_call_ends_when_its_last_party_has() -> None:
    customer = participant("c", call(), startTime=at(0), connectedTime=at(1))
    agent = participant("a", call(), startTime=at(2), queueId=QUEUE)
    gone = participant("a", call("disconnected"), startTime=at(2), endTime=at(9), queueId=QUEUE)
    over = participant("c", call("terminated"), startTime=at(0), connectedTime=at(1), endTime=at(10))

    ends = fold_all(snapshot(customer), snapshot(customer, agent), snapshot(customer, gone), snapshot(over, gone))

    assert ends == [
        ConversationEnd(
            conversation_id=CONVERSATION,
            started=datetime(2026, 8, 1, 12, 0, tzinfo=UTC),
            ended=datetime(2026, 8, 1, 12, 10, tzinfo=UTC),
            media=("voice",),
            queue_ids=(QUEUE,),
            recording_seen=None,
            left=datetime(2026, 8, 1, 12, 10, tzinfo=UTC),
        )
    ]


def test_flat_snapshots_of_one_medium_end_by_state_alone() -> None:
    flat = snapshot(
        {"id": "c", "state": "disconnected", "startTime": at(0), "endTime": at(5)},
        {"id": "a", "state": "terminated", "connectedTime": at(1), "endTime": at(4), "queue": {"id": QUEUE}, "recording": True},
    )

    (end,) = fold_all(flat, view="calls")

    assert (end.media, end.queue_ids, end.recording_seen) == (("voice",), (QUEUE,), True)
    assert end.ended == datetime(2026, 8, 1, 12, 5, tzinfo=UTC)


def test_repeats_of_the_last_snapshot_give_nothing_more() -> None:
    last = snapshot(participant("c", call("disconnected"), startTime=at(0), endTime=at(3)))

    assert len(fold_all(last, last, copy.deepcopy(last))) == 1


def test_a_blind_transfer_does_not_end_the_conversation() -> None:
    customer = participant("c", call(), startTime=at(0))
    first = participant("a1", call("disconnected"), endTime=at(3))

    assert fold_all(snapshot(customer, first)) == []
    assert fold_all(snapshot(customer, first), snapshot(customer, first, participant("a2", call("alerting"), startTime=at(3)))) == []


def test_a_consult_call_of_one_agent_keeps_the_conversation_open_until_all_legs_end() -> None:
    customer = participant("c", call("disconnected"), startTime=at(0), endTime=at(5))
    two_legs = participant("a", call("disconnected", ident="leg1"), call("connected", ident="leg2"))
    both_over = participant("a", call("disconnected", ident="leg1"), call("disconnected", ident="leg2", disconnectedTime=at(7)))

    assert fold_all(snapshot(customer, two_legs)) == []
    (end,) = fold_all(snapshot(customer, two_legs), snapshot(customer, both_over))
    assert end.ended == datetime(2026, 8, 1, 12, 7, tzinfo=UTC)


def test_a_participant_who_comes_later_has_to_end_as_well() -> None:
    customer = participant("c", call("connected"), startTime=at(0))
    late = participant("late", call("connected"), startTime=at(2))
    customer_over = participant("c", call("disconnected"), startTime=at(0), endTime=at(4))
    late_over = participant("late", call("disconnected"), startTime=at(2), endTime=at(6))

    assert fold_all(snapshot(customer), snapshot(customer_over, late)) == []
    assert len(fold_all(snapshot(customer), snapshot(customer_over, late), snapshot(customer_over, late_over))) == 1


def test_a_second_medium_has_to_end_as_well() -> None:
    over = call("disconnected")
    talking_and_typing = {"id": "c", "calls": [over], "chats": [{"id": "t", "state": "connected"}], "startTime": at(0)}
    all_over = {"id": "c", "calls": [over], "chats": [{"id": "t", "state": "disconnected"}], "startTime": at(0), "endTime": at(9)}

    assert fold_all(snapshot(talking_and_typing)) == []
    (end,) = fold_all(snapshot(talking_and_typing), snapshot(all_over))
    assert end.media == ("chat", "voice")


def test_views_of_two_media_end_together_not_one_by_one() -> None:
    live = LiveConversations()
    calling = snapshot({"id": "c", "state": "connected"})
    over = snapshot({"id": "c", "state": "disconnected", "endTime": at(5)})

    assert live.fold("calls", calling, received=NOW).end is None
    assert live.fold("emails", calling, received=NOW).end is None
    assert live.fold("calls", over, received=NOW).end is None
    assert live.fold("emails", over, received=NOW).end is not None


def _history() -> list[dict[str, Any]]:
    customer = participant("c", call(), startTime=at(0))
    agent = participant("a", call(), startTime=at(2))
    agent_over = participant("a", call("disconnected"), startTime=at(2), endTime=at(9))
    customer_over = participant("c", call("disconnected"), startTime=at(0), endTime=at(10))
    return [snapshot(customer), snapshot(customer, agent), snapshot(customer, agent_over), snapshot(customer_over, agent_over)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_whatever_the_order_the_end_is_told_once_and_is_the_same(order: tuple[int, ...]) -> None:
    history = _history()

    ends = fold_all(*(history[index] for index in order))

    assert [end.ended for end in ends] == [datetime(2026, 8, 1, 12, 10, tzinfo=UTC)]


def test_a_late_snapshot_reopens_nothing() -> None:
    customer = participant("c", call(), startTime=at(0))
    agent_over = participant("a", call("disconnected"), endTime=at(9))
    agent = participant("a", call())
    customer_over = participant("c", call("disconnected"), startTime=at(0), endTime=at(10))

    assert len(fold_all(snapshot(customer, agent_over), snapshot(customer, agent), snapshot(customer_over))) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": None, "participants": []},
        {"id": CONVERSATION},
        {"id": CONVERSATION, "participants": {"a": 1}},
        {"id": "../../etc/passwd", "participants": []},
        {"id": f"{{{CONVERSATION.upper()}}}", "participants": []},
    ],
)
def test_a_body_that_is_no_snapshot_says_so(body: dict[str, Any]) -> None:
    assert LiveConversations().fold("*", body, received=NOW) == Folded(faults=(FaultCode.EVENT_UNKNOWN_SHAPE,))


def test_nobody_in_it_is_not_an_end() -> None:
    assert fold_all(snapshot(), snapshot()) == []


@pytest.mark.parametrize(
    "absurd", ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "2026-08-01T12:05:00", "2026-02-30T00:00:00Z", [], True, 1e300]
)
def test_a_time_that_cannot_be_is_replaced_by_the_receive_time(absurd: object) -> None:
    body = snapshot(participant("c", call("disconnected"), startTime=absurd, endTime=absurd))

    folded = LiveConversations().fold("*", body, received=NOW)

    assert folded.faults == (FaultCode.EVENT_TIME_INVALID,)
    assert folded.end is not None
    assert (folded.end.started, folded.end.ended) == (NOW, NOW)


def test_one_absurd_time_does_not_spoil_the_good_ones() -> None:
    over = participant("c", call("disconnected"), startTime=at(0), endTime=at(5))
    odd = participant("a", call("disconnected"), startTime="1970-01-01T00:00:00Z", endTime=at(4))

    (end,) = fold_all(snapshot(over, odd))

    assert (end.started.minute, end.ended.minute) == (0, 5)


def test_no_start_after_the_end() -> None:
    (end,) = fold_all(snapshot(participant("c", call("disconnected"), startTime=at(9), endTime=at(5))))

    assert end.started == end.ended


@pytest.mark.parametrize(
    "evidence", [{"recording": True}, {"recordingState": "active"}, {"recordersState": {"adhocState": "PAUSED"}}, {"recordingId": "x"}]
)
def test_recording_once_seen_is_remembered(evidence: dict[str, Any]) -> None:
    during = snapshot(participant("c", call(**evidence), startTime=at(0)))
    after = snapshot(participant("c", call("disconnected", recording=False, recordingState="none"), startTime=at(0), endTime=at(5)))

    assert [end.recording_seen for end in fold_all(during, after)] == [True]


def test_a_last_snapshot_without_recording_proves_nothing() -> None:
    after = snapshot(participant("c", call("disconnected", recording=False), startTime=at(0), endTime=at(5)), recordingState="none")

    assert [end.recording_seen for end in fold_all(after)] == [None]


def test_memory_is_bounded_and_the_forgotten_end_all_the_same() -> None:
    live = LiveConversations(live_limit=10, ended_limit=10)
    names = [f"{number:08x}-1111-4222-8333-444444444444" for number in range(50)]
    for name in names:
        live.fold("*", snapshot(participant("c", call()), ident=name), received=NOW)
    assert len(live) == 10

    over = participant("c", call("disconnected"), endTime=at(5))
    ends = [live.fold("*", snapshot(over, ident=name), received=NOW).end for name in names]

    assert all(end is not None for end in ends)
    assert len(live) == 0


def test_one_conversation_of_thousands_of_parties_is_bounded_and_ends() -> None:
    live = LiveConversations()
    for start in range(0, 5000, 500):
        crowd = [participant(f"p{number}", call("disconnected"), endTime=at(5)) for number in range(start, start + 500)]
        assert live.fold("*", snapshot(*crowd, participant("c", call())), received=NOW).end is None

    assert live.fold("*", snapshot(participant("c", call("disconnected"))), received=NOW).end is not None


def test_what_back_fill_has_recorded_is_followed_no_longer() -> None:
    live = LiveConversations()
    live.fold("*", snapshot(participant("c", call())), received=NOW)

    live.forget(CONVERSATION, NOW)

    assert len(live) == 0
    assert live.fold("*", snapshot(participant("c", call("disconnected"))), received=NOW).end is None


def record(**more: Any) -> dict[str, Any]:
    return {
        "conversationId": CONVERSATION,
        "conversationStart": at(0),
        "conversationEnd": at(10),
        "participants": [
            {"participantId": "c", "purpose": "customer", "sessions": [{"sessionId": "1", "mediaType": "voice", "recording": True}]},
            {"participantId": "a", "sessions": [{"mediaType": "voice", "segments": [{"queueId": QUEUE}, {"queueId": OTHER_QUEUE}, {}]}]},
        ],
        **more,
    }


def test_live_and_back_filled_copies_have_one_id() -> None:
    (live,) = fold_all(*_history())
    back_filled = from_analytics(record(), received=NOW).end
    assert back_filled is not None

    first = conversation_ended(live, organization_id=ORG, origin=Origin.LIVE)
    second = conversation_ended(back_filled, organization_id=ORG, origin=Origin.BACKFILL)

    assert first.id == second.id
    assert first.day == second.day
    assert second.origin is Origin.BACKFILL
    assert second.body == {
        "startedAt": "2026-08-01T12:00:00.000Z",
        "endedAt": "2026-08-01T12:10:00.000Z",
        "mediaTypes": ["voice"],
        "queueIds": [QUEUE, OTHER_QUEUE],
        "recordingSeen": True,
    }


def test_ids_are_known_by_their_lower_case_form() -> None:
    """The platform may write a UUID as it likes; live, back-filled, shouted: one conversation, one event."""
    (live,) = fold_all(snapshot(participant("c", call("disconnected"), queueId=QUEUE.upper()), ident=CONVERSATION.upper()))
    assert (live.conversation_id, live.queue_ids) == (CONVERSATION, (QUEUE,))
    back_filled = from_analytics(record(conversationId=CONVERSATION.upper()), received=NOW).end
    assert back_filled is not None
    assert back_filled.conversation_id == CONVERSATION


def test_one_conversation_in_two_cases_ends_once() -> None:
    over = participant("c", call("disconnected"))
    assert len(fold_all(snapshot(over), snapshot(over, ident=CONVERSATION.upper()))) == 1


def test_a_record_without_an_end_is_not_ended() -> None:
    assert from_analytics(record(conversationEnd=None), received=NOW) == Folded()


@pytest.mark.parametrize(
    ("flags", "seen"), [([True, False], True), ([False, False], False), ([False, None], None), ([None], None), ([], None)]
)
def test_analytics_may_say_that_nothing_was_recorded(flags: list[bool | None], seen: bool | None) -> None:
    sessions = [{"mediaType": "voice", "recording": flag} for flag in flags]

    end = from_analytics(record(participants=[{"sessions": sessions}]), received=NOW).end

    assert end is not None
    assert end.recording_seen is seen


def test_the_day_of_an_event_is_the_day_on_which_the_conversation_began() -> None:
    end = from_analytics(record(conversationStart="2026-07-31T23:59:00Z"), received=NOW).end
    assert end is not None

    event = conversation_ended(end, organization_id=ORG, origin=Origin.BACKFILL)

    assert event.day.isoformat() == "2026-07-31"
    assert event.occurred_at == datetime(2026, 8, 1, 12, 10, tzinfo=UTC)


def test_an_unknown_frame_is_kept_as_its_hash_and_never_as_its_content() -> None:
    def event(frame: bytes) -> Any:
        return platform_unknown(topic="v2.x", version="9", frame=frame, organization_id=ORG, received=NOW)

    assert event(b"a").id == event(b"a").id
    assert event(b"a").id != event(b"b").id
    assert event(b"Erika Mustermann").body == {"topicName": "v2.x", "version": "9"}


@pytest.mark.parametrize("value", ["2026-08-01T12:00:00.000+0000", "2026-08-01T14:00:00+02:00", 1_785_585_600_000])
def test_every_way_of_writing_a_time_is_read(value: object) -> None:
    assert read_time(value, received=NOW) == datetime(2026, 8, 1, 12, tzinfo=UTC)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(at(3)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "state", "calls", "endTime", "queue"]), inner, max_size=4)
    ),
    max_leaves=10,
)
_participants = st.lists(
    st.dictionaries(
        st.sampled_from(["id", "state", "startTime", "endTime", "calls", "emails", "queue", "queueId", "recording", "recordersState"]),
        _values,
    )
    | _values,
    max_size=4,
)


@given(_participants, st.sampled_from(["*", "calls"]))
def test_no_snapshot_raises(participants: list[Any], view: str) -> None:
    folded = LiveConversations().fold(view, {"id": CONVERSATION, "participants": participants}, received=NOW)

    if folded.end is not None:
        assert folded.end.started <= folded.end.ended


@given(_values, _values, _values)
def test_no_record_raises(start: object, end: object, participants: object) -> None:
    from_analytics(
        {"conversationId": CONVERSATION, "conversationStart": start, "conversationEnd": end, "participants": participants}, received=NOW
    )
