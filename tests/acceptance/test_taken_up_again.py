"""E-mails that are taken up again under their id, over a kill of the daemon: what was recorded since is archived, and nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

SCENARIO = """
seed = 3
[calls]
count = 1
per_second = 4
duration = "1s"
[recordings]
formats = ["WAV"]
available_after = "500ms"
[digital]
emails = 3
taken_up = 2
taken_up_after = "5s"
duration = "1s"
[platform]
rate_limit_per_minute = 3000
batch_job_time = "100ms"
"""
SETTINGS = (
    "handlers.discover.config.ladder=['500ms', '1s']",
    "handlers.discover.config.confirm_after=1200ms",
    "genesys.batch_gather=100ms",
    "genesys.batch_poll=200ms",
)
Call = Callable[..., Any]


@pytest.mark.slow  # the decision itself is tested on a stage: tests/integration/feed/test_feed_taken_up_again.py
def test_what_is_recorded_after_the_first_end_is_archived_over_a_kill(simulator: Call, daemon: Call, wait: Call) -> None:
    platform = simulator(SCENARIO)
    here = daemon(platform, *SETTINGS)
    here.start()
    wait(lambda: here.events("media.verified") == 4, what="everything of the first ends in the archive")
    here.kill()
    wait(lambda: len(platform.truth("call_ended")) == 4, what="the second ends, which nobody heard of")
    here.start()
    expected = {"conversation.ended": 6, "recording.ready": 6, "media.archived": 6, "media.verified": 6}

    def done() -> bool:
        told = json.loads(here.call("status", "--json").stdout)
        under_way = any(said.get(name) for said in told.get("deliveries", {}).values() for name in ("ready", "leased"))
        return not under_way and all(told.get("events", {}).get(topic, 0) == count for topic, count in expected.items())

    wait(done, what=f"{expected}, and the end of all work")
    report = json.loads(here.call("report", "--from", "1h", "--json").stdout)
    assert here.stop() == 0
    assert here.call("verify").returncode == 0

    good = {line["recordingId"]: line["sha256"] for line in platform.truth("recording")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, (path,) in here.archived().items()} == good
    states = sorted(item["state"] for item in report["items"])
    assert states == ["archived"] * 4 + ["recovered"] * 2, "the second ends were found by back-fill"
