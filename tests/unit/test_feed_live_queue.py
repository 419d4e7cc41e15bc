"""What waits for redaction is bounded: guesses are let go first, results never; when there is no room for them the socket is not read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from genesys_sync.events import Event
from genesys_sync.feed.frames import parse
from genesys_sync.feed.kept import BYTES_MOST, KeptFrames, shape_of
from genesys_sync.feed.live import QUEUE_BYTES, Live, utterance_finished
from genesys_sync.feed.reader import Reader
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.feed.utterances import Told
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock
from genesys_sync.transcripts.live import Utterance
from genesys_sync.transcripts.model import Segment, Speaker

pytestmark = pytest.mark.anyio
CALL, LEG = "0b0b0b0b-1111-4222-8333-444444444444", "0c0c0c0c-1111-4222-8333-444444444444"
CHUNK = QUEUE_BYTES // 8


class Hand:
    """An intake that keeps what it is given."""

    full = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event: Event, size: int) -> None:
        self.events.append(event)

    async def room(self) -> None:
        pass


def following(hand: Hand, clock: FakeClock, metrics: Metrics | None = None) -> Live:
    intake: Any = hand
    return Live(
        redactor=Redactor(),
        intake=intake,
        clock=clock,
        settings=FeedSettings(live_transcripts=True),
        metrics=metrics or Metrics(),
        organization_id="org",
    )


def body(number: int, *, final: bool, ended: bool = False) -> dict[str, Any]:
    guess = {"transcript": f"hello number {number}", "offsetMs": number, "durationMs": 1}
    found: dict[str, Any] = {"conversationId": CALL, "communicationId": LEG, "transcriptionStartTimeMs": 1785585600000}
    found["transcripts"] = [{"utteranceId": f"u{number}", "isFinal": final, "channel": "EXTERNAL", "alternatives": [guess]}]
    return found | ({"status": {"status": "SESSION_ENDED"}} if ended else {})


async def test_guesses_are_let_go_first_and_results_stop_the_reading(fake_clock: FakeClock) -> None:
    hand, metrics = Hand(), Metrics()
    live = following(hand, fake_clock, metrics)
    for number in range(4):
        assert live.take(body(number, final=False), CHUNK)
    for number in range(10, 13):
        assert live.take(body(number, final=False), CHUNK)
    assert metrics.registry.get_sample_value("genesys_sync_live_guesses_dropped_total") == 3
    for number in range(4):
        assert not live.full
        assert live.take(body(number, final=True), CHUNK)
    assert live.full
    async with anyio.create_task_group() as group:
        group.start_soon(live.run)
        with anyio.fail_after(5):
            await live.room()
        live.take(body(9, final=True, ended=True), 1)
        with anyio.fail_after(5):
            while len(hand.events) < 5:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    assert [event.body["utteranceId"] for event in hand.events] == ["u0", "u1", "u2", "u3", "u9"]


async def test_a_reader_reads_on_only_when_both_have_room(fake_clock: FakeClock) -> None:
    hand = Hand()
    live = following(hand, fake_clock)
    intake: Any = hand
    reader = Reader(
        organization_id="org",
        intake=intake,
        conversations=LiveConversations(),
        router=Router({}),
        clock=fake_clock,
        metrics=Metrics(),
        kept=KeptFrames(None),
        live=live,
    )
    assert not reader.full
    live.take(body(1, final=True), QUEUE_BYTES)
    assert reader.full
    async with anyio.create_task_group() as group:
        group.start_soon(live.run)
        with anyio.fail_after(5):
            await reader.room()
        group.cancel_scope.cancel()
    assert not reader.full


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"conversationId": CALL},
        {"conversationId": "../..", "communicationId": LEG},
        {"conversationId": CALL, "communicationId": LEG, "transcripts": "one one"},
    ],
)
async def test_a_message_that_is_none_is_said_to_be_none(odd: dict[str, Any], fake_clock: FakeClock) -> None:
    assert not following(Hand(), fake_clock).take(odd, 1)


@pytest.mark.parametrize("start", [0.0, 5.5, 1e8])
@pytest.mark.parametrize("began", [None, "1970-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "2026-08-01T11:00:00+00:00"])
async def test_no_time_that_the_platform_may_tell_breaks_an_event(began: str | None, start: float, fake_clock: FakeClock) -> None:
    segment = Segment(index=0, speaker=Speaker(label="external"), text="x", start=start, end=start + 1)
    one = Utterance(
        conversation_id=CALL,
        communication_id=LEG,
        utterance_id="u",
        segment=segment,
        final=True,
        started_at=None if began is None else datetime.fromisoformat(began),
    )
    event = utterance_finished(Told(utterance=one, text=None), organization_id="org", received=fake_clock.now())
    assert abs(event.occurred_at - fake_clock.now()) < timedelta(days=3)
    assert event.body["withheld"] is True
    assert "text" not in event.body


def test_the_shape_of_a_frame_says_nothing_of_its_words() -> None:
    frame = '{"topicName":"v2.x","eventBody":{"transcript":"four one\'s, 4111-1111 für élise","n":[4111,1.5e3,null]}}'.encode()
    assert shape_of(frame) == b'{"x":"x.x","x":{"x":"x, x","x":[x,x.x,x]}}'
    assert len(shape_of(b'"' * (2 * BYTES_MOST))) == BYTES_MOST
    assert parse(shape_of(frame)) is not None


def test_a_frame_that_cannot_be_read_is_kept_as_it_came_unless_it_may_hold_speech(fake_clock: FakeClock) -> None:
    class Keeping(KeptFrames):
        def __init__(self) -> None:
            super().__init__(None)
            self.data: list[bytes] = []

        def keep(self, name: str, data: bytes) -> None:
            self.data.append(data)

    intake: Any = Hand()
    for live, frame, clear in (
        (None, b'{"topicName": one one', True),
        (following(Hand(), fake_clock), b'{"topicName": one one', False),
        (None, b'{"topicName":"v2.conversations.c.transcription": one one', False),
        (None, b'{"topicName":"v2.conversations.c.transcription","eventBody":{"said":"one one"}}', False),
        (following(Hand(), fake_clock), b'{"topicName":"v2.conversations.c.transcription","eventBody":["one one"]}', False),
        (following(Hand(), fake_clock), b'{"topicName":"v2.something.new","eventBody":{"said":"one one"}}', True),
    ):
        kept = Keeping()
        reader = Reader(
            organization_id="org",
            intake=intake,
            conversations=LiveConversations(),
            router=Router({}),
            clock=fake_clock,
            metrics=Metrics(),
            kept=kept,
            live=live,
        )
        reader.take(parse(frame), frame)
        assert len(kept.data) == 1, frame
        assert (b"one one" in kept.data[0]) is clear, frame
