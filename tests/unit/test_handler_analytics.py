"""What the analytics record says about recordings, whatever is missing from it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync_handlers._analytics import candidate_durations, recording_started


def segment(kind: str, start: int, end: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"segmentType": kind, "segmentStart": f"2026-08-01T12:{start // 60:02}:{start % 60:02}.000Z"}
    if end is not None:
        found["segmentEnd"] = f"2026-08-01T12:{end // 60:02}:{end % 60:02}.000Z"
    return found


CALL = {
    "conversationStart": "2026-08-01T12:00:00.000Z",
    "conversationEnd": "2026-08-01T12:05:00.000Z",
    "participants": [
        {"purpose": "customer", "sessions": [{"sessionId": "A", "segments": [segment("ivr", 0, 20), segment("interact", 20, 300)]}]},
        {
            "purpose": "agent",
            "sessions": [
                {
                    "sessionId": "B",
                    "recording": True,
                    "segments": [
                        segment("alert", 50, 60),
                        segment("interact", 60, 180),
                        segment("hold", 180, 290),
                        segment("wrapup", 290, 400),
                    ],
                }
            ],
        },
    ],
}


def test_the_named_session_gives_its_whole_and_its_connected_span_and_the_conversation_bounds() -> None:
    assert candidate_durations(CALL, "B") == [230.0, 240.0, 300.0]


def test_without_a_named_session_every_one_is_a_candidate() -> None:
    assert candidate_durations(CALL, None) == [230.0, 240.0, 300.0]
    assert candidate_durations(CALL, "unknown") == [230.0, 240.0, 300.0]


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"participants": None},
        {"participants": [None, 7, {"sessions": "x"}]},
        {"conversationStart": "yesterday", "conversationEnd": 5},
        {"conversationStart": "2026-08-01T12:00:00Z"},
    ],
)
def test_a_record_that_says_nothing_gives_nothing(details: dict[str, Any]) -> None:
    assert candidate_durations(details, None) == []
    assert recording_started(details) is None


@pytest.mark.parametrize(
    ("participant", "said"),
    [
        ({"sessions": [{"recording": True}]}, True),
        ({"sessions": [{"recording": False}]}, False),
        ({"sessions": [{"recording": False}, {"snippetRecording": True}]}, True),
        ({"screenRecording": True, "sessions": []}, True),
        ({"sessions": [{"recording": "yes"}]}, None),
    ],
)
def test_whether_recording_started_is_told_only_where_it_is_said(participant: dict[str, Any], said: bool | None) -> None:
    assert recording_started({"participants": [participant]}) is said


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(st.sampled_from(["participants", "conversationStart", "conversationEnd", "sessions", "segments"]), _JSON))
def test_no_shape_of_record_is_an_error(details: dict[str, Any]) -> None:
    assert candidate_durations(details, None) == []
    assert recording_started(details) is None
