"""The webhook against a real receiver, judged by an implementation of Standard Webhooks that is not ours."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio import create_task_group
from standardwebhooks.webhooks import Webhook as Oracle
from standardwebhooks.webhooks import WebhookVerificationError

from genesys_sync import outbound
from genesys_sync.clock import SystemClock
from genesys_sync.plugin import Done, PermanentError, ReasonCode, TransientError
from genesys_sync.settings import HttpSettings
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers.webhook import Webhook

pytestmark = pytest.mark.anyio

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 64).decode()
STRANGER = "whsec_" + base64.b64encode(b"s" * 32).decode()


class Receiver:
    """Keeps what arrives, and answers what it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.received.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def harness(receiver: Receiver, serve: Callable[[Any], Awaitable[str]], tmp_path: Path) -> AsyncIterator[HandlerHarness[Webhook]]:
    files = []
    for name, text in (("new", NEW), ("old", OLD)):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        files.append(str(path))
    config = {"url": await serve(receiver) + "/hook?token=abc", "allow_http": True, "secret_files": files}
    async with outbound.connect(HttpSettings(allow_private=("127.0.0.0/8",))) as http:
        made = HandlerHarness(Webhook, config, folder=tmp_path, clock=SystemClock())  # the oracle reads the real time
        object.__setattr__(made.services, "http", http)
        async with made:
            yield made


async def test_each_configured_secret_verifies_and_no_other(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    assert isinstance(await harness.handle(make_event("media.verified")), Done)
    headers, body = receiver.received[0]
    for secret in (NEW, OLD):
        assert Oracle(secret).verify(body, headers)["type"] == "media.verified"
    with pytest.raises(WebhookVerificationError):
        Oracle(STRANGER).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Oracle(NEW).verify(body.replace(b"verified", b"rejected"), headers)
    assert headers["content-type"] == "application/json"


async def test_all_attempts_carry_one_id_and_the_same_bytes(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    receiver.answers = [500, 400, 204]
    event = make_event("media.rejected")
    for attempt in (1, 2):
        with pytest.raises(TransientError):
            await harness.handle(event, attempt=attempt)
    assert isinstance(await harness.handle(event, attempt=3), Done)
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert len({body for _, body in receiver.received}) == 1
    for headers, body in receiver.received:
        Oracle(NEW).verify(body, headers)


async def test_the_body_says_what_happened_to_what(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    event = make_event("recording.lost", state="DELETED_UPSTREAM", body={"recordingId": "an impostor"})
    await harness.handle(event)
    headers, body = receiver.received[0]
    assert Oracle(OLD).verify(body, headers) == {
        "type": "recording.lost",
        "timestamp": "2026-08-01T12:00:00.000Z",
        "data": {
            "eventId": event.id,
            "organizationId": event.organization_id,
            "conversationId": event.conversation_id,
            "recordingId": event.recording_id,
            "reason": "DELETED_UPSTREAM",
            "fileState": "DELETED",
        },
    }


async def test_different_events_have_different_ids(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    async with create_task_group() as tasks:
        for revision in range(1, 6):
            tasks.start_soon(harness.handle, make_event("media.verified", revision=revision))
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 5


async def test_a_redirect_is_not_followed(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    receiver.answers = [302]
    with pytest.raises(TransientError, match=r"127\.0\.0\.1 answered 302"):
        await harness.handle(make_event("media.verified"))
    assert len(receiver.received) == 1


async def test_a_private_receiver_is_refused_unless_the_settings_allow_it(harness: HandlerHarness[Webhook], receiver: Receiver) -> None:
    async with outbound.connect(HttpSettings()) as http:
        object.__setattr__(harness.services, "http", http)
        with pytest.raises(PermanentError) as raised:
            await harness.handle(make_event("media.verified"))
    assert raised.value.code is ReasonCode.URL_REFUSED
    assert receiver.received == []
