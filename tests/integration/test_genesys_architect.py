"""Prompts and flows against the simulator: each operation's success, and every error that is published for it."""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.services import BadAudio, Flow, FlowRefused, MediaPart, NotConfirmed, UploadForm
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync_simulator.clock import SystemClock as SimulatorClock
from genesys_sync_simulator.flows import Holder
from genesys_sync_simulator.platform import DEFAULT_CLIENT, assemble
from genesys_sync_simulator.platform import Platform as Simulated
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

pytestmark = pytest.mark.anyio
PROMPTS = "architect:userPrompt:"


@dataclass
class Here:
    simulated: Simulated
    platform: Platform
    audited: list[AuditEntry] = field(default_factory=list)

    def trail(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.outcome) for entry in self.audited]

    def flow(self, name: str) -> Any:
        return next(flow for flow in self.simulated.flows.flows.values() if flow.name == name)


Play = Callable[..., AbstractAsyncContextManager[Here]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    @asynccontextmanager
    async def started(
        architect: dict[str, Any] | None = None, *, without: str = "", faults: Any = None, **settings: Any
    ) -> AsyncIterator[Here]:
        permissions = [one for one in DEFAULT_CLIENT.permissions if not without or not one.startswith(without)]
        document = {
            "start": "on-request",
            "calls": {"count": 1},
            "platform": {"rate_limit_per_minute": 100_000},
            "clients": [{"id": "c", "secret": "s", "permissions": permissions}],
            "architect": {"prompt_time": "20ms", "operation_time": "40ms", **(architect or {})},
            "faults": faults or {},
        }
        simulated = assemble(read(document), SimulatorClock(), truth_log=tmp_path / "truth.jsonl")
        clock, here = SystemClock(), []

        async def record(entry: AuditEntry) -> None:
            here[0].audited.append(entry)

        async with running(simulated):
            pace = {"architect_look": "10ms", "requests_per_minute": 100_000, "media_hosts": ["127.0.0.1"], **settings}
            configured = GenesysSettings.model_validate({"api_url": simulated.base_url, "login_url": simulated.base_url, **pace})
            actions = AuditedActions(record, clock=clock, client_id="c", actor="test")
            credentials = Credentials(SecretStr("c"), SecretStr("s"), "a test")
            async with connect(configured, credentials, clock=clock, metrics=Metrics(), random=lambda: 0.01, actions=actions) as platform:
                here.append(Here(simulated, platform))
                yield here[0]

    return started


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Half a second, as the platform takes it."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + b"data" + struct.pack("<I", 4000) + b"\x20" * 4000
    path = tmp_path / "prompt.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize("form", [UploadForm.AUTO, UploadForm.CURRENT, UploadForm.DEPRECATED])
async def test_a_prompt_is_made_uploaded_and_transcoded_in_each_form(play: Play, wav: Path, tmp_path: Path, form: UploadForm) -> None:
    async with play() as here:
        asset = await here.platform.prompts.push("Welcome", "en-us", wav, seconds=0.5, form=form)
        assert (asset.status, asset.seconds, asset.format["encoding"]) == ("transcoded", 0.5, "ULAW")
        assert asset.media is not None
        await here.platform.media.download(MediaPart(asset.media, "audio/wav"), tmp_path / "back.wav")
        assert (tmp_path / "back.wav").read_bytes() == wav.read_bytes()
        assert list((await here.platform.prompts.listed())["welcome"].assets) == ["en-us"]
        found = await here.platform.prompts.find("WELCOME")
        assert found is not None
        (entry,) = here.audited
        used = "deprecated" if form is UploadForm.DEPRECATED else "current"
        assert (entry.action, entry.target, entry.outcome) == ("prompt.push", "Welcome/en-us", "success")
        assert (entry.facts["uploadForm"], entry.facts["promptId"], entry.facts["created"]) == (used, found.id, True)
        assert "http" not in repr(entry.facts)


async def test_what_exists_is_taken_and_its_audio_replaced(play: Play, wav: Path) -> None:
    """409 for the prompt and for the resource is no error: both were there already."""
    async with play({"prompts": ["welcome"]}) as here:
        first = await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)
        wav.write_bytes(wav.read_bytes()[:40] + struct.pack("<I", 2000) + b"\x21" * 2000)
        second = await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.25)
        assert (second.id, second.prompt_id, second.seconds) == (first.id, first.prompt_id, 0.25)
        assert len(here.simulated.prompts.prompts) == 1


async def test_two_languages_of_a_new_prompt_at_the_same_time_make_one_prompt(play: Play, wav: Path) -> None:
    async with play() as here, anyio.create_task_group() as tasks:
        for language in ("en-us", "de", "fr"):
            tasks.start_soon(lambda language=language: here.platform.prompts.push("welcome", language, wav, seconds=0.5))
    (prompt,) = here.simulated.prompts.prompts.values()
    assert set(prompt.resources) == {"en-us", "de", "fr"}


