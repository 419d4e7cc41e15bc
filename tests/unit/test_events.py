"""Events: the id is a function of the fact and of nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.events import Event, Origin, Topic, delivery_id, event_id, is_canonical_uuid

CONVERSATION = "5c0b1e7a-1111-2222-3333-444455556666"
AT = datetime(2026, 8, 1, 23, 59, 59, tzinfo=UTC)
facts = st.text(max_size=20)


def made(**changes: object) -> Event:
    return Event.of(
        **{"topic": Topic.CONVERSATION_ENDED, "occurred_at": AT, "organization_id": "org", "conversation_id": CONVERSATION} | changes
    )  # type: ignore[arg-type] # a test's shorthand


def test_the_same_fact_heard_twice_has_one_id() -> None:
    """Live and back-filled copies differ in time, day, origin and body; the fact is one."""
    heard = made()
    found = made(occurred_at=AT + timedelta(seconds=2), day=date(2026, 7, 31), origin=Origin.BACKFILL, body={"more": True})
    assert heard.id == found.id


@pytest.mark.parametrize(
    "change",
    [
        {"topic": Topic.RECORDING_READY},
        {"organization_id": "other"},
        {"conversation_id": "8f0b1e7a-1111-2222-3333-444455556666"},
        {"recording_id": CONVERSATION},
        {"state": "AVAILABLE"},
        {"revision": 2},
    ],
)
def test_another_fact_has_another_id(change: dict[str, object]) -> None:
    assert made(**change).id != made().id


def test_the_id_stays_what_it_was_in_earlier_releases() -> None:
    """Ledgers hold these: a change here would record every known fact once more."""
    assert event_id("conversation.ended", organization_id="org", conversation_id=CONVERSATION, recording_id=None) == made().id
    assert made().id == "e378733ad4458d549b5bfb0cf0447009"
    assert delivery_id(made().id, "archive") == "dlv_3d17a8f69c1cbc7bb6944dd8df4bc821"


@given(first=st.tuples(facts, facts, facts, facts), second=st.tuples(facts, facts, facts, facts))
def test_no_two_lists_of_facts_meet(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    ids = [event_id("a.b", organization_id=o, conversation_id=c, recording_id=r, state=s) for o, c, r, s in (first, second)]
    assert (ids[0] == ids[1]) == (first == second)


def test_the_day_is_the_conversations_own_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert made(occurred_at=datetime(2026, 8, 2, 1, 0, tzinfo=east)).day == date(2026, 8, 1)
    assert made(day=date(2026, 7, 30)).derive(Topic.RECORDING_READY, occurred_at=AT).day == date(2026, 7, 30)


def test_a_derived_event_knows_where_it_comes_from() -> None:
    parent = made(recording_id="rec")
    child = parent.derive(Topic.MEDIA_ARCHIVED, occurred_at=AT, revision=2, body={"revision": 2})
    assert (child.parent_id, child.origin, child.organization_id) == (parent.id, Origin.DERIVED, "org")
    assert (child.conversation_id, child.recording_id) == (CONVERSATION, "rec")
    assert parent.derive(Topic.RECORDING_CREATED, occurred_at=AT, recording_id="new").recording_id == "new"


@pytest.mark.parametrize("topic", ["", "ended", "Conversation.ended", "a.b.c", "a.", ".b", "a b.c", "a.b\n", "9.a"])
def test_a_topic_is_a_noun_and_a_participle(topic: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        made(topic=topic)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        made(occurred_at=datetime(2026, 8, 1))  # noqa: DTZ001 - that is the test


def test_events_do_not_change() -> None:
    event = made()
    with pytest.raises(AttributeError):
        event.topic = "x.y"  # type: ignore[misc] # that is the test
    assert replace(event, origin=Origin.BACKFILL).id == event.id


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (CONVERSATION, True),
        (CONVERSATION.upper(), False),
        (CONVERSATION + "\n", False),
        ("../" + CONVERSATION, False),
        (CONVERSATION.replace("-", ""), False),
        ("{" + CONVERSATION + "}", False),
        ("", False),
    ],
)
def test_only_canonical_ids_come_near_a_path(text: str, canonical: bool) -> None:
    assert is_canonical_uuid(text) is canonical


def test_a_deliverys_id_is_of_one_event_and_one_handler() -> None:
    ids = {delivery_id(event, handler) for event in ("a", "b", "ab") for handler in ("b", "", "c")}
    assert len(ids) == 9
    assert all(one.startswith("dlv_") and len(one) == 36 for one in ids)
