"""What was written: the single recording's answer, byte for byte, with no format asked for, and not before it can be had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.platform import connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
SPACED = b'{ "fileState" : "AVAILABLE",\n "transcript":[ {"body":"caf\\u00e9 \xf0\x9f\x98\x80"} ],"z":1.10 }\n'


async def body(serve: Serve, answer: bytes, *, status: int = 200, asked: list[web.Request] | None = None) -> bytes:
    async def platform_of(request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "expires_in": 3600})
        if asked is not None:
            asked.append(request)
        return web.Response(body=answer, status=status, content_type="application/json")

    address = await serve(platform_of)
    settings = GenesysSettings(api_url=address, login_url=address)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(settings, credentials, clock=FakeClock(), metrics=Metrics()) as platform:
        return await platform.recordings.body(CONVERSATION, RECORDING)


async def test_it_comes_byte_for_byte_and_no_format_is_asked_for(serve: Serve) -> None:
    asked: list[web.Request] = []
    assert await body(serve, SPACED, asked=asked) == SPACED
    (request,) = asked
    assert request.path == f"/api/v2/conversations/{CONVERSATION}/recordings/{RECORDING}"
    assert set(request.query.values()) == {"NONE"}
    assert set(request.query) == {"formatId", "emailFormatId", "chatFormatId", "messageFormatId"}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"fileState":"UPLOADING"}', 200),
        (b'{"fileState":"ARCHIVED","transcript":[]}', 200),
        (b'{"transcript":[]}', 200),
        (b'{"fileState":"AVAILABLE","transcript":[]}', 202),
    ],
)
async def test_what_cannot_be_had_yet_is_not_taken_for_the_whole(serve: Serve, answer: bytes, status: int) -> None:
    with pytest.raises(TransientError) as raised:
        await body(serve, answer, status=status)
    assert raised.value.code is ReasonCode.NOT_READY


async def test_a_refusal_stays_one(serve: Serve) -> None:
    with pytest.raises(PermanentError) as raised:
        await body(serve, b'{"code":"recording.recording.not.found","status":404,"message":"x"}', status=404)
    assert raised.value.code is ReasonCode.NOT_FOUND
