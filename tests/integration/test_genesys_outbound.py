"""Requests to receivers: any status is an answer, no redirect is followed, no private address is reached unless allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest
from aiohttp import web

from genesys_sync import outbound
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.settings import HttpSettings

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
HERE = HttpSettings(allow_private=("127.0.0.0/8",))


async def test_any_status_is_an_answer_with_headers_and_body(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Id"] == "7"
        return web.Response(status=410, body=b"gone:" + await request.read(), headers={"Retry-After": "5"})

    async with outbound.connect(HERE) as http:
        reply = await http.request("POST", await serve(answer), headers={"X-Id": "7"}, body=b"hello")
    assert (reply.status, reply.body, reply.headers["retry-after"]) == (410, b"gone:hello", "5")


async def test_a_redirect_is_handed_back(serve: Serve) -> None:
    visited = []

    async def answer(request: web.Request) -> web.StreamResponse:
        visited.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with outbound.connect(HERE) as http:
        assert (await http.request("POST", await serve(answer))).status == 307
    assert visited == ["/"]


async def test_at_most_64_kib_of_an_answer_are_read(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 5_000_000)

    async with outbound.connect(HERE) as http:
        assert len((await http.request("GET", await serve(answer))).body) == 64 << 10


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_not_reached_however_it_is_spelt(serve: Serve, scheme: str, host: str) -> None:
    visited = []

    async def answer(request: web.Request) -> web.StreamResponse:
        visited.append(request.path)
        return web.Response()

    port = (await serve(answer)).rpartition(":")[2]
    async with outbound.connect(HttpSettings()) as http:
        with pytest.raises(PermanentError) as error:
            await http.request("POST", f"{scheme}://{host}:{port}/secret-path")
    assert error.value.code is ReasonCode.URL_REFUSED
    assert "secret-path" not in str(error.value)
    assert visited == []


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://example.org/", "https://", "https://user:pw@127.0.0.1/", "https://[::1", "http://8.8.8.8/"]
)
async def test_a_url_of_another_kind_is_refused(url: str) -> None:
    async with outbound.connect(HERE) as http:
        with pytest.raises(PermanentError) as error:
            await http.request("POST", url)
    assert error.value.code is ReasonCode.URL_REFUSED


@pytest.mark.parametrize(
    ("url", "strictly", "here"),
    [
        ("https://8.8.8.8/x", True, True),
        ("http://8.8.8.8/x", False, False),
        ("https://127.0.0.1:1/x", False, True),
        ("http://localhost:1/x", False, True),
        ("https://user:pw@8.8.8.8/", False, False),
        ("https://[::1", False, False),
        ("https://no-such-host.invalid/x", True, True),
    ],
)
async def test_whether_an_address_is_allowed_can_be_told_beforehand(url: str, strictly: bool, here: bool) -> None:
    async with outbound.connect(HttpSettings()) as strict, outbound.connect(HERE) as kind:
        assert (await strict.admits(url), await kind.admits(url)) == (strictly, here)


async def test_no_answer_is_transient_and_shows_no_url(serve: Serve) -> None:
    over = anyio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    url = await serve(answer)
    async with outbound.connect(HERE) as http:
        for target, limit in ((f"{url}/token-in-path", 0.1), ("http://127.0.0.1:1/token-in-path", 5.0)):
            with pytest.raises(TransientError) as error:
                await http.request("POST", target, timeout=timedelta(seconds=limit))
            assert error.value.code is ReasonCode.RECEIVER_UNREACHABLE
            assert "token-in-path" not in str(error.value)
    over.set()
