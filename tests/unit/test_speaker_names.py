"""Whose voice a side is: by whoever was alone on it; of several, by the times, where the recording's length tells when it began."""

from __future__ import annotations

from typing import Any

import orjson

from genesys_sync.transcripts import Segment, Speaker, Transcript, in_channels
from genesys_sync_handlers._transcription_store import named

FIRST, SECOND = ("Ann First", "u1"), ("Bob Second", "u2")


def at(seconds: int) -> str:
    return f"2026-08-01T12:{seconds // 60:02d}:{seconds % 60:02d}.000Z"


def took_part(*people: tuple[str, str, str | None, int, int], session: str = "s") -> dict[str, Any]:
    """Each: purpose, name, user, from and to which second."""
    participants = [
        {
            "purpose": purpose,
            "participantName": name,
            "userId": user,
            "sessions": [
                {"sessionId": session if purpose == "customer" else name, "segments": [{"segmentStart": at(a), "segmentEnd": at(b)}]}
            ],
        }
        for purpose, name, user, a, b in people
    ]
    return {"sessionId": session, "conversation": {"participants": participants}}


def spoken(*said: tuple[str, float], duration: float | None = 100.0) -> Transcript:
    segments = tuple(Segment(index=n, speaker=Speaker(label=label), text="x", start=at, end=at + 2) for n, (label, at) in enumerate(said))
    return Transcript(conversation_id="c", source="speech", duration=duration, segments=segments)


def names(transcript: Transcript) -> list[str | None]:
    return [one.speaker.name for one in transcript.segments]


CALL = took_part(("customer", "Cy", None, 0, 100), ("agent", *FIRST, 10, 100))
TRANSFERRED = took_part(("customer", "Cy", None, 0, 100), ("agent", *FIRST, 10, 50), ("agent", *SECOND, 50, 100))


def test_whoever_was_alone_on_a_side_says_what_is_said_on_it() -> None:
    for duration in (100.0, 40.0, None):
        found = named(spoken(("internal", 20), ("external", 30), ("agent", 60), duration=duration), CALL)
        assert names(found) == ["Ann First", "Cy", "Ann First"]


def test_of_several_the_times_decide_where_the_length_tells_when_the_recording_began() -> None:
    assert names(named(spoken(("internal", 20), ("internal", 70), ("external", 5)), TRANSFERRED)) == ["Ann First", "Bob Second", "Cy"]


def test_of_several_nobody_is_named_where_it_is_not_known_when_the_recording_began() -> None:
    found = named(spoken(("internal", 20), ("internal", 70), ("external", 5), duration=61.0), TRANSFERRED)
    assert names(found) == [None, None, "Cy"]
    assert found.started_at is None


def test_speakers_that_are_of_no_side_and_recordings_of_which_nothing_is_noted_keep_what_they_have() -> None:
    assert names(named(spoken(("speaker_0", 20)), CALL)) == [None]
    for nothing in ({}, {"conversation": None}, {"conversation": {"participants": [None, {"sessions": 1}]}, "sessionId": 4}):
        assert names(named(spoken(("internal", 20)), orjson.loads(orjson.dumps(nothing)))) == [None]


def test_whose_channel_is_known_is_of_that_side_and_what_contradicts_itself_may_be_any() -> None:
    channels = {"external": 0, "internal": 1}
    told = [("speaker_0", 0), ("speaker_1", 1), ("speaker_2", 5), ("speaker_3", None), ("external", None), ("internal", 1), ("external", 1)]
    segments = tuple(
        Segment(index=n, speaker=Speaker(label=label, channel=channel), text="x", start=20.0, end=22.0)
        for n, (label, channel) in enumerate(told)
    )
    placed = in_channels(Transcript(conversation_id="c", source="speech", segments=segments), channels)
    assert [(one.speaker.label, one.speaker.channel) for one in placed.segments] == [
        ("external", 0),
        ("internal", 1),
        ("speaker_2", 5),
        ("speaker_3", None),
        ("external", 0),
        ("internal", 1),
        ("external", None),
    ]
    assert names(named(placed, CALL))[:4] == ["Cy", "Ann First", None, None]
    assert in_channels(placed, {}) == placed
