"""Recording control's decisions: which operation, what a conversation shows, what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_sync.genesys.control_rules import in_effect, observed, request_for, require_permission, require_ready
from genesys_sync.services import Check, ControlRefused, Directive, RecordingMedia, RecordingStatus

ID = "2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b"
PUT = "/api/v2/conversations/{}/" + ID + "/recordingstate"


def status(state: str = "active", *, secure: bool | None = False, recorded: bool = True, live: bool = True, connected: bool = True) -> Any:
    return RecordingStatus(ID, RecordingMedia.CALL, live, connected, state, secure, recorded)


def conversation(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": ID, "participants": [{"purpose": "agent", "calls": list(calls)}], **more}


def call(state: str = "connected", recording: str | None = "active", **more: Any) -> dict[str, Any]:
    return {"state": state, **({} if recording is None else {"recordingState": recording}), **more}


@pytest.mark.parametrize(
    ("media", "segment"),
    [
        ("call", "calls"),
        ("callback", "callbacks"),
        ("email", "emails"),
        ("message", "messages"),
        ("cobrowse", "cobrowsesessions"),
        ("screenshare", "screenshares"),
        ("social", "socials"),
        ("video", "videos"),
    ],
)
def test_each_media_has_its_published_put(media: str, segment: str) -> None:
    assert request_for(Directive.PAUSE, ID, RecordingMedia(media)) == ("PUT", PUT.format(segment), {"recordingState": "PAUSED"})


@pytest.mark.parametrize(("directive", "state"), [("pause", "PAUSED"), ("resume", "ACTIVE"), ("start", "ACTIVE"), ("stop", "NONE")])
def test_each_directive_asks_for_its_state_in_the_form_for_the_whole_conversation_too(directive: str, state: str) -> None:
    path = f"/api/v2/conversations/{ID}/recordingstate"
    assert request_for(Directive(directive), ID, RecordingMedia.CONVERSATION) == ("PATCH", path, {"recordingState": state})


@pytest.mark.parametrize("directive", Directive)
def test_no_operation_acts_on_a_screen_recording_and_the_refusal_names_what_does(directive: Directive) -> None:
    with pytest.raises(ControlRefused, match="recording policy") as refused:
        request_for(directive, ID, RecordingMedia.SCREEN)
    assert refused.value.check is Check.OPERATION


def test_the_permission_is_asked_of_the_grants_where_they_are_known() -> None:
    require_permission(None)
    require_permission({("conversation", "*", "*")})
    with pytest.raises(ControlRefused, match="conversation:recording:pauseOthers") as refused:
        require_permission({("conversation", "communication", "view")})
    assert (refused.value.check, refused.value.exit_code) == (Check.PERMISSION, 77)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (conversation(call(securePause=False, recordingId="r")), status()),
        (conversation(call(recording="PAUSED", securePause=True)), status("paused", secure=True)),
        (conversation(call(recording="paused", securePause=False)), status("paused", secure=False)),
        (conversation(call(recording="none", securePause=False)), status("none", recorded=False)),
        (conversation(call(recording="none", securePause=False, recordingId="r")), status("none")),
        (conversation(call(securePause=False), call(recording="paused", securePause=True)), status("mixed", secure=True)),
        (conversation(call(securePause=False), call("disconnected", "paused", securePause=True)), status()),
        (conversation(call(recording=None), recordingState="paused", securePause=True), status("paused", secure=True)),
        (conversation(call(recording=None), recordingState="active"), status(secure=None)),
        (conversation(call("alerting", "none")), status("none", secure=None, recorded=False, connected=False)),
        (
            conversation(call(), endTime="2026-08-01T12:00:00.000Z"),
            status("none", secure=None, recorded=False, live=False, connected=False),
        ),
        ({"participants": [None, {"calls": "?"}]}, status("none", secure=None, recorded=False, connected=False)),
        ({}, status("none", secure=None, recorded=False, connected=False)),
    ],
)
def test_what_a_conversation_shows(shown: dict[str, Any], expected: RecordingStatus) -> None:
    assert observed(shown, ID, RecordingMedia.CALL) == expected


def test_each_media_is_looked_for_under_its_own_name_and_the_screen_beside_it() -> None:
    shown = {"participants": [{"socialExpressions": [call()], "screenRecordingState": "PAUSED"}]}
    assert observed(shown, ID, RecordingMedia.SOCIAL).connected
    assert observed(shown, ID, RecordingMedia.CONVERSATION).state == "active"
    assert not observed(shown, ID, RecordingMedia.EMAIL).connected
    assert observed(shown, ID, RecordingMedia.CALL).screen == "paused"


REFUSALS: list[tuple[Directive, Any, Check | None]] = [
    *((directive, status(live=False), Check.LIVE) for directive in Directive),
    *((directive, status(connected=False), Check.CONNECTED) for directive in Directive),
    (Directive.PAUSE, status(), None),
    (Directive.PAUSE, status("paused", secure=True), None),
    (Directive.PAUSE, status("paused", secure=False), None),
    (Directive.PAUSE, status("none"), Check.RECORDED),
    (Directive.PAUSE, status("none", recorded=False), Check.RECORDED),
    (Directive.RESUME, status(), None),
    (Directive.RESUME, status("paused", secure=True), None),
    (Directive.RESUME, status("paused", secure=None), None),
    (Directive.RESUME, status("paused", secure=False), Check.SECURE_PAUSE),
    (Directive.RESUME, status("none"), Check.RECORDED),
    (Directive.START, status(), None),
    (Directive.START, status("none"), None),
    (Directive.START, status("none", recorded=False), Check.RECORDED),
    (Directive.START, status("paused", secure=True), Check.STATE),
    (Directive.STOP, status(), None),
    (Directive.STOP, status("paused", secure=True), None),
    (Directive.STOP, status("none", recorded=False), None),
]


@pytest.mark.parametrize(("directive", "shown", "check"), REFUSALS)
def test_prerequisites(directive: Directive, shown: RecordingStatus, check: Check | None) -> None:
    if check is None:
        require_ready(directive, shown)
        return
    with pytest.raises(ControlRefused) as refused:
        require_ready(directive, shown)
    assert refused.value.check is check


def test_a_call_that_nobody_records_is_refused_with_who_could_begin() -> None:
    with pytest.raises(ControlRefused, match=r"recording policy.*ad-hoc.*client credentials"):
        require_ready(Directive.START, status("none", recorded=False))


@pytest.mark.parametrize(
    ("directive", "shown", "expected"),
    [
        (Directive.PAUSE, status("paused", secure=True), True),
        (Directive.PAUSE, status("paused", secure=None), True),
        (Directive.PAUSE, status("paused", secure=False), False),  # a hold
        (Directive.PAUSE, status("mixed", secure=True), False),
        (Directive.RESUME, status(), True),
        (Directive.RESUME, status(secure=True), False),
        (Directive.RESUME, status("mixed"), False),
        (Directive.START, status(), True),
        (Directive.STOP, status("none"), True),
        (Directive.STOP, status("paused"), False),
    ],
)
def test_in_effect_is_what_the_conversation_shows(directive: Directive, shown: RecordingStatus, expected: bool) -> None:
    assert in_effect(directive, shown) is expected
