"""The transcript handler against the simulator: at once, late and never, each communication by itself, all files as they were."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from pydantic import SecretStr
from tests.integration.simulated import simulated

from genesys_sync.clock import SystemClock
from genesys_sync.dispatch.execution import auditing
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Delivery, Done, Event, Origin, Snooze
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.storage.local import LocalStorage
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.transcripts import Transcript
from genesys_sync_handlers.transcript import TranscriptFetch

pytestmark = pytest.mark.anyio
CALLS = 16
SCENARIO = f"""
seed = 7
start = "at-once"
[calls]
count = {CALLS}
duration = ["6s", "7s"]
head_start = "6s"
per_second = 50.0
recordings_per_call = [1]
[recordings]
appear_after = ["20ms", "50ms"]
available_after = ["50ms", "300ms"]
[platform]
rate_limit_per_minute = 3000
[transcripts]
ready_after = ["50ms", "200ms"]
late = 0.25
late_after = ["700ms", "1s"]
never = 0.25
language_changes = 0.3
messages = 0.3
missing_fields = 0.1
[transcripts.planted]
card = 1.0
[faults]
offset_times = 3
"""
LADDER = {"ladder": ["200ms", "500ms", "1200ms"], "confirm_after": "1200ms", "give_up": "2s", "shortest": "5s"}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with simulated(tmp_path, SCENARIO) as said:
        yield said


@asynccontextmanager
async def connected(simulator: dict[str, Any]) -> AsyncGenerator[Platform]:
    settings = GenesysSettings(api_url=simulator["apiUrl"], login_url=simulator["loginUrl"], batch_gather="50ms", batch_poll="200ms")
    credentials = Credentials(SecretStr(simulator["clientId"]), SecretStr(simulator["clientSecret"]), "a test")
    async with connect(settings, credentials, clock=SystemClock(), metrics=Metrics()) as platform:
        await platform.identify()
        yield platform


async def ended(platform: Platform) -> list[Event]:
    """`conversation.ended` of every call, once analytics tells of all."""
    with anyio.fail_after(30):
        while True:
            now = SystemClock().now()
            records = [one async for one in platform.conversations.ended_between(now - timedelta(hours=1), now, timedelta(hours=1))]
            if len(records) == CALLS:
                return [_event(record, platform.organization_id) for record in records]
            await anyio.sleep(0.2)


def _event(record: dict[str, Any], organization_id: str) -> Event:
    at = datetime.fromisoformat(record["conversationEnd"]).astimezone(UTC)
    return Event.of(
        "conversation.ended",
        occurred_at=at,
        organization_id=organization_id,
        conversation_id=record["conversationId"],
        origin=Origin.LIVE,
    )


async def to_its_end(handler: TranscriptFetch, event: Event) -> tuple[dict[str, Event], int]:
    """What a dispatcher would do with one delivery; every event by its id, and how often the handler looked."""
    told: dict[str, Event] = {}
    for looks in range(100):
        delivery = Delivery(id="d", handler="transcript", attempt=1, snoozes=looks, created_at=event.occurred_at)
        with auditing("transcript"):
            outcome = await handler.handle(event, delivery)
        assert isinstance(outcome, (Done, Snooze)), outcome
        told.update({one.id: told.get(one.id, one) for one in outcome.emit})
        if isinstance(outcome, Done):
            return told, looks + 1
        await anyio.sleep(outcome.delay.total_seconds())
    raise AssertionError("it never ended")


async def test_every_communication_has_its_transcript_or_its_reason(simulator: dict[str, Any], tmp_path: Path) -> None:
    clock = SystemClock()
    storage = LocalStorage(tmp_path / "archive", min_free=0, metrics=Metrics())
    await storage.open()
    outcomes: dict[str, dict[str, Event]] = {}
    async with connected(simulator) as platform:
        harness = HandlerHarness(TranscriptFetch, LADDER, folder=tmp_path)
        services = replace(harness.services, clock=clock, genesys=platform, media=platform.media, storage=storage, scratch=storage.scratch)
        await harness.handler.check(services)
        events = await ended(platform)

        async def run(event: Event) -> None:
            outcomes[event.conversation_id or ""] = (await to_its_end(harness.handler, event))[0]

        async with harness.handler.running(services), anyio.create_task_group() as tasks:
            for event in events:
                tasks.start_soon(run, event)
    told = [event for theirs in outcomes.values() for event in theirs.values()]
    truth = {line["communicationId"]: line for line in _truth(tmp_path) if line["type"] == "transcript"}
    assert Counter(event.body["communicationId"] for event in told) == Counter(truth.keys()), "each exactly once"
    archived = {event.body["communicationId"]: event for event in told if event.topic == "transcript.archived"}
    assert archived.keys() == {name for name, line in truth.items() if line["outcome"] != "never"}
    for event in archived.values():
        _sound(tmp_path / "archive", event)
    reasons = {event.body["communicationId"]: event.body["reason"] for event in told if event.topic == "transcript.missing"}
    # what the platform does not say stays unknown: nothing tells of a call in a language that no engine understands
    expected = {name: {"language": "never_appeared"}.get(line["reason"], line["reason"]) for name, line in truth.items() if name in reasons}
    assert reasons == expected
    bodies = orjson.dumps([dict(event.body) for event in told]).decode()
    assert "://" not in bodies


def _truth(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]


def _sound(root: Path, event: Event) -> None:
    raw, model = event.body["raw"], event.body["transcript"]
    data = (root / raw["key"]).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (raw["sha256"], raw["bytes"])
    document = orjson.loads(data)
    transcript = Transcript.from_dict(orjson.loads((root / model["key"]).read_bytes()))
    assert len(transcript.segments) == sum(len(part["phrases"]) for part in document["transcripts"]) == event.body["segments"]
    spoken = [one for one in transcript.segments if one.words]
    assert spoken
    assert all(0 <= one.start <= one.end <= (transcript.duration or 0) for one in spoken)
    assert {one.speaker.role for one in spoken} <= {"agent", "customer"}
    assert all(one.speaker.name for one in spoken)
