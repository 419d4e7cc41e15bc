"""A daemon killed with -9 while it holds utterances of live calls: the next one tells them. Real processes, real kill."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SCENARIO = """
seed = 11
start = "on-subscribe"
[calls]
count = 12
duration = ["40s", "40s"]
head_start = "15s"
per_second = 40.0
recordings_per_call = [1]
[recordings]
formats = ["WAV"]
channels = [2]
[platform]
rate_limit_per_minute = 3000
[transcripts]
live_batch = "500ms"
[transcripts.planted]
card = 0.8
ssn = 0.5
phone = 0.5
"""
HANDLER = """
from genesys_sync.plugin import Delivery, Done, Event, Handler, Outcome
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    pass


class Nlp(Handler[Config]):
    config_type = Config
    topics = ("utterance.finished",)

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        return Done()
"""


def told(folder: Path) -> set[str]:
    with sqlite3.connect(f"file:{folder}/state/ledger.db?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT body FROM event WHERE topic = 'utterance.finished'").fetchall()
    return {json.loads(body)["utteranceId"] for (body,) in rows}


def sent(platform: Any, before: float) -> set[str]:
    """Finished utterances that were on their way for a second and a half when it was killed."""
    limit = datetime.fromtimestamp(before).astimezone() - timedelta(seconds=1.5)
    lines = [line for line in platform.truth("live_results") if datetime.fromisoformat(line["at"]) <= limit]
    return {name for line in lines for name in line["utteranceIds"]}


def test_what_was_held_at_the_kill_is_told_by_the_next_process_and_no_planted_value_lies_anywhere(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "nlp.py").write_text(HANDLER)
    platform = simulator(SCENARIO)
    here = daemon(
        platform, "feed.live_transcripts=true", 'feed.live_gather="200ms"', f'handlers.nlp.use="{tmp_path}/nlp.py:Nlp"', 'log.level="debug"'
    )
    here.start()
    wait(lambda: len(platform.truth("live_results")) > 25, what="live results")
    time.sleep(2)  # what was sent until now is to be told or held: its age is what is measured
    here.kill()
    killed = time.time()
    due = sent(platform, killed)
    held = json.loads((tmp_path / "state" / "ledger.db.held").read_text())["held"]
    before = told(tmp_path)
    assert due, "something was sent"
    assert due - before, "the control: some of it was held when it was killed"
    here.start()
    wait(lambda: due <= told(tmp_path), what="what was held", seconds=20)
    assert "utterances_recovered" in here.log
    wait(lambda: platform.page("state")["finished"] and platform.truth("planted"), what="the end of the calls", seconds=90)
    assert here.stop() == 0
    everything = b"\n".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()) + here.log.encode()
    planted = {text.lower() for one in platform.truth("planted") for text in {one["value"], *one["spellings"]}}
    assert planted, "the control: there was something to hide"
    assert not [text for text in planted if text.encode() in everything.lower()]
    print(f"{len(due)} sent, {len(due - before)} of them held at the kill ({len(held)} in the file), none lost")  # noqa: T201 - the figure
