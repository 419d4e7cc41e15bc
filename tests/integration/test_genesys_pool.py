"""Several OAuth clients against the simulator, which counts requests by client and shows a job to nobody but its owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.integration.simulated import simulated

from genesys_sync.clock import SystemClock
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings

pytestmark = pytest.mark.anyio
CALLS = 12
SECRET = "not-the-secret"
IDS = [f"c11e0000-0000-4000-8000-{number:012d}" for number in range(3)]
SCENARIO = f"""
seed = 12
start = "at-once"
[calls]
count = {CALLS}
duration = ["200ms", "400ms"]
end_together = true
recordings_per_call = [1]
[recordings]
appear_after = ["20ms", "50ms"]
available_after = ["50ms", "100ms"]
[platform]
batch_job_time = "100ms"
rate_limit_per_minute = 300
[[clients]]
id = "{IDS[0]}"
secret = "first-secret"
[[clients]]
id = "{IDS[1]}"
secret = "second-secret"
[[clients]]
id = "{IDS[2]}"
secret = "third-secret"
permissions = ["recording:recording:view"]
"""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with simulated(tmp_path_factory.mktemp("clients"), SCENARIO) as said:
        yield said


def credentials(number: int, secret: str) -> Credentials:
    return Credentials(SecretStr(IDS[number]), SecretStr(secret), "a test")


def connected(simulator: dict[str, Any], metrics: Metrics, **further: Credentials) -> Any:
    settings = GenesysSettings(
        api_url=simulator["apiUrl"],
        login_url=simulator["loginUrl"],
        batch_gather=timedelta(milliseconds=50),
        batch_poll=timedelta(milliseconds=150),
    )
    return connect(settings, credentials(0, "first-secret"), clock=SystemClock(), metrics=metrics, further=further)


async def proved(platform: Platform) -> dict[str, str]:
    """Each further client, and why it takes no part."""
    await platform.pool.prove(await platform.identify())
    return {member.name: member.code for member in platform.pool.members}


def remaining(metrics: Metrics) -> dict[str, float]:
    """Requests that each client has left in its window."""
    found = metrics.registry.get_sample_value
    return {name: found("genesys_sync_api_budget_remaining", {"client": name}) or 0.0 for name in ("main", "second")}


async def ended(platform: Platform) -> list[str]:
    with anyio.fail_after(20):
        while True:
            now = SystemClock().now()
            found = platform.conversations.ended_between(now - timedelta(hours=1), now, long_calls=timedelta(hours=1))
            if len(ids := [record["conversationId"] async for record in found]) == CALLS:
                return ids
            await anyio.sleep(0.2)


async def test_the_work_goes_to_the_client_with_the_most_room_and_each_follows_its_own_jobs(simulator: dict[str, Any]) -> None:
    """A job that another client asked for would be refused with 403, so that everything is found shows who asked."""
    metrics = Metrics()
    async with connected(simulator, metrics, second=credentials(1, "second-secret")) as platform:
        assert await proved(platform) == {"second": ""}
        conversation_ids = await ended(platform)
        seen: list[str] = []

        async def look(conversation_id: str) -> None:
            with anyio.fail_after(20):
                while not (found := (await platform.recordings.look(conversation_id)).recordings):
                    await anyio.sleep(0.2)
            await platform.recordings.locate(conversation_id, found[0].recording_id, fresh=True)
            seen.append(conversation_id)

        async with anyio.create_task_group() as tasks:
            for conversation_id in conversation_ids:
                tasks.start_soon(look, conversation_id)
        assert sorted(seen) == sorted(conversation_ids)
        left = remaining(metrics)
    assert max(left.values()) < 270 - 3
    assert abs(left["main"] - left["second"]) <= 8, "whoever has more room is asked next"


async def test_work_goes_past_a_client_that_is_used_up_and_control_stays_with_the_first(simulator: dict[str, Any]) -> None:
    metrics = Metrics()
    async with connected(simulator, metrics, second=credentials(1, "second-secret")) as platform:
        await proved(platform)
        for _ in range(20):
            await platform.queues()
        before = remaining(metrics)
        for conversation_id in IDS:
            await platform.conversations.details(conversation_id)
        after = remaining(metrics)
    assert before["main"] < before["second"] - 15
    assert after == {"main": before["main"], "second": before["second"] - len(IDS)}


async def test_what_a_further_client_is_refused_is_asked_of_the_first(simulator: dict[str, Any]) -> None:
    metrics = Metrics()
    async with connected(simulator, metrics, other=credentials(2, "third-secret")) as platform:
        await proved(platform)
        (member,) = platform.pool.members
        for _ in range(20):
            await platform.queues()
        member.code = ""  # as if its role had lost the permission a moment ago
        with capture_logs() as lines:
            assert await platform.conversations.details(IDS[0]) is None
        assert [line["event"] for line in lines if "client" in line["event"]] == ["client_denied"]


async def test_a_client_whose_token_is_refused_while_at_work_is_left_out_at_once(simulator: dict[str, Any]) -> None:
    async with connected(simulator, Metrics(), other=credentials(1, "no")) as platform:
        await proved(platform)
        (member,) = platform.pool.members
        for _ in range(20):
            await platform.queues()
        member.code = ""
        assert await platform.conversations.details(IDS[0]) is None
        assert member.code == "client_refused"


@pytest.mark.parametrize(
    ("further", "code", "says"),
    [
        (credentials(1, SECRET), "client_refused", "refused the OAuth client"),
        (credentials(2, "third-secret"), "client_lacks_permissions", "analytics:conversationDetail:view"),
    ],
)
async def test_a_client_that_cannot_share_is_named_and_the_others_go_on(
    simulator: dict[str, Any], further: Credentials, code: str, says: str
) -> None:
    metrics = Metrics()
    async with connected(simulator, metrics, other=further) as platform:
        with capture_logs() as lines:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(platform.pool.run, await platform.identify())
                while platform.pool.members[0].code != code:
                    await anyio.sleep(0.02)
                await anyio.sleep(0)
                tasks.cancel_scope.cancel()
            await platform.pool.prove(platform.organization_id)
        assert says in platform.pool.members[0].sentence
        assert SECRET not in str(lines) + platform.pool.members[0].sentence
        assert [line["code"] for line in lines if line["event"] == "client_out"] == [code]
        assert await ended(platform)
        assert metrics.registry.get_sample_value("genesys_sync_api_client_usable", {"client": "other"}) == 0


async def test_a_client_of_another_organisation_takes_no_part(simulator: dict[str, Any]) -> None:
    async with connected(simulator, Metrics(), other=credentials(1, "second-secret")) as platform:
        await platform.pool.prove("00000000-0000-4000-8000-00000000dead")
        assert platform.pool.members[0].code == "client_of_another_organization"
