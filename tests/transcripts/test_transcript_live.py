"""Live transcription: each utterance once, when it is finished."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.transcripts import Collapser, LiveMessage, gathered, live, read_message

CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
COMMUNICATION = "d0d0d0d0-0000-4000-8000-000000000001"
BEGAN = 1_600_000_000_000


def message(*utterances: tuple[str, str, bool], status: str = "SESSION_ONGOING", **more: Any) -> LiveMessage:
    transcripts = [
        {
            "utteranceId": name,
            "isFinal": final,
            "channel": "EXTERNAL",
            "dialect": "en-US",
            "alternatives": [
                {
                    "confidence": 0.9,
                    "offsetMs": 1500,
                    "durationMs": 900,
                    "transcript": text,
                    "decoratedTranscript": text.capitalize(),
                    "words": [{"word": text, "startTimeMs": BEGAN + 1500, "offsetMs": 1500, "durationMs": 400, "confidence": 0.8}],
                }
            ],
        }
        for name, text, final in utterances
    ]
    body = {
        "conversationId": CONVERSATION,
        "communicationId": COMMUNICATION,
        "sessionStartTimeMs": BEGAN - 5,
        "transcriptionStartTimeMs": BEGAN,
    }
    found = read_message({**body, "transcripts": transcripts, "status": {"offsetMs": 0, "status": status}, **more})
    assert found is not None
    return found


def test_a_final_utterance_is_told_with_its_times_words_and_language() -> None:
    (told,) = Collapser().take(message(("u1", "hello", True)))
    segment = told.segment
    assert (told.conversation_id, told.communication_id, told.utterance_id, told.final) == (CONVERSATION, COMMUNICATION, "u1", True)
    assert (segment.text, segment.speaker.label, segment.start, segment.end) == ("Hello", "external", 1.5, 2.4)
    assert (segment.language, segment.confidence) == ("en-US", 0.9)
    assert [(word.text, word.start, word.end) for word in segment.words] == [("hello", 1.5, 1.9)]


def test_interim_results_are_collapsed_and_a_repeated_final_one_is_told_once() -> None:
    collapser = Collapser()
    assert collapser.take(message(("u1", "hel", False))) == ()
    assert [one.segment.text for one in collapser.take(message(("u1", "hello", False), ("u1", "hello there", True)))] == ["Hello there"]
    assert collapser.take(message(("u1", "hello there", True), ("u1", "late", False))) == ()


def test_what_was_never_final_is_finished_as_last_heard_when_the_session_ends() -> None:
    collapser = Collapser()
    collapser.take(message(("u1", "hel", False), ("u1", "hello", False)))
    assert [(one.segment.text, one.final) for one in collapser.take(message(status="SESSION_ENDED"))] == [("Hello", True)]
    assert collapser.take(message(status="SESSION_ENDED")) == ()


def test_unfinished_ones_are_bounded_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "UTTERANCES_MOST", 2)
    collapser = Collapser()
    told = [one for number in range(5) for one in collapser.take(message((f"u{number}", "text", False)))]
    assert [one.utterance_id for one in (*told, *collapser.end())] == [f"u{number}" for number in range(5)]


@pytest.mark.parametrize(
    "body", [None, [], {}, {"conversationId": CONVERSATION}, {"conversationId": "x", "communicationId": COMMUNICATION}]
)
def test_a_message_that_names_nobody_is_none(body: object) -> None:
    assert read_message(body) is None


def test_utterances_gathered_are_a_transcript() -> None:
    told = Collapser().take(message(("u1", "hello", True), ("u2", "again", True)))
    (transcript,) = gathered(told)
    assert [one.text for one in transcript.segments] == ["Hello", "Again"]
    assert (transcript.source, transcript.languages, transcript.communication_id) == ("live", ("en-US",), COMMUNICATION)


UTTERANCES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"]), st.booleans()), max_size=4)


@given(st.lists(st.tuples(UTTERANCES, st.sampled_from(["SESSION_ONGOING", "SESSION_ENDED"])), max_size=8))
def test_every_utterance_heard_is_told_exactly_once(steps: list[tuple[list[tuple[str, str, bool]], str]]) -> None:
    collapser = Collapser()
    told = [one.utterance_id for utterances, status in steps for one in collapser.take(message(*utterances, status=status))]
    told += [one.utterance_id for one in collapser.end()]
    assert sorted(told) == sorted({name for utterances, _ in steps for name, _, _ in utterances})


ANYTHING = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["utteranceId", "alternatives", "words", "word", "transcript", "offsetMs", "durationMs", "isFinal"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.lists(ANYTHING, max_size=3), ANYTHING)
def test_no_message_raises(transcripts: list[Any], status: Any) -> None:
    body = {"conversationId": CONVERSATION, "communicationId": COMMUNICATION, "transcripts": transcripts, "status": status}
    found = read_message(body)
    assert found is not None
    assert all(one.segment.end >= one.segment.start >= 0 for one in Collapser().take(found))
