"""Chats, messages, e-mails and screens from their notification to the report: detected, archived byte for byte, verified, redacted."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

SCENARIO = """
seed = 7
[calls]
count = 2
per_second = 4
duration = ["1s", "1500ms"]
[recordings]
formats = ["WAV"]
channels = [2]
available_after = "500ms"
[digital]
chats = 2
messages = 2
emails = 2
too_large = 1
screens = 2
duration = ["500ms", "1s"]
in_batches = "{in_batches}"
[platform]
rate_limit_per_minute = 3000
batch_job_time = "100ms"
[transcripts]
ready_after = "200ms"
[transcripts.planted]
card = 1.0
"""
SETTINGS = (
    "handlers.discover.config.ladder=['500ms', '1s']",
    "handlers.discover.config.confirm_after=1200ms",
    "genesys.batch_gather=100ms",
    "genesys.batch_poll=200ms",
    "handlers.transcript.use=transcript",
    "handlers.transcript.config.ladder=['300ms', '600ms', '1s']",
    "handlers.transcript.config.confirm_after=1200ms",
    "handlers.transcript.config.give_up=5s",
    "handlers.transcript.config.forms=['vtt', 'srt', 'txt']",
    "handlers.transcript.config.media_types=['voice', 'chat', 'email']",
    "handlers.redact.use=redact",
    "handlers.mute.use=mute",
    "handlers.mute.config.ladder=['300ms']",
)
Call = Callable[..., Any]


@pytest.mark.parametrize("in_batches", ["json", pytest.param("unavailable", marks=pytest.mark.slow)])
def test_every_medium_is_detected_archived_verified_and_redacted(simulator: Call, daemon: Call, wait: Call, in_batches: str) -> None:
    platform = simulator(SCENARIO.format(in_batches=in_batches))
    here = daemon(platform, *SETTINGS)
    here.start()
    expected = {"conversation.ended": 8, "media.verified": 9, "media.redacted": 7, "transcript.redacted": 6, "transcript.missing": 2}

    def done() -> bool:
        told = json.loads(here.call("status", "--json").stdout)
        under_way = any(said.get(name) for said in told.get("deliveries", {}).values() for name in ("ready", "leased"))
        return not under_way and all(told.get("events", {}).get(topic, 0) == count for topic, count in expected.items())

    wait(done, what=f"{expected}, and the end of all work")
    report = json.loads(here.call("report", "--from", "1h", "--to", later(), "--json").stdout)
    assert here.stop() == 0
    assert here.call("verify").returncode == 0

    truth = {line["recordingId"]: line for line in platform.truth("recording")}
    good = {name: line["sha256"] for name, line in truth.items() if line["good"]}
    stored = {name: path for name, (path,) in here.archived().items()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in stored.items()} == good
    endings = {truth[name]["media"]: "".join(path.suffixes) for name, path in stored.items()}
    written = dict.fromkeys(("chat", "messaging", "email"), ".media.json")
    assert endings == {"audio": ".wav", "screen": ".webm", **written}

    states = Counter((item["state"], item["reason"]) for item in report["items"])
    assert states == {("archived", None): 9, ("dead", "FILESTATE_ERROR"): 1}, "each was heard of by its notification"
    counts = report["transcripts"]["counts"]
    assert (counts["archived"], counts["excluded"], sum(counts.values())) == (6, 2, 8)
    for line in platform.truth("transcript"):
        paths = [path for folder in (here.archive / "transcripts").rglob(line["conversationId"]) for path in folder.iterdir()]
        names = {path.name.partition(".")[2].removeprefix(line["recordingId"] + ".") for path in paths}
        wanted = set() if line["media"] == "message" else {"raw.json", "json", "vtt", "srt", "txt", "archive.json"}
        assert names == wanted, line["media"]
    told = [one for one in platform.truth("planted") if one["media"] == "chat"]
    for one in told:
        (copy,) = (here.archive / "redacted" / "recordings").rglob(one["recordingId"] + ".media.json")
        assert "[CARD]" in copy.read_text()
    assert len(told) == 2


def later() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
