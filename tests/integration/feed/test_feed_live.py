"""Live transcription on the stage: topics follow the calls in few requests, and utterances are recorded once, and redacted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
import structlog
from tests.integration.feed.stage_acts import TOPIC, Stage, Staged
from websockets.exceptions import ConnectionClosed

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.events import Event
from genesys_sync.feed.following import GRACE, live_topic
from genesys_sync.feed.subscriptions import RECHECK

pytestmark = pytest.mark.anyio

LEG = "dddddddd-1111-4222-8333-444444444444"
CARD = ["my card is four one one one", "one one one one", "one one one one one one one one"]


def call(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444444444444"


def topics(*numbers: int) -> list[str]:
    return [live_topic(call(number)) for number in numbers]


async def snapshots(stage: Stage, *numbers: int, state: str = "connected") -> None:
    """Frames of these calls; returns when all are read."""
    for number in numbers:
        await send(stage, TOPIC, stage.snapshot(call(number), state=state))
    await stage.until(lambda: stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", {"kind": "snapshot"}) is not None)


async def send(stage: Stage, topic: str, body: object) -> None:
    """As the platform does: to every socket that is open."""
    frame = orjson.dumps({"topicName": topic, "version": "2", "eventBody": body}).decode()
    assert stage.notifications.open
    for connection in list(stage.notifications.open):
        with suppress(ConnectionClosed):  # just being left
            await connection.send(frame)


def message(number: int, *said: str, first: int = 0, final: bool = True, ended: bool = False) -> dict[str, Any]:
    transcripts = [
        {
            "utteranceId": f"utterance-{first + place}",
            "isFinal": final,
            "channel": "EXTERNAL",
            "dialect": "en-US",
            "alternatives": [{"confidence": 0.9, "offsetMs": 1000 * (first + place), "durationMs": 900, "transcript": text, "words": []}],
        }
        for place, text in enumerate(said)
    ]
    body = {"conversationId": call(number), "communicationId": LEG, "transcriptionStartTimeMs": 1785585600000, "transcripts": transcripts}
    return body | ({"status": {"status": "SESSION_ENDED"}} if ended else {})


async def subscribed(stage: Stage, wanted: set[str], *, within: int = 10) -> None:
    await stage.advance_until(lambda: {TOPIC} | wanted == set(stage.platform.put[-1][1] if stage.platform.put else ()), by=1, steps=within)


async def told(stage: Stage, number: int) -> list[Event]:
    return [event for event in await stage.ledger.events_about(call(number)) if event.topic == "utterance.finished"]


def bodies_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_calls_that_begin_together_are_one_request_and_are_left_some_time_after_they_ended(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        before = len(stage.platform.put)
        await snapshots(stage, *range(20))
        await subscribed(stage, set(topics(*range(20))))
        assert len(stage.platform.put) == before + 1
        assert stage.feed.state.live_topics == 20
        await snapshots(stage, *range(10), state="disconnected")
        await stage.advance_until(lambda: len(stage.platform.put) > before + 1, by=5, steps=round(GRACE / 5) + 2)
        assert set(stage.platform.put[-1][1]) == {TOPIC, *topics(*range(10, 20))}
        assert len(stage.platform.put) == before + 2


async def test_nothing_is_followed_unless_the_settings_say_so(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await snapshots(stage, 1)
        await stage.clock.advance(30)
        assert {topic for _, row in stage.platform.put for topic in row} == {TOPIC}


async def test_utterances_are_recorded_once_and_no_value_that_was_said_lies_anywhere(staged: Staged, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with staged(live_transcripts=True) as stage:
            await stage.live()
            await snapshots(stage, 1)
            await subscribed(stage, set(topics(1)))
            for place, text in enumerate(CARD):
                await send(stage, topics(1)[0], message(1, text[:9], first=place, final=False))
                for _ in range(2):
                    await send(stage, topics(1)[0], message(1, text, first=place))
            await send(stage, topics(1)[0], message(1, ended=True))
            await stage.reaches(lambda: _count(stage, 1, 3))
            events = sorted(await told(stage, 1), key=lambda event: event.body["start"])
            assert [event.body["text"] for event in events] == ["my card is [CARD]", "[CARD]", "[CARD]"]
            assert [event.body["hidden"] for event in events] == [{"CARD": 1}] * 3
            assert set(events[0].body) == {
                "communicationId", "utteranceId", "speaker", "text", "start", "end", "language", "confidence", "hidden"
            }  # fmt: skip
            await send(stage, topics(1)[0], {"oddly": "one one one one"})
            await send(stage, topics(1)[0], ["one one one one"])
            await stage.until(lambda: len(list((tmp_path / "frames").glob("*.frame"))) == 1)
            await stage.notifications.open[-1].send('{"topicName": one one one one')
            await stage.until(lambda: len(list((tmp_path / "frames").glob("*.frame"))) == 2)
    assert b"one one" not in bodies_on_disk(tmp_path)
    assert "one one" not in str(lines)


async def _count(stage: Stage, number: int, wanted: int) -> bool:
    return len(await told(stage, number)) == wanted


async def test_a_new_channel_takes_the_topics_along_and_those_of_calls_that_begin_meanwhile(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        await snapshots(stage, 1)
        await subscribed(stage, set(topics(1)))
        await stage.notifications.send("v2.system.socket_closing", {})
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=1)
        assert set(stage.platform.put[-1][1]) == {TOPIC, *topics(1)}
        await snapshots(stage, 2)
        await stage.advance_until(lambda: stage.feed.state.live_topics == 2, by=0.5)
        await stage.until(lambda: set(stage.platform.put[-1][1]) == {TOPIC, *topics(1, 2)} and stage.platform.put[-1][0] == "channel-2")
        for number in (1, 2):
            await send(stage, topics(number)[0], message(number, "good morning", ended=True))
        await stage.advance_until(lambda: len(stage.notifications.open) == 1, by=0.5)
        for number in (1, 2):
            await send(stage, topics(number)[0], message(number, "good morning", "and goodbye", ended=True))
            await stage.reaches(lambda number=number: _count(stage, number, 2))
        assert stage.notifications.most == 2


@pytest.mark.parametrize("whole", [False, True])
async def test_a_missing_permission_is_told_once_asked_for_later_and_costs_no_queue(
    staged: Staged,
    whole: bool,
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with staged(live_transcripts=True) as stage:
            await stage.live()
            stage.platform.forbidden = set(topics(1, 2, 3))
            stage.platform.told_missing = ("conversation:transcription:view",)
            if whole:
                stage.platform.failures["subscribe"] = [PermanentError("refused", code=ReasonCode.FORBIDDEN)]
            await snapshots(stage, 1, 2)
            await stage.advance_until(lambda: bool(stage.feed.state.live_refused), by=1)
            await subscribed(stage, set())
            await stage.clock.advance(5)
            asked = len(stage.platform.put)
            await snapshots(stage, 3)
            await stage.clock.advance(60)
            assert len(stage.platform.put) == asked
            state = stage.feed.state
            assert (state.live_refused, state.live_topics, state.rejected) == (("conversation:transcription:view",), 0, 0)
            assert state.connected
            stage.platform.forbidden = set()
            await stage.advance_until(lambda: stage.feed.state.live_topics == 3, by=10, steps=round(RECHECK / 10))
    assert [line["event"] for line in lines if line["event"].startswith("live_topics")] == ["live_topics_refused", "live_topics_permitted"]


async def test_more_calls_than_one_channel_takes_get_another_and_its_loss_is_neither_a_gap_nor_unreadiness(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        gaps = len(await stage.gaps())
        await snapshots(stage, *range(1100))
        await stage.advance_until(lambda: stage.feed.state.live_topics == 1100, by=1)
        assert stage.feed.state.shards == 1
        rows = dict(stage.platform.put)
        assert [len(row) for row in rows.values()] == [1000, 101]
        assert rows["channel-1"][0] == TOPIC
        await stage.until(lambda: len(stage.notifications.open) == 2)
        number = int(rows["channel-2"][0].split(".")[2][:8], 16)
        await send(stage, topics(number)[0], message(number, "good morning", ended=True))
        await stage.reaches(lambda: _count(stage, number, 1))
        await stage.notifications.open[-1].close()
        await stage.until(lambda: len(stage.notifications.open) == 1)
        assert stage.feed.state.connected
        await stage.advance_until(lambda: len(stage.notifications.open) == 2, by=1)
        assert len(await stage.gaps()) == gaps


async def test_what_is_held_when_the_daemon_stops_is_told_with_what_could_be_a_number_hidden(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        await snapshots(stage, 1)
        await subscribed(stage, set(topics(1)))
        await send(stage, topics(1)[0], message(1, "my card is four one one one"))
        kind = {"kind": "transcription"}
        await stage.until(lambda: stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", kind) == 1)
        assert await told(stage, 1) == []
        with anyio.CancelScope(shield=True):
            stage.stop()
            await stage.reaches(lambda: _count(stage, 1, 1))
        assert (await told(stage, 1))[0].body["text"] == "my card is [CARD]"


async def test_a_restart_finds_the_calls_again_by_what_the_channel_of_before_still_brings(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        await snapshots(stage, 1)
        await subscribed(stage, set(topics(1)))
        port = stage.platform.port
    async with staged(live_transcripts=True, port=port) as stage:
        await stage.live()
        assert stage.platform.created == [], "the channel was taken up, though live topics come and go"
        await send(stage, topics(1)[0], message(1, "good morning", ended=True))
        await stage.reaches(lambda: _count(stage, 1, 1))
        await snapshots(stage, 2)
        await subscribed(stage, set(topics(1, 2)))


async def test_a_channel_of_before_that_may_not_be_changed_is_asked_once_and_replaced_with_the_topics(staged: Staged) -> None:
    async with staged(live_transcripts=True) as stage:
        await stage.live()
        port = stage.platform.port
    async with staged(live_transcripts=True, port=port) as stage:
        await stage.live()
        gone = PermanentError("not of this token", code=ReasonCode.NOT_FOUND)
        stage.platform.prefix = "later"
        stage.platform.failures = {"subscribe": [gone], "create": [TransientError("away")]}
        await snapshots(stage, 1)
        await stage.advance_until(lambda: not stage.platform.failures["subscribe"], by=1)
        await snapshots(stage, 2, 3)
        await stage.advance_until(lambda: bool(stage.platform.created), by=1)
        await stage.advance_until(lambda: stage.notifications.paths[-1] == "/later-1" and len(stage.notifications.open) == 1, by=1)
        assert {channel for channel, _ in stage.platform.put} == {"later-1"}, "the old one was not asked again"
        await subscribed(stage, set(topics(1, 2, 3)))
