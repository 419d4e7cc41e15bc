"""`record` from its arguments to its exit code, against a real server and a real ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from genesys_sync.cli import main
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryRecord, Ledger
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import make_event

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ID = "2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b"
ORGANIZATION = "0a0a0a0a-0000-4000-8000-000000000001"


class Platform:
    """One call whose recording obeys at once. `refuse` is what directives are answered instead, `about` looks on before."""

    def __init__(self) -> None:
        self.state = "active"
        self.asked: list[str] = []
        self.refuse: tuple[int, str] | None = None
        self.before: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "expires_in": 3600})
        if request.path == "/api/v2/tokens/me":
            return web.json_response({"organization": {"id": ORGANIZATION}})
        if request.method == "GET":
            call = {"state": "connected", "recordingState": self.state, "securePause": self.state == "paused", "recordingId": "r"}
            return web.json_response({"id": ID, "participants": [{"calls": [call]}], "grants": []})
        if self.before is not None:
            await self.before()
        self.asked.append((await request.json())["recordingState"])
        if self.refuse is not None:
            status, code = self.refuse
            return web.json_response({"message": "The platform's words.", "code": code, "status": status}, status=status)
        self.state = self.asked[-1].lower()
        return web.Response(status=202)


@dataclass
class Installation:
    folder: Path
    platform: Platform

    async def call(self, *words: str) -> int:
        """The command as the shell would start it, in a thread with a loop of its own."""
        return await anyio.to_thread.run_sync(main, ["--settings", str(self.folder / "settings.toml"), "record", *words])

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        async with open_ledger(f"sqlite:///{self.folder}/ledger.db", clock=SystemClock(), read_only=True) as ledger:
            yield ledger

    async def timers(self) -> list[DeliveryRecord]:
        async with self.ledger() as ledger:
            return await ledger.find(ID)

    def settings(self, url: str, more: str) -> None:
        (self.folder / "settings.toml").write_text(
            f'[genesys]\napi_url = "{url}"\nlogin_url = "{url}"\ncontrol_look = "5ms"\n[ledger]\nurl = "sqlite:///{self.folder}/ledger.db"\n{more}'
        )


@pytest.fixture
async def here(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setenv("GENESYS_CLIENT_ID", "client-1")
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", "a secret of the test")
    made = Installation(tmp_path, Platform())
    made.settings(await serve(made.platform), '[handlers.resume]\nuse = "resume"\n')
    return made


async def test_a_pause_needs_no_daemon_and_leaves_its_audit_entry(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert await here.call("pause", ID.upper(), "--reason", "INC-1") == 0
    assert "the recording is paused, as the platform shows" in capsys.readouterr().out
    assert await here.call("pause", ID, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["already"], told["after"]["recordingState"], told["resumeAt"]) == ("success", True, "paused", None)
    assert here.platform.asked == ["PAUSED"]
    async with here.ledger() as ledger:
        entries = [one.entry for one in await ledger.audit_entries(after=0, limit=10)]
        (tally,) = (await ledger.tallies()).actions
    assert [(entry.action, entry.target, entry.facts["client"]) for entry in entries] == [("recording.pause", ID, "client-1")] * 2
    assert entries[0].actor.startswith("operator:")
    assert (tally.operation, tally.outcome, tally.actions) == ("recording.pause", "success", 2)


async def test_status_shows_what_was_done_and_what_storage_costs(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert await here.call("pause", ID) == 0
    assert await here.call("start", ID) == 69
    async with open_ledger(f"sqlite:///{here.folder}/ledger.db", clock=SystemClock()) as ledger:
        await ledger.append([RoutedEvent(make_event("media.archived", body={"parts": [{"bytes": 250_000_000}]}), ())])
    capsys.readouterr()
    costs = ["--set", "costs.per_gb_month={archive = 0.5}", "--set", "costs.currency=EUR", "--set", "health.listen=127.0.0.1:0"]
    command = ["--settings", str(here.folder / "settings.toml"), *costs, "status"]
    assert await anyio.to_thread.run_sync(main, command) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["recording.pause", "1", "0", "0", "100.0%"] in [line[:5] for line in shown]
    assert ["recording.start", "0", "1", "0", "0.0%"] in [line[:5] for line in shown]
    assert ["storage", "class", "objects", "bytes", "EUR", "a", "month"] in shown
    assert ["archive", "1", "250000000", "0.12"] in shown
    assert await anyio.to_thread.run_sync(main, [*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["operation"]: (one["success"], one["refused"], one["successRate"]) for one in told["actions"]} == {
        "recording.pause": (1, 0, 1.0),
        "recording.start": (0, 1, 0.0),
    }
    archive = {"class": "archive", "objects": 1, "bytes": 250_000_000, "costPerMonth": 0.125}
    assert told["storage"] == {"currency": "EUR", "costPerMonth": 0.125, "classes": [archive]}


async def test_the_end_of_a_pause_is_in_the_ledger_before_the_pause_is_asked_for(
    here: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[DeliveryRecord]] = []

    async def look() -> None:
        seen.append(await here.timers())

    here.platform.before = look
    assert await here.call("pause", ID, "--resume-after", "90s") == 0
    assert "no daemon runs on this ledger now" in capsys.readouterr().out
    ((timer,),) = seen
    assert (timer.event.topic, timer.handler, timer.state) == ("recording.pause_left", "resume", "ready")
    assert timer.event.organization_id == ORGANIZATION
    assert timer.event.body.keys() == {"media", "resumeAt"}
    assert await here.call("status", ID, "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumeAt"] == timer.event.body["resumeAt"]


async def test_a_later_end_takes_the_place_of_an_earlier_one_and_a_resume_ends_it(here: Installation) -> None:
    for after in ("90s", "2m"):
        assert await here.call("pause", ID, "--resume-after", after) == 0
    assert [(timer.state, timer.note) for timer in await here.timers()] == [
        ("skipped", "another pause has taken its place"),
        ("ready", ""),
    ]
    assert await here.call("resume", ID) == 0
    assert [timer.state for timer in await here.timers()] == ["skipped", "skipped"]
    assert here.platform.asked == ["PAUSED", "ACTIVE"]


@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        ((400, "conversation.error.conversation.disconnected"), 69),
        ((403, "conversation.error.forbidden.not.active.participant"), 77),
        ((404, "conversation.error.conversation.not.found"), 69),
    ],
)
async def test_a_pause_that_was_refused_leaves_nothing_to_do(
    here: Installation, capsys: pytest.CaptureFixture[str], refuse: tuple[int, str], code: int
) -> None:
    here.platform.refuse = refuse
    assert await here.call("pause", ID, "--resume-after", "90s", "--json") == code
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["outcome"], told["platformCode"], told["status"]) == ("refused", refuse[1], refuse[0])
    assert "The platform's words." in captured.err
    assert [(timer.state, timer.note) for timer in await here.timers()] == [("skipped", "the pause was refused")]


async def test_a_check_that_fails_is_named_and_leaves_no_timer(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert await here.call("pause", ID, "--media", "email", "--resume-after", "90s", "--json") == 69
    captured = capsys.readouterr()
    assert json.loads(captured.out)["check"] == "connected"
    assert "refused by the check connected: no email" in captured.err
    assert (await here.timers(), here.platform.asked) == ([], [])


async def test_without_a_handler_that_would_resume_nothing_is_paused(
    here: Installation, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    here.settings(await serve(here.platform), '[handlers.resume]\nuse = "resume"\ntopics = ["recording.*"]\n')
    assert await here.call("pause", ID, "--resume-after", "90s") == 78
    assert "nothing was paused. Add a table [handlers.resume]" in capsys.readouterr().err
    assert here.platform.asked == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pause"], "CONVERSATION"),
        (["pause", "abc"], "'abc' is no conversation id"),
        (["pause", ID, "--media", "fax"], "'fax' is no media; known: call"),
        (["pause", ID, "--resume-after", "90"], "is not a duration"),
        (["pause", ID, "--resume-after", "4s"], "must be from 5s to 24h"),
        (["pause", ID, "--resume-after", "25h"], "must be from 5s to 24h"),
        (["pause", ID, "--reason", "two\nlines"], "one line"),
        (["resume", ID, "--resume-after", "90s"], "there is no option --resume-after"),
        (["forget", ID], "there is no action 'forget'"),
    ],
)
def test_wrong_usage_is_64_with_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", *words]) == 64
    assert sentence in capsys.readouterr().err
