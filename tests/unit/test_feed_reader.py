"""The reader tells of what it does not know: once for each kind, and of a new kind also after any number of others."""

import structlog

from genesys_sync.events import Event, Topic
from genesys_sync.feed.frames import parse
from genesys_sync.feed.kept import KeptFrames
from genesys_sync.feed.reader import Reader
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.testing import FakeClock


class Hand:
    """An intake that keeps what it is given."""

    full = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event: Event, size: int) -> None:
        self.events.append(event)

    def heard(self) -> None:
        pass


def reading(clock: FakeClock, hand: Hand) -> Reader:
    return Reader(
        organization_id="org",
        intake=hand,  # type: ignore[arg-type] # the two methods that it uses
        conversations=LiveConversations(),
        router=Router({}),
        clock=clock,
        metrics=Metrics(),
        kept=KeptFrames(None),
    )


def test_damaged_frames_of_any_number_and_size_do_not_hide_a_new_kind_of_topic(fake_clock: FakeClock) -> None:
    hand = Hand()
    reader = reading(fake_clock, hand)
    with structlog.testing.capture_logs() as lines:
        for size in range(1, 1200):
            data = b"{" * size
            reader.take(parse(data), data)
        data = b'{"topicName":"v2.something.new","version":"2","eventBody":{}}'
        reader.take(parse(data), data)
    assert [event.topic for event in hand.events] == [Topic.PLATFORM_UNKNOWN]
    assert [line["event"] for line in lines] == ["FRAME_NOT_JSON", "EVENT_UNKNOWN_SHAPE"]
