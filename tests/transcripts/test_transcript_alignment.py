"""Who speaks: diarization marks, and those who took part."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.transcripts import Mark, Participant, Segment, Speaker, Transcript, align, communications, name_speakers, people_of

NATIVE = Speaker(label="internal")
BEGAN = datetime(2026, 8, 1, 12, tzinfo=UTC)
BASE = BEGAN.timestamp() * 1000


def transcript(*spans: tuple[float, float], label: str = "internal") -> Transcript:
    segments = tuple(
        Segment(index=number, speaker=Speaker(label=label), text="x", start=start, end=end) for number, (start, end) in enumerate(spans)
    )
    return Transcript(conversation_id="c", source="platform", started_at=BEGAN, segments=segments)


def mark(start: float, end: float, label: str) -> Mark:
    return Mark(start=start, end=end, speaker=Speaker(label=label))


def labels(aligned: Transcript) -> list[str]:
    return [segment.speaker.label for segment in aligned.segments]


def test_the_mark_whose_midpoint_lies_within_half_a_second_names_the_speaker() -> None:
    assert labels(align(transcript((1, 3), (5, 6)), [mark(1.5, 3.5, "ana"), mark(6.02, 6.02, "bob")])) == ["ana", "internal"]


def test_half_a_second_is_within_and_more_is_not() -> None:
    assert labels(align(transcript((1, 3)), [mark(2.5, 2.5, "ana")])) == ["ana"]
    assert labels(align(transcript((1, 3)), [mark(2.501, 2.501, "ana")])) == ["internal"]


def test_of_several_the_nearest_then_the_earlier() -> None:
    assert labels(align(transcript((1, 3)), [mark(2.4, 2.4, "far"), mark(2.1, 2.1, "near")])) == ["near"]
    assert labels(align(transcript((1, 3)), [mark(2.25, 2.25, "later"), mark(1.75, 1.75, "earlier")])) == ["earlier"]


TIMES = st.integers(0, 40).map(lambda quarter: quarter / 4)


@given(st.lists(st.tuples(TIMES, TIMES), max_size=5), st.lists(st.tuples(TIMES, TIMES), max_size=6))
def test_alignment_is_what_its_definition_says(spoken: list[tuple[float, float]], marked: list[tuple[float, float]]) -> None:
    spans = [(min(pair), max(pair)) for pair in spoken]
    marks = [mark(min(pair), max(pair), f"s{number}") for number, pair in enumerate(marked)]
    aligned = align(transcript(*spans), marks)
    for (start, end), label in zip(spans, labels(aligned), strict=True):
        distances = {one.speaker.label: abs((one.start + one.end) / 2 - (start + end) / 2) for one in marks}
        near = {name for name, distance in distances.items() if distance <= 0.5}
        assert (label in near and distances[label] == min(distances.values())) if near else label == "internal"


def at(seconds: float) -> float:
    return BASE + seconds * 1000


def test_a_transfer_changes_the_agent_and_a_machine_speaks_only_where_no_person_does() -> None:
    people = [
        Participant(role="ivr", start=at(0), end=at(60)),
        Participant(role="agent", name="Ana", user_id="u1", start=at(10), end=at(20)),
        Participant(role="agent", name="Bob", user_id="u2", start=at(19), end=at(60)),
        Participant(role="customer", name="Jones"),
    ]
    named = name_speakers(transcript((1, 2), (12, 14), (18, 24)), people)
    assert [(one.speaker.role, one.speaker.name) for one in named.segments] == [("ivr", None), ("agent", "Ana"), ("agent", "Bob")]
    outside = name_speakers(transcript((1, 2), label="external"), people)
    assert outside.segments[0].speaker == Speaker(label="external", role="customer", name="Jones")


def test_nobody_is_named_who_was_not_there_and_no_label_is_guessed() -> None:
    people = [Participant(role="agent", name="Ana", user_id="u1", start=at(10), end=at(20))]
    assert name_speakers(transcript((21, 22)), people).segments[0].speaker == NATIVE
    assert name_speakers(transcript((11, 12), label="unknown"), people).segments[0].speaker == Speaker(label="unknown")


SESSION = "d0d0d0d0-0000-4000-8000-000000000001"
QUEUE = "b0b0b0b0-0000-4000-8000-000000000001"


def details(**session: Any) -> dict[str, Any]:
    segments = [{"segmentStart": "2026-08-01T12:00:00.000Z", "segmentEnd": "2026-08-01T12:00:09.500Z", "segmentType": "interact"}]
    customer = {"sessionId": SESSION.upper(), "mediaType": "voice", "recording": True, "segments": segments, **session}
    agent = {"sessionId": QUEUE, "mediaType": "voice", "segments": [{**segments[0], "queueId": QUEUE}]}
    return {
        "participants": [
            {"purpose": "customer", "participantName": "Jones", "sessions": [customer, None]},
            {"purpose": "agent", "participantName": "Ana", "userId": "u1", "sessions": [agent]},
            {"purpose": "ivr", "sessions": [{"flow": {"startingLanguage": "en-us", "endingLanguage": "es-us"}}]},
        ]
    }


def test_the_customers_sessions_are_the_communications() -> None:
    (one,) = communications(details())
    assert (one.id, one.media_type, one.seconds, one.recorded) == (SESSION, "voice", 9.5, True)
    assert (one.queue_ids, one.languages) == ((QUEUE,), ("en-US", "es-US"))
    assert communications(details(mediaType="cobrowse")) == communications(details(sessionId="..")) == communications({}) == ()


def test_people_have_names_and_times() -> None:
    jones, ana = people_of(details())
    assert (jones.role, jones.name, jones.start, jones.end) == ("customer", "Jones", BASE, BASE + 9500)
    assert (ana.role, ana.user_id, ana.name) == ("agent", "u1", "Ana")
