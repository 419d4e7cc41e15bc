"""Recording control against the platform's simulator, which somebody else wrote from the published description."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.integration.simulated import simulated

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.services import Check, ControlRefused, Directive, NotConfirmed, RecordingControl, RecordingMedia
from genesys_sync.settings import Credentials, GenesysSettings

pytestmark = pytest.mark.anyio
CALLS = """
start = "at-once"
[calls]
count = 1
per_second = 20.0
ring = "10ms"
duration = "{duration}"
[control]
delay = "50ms"
{more}
[[clients]]
id = "daemon"
secret = "s"
[[clients]]
id = "user"
secret = "s"
user = true
[[clients]]
id = "looker"
secret = "s"
permissions = ["conversation:communication:view"]
"""
ORDER = (Directive.PAUSE, Directive.RESUME, Directive.STOP, Directive.START)
Start = Callable[..., dict[str, Any]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(more: str = "", duration: str = "5m") -> dict[str, Any]:
            return stack.enter_context(simulated(tmp_path, CALLS.format(more=more, duration=duration)))

        yield run


@asynccontextmanager
async def platform_as(said: dict[str, Any], client: str = "daemon", audited: list[AuditEntry] | None = None) -> AsyncIterator[Platform]:
    clock = SystemClock()

    async def record(entry: AuditEntry) -> None:
        (audited if audited is not None else []).append(entry)

    pace = {"control_look": "20ms", "control_confirm": "1s"}
    settings = GenesysSettings.model_validate({"api_url": said["apiUrl"], "login_url": said["loginUrl"], **pace})
    actions = AuditedActions(record, clock=clock, client_id=client, actor="test")
    credentials = Credentials(SecretStr(client), SecretStr("s"), "a test")
    async with connect(settings, credentials, clock=clock, metrics=Metrics(), actions=actions) as platform:
        yield platform


async def page(said: dict[str, Any], name: str = "recording") -> Any:
    def read() -> Any:
        with urllib.request.urlopen(f"{said['controlUrl']}/{name}", timeout=5) as answer:
            return json.loads(answer.read())

    return await anyio.to_thread.run_sync(read)


async def conversation(said: dict[str, Any], state: str = "active") -> str:
    """The one conversation, once its recording is in this state."""
    with anyio.fail_after(10):
        while True:
            for one in (await page(said))["conversations"]:
                if one["recordingState"] == state:
                    return str(one["conversationId"])
            await anyio.sleep(0.02)


async def refused(control: RecordingControl, directive: Directive, name: str, media: RecordingMedia = RecordingMedia.CALL) -> Check:
    with pytest.raises(ControlRefused) as error:
        await control.control(directive, name, media=media)
    return error.value.check


async def test_each_directive_shows_in_the_platforms_own_truth(start: Start) -> None:
    said, audited = start(), []
    name = await conversation(said)
    async with platform_as(said, audited=audited) as platform:
        control = platform.control
        states = [(await control.control(directive, name)).after.state for directive in ORDER]
        assert states == ["paused", "active", "none", "active"]
        assert [(await control.control(Directive.START, name)).already for _ in range(2)] == [True, True]
        assert await refused(control, Directive.PAUSE, name, RecordingMedia.EMAIL) is Check.CONNECTED
        assert await refused(control, Directive.PAUSE, name, RecordingMedia.CONVERSATION) is Check.OPERATION
        assert await refused(control, Directive.START, name, RecordingMedia.SCREEN) is Check.OPERATION
        assert await refused(control, Directive.PAUSE, "0f9a1d55-6d0e-4f6c-9d38-6a7f5f3a2b11") is Check.CONVERSATION
    truth = await page(said, f"recording/{name}")
    assert [(one["operation"], one["state"]) for one in truth["requests"]] == [
        ("PUT", "paused"),
        ("PUT", "active"),
        ("PUT", "none"),
        ("PUT", "active"),
    ]
    assert all(len(entry.facts["correlationId"]) > 8 for entry in audited[:4])
    async with platform_as(said, "looker") as platform:
        assert await refused(platform.control, Directive.PAUSE, name) is Check.PERMISSION
    async with platform_as(said, "user") as platform:
        done = await platform.control.control(Directive.PAUSE, name, media=RecordingMedia.CONVERSATION)
        assert (done.after.state, done.after.secure_pause) == ("paused", True)
    assert (await page(said, f"recording/{name}"))["requests"][-1]["operation"] == "PATCH"


@pytest.mark.slow
async def test_who_takes_no_part_is_refused_with_the_platforms_code(start: Start) -> None:
    said = start("participants_only = true")
    name = await conversation(said)
    async with platform_as(said) as platform:
        with pytest.raises(PermanentError, match=r"403 conversation\.error\.forbidden\.not\.active\.participant: The requester") as error:
            await platform.control.control(Directive.PAUSE, name)
    assert error.value.platform_code == "conversation.error.forbidden.not.active.participant"


@pytest.mark.slow
async def test_a_change_that_is_lost_is_not_confirmed_and_asking_again_helps(start: Start) -> None:
    said = start("[faults]\ncontrol_lost = 1")
    name = await conversation(said)
    async with platform_as(said) as platform:
        with pytest.raises(NotConfirmed, match="accepted the pause"):
            await platform.control.control(Directive.PAUSE, name)
        assert (await platform.control.control(Directive.PAUSE, name)).after.state == "paused"


@pytest.mark.slow
async def test_a_conversation_that_has_ended_is_refused_and_so_says_the_platform(start: Start) -> None:
    said = start(duration="300ms")
    name = await conversation(said, "none")
    with anyio.fail_after(10):
        while (await page(said, f"recording/{name}"))["live"]:
            await anyio.sleep(0.05)
    async with platform_as(said) as platform:
        assert await refused(platform.control, Directive.PAUSE, name) is Check.LIVE
        path = f"/api/v2/conversations/calls/{name}/recordingstate"
        with pytest.raises(PermanentError, match=r"400 conversation\.error\.conversation\.disconnected"):
            await platform.request("PUT", path, json={"recordingState": "PAUSED"})