async def test_where_the_current_form_does_not_exist_the_deprecated_one_is_used(
    play: Play, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genesys_sync_simulator.api import prompts as api

    routes = api.routes
    monkeypatch.setattr(api, "routes", lambda platform: [one for one in routes(platform) if not one.path.endswith("}/uploads")])
    async with play() as here:
        asset = await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)
        assert asset.status == "transcoded"
        assert here.audited[-1].facts["uploadForm"] == "deprecated"
        with pytest.raises(PermanentError):
            await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5, form=UploadForm.CURRENT)


@pytest.mark.parametrize(
    ("architect", "name", "without", "error", "code"),
    [
        ({"max_prompts": 0}, "welcome", "", "architect.prompt.max.exceeded", ReasonCode.REQUEST_REFUSED),
        ({}, "no name!", "", "architect.prompt.invalid.name", ReasonCode.REQUEST_REFUSED),
        ({}, "welcome", PROMPTS + "add", "architect:userPrompt:add", ReasonCode.FORBIDDEN),
        ({}, "welcome", PROMPTS + "edit", "architect:userPrompt:edit", ReasonCode.FORBIDDEN),
    ],
)
async def test_a_refused_prompt_carries_the_platforms_code(
    play: Play, wav: Path, architect: dict[str, Any], name: str, without: str, error: str, code: ReasonCode
) -> None:
    async with play(architect, without=without) as here:
        with pytest.raises(PermanentError, match=error) as refused:
            await here.platform.prompts.push(name, "en-us", wav, seconds=0.5)
        assert refused.value.code is code
        assert here.trail() == [("prompt.push", "refused")]


async def test_a_language_that_the_platform_does_not_take(play: Play, wav: Path) -> None:
    async with play() as here:
        with pytest.raises(PermanentError, match="400"):
            await here.platform.prompts.push("welcome", "english", wav, seconds=0.5)


async def test_a_transcode_that_fails_is_the_audios_fault(play: Play, wav: Path) -> None:
    async with play(faults={"transcode_failed": 1}) as here:
        with pytest.raises(BadAudio, match="transcodeFailed"):
            await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)
        assert here.trail() == [("prompt.push", "refused")]
        assert (await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)).status == "transcoded"


async def test_a_transcode_that_does_not_come_in_time_is_not_confirmed(play: Play, wav: Path) -> None:
    async with play({"prompt_time": "30s"}, prompt_wait="50ms") as here:
        with pytest.raises(NotConfirmed, match=r"after 0\.05 s it is uploaded"):
            await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)


async def test_uploads_that_break_are_begun_anew(play: Play, wav: Path) -> None:
    async with play(faults={"upload_error": 1, "upload_cut": 1}) as here:
        assert (await here.platform.prompts.push("welcome", "en-us", wav, seconds=0.5)).status == "transcoded"


FLOWS: list[dict[str, Any]] = [
    {"name": "Main", "uses": ["welcome"]},
    {"name": "Other", "uses": ["welcome"]},
    {"name": "Quiet"},
    {"name": "Locked", "locked_by": "Jane Doe"},
    {"name": "Missing", "missing": ["Queue X"]},
    {"name": "Failing", "outcome": "FAILURE", "message": "Task 3 has an error"},
    {"name": "Gone", "deleted": True},
    {"name": "Fixed", "fixed": True},
]
ALL_DONE = [("flow.checkout", "success"), ("flow.checkin", "success"), ("flow.publish", "success")]


async def test_a_flow_is_checked_out_checked_in_and_published(play: Play) -> None:
    async with play({"flows": FLOWS}) as here:
        told: list[str] = []
        done = await here.platform.flows.publish(await here.platform.flows.find("main"), told=lambda _, step: told.append(step))
        assert (done.flow.published, done.flow.checked_in, done.flow.lock) == ("2.0", "2.0", "none")
        assert here.trail() == ALL_DONE
        assert told == ["checked out", "checked in", "publishing", "published"]
        assert [one.action for one in here.flow("Main").operations] == ["CHECKIN", "PUBLISH"]
        assert here.flow("Main").operations[-1].id == done.operation_id


async def test_one_version_is_published_without_a_lock(play: Play) -> None:
    async with play({"flows": FLOWS}) as here:
        flow = await here.platform.flows.find("Main")
        await here.platform.flows.publish(flow)
        done = await here.platform.flows.publish(flow, version="1.0")
        assert done.flow.published == "1.0"
        assert here.trail() == [*ALL_DONE, ("flow.publish", "success")]


LEFT = "it is checked in, and not published"


