"""Routing: which handlers want an event."""

from datetime import UTC, datetime

import pytest

from genesys_sync.events import Event, Topic
from genesys_sync.routing import RoutedEvent, Router

ROUTER = Router(
    {
        "discover": ["conversation.ended"],
        "archive": [Topic.RECORDING_READY, Topic.RECORDING_LOST],
        "webhook": ["media.*", "*.dead_lettered"],
        "everything": ["*"],
        "nothing": [],
    }
)


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("conversation.ended", ("discover", "everything")),
        (Topic.RECORDING_READY, ("archive", "everything")),
        ("media.verified", ("webhook", "everything")),
        ("delivery.dead_lettered", ("webhook", "everything")),
        ("mediaxverified", ("everything",)),
        ("Media.verified", ("everything",)),
    ],
)
def test_topics_and_globs(topic: str, names: tuple[str, ...]) -> None:
    assert ROUTER.handlers_for(topic) == names
    assert ROUTER.handlers_for(topic) == names, "asked again"


def test_a_handler_gets_an_event_once_however_many_of_its_patterns_match() -> None:
    assert Router({"a": ["media.*", "*", "media.verified"]}).handlers_for("media.verified") == ("a",)


def test_events_keep_their_order_and_those_that_nobody_wants_stay() -> None:
    events = [
        Event.of(topic, occurred_at=datetime(2026, 8, 1, tzinfo=UTC), organization_id="org", conversation_id=str(number))
        for number, topic in enumerate(("a.b", "c.d", "a.b"))
    ]
    assert Router({"one": ["a.b"]}).route(events) == [
        RoutedEvent(events[0], ("one",)),
        RoutedEvent(events[1], ()),
        RoutedEvent(events[2], ("one",)),
    ]


def test_topics_without_end_do_not_fill_the_memory() -> None:
    router = Router({"all": ["*"]})
    for number in range(10_050):
        assert router.handlers_for(f"a.b{number}") == ("all",)
    assert len(router._memo) <= 10_000
