"""HTTP answers of docs/specs/bad-input.md, B20 to B26, from real servers that lie, cut off and lead away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketStream
from pydantic import SecretStr

from genesys_sync.clock import SystemClock
from genesys_sync.errors import CredentialsRefused, PermanentError, ReasonCode, TransientError
from genesys_sync.genesys import media
from genesys_sync.genesys.platform import connect
from genesys_sync.metrics import Metrics
from genesys_sync.services import MediaPart, SecretUrl
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
CREDENTIALS = Credentials(SecretStr("id"), SecretStr("the secret"), "a test")
TOKEN = {"access_token": "a-token-of-ours", "expires_in": 3600}
BODY = b"OggS" + bytes(996)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A store that says exactly these bytes to every request, and closes."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()


async def fetched(url: str, into: Path) -> Any:
    settings = GenesysSettings(api_url="http://127.0.0.1:1", login_url="http://127.0.0.1:1")
    rule = media.HostRule(settings.media_hosts, api=settings.api)
    async with media.session(rule, settings) as session:
        store = media.MediaStore(session, rule, settings, clock=SystemClock(), metrics=Metrics(), random=lambda: 0.0)
        return await store.download(MediaPart(SecretUrl(f"{url}/key?X-Amz-Signature=secret"), "audio/ogg"), into)


@pytest.mark.parametrize("login", [302, 200])
async def test_b20_a_daemon_that_is_redirected_goes_on_asking_the_right_host(serve: Serve, tmp_path: Path, login: int) -> None:
    """A gateway may be set wrong for an hour: nothing is sent elsewhere, and nobody has to start the daemon again."""
    asked: list[str] = []

    async def gateway(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/oauth/token" and login == 200:
            return web.json_response(TOKEN)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    url = await serve(gateway)
    (tmp_path / "settings.toml").write_text(f'genesys = {{ api_url = "{url}", login_url = "{url}" }}\nhealth.listen = "127.0.0.1:0"\n')
    env = {name: value for name, value in os.environ.items() if not name.startswith("GENESYS")}
    env |= {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "the secret"}
    command = [sys.executable, "-m", "genesys_sync", "run", "--set", "log.format=json"]
    with anyio.fail_after(60):
        async with await anyio.open_process(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            said = b""
            while said.count(b"REDIRECT_REFUSED") < 2:
                said += await process.stderr.receive()
            process.terminate()
            assert await process.wait() == 0
    assert "/elsewhere" not in asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_b20_no_redirect_of_the_platform_is_followed_and_the_token_goes_nowhere_else(serve: Serve, status: int) -> None:
    strangers: list[str | None] = []

    async def stranger(request: web.Request) -> web.StreamResponse:
        strangers.append(request.headers.get("Authorization"))
        return web.json_response({})

    elsewhere = await serve(stranger)

    async def platform(request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response(TOKEN)
        return web.Response(status=status, headers={"Location": f"{elsewhere}/api/v2/x"})

    url = await serve(platform)
    settings = GenesysSettings(api_url=url, login_url=url)
    async with connect(settings, CREDENTIALS, clock=FakeClock(), metrics=Metrics()) as genesys:
        with pytest.raises(TransientError, match="REDIRECT_REFUSED") as refused:
            await genesys.request("GET", "/api/v2/x")
    assert (refused.value.code, strangers) == (ReasonCode.BAD_ANSWER, [])


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/", "https://other.example/key", "/key"])
async def test_b20_no_redirect_of_a_store_is_followed(tmp_path: Path, to: str) -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to.encode()) as url:
        with pytest.raises(PermanentError, match="REDIRECT_REFUSED") as refused:
            await fetched(url, tmp_path / "a")
    assert refused.value.code is ReasonCode.URL_REFUSED
    assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5000",
        b"Content-Length: 10",
        b"Content-Length: 1000\r\nContent-Length: 10",
        b"Content-Length: -1",
        b"Content-Length: 1000\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked",  # and cut before its last chunk
    ],
)
async def test_b22_a_body_of_another_length_than_stated_is_no_file(tmp_path: Path, headers: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "INTERRUPTIONS_MAX", 1)
    chunked = b"3e8\r\n" + BODY + b"\r\n" if headers.endswith(b"chunked") else BODY
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Type: audio/ogg\r\n%s\r\n\r\n" % headers + chunked) as url:
        with pytest.raises(TransientError) as refused:
            await fetched(url, tmp_path / "a")
    assert refused.value.code in {ReasonCode.BODY_LENGTH_MISMATCH, ReasonCode.DOWNLOAD_INTERRUPTED}
    assert list(tmp_path.iterdir()) == []


async def test_b22_a_body_without_any_length_is_marked_for_the_verifier(tmp_path: Path) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Type: audio/ogg\r\n\r\n" + BODY) as url:
        done = await fetched(url, tmp_path / "a")
    assert (done.size, done.length_stated) == (1000, False)


async def test_b24_a_retry_after_without_sense_is_told_of_once(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    asked = 0

    async def platform(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        if request.path == "/oauth/token":
            return web.json_response(TOKEN)
        asked += 1
        return web.json_response({"ok": asked}, headers={"Retry-After": ("-5", "abc", "1e9")[asked % 3]})

    url = await serve(platform)
    async with connect(GenesysSettings(api_url=url, login_url=url), CREDENTIALS, clock=FakeClock(), metrics=Metrics()) as genesys:
        for _ in range(4):
            await genesys.request("GET", "/api/v2/x")
    assert capsys.readouterr().out.count("RETRY_AFTER_INVALID") == 1


@pytest.mark.parametrize("life", [0, "3600", -1, None])
async def test_b26_a_token_answer_without_sense_is_told_and_not_hammered_for(serve: Serve, life: object) -> None:
    asked = 0

    async def login(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.json_response({"access_token": "t", "expires_in": life})

    url = await serve(login)
    async with connect(GenesysSettings(api_url=url, login_url=url), CREDENTIALS, clock=FakeClock(), metrics=Metrics()) as genesys:
        for _ in range(5):
            with pytest.raises(TransientError, match="AUTH_BAD_ANSWER"):
                await genesys.request("GET", "/api/v2/x")
    assert asked == 1


async def test_b26_a_refused_client_is_asked_for_once_in_five_minutes(serve: Serve) -> None:
    asked, clock = 0, FakeClock()

    async def login(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.json_response({"error": "invalid_client"}, status=400)

    url = await serve(login)
    async with connect(GenesysSettings(api_url=url, login_url=url), CREDENTIALS, clock=clock, metrics=Metrics()) as genesys:
        for expected in (1, 1, 2):
            with pytest.raises((TransientError, CredentialsRefused), match="refused the OAuth client"):
                await genesys.request("GET", "/api/v2/x")
            assert asked == expected
            await clock.advance(151)
