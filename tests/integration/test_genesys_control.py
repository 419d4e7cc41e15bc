"""Recording control against a real server: each operation's success, and every error that is published for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.services import Check, ControlForbidden, ControlRefused, Directive, NotConfirmed, RecordingMedia
from genesys_sync.settings import Credentials, GenesysSettings

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ID = "2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b"
SEGMENTS = {
    "call": ("calls", "calls"),
    "callback": ("callbacks", "callbacks"),
    "email": ("emails", "emails"),
    "message": ("messages", "messages"),
    "cobrowse": ("cobrowsesessions", "cobrowsesessions"),
    "screenshare": ("screenshares", "screenshares"),
    "social": ("socials", "socialExpressions"),
    "video": ("videos", "videos"),
}


class Conversation:
    """A platform with one conversation. A directive shows after `looks` further looks; `script` holds answers that come instead."""

    def __init__(self, media: str = "calls", state: str = "active", *, looks: int = 1, ok: int = 202) -> None:
        self.media, self.state, self.looks, self.ok = media, state, looks, ok
        self.script: list[tuple[int, str]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.wanted = ""
        self.ended = False
        self.grants: list[str] | None = ["pauseOthers"]
        self.tokens = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            self.tokens += 1
            return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600})
        if request.path == "/api/v2/authorization/subjects/me":
            policies = [{"domain": "conversation", "entityName": "recording", "actions": self.grants}]
            return web.json_response({"grants": [{"role": {"policies": policies}}] if self.grants is not None else []})
        if request.method == "GET":
            shown = web.json_response(self._shown(), headers={"ININ-Correlation-Id": "c-0"})
            return shown if request.path.endswith(ID) else self._error(404, "not.found")
        self.asked.append((request.method, request.path, await request.json()))
        if self.script:
            return self._error(*self.script.pop(0))
        self.wanted = self.asked[-1][2]["recordingState"]
        return web.Response(status=self.ok, headers={"ININ-Correlation-Id": "c-1"})

    def _shown(self) -> dict[str, Any]:
        if self.wanted:
            self.looks -= 1
            if self.looks < 0:
                self.state = self.wanted.lower()
        one = {"state": "connected", "recordingState": self.state, "securePause": self.state == "paused", "recordingId": "r"}
        return {"id": ID, "participants": [{self.media: [one]}], **({"endTime": "2026-08-01T12:00:00.000Z"} if self.ended else {})}

    def _error(self, status: int, code: str) -> web.Response:
        headers = {"ININ-Correlation-Id": "c-9", **({"Retry-After": "1"} if status == 429 else {})}
        return web.json_response({"message": "The platform's words.", "code": code, "status": status}, status=status, headers=headers)


@asynccontextmanager
async def platform_at(url: str, audited: list[AuditEntry], **settings: Any) -> AsyncIterator[Platform]:
    clock = SystemClock()

    async def record(entry: AuditEntry) -> None:
        audited.append(entry)

    pace = {"control_look": "5ms", "control_confirm": "5s", **settings}
    configured = GenesysSettings.model_validate({"api_url": url, "login_url": url, **pace})
    actions = AuditedActions(record, clock=clock, client_id="client-1", actor="test")
    credentials = Credentials(SecretStr("client-1"), SecretStr("secret"), "a test")
    async with connect(configured, credentials, clock=clock, metrics=Metrics(), random=lambda: 0.01, actions=actions) as platform:
        yield platform


@pytest.mark.parametrize(
    ("directive", "before", "after", "body", "status"),
    [
        ("pause", "active", "paused", "PAUSED", 202),
        ("resume", "paused", "active", "ACTIVE", 200),
        ("start", "none", "active", "ACTIVE", 200),
        ("stop", "active", "none", "NONE", 200),
    ],
)
async def test_a_directive_is_sent_once_and_read_back_until_it_shows(
    serve: Serve, directive: str, before: str, after: str, body: str, status: int
) -> None:
    there, audited = Conversation(state=before, looks=2, ok=status), []
    async with platform_at(await serve(there), audited) as platform:
        done = await platform.control.control(Directive(directive), ID, reason="INC-1")
    assert there.asked == [("PUT", f"/api/v2/conversations/calls/{ID}/recordingstate", {"recordingState": body})]
    assert (done.before.state, done.after.state, done.already, done.correlation_id) == (before, after, False, "c-1")
    (entry,) = audited
    assert (entry.action, entry.target, entry.outcome) == (f"recording.{directive}", ID, "success")
    assert entry.facts.keys() == {"media", "because", "before", "after", "client", "seconds", "correlationId"}
    assert (entry.facts["client"], entry.facts["correlationId"], entry.facts["because"]) == ("client-1", "c-1", "INC-1")


@pytest.mark.parametrize("media", SEGMENTS)
async def test_each_media_goes_its_own_way(serve: Serve, media: str) -> None:
    segment, name = SEGMENTS[media]
    there = Conversation(name)
    async with platform_at(await serve(there), []) as platform:
        await platform.control.control(Directive.PAUSE, ID, media=RecordingMedia(media))
    assert [(method, path) for method, path, _ in there.asked] == [("PUT", f"/api/v2/conversations/{segment}/{ID}/recordingstate")]


async def test_the_form_for_the_whole_conversation_is_a_patch(serve: Serve) -> None:
    there = Conversation()
    async with platform_at(await serve(there), []) as platform:
        await platform.control.control(Directive.PAUSE, ID, media=RecordingMedia.CONVERSATION)
    assert [(method, path) for method, path, _ in there.asked] == [("PATCH", f"/api/v2/conversations/{ID}/recordingstate")]


@pytest.mark.parametrize(("directive", "state"), [("pause", "paused"), ("resume", "active"), ("start", "active"), ("stop", "none")])
async def test_what_is_in_effect_already_is_a_success_that_sends_nothing(serve: Serve, directive: str, state: str) -> None:
    there, audited = Conversation(state=state), []
    async with platform_at(await serve(there), audited) as platform:
        done = await platform.control.control(Directive(directive), ID)
    assert (done.already, there.asked) == (True, [])
    assert (audited[0].outcome, audited[0].facts["already"]) == ("success", True)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (400, "conversation.error.conversation.disconnected", PermanentError, ReasonCode.REQUEST_REFUSED),
        (400, "bad.request", PermanentError, ReasonCode.REQUEST_REFUSED),
        (403, "conversation.error.forbidden.not.active.participant", PermanentError, ReasonCode.FORBIDDEN),
        (403, "missing.permissions", PermanentError, ReasonCode.FORBIDDEN),
        (404, "conversation.error.conversation.not.found", PermanentError, ReasonCode.NOT_FOUND),
        (400, "not.a.user", ControlRefused, ReasonCode.REQUEST_REFUSED),
        (500, "internal.server.error", TransientError, ReasonCode.BAD_ANSWER),
    ],
)
async def test_each_published_error_is_told_with_its_code_and_words(
    serve: Serve, status: int, code: str, kind: type[Exception], reason: ReasonCode
) -> None:
    there, audited = Conversation(), []
    there.script = [(status, code)]
    async with platform_at(await serve(there), audited) as platform:
        with pytest.raises(kind) as error:
            await platform.control.control(Directive.PAUSE, ID)
    assert isinstance(error.value, (PermanentError, TransientError))
    assert f"{status} {code}: The platform's words." in error.value.reason
    assert (error.value.code, error.value.correlation_id, len(there.asked)) == (reason, "c-9", 1)
    (entry,) = audited
    assert entry.outcome == ("refused" if isinstance(error.value, PermanentError) else "failure")
    assert (entry.facts["reason"], entry.facts["correlationId"]) == (reason.value, "c-9")


@pytest.mark.parametrize(("status", "code"), [(401, "bad.credentials"), (429, "too.many.requests"), (503, "service.unavailable")])
async def test_what_passes_is_left_to_the_one_client_policy(serve: Serve, status: int, code: str) -> None:
    there = Conversation()
    there.script = [(status, code)]
    async with platform_at(await serve(there), []) as platform:
        done = await platform.control.control(Directive.PAUSE, ID)
    assert (done.after.state, len(there.asked), there.tokens) == ("paused", 2, 2 if status == 401 else 1)


async def test_a_permission_that_is_missing_is_refused_before_anything_is_sent(serve: Serve) -> None:
    there, audited = Conversation(), []
    there.grants = ["view"]
    async with platform_at(await serve(there), audited) as platform:
        with pytest.raises(ControlForbidden, match="conversation:recording:pauseOthers"):
            await platform.control.control(Directive.PAUSE, ID)
        there.grants = None  # not known: then the platform decides
        await platform.control.control(Directive.PAUSE, ID)
    assert [entry.facts.get("check") for entry in audited] == ["permission", None]


async def test_an_unknown_conversation_and_one_that_has_ended_are_named_checks(serve: Serve) -> None:
    there, audited = Conversation(), []
    async with platform_at(await serve(there), audited) as platform:
        with pytest.raises(ControlRefused) as unknown:
            await platform.control.control(Directive.PAUSE, ID.replace("2f4a", "0000"))
        there.ended = True
        with pytest.raises(ControlRefused) as ended:
            await platform.control.control(Directive.PAUSE, ID)
        with pytest.raises(PermanentError, match="no conversation id"):
            await platform.control.status("../users/me")
    assert [unknown.value.check, ended.value.check] == [Check.CONVERSATION, Check.LIVE]
    assert [(entry.facts["check"], entry.facts["correlationId"]) for entry in audited] == [("conversation", "c-9"), ("live", "c-0")]
    assert there.asked == []


async def test_a_change_that_never_shows_is_not_confirmed_when_the_time_is_up(serve: Serve) -> None:
    there, audited = Conversation(looks=1000), []
    async with platform_at(await serve(there), audited, control_confirm="50ms") as platform:
        with pytest.raises(NotConfirmed, match=r"accepted the pause \(202\), but the recording is still active"):
            await platform.control.control(Directive.PAUSE, ID)
    assert (audited[0].outcome, audited[0].facts["reason"], audited[0].facts["correlationId"]) == ("failure", "NOT_READY", "c-1")


async def test_what_is_prepared_is_prepared_before_the_request_and_only_when_it_will_be_sent(serve: Serve) -> None:
    there, order = Conversation(), []

    async def prepare() -> None:
        order.append(len(there.asked))

    async with platform_at(await serve(there), []) as platform:
        await platform.control.control(Directive.PAUSE, ID, prepare=prepare)
        with pytest.raises(ControlRefused):
            await platform.control.control(Directive.PAUSE, ID, media=RecordingMedia.EMAIL, prepare=prepare)
    assert (order, len(there.asked)) == ([0], 1)


async def test_a_platform_opened_to_look_acts_on_nothing(serve: Serve) -> None:
    there = Conversation()
    url = await serve(there)
    settings = GenesysSettings(api_url=url, login_url=url)
    async with connect(settings, Credentials(SecretStr("i"), SecretStr("s"), "t"), clock=SystemClock(), metrics=Metrics()) as platform:
        with pytest.raises(RuntimeError, match="to look only"):
            await platform.control.control(Directive.PAUSE, ID)
    assert there.asked == []
