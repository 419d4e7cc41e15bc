"""The platform's file in several generations, all made by hand after its published descriptions, and anything else that may come."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.transcripts import Participant, Transcript, TranscriptUnreadable, genesys_file, read_document, read_file
from genesys_sync.transcripts import fields as read_fields

FIXTURES = Path(__file__).parents[1] / "fixtures" / "transcripts"
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"


def read(name: str, **more: Any) -> Transcript:
    return read_file(read_document((FIXTURES / f"{name}.json").read_bytes()), conversation_id=CONVERSATION, **more)


def said(transcript: Transcript) -> list[tuple[str, str, float, float]]:
    return [(one.speaker.label, one.text, one.start, one.end) for one in transcript.segments]


def test_the_official_sample_in_seconds_from_the_recordings_start() -> None:
    transcript = read("sample_2021", recording_id="r")
    assert said(transcript) == [("internal", "thank you for calling", 0.5, 2.0), ("external", "My card is 4111.", 3.0, 6.0)]
    assert transcript.started_at == datetime(2020, 9, 13, 12, 26, 42, tzinfo=UTC)
    assert (transcript.duration, transcript.languages, transcript.media_type) == (9.0, ("en-US",), "call")
    assert transcript.recording_ids == ("r",)
    first = transcript.segments[0]
    assert [(word.text, word.start, word.end) for word in first.words][-1] == ("calling", 1.2, 2.0)
    assert (first.confidence, first.language) == (0.93, "en-US")


def test_words_stay_as_they_were_spoken_where_the_text_is_decorated() -> None:
    assert [word.text for word in read("sample_2021").segments[1].words] == ["my"]


def test_those_who_took_part_are_found_by_their_times() -> None:
    agent, customer = (one.speaker for one in read("sample_2021").segments)
    assert (agent.role, agent.user_id, agent.name) == ("agent", "u1", None)
    assert (customer.role, customer.user_id) == ("customer", None)


def test_names_known_from_elsewhere_reach_the_speaker_of_that_id() -> None:
    people = [Participant(role="agent", name="Ana Gomez", user_id="u1"), Participant(role="customer", name="B. Jones", start=0, end=1.7e12)]
    agent, customer = (one.speaker for one in read("sample_2021", people=people).segments)
    assert (agent.name, customer.role) == ("Ana Gomez", "customer")


def test_offsets_numbers_and_other_spellings_give_the_same_times() -> None:
    transcript = read("offsets_and_numbers")
    assert said(transcript) == [("internal", "first", 0.5, 2.0), ("external", "second", 5.0, 8.0)]
    assert (transcript.languages, transcript.duration) == (("en-US",), 9.0)
    assert transcript.segments[1].confidence == 0.88
    assert (transcript.segments[0].words[0].start, transcript.segments[0].words[0].end) == (0.5, 2.0)


def test_several_transcripts_are_one_in_order_of_time_with_the_languages_in_order_of_use() -> None:
    transcript = read("languages_and_email")
    assert said(transcript) == [
        ("internal", "hello", 1.0, 1.7),
        ("external", "buenos días", 10.0, 10.8),
        ("internal", "thank you & goodbye", 60.0, 60.0),
    ]
    assert transcript.languages == ("en-US", "es-US")


def test_what_has_no_time_is_widened_and_what_says_nothing_is_left_out() -> None:
    transcript = read("nothing_but_text")
    assert said(transcript) == [
        ("unknown", "no time at all", 0.0, 0.0),  # the file tells no length: nobody knows when it ends
        ("unknown", "a start alone", 2.0, 4.0),
        ("unknown", "a word has no time", 4.0, 5.0),
        ("unknown", "only words", 6.0, 6.0),
    ]
    timed = transcript.segments[2].words
    assert [(word.start, word.end) for word in timed] == [(4.0, 5.0), (4.2, 5.0)], "a word without a time takes its segment's"
    assert transcript.started_at is None


@pytest.mark.parametrize("start", [{}, {"startTimeMs": 5000}, {"startTimeMs": "2020-09-13T12:26:41Z"}])
def test_what_lasts_to_an_end_that_the_file_does_not_tell_has_no_length_and_is_never_cut_short_at_the_last_time(start: Any) -> None:
    phrases = [
        {"participantPurpose": "external", "text": "a", **start},
        {"participantPurpose": "internal", "text": "b", "startTimeMs": 7000},
    ]
    read_one = read_file({"transcripts": [{"phrases": phrases}]}, conversation_id=CONVERSATION).segments
    assert all(one.start == one.end for one in read_one)


def test_a_phrase_without_a_duration_lasts_until_its_speaker_begins_again_not_until_the_other_does() -> None:
    phrases = [{"participantPurpose": who, "text": who, "startTimeMs": start} for who, start in (("a", 1000), ("b", 2000), ("a", 5000))]
    transcript = read_file({"duration": 9000, "transcripts": [{"phrases": phrases}]}, conversation_id=CONVERSATION)
    assert [(one.start, one.end) for one in transcript.segments] == [(1.0, 5.0), (2.0, 9.0), (5.0, 9.0)]


def test_what_was_said_before_the_stated_start_is_at_zero_and_no_time_is_negative() -> None:
    phrase = {"text": "early", "startTimeMs": 1_600_000_000_000, "duration": 1000}
    document = {"startTime": 1_600_000_005_000, "transcripts": [{"phrases": [phrase]}]}
    assert said(read_file(document, conversation_id=CONVERSATION)) == [("unknown", "early", 0.0, 1.0)]


def test_a_known_start_of_the_recording_counts_more_than_the_files() -> None:
    started = datetime(2020, 9, 13, 12, 26, 41, tzinfo=UTC)
    assert read("sample_2021", started_at=started).segments[0].start == 1.5


@pytest.mark.parametrize("data", [b"", b"<Error>AccessDenied</Error>", b"[]", b'"text"', b"{", b"[" * 100_000])
def test_what_is_no_json_object_is_told_without_showing_it(data: bytes) -> None:
    with pytest.raises(TranscriptUnreadable) as told:
        read_document(data)
    assert "Denied" not in str(told.value)


def test_more_than_can_be_is_refused_and_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genesys_file, "SEGMENTS_MOST", 2)
    document = {"transcripts": [{"phrases": [{"text": "x"}] * 3}]}
    with pytest.raises(TranscriptUnreadable, match="more than 2 phrases"):
        read_file(document, conversation_id=CONVERSATION)


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.integers(1_599_999_990_000, 1_600_000_100_000), st.integers(0, 100_000))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["milliseconds", "seconds", "text", "word", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def record(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.fixed_dictionaries({}, optional=known), ANYTHING)


TIMES = {"startTimeMs": st.one_of(NUMBERS, ANYTHING), "offset": ANYTHING, "duration": st.one_of(NUMBERS, ANYTHING)}
WORDS = record(word=st.text(max_size=5), confidence=ANYTHING, **TIMES)
PHRASES = record(
    participantPurpose=st.sampled_from(["internal", "external", "x"]), text=st.text(max_size=9), words=st.lists(WORDS, max_size=3), **TIMES
)
PARTS = record(language=st.sampled_from(["en-us", "de", 7]), startTime=NUMBERS, subject=ANYTHING, phrases=st.lists(PHRASES, max_size=4))
PEOPLE = record(participantPurpose=st.sampled_from(["agent", "customer", "acd"]), userId=ANYTHING, startTimeMs=NUMBERS, endTimeMs=NUMBERS)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": ANYTHING,
        "startTime": st.one_of(NUMBERS, ANYTHING),
        "duration": ANYTHING,
        "transcripts": st.one_of(st.lists(PARTS, max_size=3), ANYTHING),
        "participants": st.one_of(st.lists(PEOPLE, max_size=3), ANYTHING),
    },
)


@given(DOCUMENTS)
def test_whatever_comes_the_transcript_is_whole_ordered_and_can_be_written(document: dict[str, Any]) -> None:
    transcript = read_file(document, conversation_id=CONVERSATION)
    times = [time for one in transcript.segments for item in (one, *one.words) for time in (item.start, item.end)]
    assert all(math.isfinite(time) and time >= 0 for time in times)
    assert all(item.end >= item.start for one in transcript.segments for item in (one, *one.words))
    assert [one.start for one in transcript.segments] == sorted(one.start for one in transcript.segments)
    assert all(one.text for one in transcript.segments)
    again = Transcript.from_dict(orjson.loads(orjson.dumps(transcript.to_dict())))
    assert again == transcript == read_file(document, conversation_id=CONVERSATION)


@given(st.lists(st.tuples(st.integers(0, 600_000), st.integers(1, 9_000), st.sampled_from(["internal", "external"])), max_size=8))
def test_moments_and_offsets_tell_the_same(spoken: list[tuple[int, int, str]]) -> None:
    """One file, written in both generations."""
    begin = 1_600_000_000_000

    def document(origin: int, length: Any) -> dict[str, Any]:
        phrases = [
            {"participantPurpose": who, "text": f"t{number}", "startTimeMs": origin + start, "duration": length(duration)}
            for number, (start, duration, who) in enumerate(spoken)
        ]
        return {"startTime": begin, "transcripts": [{"phrases": phrases}]}

    moments = read_file(document(begin, lambda ms: {"milliseconds": ms}), conversation_id=CONVERSATION)
    offsets = read_file(document(0, lambda ms: ms), conversation_id=CONVERSATION)
    assert moments == offsets
    assert sorted((round(one.start * 1000), round((one.end - one.start) * 1000)) for one in moments.segments) == sorted(
        (start, duration) for start, duration, _ in spoken
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [("en-us", "en-US"), ("en_US", "en-US"), ("DE", "de"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("", None), (None, None)],
)
def test_languages_are_spelt_as_usual(written: object, expected: str | None) -> None:
    assert read_fields.language(written) == expected


def test_what_was_spoken_first_is_no_beginning_of_the_recording() -> None:
    """Without one, each word would be silenced too early by as long as it rang: so nothing is known but the whole recording."""
    said = {"text": "my card is four one one one", "startTimeMs": 1_700_000_010_000, "duration": 5000}
    (segment,) = read_file({"duration": 60_000, "transcripts": [{"phrases": [said]}]}, conversation_id=CONVERSATION).segments
    assert (segment.start, segment.end) == (0.0, 60.0)
    chat = {"mediaType": "chat", "transcripts": [{"phrases": [{**said, "startTimeMs": 1_700_000_020_000}, said]}]}
    first, second = read_file(chat, conversation_id=CONVERSATION).segments
    assert (first.start, second.start) == (0.0, 10.0)


def test_a_speaker_is_named_by_a_word_of_the_platform_and_never_by_an_address() -> None:
    phrases = [
        {"participantPurpose": who, "text": "t", "startTimeMs": 0} for who in ("external", "rosa.martinez@example.com", "+13175550100")
    ]
    segments = read_file({"transcripts": [{"phrases": phrases}]}, conversation_id=CONVERSATION).segments
    assert {segment.speaker.label for segment in segments} == {"external", "unknown"}
