"""A pause that was left ends at its time, although everything was killed in between: real processes, real kill -9."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CALLS = """
start = "at-once"
[calls]
count = 2
per_second = 4.0
duration = "5m"
[control]
delay = "200ms"
"""


def iso(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def first_call(platform: Any, wait: Callable[..., Any]) -> str:
    """A conversation whose recording runs."""

    def recorded() -> str | None:
        found = [one["conversationId"] for one in platform.page("recording")["conversations"] if one["recordingState"] == "active"]
        return found[0] if found else None

    return wait(recorded, what="a recorded call")


def resumed_at(platform: Any, conversation: str) -> float | None:
    """When the first directive to record again took effect, by the platform's own truth."""
    found = [iso(one["effectiveAt"]) for one in platform.page(f"recording/{conversation}")["requests"] if one["state"] == "active"]
    return found[0] if found else None


def left(here: Any, conversation: str, after: str) -> dict[str, Any]:
    done = here.call("record", "pause", conversation, "--resume-after", after, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["after"]["recordingState"] == "paused"
    return told


def timer(here: Any, conversation: str) -> str | None:
    return json.loads(here.call("record", "status", conversation, "--json").stdout)["resumeAt"]


@pytest.mark.parametrize(("after", "dead_for"), [("20s", 1.0), ("6s", 9.0)], ids=["restarted-before-its-time", "restarted-after-its-time"])
def test_a_pause_that_was_left_is_resumed_within_5_s_of_its_time_after_a_kill(
    after: str,
    dead_for: float,
    simulator: Callable[..., Any],
    daemon: Callable[..., Any],
    wait: Callable[..., Any],
) -> None:
    platform = simulator(CALLS)
    here = daemon(platform)
    here.start()
    conversation = first_call(platform, wait)
    wait(lambda: "running" in here.log, what="the daemon")
    paused = left(here, conversation, after)
    assert timer(here, conversation) == paused["resumeAt"]
    here.kill()
    time.sleep(dead_for)
    restarted = time.time()
    here.start()
    at = wait(lambda: resumed_at(platform, conversation), seconds=40, what="the resume")
    due = max(iso(paused["resumeAt"]), restarted)
    sys.stderr.write(f"resumed {at - due:.2f} s after its time, or after the restart where that came later\n")
    assert iso(paused["resumeAt"]) <= at <= due + 5
    wait(lambda: timer(here, conversation) is None, what="the timer's end")
    requests = platform.page(f"recording/{conversation}")["requests"]
    assert [one["state"] for one in requests] == ["paused", "active"]
    status = json.loads(here.call("status", "--json").stdout)
    assert {one["operation"]: one["success"] for one in status["actions"]} == {"recording.pause": 1, "recording.resume": 1}
    assert here.stop() == 0


def test_killed_while_it_resumes_it_finds_the_recording_active_and_ends(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    """The lease of the killed run is taken over at once, and what it had sent is not taken for a fault."""
    platform = simulator(CALLS.replace("200ms", "3s"))
    here = daemon(platform)
    here.start()
    conversation = first_call(platform, wait)
    wait(lambda: "running" in here.log, what="the daemon")
    left(here, conversation, "5s")
    wait(lambda: len(platform.page(f"recording/{conversation}")["requests"]) == 2, what="the resume under way")
    here.kill()
    here.start()
    wait(lambda: timer(here, conversation) is None, seconds=20, what="the timer's end")
    assert platform.page(f"recording/{conversation}")["recordingState"] == "active"
    assert here.stop() == 0


def test_a_pause_that_was_never_accepted_leaves_nothing_to_do(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(CALLS + "participants_only = true\n")
    here = daemon(platform)
    conversation = first_call(platform, wait)
    done = here.call("record", "pause", conversation, "--resume-after", "5s")
    assert done.returncode == 77
    assert "403 conversation.error.forbidden.not.active.participant" in done.stderr
    assert "skipped" in here.call("find", conversation).stdout
    here.start()
    wait(lambda: "running" in here.log, what="the daemon")
    assert json.loads(here.call("record", "status", conversation, "--json").stdout)["resumeAt"] is None
    assert platform.page(f"recording/{conversation}")["requests"] == []
    assert here.stop() == 0


def test_without_a_handler_to_resume_nothing_is_paused(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(CALLS)
    here = daemon(platform, 'handlers.resume.topics=["recording.*"]')
    conversation = first_call(platform, wait)
    done = here.call("record", "pause", conversation, "--resume-after", "5s")
    assert done.returncode == 78
    assert "nothing was paused" in done.stderr
    assert platform.page(f"recording/{conversation}")["requests"] == []
