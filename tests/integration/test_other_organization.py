"""A ledger holds one organisation's events. With another organisation's OAuth client nothing works on it, and nothing is asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from genesys_sync.cli import main
from genesys_sync.clock import SystemClock
from genesys_sync.errors import EX_CONFIG
from genesys_sync.events import Topic
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import make_event
from genesys_sync.testing.samples import CONVERSATION_ID, ORGANIZATION_ID

pytestmark = pytest.mark.anyio

OTHER = "99999999-1111-4222-8333-444444444444"
HANDLERS = '[handlers.archive]\nuse = "archive"\n[handlers.upload]\nuse = "upload"\n'
COMMANDS = [
    ["run"],
    ["check"],
    ["report", "--from", "1h"],
    ["backfill", "--from", "2h"],
    ["upload", "sound.wav"],
    ["record", "pause", CONVERSATION_ID],
    ["transcription", "enable"],
    ["flows", "publish", "flow"],
    ["prompts", "push", "."],
]


@pytest.fixture
async def asked(serve: Callable[..., Awaitable[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A ledger with one event of the sample organisation, and a platform that says OTHER; the paths that it is asked for."""
    paths: list[str] = []

    async def platform(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "token", "expires_in": 3600})
        if request.path == "/api/v2/tokens/me":
            return web.json_response({"organization": {"id": OTHER}})
        return web.json_response({"code": "not.found", "message": "none"}, status=404)

    url = await serve(platform)
    monkeypatch.setenv("GENESYS_CLIENT_ID", "client-1")
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", "a secret of the test")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sound.wav").write_bytes(b"RIFF" + bytes(100))
    (tmp_path / "settings.toml").write_text(
        f'[genesys]\napi_url = "{url}"\nlogin_url = "{url}"\n[health]\nlisten = "127.0.0.1:0"\n'
        f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n[storage]\nroot = "{tmp_path}/archive"\n{HANDLERS}'
    )
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=SystemClock()) as ledger:
        assert await ledger.organization() is None
        await ledger.append([RoutedEvent(make_event(Topic.RECORDING_READY), ("archive",))])
        assert await ledger.organization() == ORGANIZATION_ID
    return paths


async def ended(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """How the command ended, and what it said. The daemon obeys signals, so it needs a process of its own."""
    if words[0] != "run":
        code = await anyio.to_thread.run_sync(main, words)
        return code, "".join(capfd.readouterr())
    with anyio.fail_after(30):
        process = await anyio.run_process([sys.executable, "-m", "genesys_sync", *words], check=False, stderr=subprocess.STDOUT)
    return process.returncode, process.stdout.decode()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
async def test_whoever_comes_with_another_organisation_is_refused(
    command: list[str], asked: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = await ended([*command, "--settings", str(tmp_path / "settings.toml")], capfd)
    assert code == EX_CONFIG, said
    assert f"the ledger holds the events of organisation {ORGANIZATION_ID}, and the OAuth client is of organisation {OTHER}" in said
    assert set(asked) == {"/oauth/token", "/api/v2/tokens/me"}
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=SystemClock(), read_only=True) as ledger:
        (delivery,) = await ledger.find(CONVERSATION_ID)
        assert (await ledger.gaps(), delivery.state) == ([], DeliveryState.READY)
