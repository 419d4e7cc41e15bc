"""What a recording can go through on its way, seen from outside: one of several, in parts, archived, of an unheard-of state, an orphan."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCENARIO = """
seed = 5
[calls]
count = 4
per_second = 4
duration = ["2s", "3s"]
recordings_per_call = [2, 1]
[recordings]
multipart = 1
orphans = 3
available_after = ["500ms", "1s"]
[platform]
restore_time = "4s"
rate_limit_per_minute = 600
[faults]
archived = 1
unknown_state = 1
"""
LOOKS = ('handlers.discover.config.ladder=["1s", "2s"]', "handlers.discover.config.confirm_after=3s")


def readiness(log: str) -> dict[str, Any]:
    address = next(json.loads(line)["address"] for line in log.splitlines() if '"health listens"' in line)
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as answer:  # 503 while it is not ready, with the same body
        with answer:
            found = json.loads(answer.read())
    return found


def test_every_recording_of_every_call_is_archived_whatever_it_went_through(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(SCENARIO)
    here = daemon(platform, *LOOKS, "log.format=json")
    here.start()
    wait(lambda: here.events("media.verified") == 6, seconds=60, what="six recordings archived and verified")
    requests = platform.page("requests")
    assert here.stop() == 0
    truth = {line["recordingId"]: line for line in platform.truth("recording")}
    archived: dict[str, list[Path]] = here.archived()
    assert sorted(archived) == sorted(truth)
    assert sorted(len(paths) for paths in archived.values()) == [1, 1, 1, 1, 1, 2]
    restores = [count for name, count in requests["operations"].items() if name.startswith("PUT") and "recordings/" in name]
    assert restores == [1], "asked back once, and waited for"


@pytest.mark.slow  # it waits for the daemon's first minute; tests/unit/test_genesys_visibility.py is the short form
def test_what_the_client_may_not_see_and_what_belongs_to_no_call_is_told_within_the_first_minute(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    here = daemon(simulator(SCENARIO), *LOOKS, "log.format=json")
    here.start()
    wait(lambda: '"health listens"' in here.log, what="the health listener")
    wait(
        lambda: "sensitive_not_visible" in readiness(here.log)["reasons"],
        seconds=90,
        what="the permission that is missing, told in /readyz",
    )
    wait(lambda: '"orphan_recordings"' in here.log, what="the orphans, told in the log")
    assert here.stop() == 0
