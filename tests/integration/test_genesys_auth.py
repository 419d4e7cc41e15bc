"""The token: one request however many ask, renewed early, never hammered for, whatever the login host answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import CredentialsRefused, ReasonCode, TransientError
from genesys_sync.genesys.auth import Tokens
from genesys_sync.settings import Credentials
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Login:
    """A login host. `script` holds its next answers; when used up it grants tokens of an hour, t1, t2 …"""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.hold: anyio.Event | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.headers["Authorization"], (await request.post()).get("grant_type", "")))
        number = len(self.requests)
        if self.hold is not None:
            await self.hold.wait()
        status, body = self.script.pop(0) if self.script else (200, {"access_token": f"t{number}", "expires_in": 3600})
        return web.json_response(body, status=status)


@asynccontextmanager
async def tokens_at(url: str, clock: FakeClock) -> AsyncIterator[Tokens]:
    async with aiohttp.ClientSession() as session:
        credentials = Credentials(SecretStr("the:id"), SecretStr("the secret ü"), "a test")
        yield Tokens(session, url, credentials, clock=clock, timeout=timedelta(seconds=5))


async def test_fifty_who_ask_at_once_share_one_request_with_the_client_in_the_header(serve: Serve) -> None:
    login, got = Login(), []
    async with tokens_at(await serve(login), FakeClock()) as tokens:

        async def ask() -> None:
            got.append(await tokens.get())

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
    assert got == ["t1"] * 50
    assert login.requests == [("Basic " + base64.b64encode("the:id:the secret ü".encode()).decode(), "client_credentials")]


async def test_when_the_first_asker_is_cancelled_the_others_still_get_a_token(serve: Serve, until: Until) -> None:
    login, got = Login(), []
    login.hold = anyio.Event()
    async with tokens_at(await serve(login), FakeClock()) as tokens, anyio.create_task_group() as tasks:
        first = anyio.CancelScope()

        async def leaver() -> None:
            with first:
                await tokens.get()

        async def stayer() -> None:
            got.append(await tokens.get())

        tasks.start_soon(leaver)
        await until(lambda: len(login.requests) == 1)
        for _ in range(10):
            tasks.start_soon(stayer)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await until(lambda: len(login.requests) == 2)
        login.hold.set()
    assert got == ["t2"] * 10
    assert len(login.requests) == 2


async def test_the_token_is_renewed_at_four_fifths_of_its_life_by_the_monotonic_clock(serve: Serve) -> None:
    login, clock = Login(), FakeClock()
    async with tokens_at(await serve(login), clock) as tokens:
        assert await tokens.get() == "t1"
        clock.step_wall(timedelta(days=3))
        await clock.advance(0.8 * 3600 - 1)
        assert await tokens.get() == "t1"
        await clock.advance(2)
        assert await tokens.get() == "t2"


async def test_while_a_renewal_fails_the_old_token_serves_to_its_end_and_not_longer(serve: Serve) -> None:
    login, clock = Login(), FakeClock()
    async with tokens_at(await serve(login), clock) as tokens:
        await tokens.get()
        login.script = [(503, {})] * 3
        await clock.advance(3000)
        assert [await tokens.get() for _ in range(20)] == ["t1"] * 20
        assert len(login.requests) == 2, "a failure is remembered for a moment"
        await clock.advance(601)
        with pytest.raises(TransientError):
            await tokens.get()


@pytest.mark.parametrize("status", [400, 401])
async def test_a_refused_client_is_told_in_one_sentence_and_tried_once_in_five_minutes(serve: Serve, status: int) -> None:
    login, clock = Login(), FakeClock()
    login.script = [(status, {"error": "invalid_client", "description": "authentication failed"})] * 2
    async with tokens_at(await serve(login), clock) as tokens:
        for _ in range(30):
            with pytest.raises(CredentialsRefused, match=r"secret is wrong.* region") as refused:
                await tokens.get()
            assert "the secret" not in str(refused.value)
            await clock.advance(9)
        assert len(login.requests) == 1
        await clock.advance(30)
        with pytest.raises(CredentialsRefused):
            await tokens.get()
        assert len(login.requests) == 2
        await clock.advance(301)
        assert await tokens.get() == "t3"


@pytest.mark.parametrize(
    "body",
    [
        {"expires_in": 3600},
        {"access_token": "", "expires_in": 3600},
        {"access_token": "a\r\nX: y", "expires_in": 3600},
        {"access_token": 7, "expires_in": 3600},
        {"access_token": "t", "expires_in": 0},
        {"access_token": "t", "expires_in": -1},
        {"access_token": "t", "expires_in": "3600"},
        {"access_token": "t", "expires_in": True},
        {"access_token": "t"},
        ["access_token"],
        "token",
    ],
)
async def test_a_token_answer_that_makes_no_sense_is_no_tight_loop(serve: Serve, body: Any) -> None:
    login, clock = Login(), FakeClock()
    login.script = [(200, body)]
    async with tokens_at(await serve(login), clock) as tokens:
        for _ in range(20):
            with pytest.raises(TransientError, match="AUTH_BAD_ANSWER") as error:
                await tokens.get()
            assert error.value.code is ReasonCode.BAD_ANSWER
        assert len(login.requests) == 1
        await clock.advance(2)
        assert await tokens.get() == "t2"


async def test_a_life_without_end_is_taken_as_two_days(serve: Serve) -> None:
    login, clock = Login(), FakeClock()
    login.script = [(200, {"access_token": "long", "expires_in": 10**12})]
    async with tokens_at(await serve(login), clock) as tokens:
        assert await tokens.get() == "long"
        await clock.advance(0.8 * 172_800 + 1)
        assert await tokens.get() == "t2"


async def test_many_who_find_the_same_token_refused_renew_it_once(serve: Serve) -> None:
    login, got = Login(), []
    async with tokens_at(await serve(login), FakeClock()) as tokens:
        old = await tokens.get()

        async def renew() -> None:
            got.append(await tokens.renew(instead_of=old))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(renew)
    assert got == ["t2"] * 20
    assert len(login.requests) == 2


async def test_tokens_that_are_refused_at_once_are_not_renewed_in_a_tight_loop(serve: Serve) -> None:
    login, clock = Login(), FakeClock()
    async with tokens_at(await serve(login), clock) as tokens:
        for _ in range(20):
            await tokens.renew(instead_of=await tokens.get())
        assert len(login.requests) == 2
        await clock.advance(11)
        assert await tokens.renew(instead_of="t2") == "t3"


async def test_after_invalidation_the_next_use_asks_again(serve: Serve) -> None:
    login = Login()
    async with tokens_at(await serve(login), FakeClock()) as tokens:
        await tokens.get()
        tokens.invalidate()
        assert await tokens.get() == "t2"


async def test_a_refreshed_token_serves_until_another_is_had(serve: Serve) -> None:
    clock, login = FakeClock(), Login()
    async with tokens_at(await serve(login), clock) as tokens:
        assert tokens.ends_at is None
        assert await tokens.get() == "t1"
        assert tokens.ends_at == 3600
        login.script.append((503, {}))
        tokens.refresh()
        assert await tokens.get() == "t1"

        await clock.advance(60)
        assert await tokens.get() == "t3"
        assert tokens.ends_at == 3660


async def test_a_login_host_that_cannot_be_reached_is_transient() -> None:
    async with tokens_at("http://127.0.0.1:1", FakeClock()) as tokens:
        with pytest.raises(TransientError) as error:
            await tokens.get()
    assert error.value.code is ReasonCode.UNREACHABLE
