"""What a speech service answers becomes segments and words, whatever it leaves out, and never an exception but one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_sync.plugin import TranscriptionRequest
from genesys_sync.transcripts import TranscriptUnreadable
from genesys_sync_handlers._transcription_store import transcript_of
from genesys_sync_handlers.providers._reading import heard


def read(**document: Any):
    return heard(orjson.dumps(document))


def test_words_beside_overlapping_segments_go_to_the_one_whose_text_goes_on_with_them() -> None:
    words = [("my", 0.0, 0.4), ("what", 0.2, 0.5), ("card", 0.5, 0.9), ("is", 0.6, 0.8), ("that", 0.9, 1.1)]
    found = read(
        language="english",
        duration=2,
        segments=[{"start": 0.0, "end": 1.0, "text": " My card."}, {"start": 0.1, "end": 1.2, "text": "what is that?"}],
        words=[{"word": word, "start": start, "end": end} for word, start, end in words],
    )
    assert [[word.text for word in one.words] for one in found.segments] == [["my", "card"], ["what", "is", "that"]]
    assert (found.languages, found.duration) == (("en",), 2.0)


@pytest.mark.parametrize(
    ("document", "spans"),
    [
        ({"text": "hello there", "duration": 3.5}, [("hello there", 0.0, 3.5)]),
        ({"words": [{"word": "a", "start": 1, "end": 2}, {"word": "b", "start": 2, "end": 3}]}, [("a b", 1.0, 3.0)]),
        ({"segments": [{"text": "b", "start": 5, "end": 6}, {"text": "a", "start": 1, "end": 2}]}, [("a", 1.0, 2.0), ("b", 5.0, 6.0)]),
        ({"segments": [{"text": "no times"}], "duration": 9}, [("no times", 0.0, 9.0)]),
        ({"segments": [{"text": "", "start": 1, "end": 2}]}, []),
        ({}, []),
    ],
)
def test_what_is_left_out_is_widened_never_guessed_narrow(document: dict[str, Any], spans: list[tuple[str, float, float]]) -> None:
    found = heard(orjson.dumps(document))
    assert [(one.text, one.start, one.end) for one in found.segments] == spans
    assert [one.index for one in found.segments] == list(range(len(spans)))


@pytest.mark.parametrize("data", [b"", b"[]", b"hello", b"\xff", b'{"text": '])
def test_what_is_no_result_is_told_without_quoting_it(data: bytes) -> None:
    with pytest.raises(TranscriptUnreadable, match="the provider's result"):
        heard(data)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=True), st.text(max_size=5), st.lists(st.none(), max_size=2)
)
ITEM = st.dictionaries(
    st.sampled_from(["text", "word", "start", "end", "speaker", "words", "confidence", "language", "channel"]), VALUES, max_size=6
)
KEYS = st.sampled_from(["text", "language", "duration"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES), st.lists(ITEM, max_size=4), st.lists(ITEM, max_size=4))
def test_nothing_else_is_raised_whatever_stands_there(base: dict[str, Any], segments: list[Any], words: list[Any]) -> None:
    found = heard(orjson.dumps({**base, "segments": segments, "words": words, "diarization": [*words, *segments]}))
    assert all(one.start <= one.end for one in found.segments)


def test_segments_take_the_speakers_of_the_marks_that_fit_and_keep_their_own_where_none_does() -> None:
    found = read(
        duration=20,
        segments=[
            {"text": "a", "start": 1, "end": 3, "speaker": "left", "channel": 1},
            {"text": "b", "start": 5, "end": 9},
            {"text": "c", "start": 12, "end": 13, "speaker": "right", "channel": -1},
        ],
        diarization=[
            {"speaker": "Ada", "start": 1.4, "end": 3.4},
            {"speaker": "Ben", "start": 5.1, "end": 9.9, "channel": 0},
            {"speaker": "far", "start": 14, "end": 15},
            {"speaker": "", "start": 12, "end": 13},
            {"speaker": "late", "end": 13},
        ],
    )
    wanted = TranscriptionRequest(provider="p", locale="en-US", key="k", sha256="0" * 64, size=1, content_type="audio/wav")
    said = [(one.text, one.speaker.label, one.speaker.channel) for one in transcript_of(wanted, found).segments]
    assert said == [("a", "ada", 1), ("b", "ben", 0), ("c", "right", None)]
