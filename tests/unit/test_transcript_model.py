"""The transcript model's JSON form: exact both ways, tolerant of what it does not know, and refusals that show no text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.transcripts import Segment, Speaker, Transcript, TranscriptUnreadable, Word

seconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)
share = st.none() | st.floats(min_value=0, max_value=1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.builds(Word, text=texts, start=seconds, end=seconds, confidence=share)
speakers = st.builds(
    Speaker, label=texts, role=st.none() | texts, name=st.none() | texts, user_id=st.none() | texts, channel=st.none() | st.integers(0, 7)
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    count = draw(st.integers(0, 4))
    return Transcript(
        conversation_id=draw(texts),
        communication_id=draw(st.none() | texts),
        recording_ids=tuple(draw(st.lists(texts, max_size=3))),
        source=draw(texts),
        languages=tuple(draw(st.lists(texts, max_size=3))),
        started_at=draw(st.none() | st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC))),  # noqa: DTZ001 - the zone is added
        duration=draw(st.none() | seconds),
        media_type=draw(st.none() | texts),
        redacted=draw(st.booleans()),
        segments=tuple(
            Segment(
                index=i,
                speaker=draw(speakers),
                text=draw(texts),
                start=draw(seconds),
                end=draw(seconds),
                language=draw(st.none() | texts),
                confidence=draw(share),
                words=tuple(draw(st.lists(words, max_size=3))),
            )
            for i in range(count)
        ),
    )


@given(transcripts())
def test_what_is_written_as_json_is_read_back_exactly(transcript: Transcript) -> None:
    assert Transcript.from_dict(orjson.loads(orjson.dumps(transcript.to_dict()))) == transcript


def test_what_may_be_missing_has_defaults_and_unknown_keys_are_passed_over() -> None:
    document = {
        "schema": 1,
        "conversationId": "c",
        "source": "platform",
        "later": {"than": "us"},
        "segments": [{"speaker": {"label": "external", "mood": 1}, "text": "hello", "start": 0, "end": 1}],
    }
    transcript = Transcript.from_dict(document)
    assert transcript.segments[0] == Segment(index=0, speaker=Speaker(label="external"), text="hello", start=0.0, end=1.0)
    assert transcript.word_count == 1
    assert not transcript.redacted


def test_the_start_is_kept_in_utc_and_cut_to_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=timezone(timedelta(hours=1)))
    transcript = Transcript(conversation_id="c", source="live", started_at=moment)
    assert transcript.to_dict()["startedAt"] == "2026-01-02T02:04:05.678Z"


SECRET = "4111 1111"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"schema": 2}, "schema"),
        ({"schema": True}, "schema"),
        ({"conversationId": None}, "conversationId"),
        ({"segments": {SECRET: 1}}, "segments"),
        ({"segments": [SECRET]}, "segments[0]"),
        ({"segments": [{"speaker": SECRET}]}, "segments[0].speaker"),
        ({"segments": [{"speaker": {"label": "a"}, "text": 4, "start": 0, "end": 1}]}, "text of segments[0]"),
        ({"segments": [{"speaker": {"label": "a"}, "text": "a", "start": SECRET, "end": 1}]}, "start of segments[0]"),
        ({"segments": [{"speaker": {"label": "a"}, "text": "a", "start": 10**400, "end": 1}]}, "start of segments[0]"),
        ({"segments": [{"index": 1, "speaker": {"label": "a"}, "text": "a", "start": 0, "end": 1}]}, "numbered 1"),
        ({"languages": [1]}, "languages"),
        ({"startedAt": SECRET}, "startedAt"),
        ({"startedAt": "2026-01-01T00:00:00"}, "startedAt"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_place_and_without_what_stands_there(change: dict[str, object], names: str) -> None:
    document: dict[str, object] = {"schema": 1, "conversationId": "c", "source": "platform", "segments": []}
    with pytest.raises(TranscriptUnreadable) as refusal:
        Transcript.from_dict(document | change)
    assert names in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_segments_out_of_order_and_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="numbered 3"):
        Transcript(conversation_id="c", source="x", segments=(Segment(index=3, speaker=Speaker(label="a"), text="", start=0, end=0),))
    with pytest.raises(ValueError, match="time zone"):
        Transcript(conversation_id="c", source="x", started_at=datetime(2026, 1, 1))  # noqa: DTZ001 - naive is what is tried
