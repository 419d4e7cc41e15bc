"""Our client against the platform's simulator, which was written from the published description by somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.integration.simulated import simulated

from genesys_sync.clock import SystemClock
from genesys_sync.errors import CredentialsRefused, PermanentError
from genesys_sync.genesys.grants import SENSITIVE, holds
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings

pytestmark = pytest.mark.anyio
CALLS = 20
SCENARIO = f"""
seed = 11
start = "at-once"
[calls]
count = {CALLS}
duration = ["500ms", "1s"]
end_together = true
recordings_per_call = [1]
[recordings]
appear_after = ["50ms", "100ms"]
available_after = ["100ms", "300ms"]
orphans = 30
[platform]
batch_job_time = "200ms"
transcode_time = "100ms"
"""


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with simulated(tmp_path, SCENARIO) as said:
        yield said


def settings_for(simulator: dict[str, Any]) -> GenesysSettings:
    return GenesysSettings(api_url=simulator["apiUrl"], login_url=simulator["loginUrl"], batch_gather="200ms", batch_poll="400ms")


def credentials_for(simulator: dict[str, Any], secret: str | None = None) -> Credentials:
    return Credentials(SecretStr(simulator["clientId"]), SecretStr(secret or simulator["clientSecret"]), "a test")


def truth(tmp_path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    return {line["recordingId"]: line for line in lines if line["type"] == "recording"}


async def every_ended(platform: Platform) -> list[str]:
    """The conversations that analytics tells of, once it tells of all."""
    with anyio.fail_after(30):
        while True:
            now = SystemClock().now()
            ended = platform.conversations.ended_between(now - timedelta(hours=1), now, long_calls=timedelta(hours=1))
            found = [record["conversationId"] async for record in ended]
            if len(found) == CALLS:
                return found
            await anyio.sleep(0.2)


async def states(platform: Platform, conversation_id: str) -> set[str]:
    return {info.file_state for info in (await platform.recordings.look(conversation_id, definitive=True)).recordings}


async def every_available(platform: Platform, conversation_ids: list[str]) -> None:
    with anyio.fail_after(30):
        for conversation_id in conversation_ids:
            while await states(platform, conversation_id) != {"AVAILABLE"}:
                await anyio.sleep(0.2)


async def test_every_recording_is_found_and_fetched_bit_exact_with_few_calls(simulator: dict[str, Any], tmp_path: Path) -> None:
    metrics = Metrics()
    settings = settings_for(simulator)
    async with connect(settings, credentials_for(simulator), clock=SystemClock(), metrics=metrics) as platform:
        assert await platform.identify()
        conversation_ids = await every_ended(platform)
        await every_available(platform, conversation_ids)
        before = _requests(metrics)
        hashes: dict[str, str] = {}

        async def archive(conversation_id: str) -> None:
            look = await platform.recordings.look(conversation_id)
            details = await platform.conversations.details(conversation_id)
            assert details is not None
            assert details["conversationId"] == conversation_id
            for info in look.recordings:
                (part,) = await platform.recordings.locate(conversation_id, info.recording_id)
                done = await platform.media.download(part, tmp_path / info.recording_id)
                assert done.length_stated
                hashes[info.recording_id] = done.sha256

        async with anyio.create_task_group() as tasks:
            for conversation_id in conversation_ids:
                tasks.start_soon(archive, conversation_id)
        spent = _requests(metrics) - before
    assert hashes == {recording_id: line["sha256"] for recording_id, line in truth(tmp_path).items()}
    assert len(hashes) == CALLS
    assert spent <= 4, "one batch request, a poll or two, one request for the details of all"


async def test_another_format_and_the_single_recording(simulator: dict[str, Any], tmp_path: Path) -> None:
    async with connect(settings_for(simulator), credentials_for(simulator), clock=SystemClock(), metrics=Metrics()) as platform:
        conversation_id = (await every_ended(platform))[0]
        await every_available(platform, [conversation_id])
        look = await platform.recordings.look(conversation_id)
        assert look.definitive
        recording_id = look.recordings[0].recording_id
        parts = await platform.recordings.locate(conversation_id, recording_id, format_id="WAV")
        await platform.media.download(parts[0], tmp_path / "a.wav")
        assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"
        raw = await platform.recordings.get(conversation_id, recording_id)
        assert raw["fileState"] == "AVAILABLE"
        assert "http" not in json.dumps(raw)
        assert (await platform.conversations.get(conversation_id))["id"] == conversation_id


async def test_queues_channels_and_topics(simulator: dict[str, Any]) -> None:
    async with connect(settings_for(simulator), credentials_for(simulator), clock=SystemClock(), metrics=Metrics()) as platform:
        queues = await platform.queues()
        assert queues
        channel = await platform.channels.create()
        topics = [f"v2.routing.queues.{queues[0].id}.conversations", "v2.no.such.topic"]
        states = await platform.channels.subscribe(channel.id, topics)
        assert [(state.id, state.permitted) for state in states] == [(topics[0], True), (topics[1], False)]
        assert (await platform.channels.requirements())["v2.routing.queues.{id}.conversations"] == ("conversation:communication:view",)
        assert [(mine.id, mine.connect_uri) for mine in await platform.channels.mine()] == [(channel.id, channel.connect_uri)]
        await platform.channels.abandon(channel.id)
        platform.tokens.invalidate()
        assert await platform.queues() == queues
        with pytest.raises(PermanentError):
            await platform.channels.abandon(channel.id)
        assert await platform.channels.mine() == []


async def test_what_the_client_may_do_and_the_orphans_of_all_pages(simulator: dict[str, Any]) -> None:
    async with connect(settings_for(simulator), credentials_for(simulator), clock=SystemClock(), metrics=Metrics()) as platform:
        granted = await platform.grants()
        assert granted is not None
        assert holds("recording:recording:editRetention", granted)
        assert not holds(SENSITIVE, granted)
        assert len({orphan.id for orphan in await platform.orphans()}) == 30


async def test_an_orphan_is_fetched_in_a_format_and_an_unknown_one_is_not_there(simulator: dict[str, Any], tmp_path: Path) -> None:
    async with connect(settings_for(simulator), credentials_for(simulator), clock=SystemClock(), metrics=Metrics()) as platform:
        orphan = (await platform.orphans())[0]
        assert orphan.created is not None
        (part,) = await platform.recordings.locate_orphan(orphan.id, format_id="WAV")
        await platform.media.download(part, tmp_path / "a.wav")
        assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"
        with pytest.raises(PermanentError, match="orphan"):
            await platform.recordings.locate_orphan("e0e0e0e0-0000-4000-8000-000000000001", format_id="WAV")


async def test_a_wrong_secret_is_refused_in_one_sentence(simulator: dict[str, Any]) -> None:
    async with connect(settings_for(simulator), credentials_for(simulator, "wrong"), clock=SystemClock(), metrics=Metrics()) as platform:
        with pytest.raises(CredentialsRefused, match="region"):
            await platform.identify()


def _requests(metrics: Metrics) -> float:
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "genesys_sync_api_requests_total"
    )
