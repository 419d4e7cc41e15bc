"""`flows` from its arguments to its exit code, against the simulator and a real ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from genesys_sync.cli import main
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger
from genesys_sync_simulator.clock import SystemClock as SimulatorClock
from genesys_sync_simulator.platform import DEFAULT_CLIENT, assemble
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

pytestmark = pytest.mark.anyio
ARCHITECT = {
    "operation_time": "20ms",
    "flows": [
        {"name": "Main", "uses": ["welcome"]},
        {"name": "Locked", "uses": ["welcome"], "locked_by": "Jane Doe"},
        {"name": "Missing", "missing": ["Queue X"]},
    ],
}
Call = Callable[..., Awaitable[int]]


@pytest.fixture
async def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Call]:
    """The command as the shell would start it, in a thread with a loop of its own."""
    monkeypatch.setenv("GENESYS_CLIENT_ID", DEFAULT_CLIENT.id)
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", DEFAULT_CLIENT.secret)
    document = {"start": "on-request", "calls": {"count": 1}, "architect": ARCHITECT}
    platform = assemble(read(document), SimulatorClock(), truth_log=tmp_path / "truth.jsonl")
    async with running(platform):
        (tmp_path / "settings.toml").write_text(
            f'[genesys]\napi_url = "{platform.base_url}"\nlogin_url = "{platform.base_url}"\narchitect_look = "10ms"\n'
            f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n'
        )

        async def run(*words: str) -> int:
            return await anyio.to_thread.run_sync(main, ["--settings", str(tmp_path / "settings.toml"), "flows", *words])

        yield run


async def test_flows_are_listed_with_who_has_them_checked_out(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert await call("list") == 0
    assert "Jane Doe" in capsys.readouterr().out
    assert await call("list", "m*", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["Main", "Missing"]
    assert await call("list", "Nothing") == 1
    assert capsys.readouterr().err == "genesys-sync: no flow is named Nothing\n"


async def test_flows_that_use_a_prompt_are_published_and_recorded(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert await call("publish", "main", "--using-prompt", "WELCOME", "--json") == 69
    captured = capsys.readouterr()
    told = {one["flow"]["name"]: one for one in json.loads(captured.out)}
    assert list(told) == ["Main", "Locked"], "each once, in the order in which they were named"
    assert (told["Main"]["outcome"], told["Main"]["flow"]["publishedVersion"]) == ("success", "2.0")
    assert (told["Locked"]["outcome"], told["Locked"]["platformCode"]) == ("refused", "architect.flow.locked.by.user")
    assert "Main: published as version 2.0" in captured.err
    assert "Jane" not in captured.err
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=SystemClock(), read_only=True) as ledger:
        assert (await ledger.counts(now_ms=0)).events == {"flow.published": 1}
        entries = [one.entry for one in await ledger.audit_entries(after=0, limit=10)]
    assert [(one.action, one.outcome) for one in entries] == [
        ("flow.checkout", "success"),
        ("flow.checkin", "success"),
        ("flow.publish", "success"),
        ("flow.checkout", "refused"),
    ]


async def test_what_was_left_is_said(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert await call("publish", "Missing", "--json") == 69
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["left"] == "it is checked in, and not published"
    assert "dependencies of it are missing" in captured.err
    assert "; it is checked in, and not published" in captured.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["publish"], 64, "name a flow, or --using-prompt NAME"),
        (["publish", "Main", "Missing", "--version", "1"], 64, "--version is for one flow alone"),
        (["publish", "Main", "--version", "9"], 69, "it has no such version"),
        (["publish", "Nix"], 69, "the platform has no flow named Nix"),
        (["publish", "Main", "Nix"], 69, "the platform has no flow named Nix"),
        (["publish", "--using-prompt", "nix"], 69, "the platform has no prompt named nix"),
        (["forget"], 64, "there is no action 'forget'"),
    ],
)
async def test_each_wrong_word_is_one_sentence_and_nothing_is_touched(
    call: Call, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert await call(*words) == code
    assert sentence in capsys.readouterr().err
    assert await call("list", "Main", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["publishedVersion"] == "1.0"
