"""The handler resume: a pause that was left ends at its time, and nothing else is touched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.events import Event, Topic, iso
from genesys_sync.plugin import Check, ControlForbidden, ControlRefused, Directive, Done, NotConfirmed, RecordingMedia, Skip, Snooze
from genesys_sync.testing import make_event
from genesys_sync_handlers.resume import Resume

pytestmark = pytest.mark.anyio


class Refused(PermanentError):
    platform_code = "conversation.error.conversation.disconnected"


def left(harness: Any, seconds: float = 30, media: str = "call") -> Event:
    due = harness.clock.now() + timedelta(seconds=seconds)
    return make_event(Topic.RECORDING_PAUSE_LEFT, body={"media": media, "resumeAt": iso(due)})


async def test_it_waits_for_its_time_then_resumes_and_audits(handler_harness: Any) -> None:
    async with handler_harness(Resume) as harness:
        event = left(harness, media="email")
        harness.genesys.control.show(event.conversation_id, "paused", secure_pause=True)
        assert await harness.handle(event) == Snooze("the pause has not come to its end", timedelta(seconds=30))
        await harness.clock.advance(29.5)
        assert isinstance(await harness.handle(event), Snooze)
        await harness.clock.advance(0.5)
        assert harness.genesys.control.sent == []
        assert await harness.handle(event) == Done(note="resumed a pause that was left")
        assert harness.genesys.control.sent == [(Directive.RESUME, event.conversation_id, RecordingMedia.EMAIL)]
        assert isinstance(await harness.handle(event), Done)  # run twice it resumes once
        assert len(harness.genesys.control.sent) == 1
    (entry,) = harness.audited
    assert (entry.actor, entry.action, entry.target) == ("handler:under-test", "recording.resume", event.conversation_id)


@pytest.mark.parametrize(
    ("shown", "kind", "words"),
    [
        ({"state": "active"}, Done, "active again already"),
        ({"state": "paused", "secure_pause": True, "live": False}, Skip, "has ended"),
        ({"state": "paused", "secure_pause": False}, Skip, "a hold"),
        ({"state": "none"}, Snooze, "neither paused nor active"),
        (None, Skip, "no such conversation"),
    ],
)
async def test_where_nothing_is_paused_it_sends_nothing(handler_harness: Any, shown: dict[str, Any] | None, kind: type, words: str) -> None:
    async with handler_harness(Resume) as harness:
        event = left(harness, -1)
        if shown is not None:
            harness.genesys.control.show(event.conversation_id, **shown)
        outcome = await harness.handle(event)
    assert isinstance(outcome, kind)
    assert words in str(outcome)
    assert harness.genesys.control.sent == []
    assert harness.audited == []


@pytest.mark.parametrize(
    "error",
    [ControlRefused(Check.LIVE, "it ended"), ControlRefused(Check.CONNECTED, "not connected"), Refused("400 disconnected")],
)
async def test_what_changed_under_its_hands_is_looked_at_again(handler_harness: Any, error: Exception) -> None:
    async with handler_harness(Resume) as harness:
        event = left(harness, -1)
        harness.genesys.control.show(event.conversation_id, "paused", secure_pause=True)
        harness.genesys.control.fail(error)
        assert isinstance(await harness.handle(event), Snooze)


@pytest.mark.parametrize(
    "error",
    [
        ControlForbidden("pauseOthers is missing"),
        PermanentError("403", code=ReasonCode.FORBIDDEN),
        NotConfirmed("accepted, not shown"),
        TransientError("away", code=ReasonCode.UNREACHABLE),
    ],
)
async def test_a_refusal_for_good_is_a_dead_letter_and_what_passes_is_tried_again(handler_harness: Any, error: Exception) -> None:
    async with handler_harness(Resume) as harness:
        event = left(harness, -1)
        harness.genesys.control.show(event.conversation_id, "paused", secure_pause=True)
        harness.genesys.control.fail(error)
        with pytest.raises(type(error)):
            await harness.handle(event)
    assert harness.audited[0].outcome == ("refused" if isinstance(error, PermanentError) else "failure")


@pytest.mark.parametrize(
    "body", [{}, {"media": "call"}, {"media": "fax", "resumeAt": "2026-08-01T12:00:00.000Z"}, {"media": "call", "resumeAt": 7}]
)
async def test_an_event_that_does_not_say_when_is_refused(handler_harness: Any, body: dict[str, Any]) -> None:
    async with handler_harness(Resume) as harness:
        with pytest.raises(PermanentError, match="resume-after"):
            await harness.handle(make_event(Topic.RECORDING_PAUSE_LEFT, body=body))
