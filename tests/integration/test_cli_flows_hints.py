"""`flows publish` is told by the topic `v2.flows.{id}` when to look, and does without it: against the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from genesys_sync.cli import main
from genesys_sync.cli.hints import hinted
from genesys_sync.clock import SystemClock as RealClock
from genesys_sync.genesys.platform import connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, FeedSettings, GenesysSettings
from genesys_sync_simulator.clock import SystemClock
from genesys_sync_simulator.platform import DEFAULT_CLIENT, Platform, assemble
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

pytestmark = pytest.mark.anyio
Play = Callable[..., AbstractAsyncContextManager[tuple[Platform, Callable[[], Awaitable[int]]]]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """The platform, and `flows publish Main` as the shell would start it."""
    monkeypatch.setenv("GENESYS_CLIENT_ID", DEFAULT_CLIENT.id)
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", DEFAULT_CLIENT.secret)

    @asynccontextmanager
    async def started(look: str, **rules: Any) -> Any:
        architect = {"operation_time": "300ms", "flows": [{"name": "Main"}]}
        document = {"start": "on-request", "calls": {"count": 1}, "architect": architect, "platform": rules}
        platform = assemble(read(document), SystemClock(), truth_log=tmp_path / "truth.jsonl")
        async with running(platform):
            (tmp_path / "settings.toml").write_text(
                f'[genesys]\napi_url = "{platform.base_url}"\nlogin_url = "{platform.base_url}"\narchitect_look = "{look}"\n'
                f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n'
            )

            async def publish() -> int:
                words = ["--settings", str(tmp_path / "settings.toml"), "flows", "publish", "Main", "--json"]
                return await anyio.to_thread.run_sync(main, words)

            yield platform, publish

    return started


async def test_the_topic_ends_what_polling_would_wait_a_minute_for(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Afterwards the channel has no topics and no socket: it takes nothing that another could have."""
    async with play("60s") as (platform, publish):
        with anyio.fail_after(30):
            assert await publish() == 0
        (told,) = json.loads(capsys.readouterr().out)
        assert told["outcome"] == "success"
        (channel,) = platform.hub.living(platform.now())
        assert channel.topics == []
        assert platform.hub.sockets == []


async def test_a_client_with_few_channels_left_is_given_no_further_one(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Of twenty the daemon's must not be the one that the platform drops. Polling alone ends it."""
    async with play("10ms") as (platform, publish):
        token = platform.tokens.issue(DEFAULT_CLIENT, platform.now())
        ours = [platform.hub.create(token, platform.now()) for _ in range(16)]
        assert await publish() == 0
        assert json.loads(capsys.readouterr().out)[0]["outcome"] == "success"
        assert platform.hub.living(platform.now()) == ours


async def test_a_refused_channel_leaves_polling(play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from genesys_sync_simulator.api import notifications
    from genesys_sync_simulator.api.answers import ApiError

    refused: list[object] = []

    def refuse(*of: object) -> None:
        refused.append(of)
        raise ApiError(403, "missing.any.permissions", "Not allowed.")

    monkeypatch.setattr(notifications, "_channel", refuse)
    async with play("10ms") as (_, publish):
        assert await publish() == 0
        assert len(refused) == 1, "it is asked for once"
        captured = capsys.readouterr()
        assert json.loads(captured.out)[0]["outcome"] == "success"
        assert "hints" not in captured.err, "said at level info, which a command does not show"


async def test_an_interrupted_command_takes_its_topics_back(play: Play) -> None:
    """As Ctrl-C does it: the task is cancelled while it listens."""
    credentials = Credentials(SecretStr(DEFAULT_CLIENT.id), SecretStr(DEFAULT_CLIENT.secret), "a test")
    clock = RealClock()
    async with play("60s") as (simulated, _):
        configured = GenesysSettings.model_validate({"api_url": simulated.base_url, "login_url": simulated.base_url})
        async with connect(configured, credentials, clock=clock, metrics=Metrics()) as platform:
            (flow,) = simulated.flows.flows.values()

            async def work() -> None:
                async with hinted(platform.channels, [f"v2.flows.{flow.id}"], settings=FeedSettings(), clock=clock) as hints:
                    await hints.sleep(60)  # it listens: that is the first hint
                    (channel,) = simulated.hub.living(simulated.now())
                    assert (len(channel.topics), len(simulated.hub.sockets)) == (1, 1)
                    working.cancel()
                    await hints.sleep(60)

            working = asyncio.create_task(work())
            with anyio.fail_after(30), pytest.raises(asyncio.CancelledError):
                await working
            (channel,) = simulated.hub.living(simulated.now())
            assert channel.topics == []