@pytest.mark.parametrize(
    ("name", "version", "status", "code", "sentence", "left"),
    [
        ("Locked", "", 409, "architect.flow.locked.by.user", "locked by somebody else", ""),
        ("Missing", "", 409, "architect.flow.cannot.publish.missing.dependencies", "dependencies of it are missing", LEFT),
        ("Failing", "", 0, "architect.flow.validation.failed", "publishing it failed: Task 3 has an error", LEFT),
        ("Fixed", "", 405, "method.not.allowed", "flows of its type", ""),
        ("Main", "7", 404, "architect.flow.version.missing", "no such version", ""),
    ],
)
async def test_each_published_refusal_is_one_sentence(
    play: Play, name: str, version: str, status: int, code: str, sentence: str, left: str
) -> None:
    async with play({"flows": FLOWS}) as here:
        flow = await here.platform.flows.find(name)
        with pytest.raises(FlowRefused, match=sentence) as refused:
            await here.platform.flows.publish(flow, version=version)
        assert (refused.value.status, refused.value.platform_code, refused.value.left) == (status, code, left)
        assert "Jane" not in str(refused.value), "who holds a lock is personal"
        assert here.audited[-1].outcome == "refused"
        assert here.flow(name).lock is None or name == "Locked"


async def test_flows_that_are_deleted_unknown_or_not_ours_to_see(play: Play) -> None:
    async with play({"flows": FLOWS}) as here:
        with pytest.raises(FlowRefused, match="it was deleted"):
            await here.platform.flows.find(here.flow("Gone").id)
        with pytest.raises(FlowRefused, match="does not have it"):
            await here.platform.flows.find("0a0a0a0a-0000-4000-8000-000000000001")
        with pytest.raises(FlowRefused, match="no flow named Nix"):
            await here.platform.flows.find("Nix")
        held = await here.platform.flows.find("Locked")
        assert (held.lock, held.holder, "Jane" in repr(held)) == ("other", "Jane Doe", False)
    async with play({"flows": [{"name": "Twin"}, {"name": "Twin"}]}, without="architect:flow:publish") as here:
        with pytest.raises(FlowRefused, match="2 flows are named Twin"):
            await here.platform.flows.find("Twin")
        with pytest.raises(FlowRefused, match="architect:flow:publish") as refused:
            await here.platform.flows.publish((await here.platform.flows.listed())[0])
        assert refused.value.code is ReasonCode.FORBIDDEN


async def test_another_operation_in_progress_is_waited_for(play: Play) -> None:
    async with play({"flows": FLOWS}) as here:
        other = here.simulated.flows.begin(here.flow("Main"), "VALIDATE", DEFAULT_CLIENT, time.time(), 1)
        done = await here.platform.flows.publish(await here.platform.flows.find("Main"), version="1")
        assert [one.id for one in here.flow("Main").operations] == [other.id, done.operation_id]
    async with play({"flows": FLOWS, "operation_time": "30s"}, flow_wait="50ms") as here:
        flow = await here.platform.flows.find("Main")
        with pytest.raises(NotConfirmed, match=r"still runs after 0\.05 s"):
            await here.platform.flows.publish(flow, version="1")
        with pytest.raises(FlowRefused, match="another operation of it is still in progress"):
            await here.platform.flows.publish(flow, version="1")


async def test_flows_are_found_by_the_prompt_they_use_when_tracking_is_whole(play: Play) -> None:
    """206 with half the list is waited out; beyond the time nothing is taken for the whole."""
    async with play({"flows": FLOWS, "tracking_time": "150ms"}) as here:
        prompt = await here.platform.prompts.find("welcome")
        assert prompt is not None
        assert [flow.name for flow in await here.platform.flows.using_prompt(prompt.id)] == ["Main", "Other"]
        assert await here.platform.flows.using_prompt("0a0a0a0a-0000-4000-8000-000000000001") == []
    async with play({"flows": FLOWS, "tracking_time": "60s"}, tracking_wait="30ms") as here:
        with pytest.raises(NotConfirmed, match="still rebuilding its dependency tracking"):
            await here.platform.flows.using_prompt(prompt.id)


async def test_a_cancelled_publication_gives_its_lock_back_or_says_what_it_left(play: Play) -> None:
    async with play({"flows": FLOWS, "operation_time": "400ms"}) as here:
        told: list[str] = []
        flow = await here.platform.flows.find("Main")
        with anyio.CancelScope() as scope:

            def hear(_: Flow, step: str) -> None:
                told.append(step)
                scope.cancel()

            await here.platform.flows.publish(flow, told=hear)
        assert told[0] == "checked out"
        assert told[1].startswith("given back") or "perhaps left checked out" in told[1]
        assert here.trail()[0] == ("flow.checkout", "success")
        assert ("flow.publish", "success") not in here.trail()
        # a lock of our own, which a killed run left, is no obstacle
        here.flow("Main").lock = Holder("c", "our client", client=True)
        again = await here.platform.flows.find("Main")
        assert again.lock == "own"
        assert (await here.platform.flows.publish(again)).flow.lock == "none"
