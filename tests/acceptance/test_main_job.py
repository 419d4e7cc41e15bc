"""The main job on the installed commands: kill -9, one hundred calls that end together, a recording of 2 GB."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_one_hundred_calls_that_end_together_cost_few_api_calls(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    """At most 0.15 API calls for each archived recording, with the first token, the channel and the start's back-fill counted in."""
    platform = simulator("hundred")
    # the sample's own pace, but for the first look: it comes 8 s after the end instead of 30 s
    here = daemon(
        platform,
        "feed.reconcile_every=15m",
        "feed.backfill_settle=1m",
        "genesys.batch_gather=2s",
        "genesys.batch_poll=2s",
        'handlers.discover.config.ladder=["8s", "1m", "2m"]',
    )
    here.start()
    wait(lambda: len(here.archived()) == 100, seconds=100, what="100 archived recordings")
    requests = platform.page("requests")
    assert here.stop() == 0
    assert requests["api"] / 100 <= 0.15, requests
    truth = {line["recordingId"]: line["sha256"] for line in platform.truth("recording")}
    assert {name: [sha256(path) for path in paths] for name, paths in here.archived().items()} == {
        name: [digest] for name, digest in truth.items()
    }


HUGE = """
seed = 2
[calls]
count = 0
[[calls.extra]]
bytes = "250MB"
end_after = "1s"
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("scenario", "least"),
    [pytest.param(HUGE, 250_000_000, id="250MB"), pytest.param("huge", 2_000_000_000, id="2GB", marks=pytest.mark.slow)],
)
def test_a_recording_of_250_mb_and_of_2_gb_with_flat_memory(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any], scenario: str, least: int
) -> None:
    """It is archived and verified with the daemon's peak resident memory below 150 MiB."""
    platform = simulator(scenario)
    here = daemon(platform)
    here.start()
    wait(lambda: here.events("media.verified") == 1, seconds=400, what="the recording archived and verified")
    peak = here.peak_memory()
    assert here.stop() == 0
    [truth] = platform.truth("recording")
    [path] = here.archived()[truth["recordingId"]]
    assert path.stat().st_size == truth["bytes"] >= least
    assert sha256(path) == truth["sha256"]
    assert peak < 150 * MIB, f"{peak / MIB:.0f} MiB"
