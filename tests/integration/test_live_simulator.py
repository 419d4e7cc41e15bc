"""Live transcription from the simulator's platform to the ledger: what was sent while subscribed arrives, each utterance once, and no
value that somebody told lies anywhere, though a channel is rolled over in the middle and more calls go on than topics may be had."""

from __future__ import annotations

import json
import sqlite3
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.integration.simulated import simulated

from genesys_sync.clock import SystemClock
from genesys_sync.feed.listener import Feed
from genesys_sync.genesys.platform import connect
from genesys_sync.ledger import open_ledger
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.routing import Router
from genesys_sync.settings import Credentials, FeedSettings, GenesysSettings

pytestmark = pytest.mark.anyio
SCENARIO = """
seed = {seed}
start = "on-subscribe"
[calls]
count = {calls}
duration = ["{seconds}s", "{seconds}s"]
head_start = "{before}s"
per_second = 40.0
recordings_per_call = [1]
[recordings]
formats = ["WAV"]
channels = [2]
appear_after = ["50ms", "100ms"]
available_after = ["100ms", "200ms"]
[platform]
rate_limit_per_minute = 3000
[transcripts]
live_batch = "500ms"
language_changes = 0.2
[transcripts.planted]
card = 0.7
ssn = 0.4
phone = 0.4
email = 0.3
iban = 0.3
date_of_birth = 0.3
"""


class World:
    """The simulator as a process, and what its truth log says."""

    def __init__(self, folder: Path, said: dict[str, str]) -> None:
        self.folder, self.said = folder, said

    def truth(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]
        return [line for line in lines if line["type"] == kind]

    def page(self, name: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.said['controlUrl']}/{name}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    @property
    def sent(self) -> set[tuple[str, str]]:
        return {(line["communicationId"], name) for line in self.truth("live_results") for name in line["utteranceIds"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    with ExitStack() as stack:

        def start(*, calls: int, seconds: int, before: int, seed: int = 3) -> World:
            said = stack.enter_context(simulated(tmp_path, SCENARIO.format(calls=calls, seconds=seconds, before=before, seed=seed)))
            return World(tmp_path, said)

        yield start


@asynccontextmanager
async def following(world: World, metrics: Metrics) -> AsyncGenerator[Feed]:
    """The feed, at work; afterwards it has ended, and the ledger is closed."""
    clock = SystemClock()
    said = world.said
    settings = GenesysSettings(api_url=said["apiUrl"], login_url=said["loginUrl"], requests_per_minute=3000)
    credentials = Credentials(SecretStr(said["clientId"]), SecretStr(said["clientSecret"]), "a test")
    (world.folder / "state").mkdir(exist_ok=True)
    async with (
        open_ledger(f"sqlite:///{world.folder}/state/ledger.db", clock=clock) as ledger,
        connect(settings, credentials, clock=clock, metrics=metrics) as platform,
    ):
        await platform.identify()
        feed = Feed(
            platform=platform,
            ledger=ledger,
            router=Router({"nlp": ["utterance.finished"]}),
            clock=clock,
            settings=FeedSettings(live_transcripts=True, live_gather=timedelta(milliseconds=200)),
            metrics=metrics,
            book=world.folder / "state" / "channels",
            kept=world.folder / "state" / "frames",
            redactor=Redactor(),
        )
        async with anyio.create_task_group() as group:
            await group.start(feed.run)
            yield feed
            group.cancel_scope.cancel()


def utterances(world: World) -> Counter[tuple[str, str]]:
    with sqlite3.connect(f"file:{world.folder}/state/ledger.db?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT body FROM event WHERE topic = 'utterance.finished'").fetchall()
    bodies = [json.loads(body) for (body,) in rows]
    return Counter((body["communicationId"], body["utteranceId"]) for body in bodies)


def shown(world: World, log: str) -> set[str]:
    """Spellings of planted values that lie in the ledger, its WAL, whatever lies beside them, or the log."""
    everything = b"\n".join(path.read_bytes() for path in (world.folder / "state").rglob("*") if path.is_file()) + log.encode()
    everything = everything.lower()
    return {text for one in world.truth("planted") for text in {one["value"], *one["spellings"]} if text.lower().encode() in everything}


async def until(fact: Callable[[], Any], *, seconds: float) -> None:
    with anyio.fail_after(seconds):
        while not fact():
            await anyio.sleep(0.1)


async def over(world: World) -> None:
    """Every call has ended, and what was sent of it is in the ledger."""
    await until(lambda: world.page("state")["finished"], seconds=60)
    await until(lambda: utterances(world).keys() >= world.sent, seconds=10)


def rolled(metrics: Metrics) -> float | None:
    """How often a channel was left for another because the platform announced that it closes."""
    return metrics.registry.get_sample_value("genesys_sync_feed_connections_total", {"cause": "socket_closing"})


def latency(metrics: Metrics) -> tuple[float, float]:
    """Utterances, and seconds from their end to the event, on average."""
    value = metrics.registry.get_sample_value
    count = value("genesys_sync_live_utterance_seconds_count") or 0.0
    return count, (value("genesys_sync_live_utterance_seconds_sum") or 0.0) / max(count, 1)


async def test_what_was_sent_while_subscribed_arrives_once_and_redacted_over_a_change_of_channel(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    played, metrics = world(calls=8, seconds=18, before=14), Metrics()
    async with following(played, metrics) as feed:
        await until(lambda: feed.state.live_topics == 8, seconds=10)
        played.page("faults/socket_closing", "POST")
        await over(played)
        assert rolled(metrics) == 1
    wanted, found = played.sent, utterances(played)
    assert len(wanted) > 10
    assert found.keys() >= wanted
    assert set(found.values()) == {1}
    assert played.truth("planted")
    assert metrics.registry.get_sample_value("genesys_sync_live_utterances_total", {"outcome": "withheld"}) is None
    assert shown(played, str(capsys.readouterr())) == set()


@pytest.mark.slow
async def test_a_hundred_calls_with_changes_of_channel(world: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    played, metrics = world(calls=100, seconds=50, before=20, seed=50), Metrics()
    async with following(played, metrics) as feed:
        await until(lambda: feed.state.live_topics == 100, seconds=20)
        for _ in range(2):
            await anyio.sleep(8)
            played.page("faults/socket_closing", "POST")
        await over(played)
        assert rolled(metrics) == 2
    wanted, found = played.sent, utterances(played)
    assert len(wanted) > 500
    assert found.keys() >= wanted
    assert set(found.values()) == {1}
    printed = str(capsys.readouterr())
    assert shown(played, printed) == set()
    with capsys.disabled():
        count, mean = latency(metrics)
        sys.stdout.write(f"\n{len(wanted)} sent, {count:.0f} told, {mean:.2f} s from an utterance's end to its event on average\n")
