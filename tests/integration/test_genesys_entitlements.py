"""What the client may do and what the organisation has bought, over a real socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.genesys.entitlements import products_of
from genesys_sync.genesys.platform import connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


async def test_what_is_known_is_remembered_for_a_minute_and_what_is_not_told_is_missing_nowhere(
    serve: Serve, fake_clock: FakeClock
) -> None:
    asked: list[str] = []
    policies = [{"domain": "recording", "entityName": "*", "actions": ["view"]}]
    answers = {
        "/api/v2/authorization/subjects/me": {"grants": [{"role": {"policies": policies}}]},
        "/api/v2/authorization/products": {"entities": [{"id": "genesysCloud2"}, {}]},
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86400})
        asked.append(request.path)
        found = answers.get(request.path)
        return web.json_response(found) if found is not None else web.json_response({"code": "not.authorized", "status": 403}, status=403)

    url = await serve(answer)
    settings = GenesysSettings(api_url=url, login_url=url)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(settings, credentials, clock=fake_clock, metrics=Metrics()) as platform:
        entitlements = platform.entitlements
        assert not await entitlements.lacks("recording:recording:view")
        assert await entitlements.lacks("routing:queue:view", "recording:recording:edit")
        assert not await entitlements.lacks("routing:queue:view", "recording:recording:view"), "any of them will do"
        assert await entitlements.products() == {"genesysCloud2"}
        assert len(asked) == 2
        answers.clear()
        await fake_clock.advance(61)
        assert not await entitlements.lacks("routing:queue:view"), "where the platform does not tell, it decides itself"
        assert await entitlements.products() is None
        assert len(asked) == 4


def test_only_a_listing_is_one() -> None:
    assert products_of({"entities": []}) == frozenset()
    for other in (None, [], {}, {"entities": "x"}, "html"):
        assert products_of(other) is None
