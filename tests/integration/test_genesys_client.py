"""The one policy for token, rate and trouble, against a real server and a clock that the test owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]
ID = "8e1c9f1e-0000-4000-8000-000000000001"


class Api:
    """A platform. `script` holds its next answers (status, body, headers); when used up it answers 200 with an object."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.requests: list[web.Request] = []
        self.tokens = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            self.tokens += 1
            return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600})
        self.requests.append(request)
        await request.read()
        status, body, headers = self.script.pop(0) if self.script else (200, {"ok": True}, {})
        if isinstance(body, bytes):
            return web.Response(body=body, status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def platform_at(url: str, clock: FakeClock, *, metrics: Metrics | None = None, **settings: Any) -> AsyncIterator[Platform]:
    configured = GenesysSettings(api_url=url, login_url=url, **settings)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(configured, credentials, clock=clock, metrics=metrics or Metrics(), random=lambda: 1.0) as platform:
        yield platform


def error_body(code: str) -> dict[str, Any]:
    return {"message": "no", "code": code, "status": 0}


async def through_waits(clock: FakeClock, until: Until, call: Callable[[], Awaitable[Any]]) -> Any:
    """Run the call, letting time pass whenever it sleeps; returns its value or raises its error."""
    ended: list[Any] = []

    async def run() -> None:
        try:
            ended.append(await call())
        except (TransientError, PermanentError) as error:
            ended.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        while not ended:
            await until(lambda: bool(ended or clock._sleepers))
            if not ended:
                await clock.advance(clock._sleepers[0][0] - clock.monotonic())
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


async def test_the_bearer_token_is_sent_and_the_answer_parsed(serve: Serve) -> None:
    api, metrics = Api(), Metrics()
    async with platform_at(await serve(api), FakeClock(), metrics=metrics) as platform:
        assert await platform.request("GET", f"/api/v2/conversations/{ID}", params={"a": "b"}) == {"ok": True}
    assert api.requests[0].headers["Authorization"] == "Bearer t1"
    assert api.requests[0].query["a"] == "b"
    labels = {"operation": "GET /api/v2/conversations/{id}", "status": "200"}
    assert metrics.registry.get_sample_value("genesys_sync_api_requests_total", labels) == 1


async def test_a_refused_token_is_renewed_once_and_the_request_repeated_once(serve: Serve) -> None:
    api = Api()
    api.script = [(401, error_body("bad.credentials"), {})]
    async with platform_at(await serve(api), FakeClock()) as platform:
        assert await platform.request("POST", "/api/v2/x", json={}) == {"ok": True}
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer t1", "Bearer t2"]


async def test_a_token_that_is_refused_twice_ends_the_call(serve: Serve) -> None:
    api = Api()
    api.script = [(401, error_body("bad.credentials"), {"ININ-Correlation-Id": "c-7"})] * 2
    async with platform_at(await serve(api), FakeClock()) as platform:
        with pytest.raises(TransientError) as error:
            await platform.request("GET", "/api/v2/x")
    assert (error.value.code, error.value.correlation_id, len(api.requests)) == (ReasonCode.UNAUTHORIZED, "c-7", 2)


@pytest.mark.parametrize("status", [408, 502, 503, 504, 404, 418])  # 4xx as pages: a gateway's own
async def test_trouble_that_passes_is_waited_out(serve: Serve, until: Until, status: int) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(status, b"<html>", {})] * 3
    async with platform_at(await serve(api), clock) as platform:
        assert await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x")) == {"ok": True}
    assert len(api.requests) == 4
    assert clock.monotonic() == 1 + 2 + 4


async def test_trouble_that_stays_ends_the_call_after_four_tries(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(503, error_body("service.unavailable"), {"ININ-Correlation-Id": "c-9"})] * 9
    async with platform_at(await serve(api), clock) as platform:
        with pytest.raises(TransientError) as error:
            await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x"))
    assert (error.value.code, error.value.correlation_id, len(api.requests)) == (ReasonCode.UNREACHABLE, "c-9", 4)


async def test_an_operation_that_may_have_been_done_is_not_repeated(serve: Serve) -> None:
    api = Api()
    api.script = [(503, b"", {})]
    async with platform_at(await serve(api), FakeClock()) as platform:
        with pytest.raises(TransientError):
            await platform.request("POST", "/api/v2/x", json={})
    assert len(api.requests) == 1


async def test_an_answer_that_is_not_json_is_asked_for_again_and_then_told(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(200, b"<html>proxy login</html>", {})] * 4
    async with platform_at(await serve(api), clock) as platform:
        with pytest.raises(TransientError) as error:
            await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x"))
    assert error.value.code is ReasonCode.BAD_ANSWER
    assert "proxy login" not in str(error.value)
    assert len(api.requests) == 4


async def test_an_answer_of_another_shape_is_a_bad_answer(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(200, [], {})] * 4
    async with platform_at(await serve(api), clock) as platform:
        with pytest.raises(TransientError) as error:
            await through_waits(clock, until, platform.identify)
    assert error.value.code is ReasonCode.BAD_ANSWER


async def test_after_a_429_nobody_sends_before_the_pause_is_over(serve: Serve, until: Until) -> None:
    """Ten callers; the first answer is 429. Whatever was on its way arrives, and then nothing for the whole pause."""
    api, clock, metrics = Api(), FakeClock(), Metrics()
    api.script = [(429, error_body("too.many.requests"), {"Retry-After": "30"})] * 10
    done: list[Any] = []
    async with platform_at(await serve(api), clock, metrics=metrics) as platform, anyio.create_task_group() as tasks:
        await platform.tokens.get()

        async def call() -> None:
            done.append(await platform.request("POST", "/api/v2/x", json={}))

        for _ in range(10):
            tasks.start_soon(call)
        await until(lambda: len(clock._sleepers) >= 10)
        first = len(api.requests)
        for _ in range(5):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        await clock.advance(29.9)
        assert len(api.requests) == first == 10, "those who came during the pause waited too"
        await clock.advance(0.2)
        await until(lambda: len(done) == 15)
    assert len(api.requests) == 25
    assert metrics.registry.get_sample_value("genesys_sync_api_rate_limited_total") == 10
    assert metrics.registry.get_sample_value("genesys_sync_api_rate_pauses_total") == 1, "one burst is one pause"


async def test_a_retry_after_that_was_too_short_costs_one_more_answer_and_not_a_burst(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(429, error_body("too.many.requests"), {"Retry-After": "1"})] * 11
    done: list[Any] = []
    async with platform_at(await serve(api), clock) as platform, anyio.create_task_group() as tasks:
        await platform.tokens.get()

        async def call() -> None:
            done.append(await platform.request("GET", "/api/v2/x"))

        for _ in range(10):
            tasks.start_soon(call)
        await until(lambda: len(clock._sleepers) >= 10)
        await clock.advance(1)
        await until(lambda: len(api.requests) == 11)
        await clock.advance(59)
        assert len(api.requests) == 11, "the one that went ahead was refused: a minute of silence"
        await clock.advance(1.1)
        await until(lambda: len(done) == 10)
    assert len(api.requests) == 21


async def test_a_pause_longer_than_our_patience_is_handed_to_the_caller(serve: Serve) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(429, error_body("too.many.requests"), {"Retry-After": "600"})]
    async with platform_at(await serve(api), clock) as platform:
        for _ in range(3):
            with pytest.raises(TransientError) as error:
                await platform.request("GET", "/api/v2/x")
            assert error.value.code is ReasonCode.RATE_LIMITED
            assert error.value.delay is not None
            assert error.value.delay.total_seconds() == 600
    assert len(api.requests) == 1, "the second and third did not even ask"


@pytest.mark.parametrize("strange", ["-5", "abc", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT", ""])
async def test_a_retry_after_without_sense_makes_no_hot_loop(serve: Serve, until: Until, strange: str) -> None:
    api, clock = Api(), FakeClock()
    api.script = [(429, b"", {"Retry-After": strange})]
    async with platform_at(await serve(api), clock) as platform:
        assert await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x")) == {"ok": True}
    assert clock.monotonic() >= 1


async def test_a_body_that_is_no_json_takes_no_room_from_other_requests(serve: Serve) -> None:
    async with platform_at(await serve(Api()), FakeClock(), requests_per_minute=60) as platform:
        with anyio.fail_after(20):
            for _ in range(100):
                with pytest.raises(TypeError):
                    await platform.request("POST", "/api/v2/recording/jobs", json={"at": object()})
            assert await platform.request("GET", "/api/v2/recording/settings") == {"ok": True}


async def test_the_share_of_the_limit_is_never_exceeded(serve: Serve, until: Until) -> None:
    api, clock, done = Api(), FakeClock(), []
    async with (
        platform_at(await serve(api), clock, requests_per_minute=10, request_share=0.5) as platform,
        anyio.create_task_group() as tasks,
    ):

        async def call() -> None:
            done.append(await platform.request("GET", "/api/v2/x"))

        for _ in range(5):
            tasks.start_soon(call)
        await until(lambda: len(done) == 3)
        await anyio.wait_all_tasks_blocked()
        assert len(api.requests) == 3, "of five, two are kept for the other lanes"
        await clock.advance(60)
        await until(lambda: len(done) == 5)


async def test_of_the_requests_that_wait_the_one_whose_recording_is_deleted_soonest_goes_first(serve: Serve, until: Until) -> None:
    """After a pause one goes ahead alone, so that the order is that of the requests and not of the network."""
    api, clock = Api(), FakeClock()
    api.script = [(429, error_body("too.many.requests"), {"Retry-After": "30"})]
    api.script += [(200, {"mediaUris": {"0": {"mediaUri": "https://x.example/a"}}}, {})] * 4
    ids = [ID[:-1] + digit for digit in "345"]
    dates = [None, clock.now() + timedelta(days=9), clock.now() + timedelta(days=1)]
    async with platform_at(await serve(api), clock) as platform, anyio.create_task_group() as tasks:
        tasks.start_soon(platform.request, "GET", "/api/v2/x")
        await until(lambda: bool(clock._sleepers))
        for recording_id, before in zip(ids, dates, strict=True):
            tasks.start_soon(partial(platform.recordings.locate, ID, recording_id, format_id="MP3", before=before))
        await clock.advance(30)
        await until(lambda: len(api.requests) == 5)
    assert api.requests[1].path.endswith(ids[2])


async def test_the_queues_are_read_while_media_work_waits_for_the_next_window(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    async with platform_at(await serve(api), clock, requests_per_minute=3, request_share=1) as platform, anyio.create_task_group() as tasks:
        await platform.request("GET", "/api/v2/x")
        tasks.start_soon(platform.request, "GET", "/api/v2/y")
        await until(lambda: bool(clock._sleepers))
        assert await platform.queues() == []
        assert [request.path for request in api.requests] == ["/api/v2/x", "/api/v2/routing/queues"]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "missing.permissions", ReasonCode.FORBIDDEN),
        (404, "not.found", ReasonCode.NOT_FOUND),
        (400, "bad.request", ReasonCode.REQUEST_REFUSED),
    ],
)
async def test_a_refusal_is_final_and_says_so(serve: Serve, status: int, code: str, reason: ReasonCode) -> None:
    api = Api()
    api.script = [(status, error_body(code), {"Location": "/elsewhere"})]
    async with platform_at(await serve(api), FakeClock()) as platform:
        with pytest.raises(PlatformRefused) as error:
            await platform.request("GET", "/api/v2/x")
    assert (error.value.code, error.value.status, error.value.platform_code) == (reason, status, code)
    assert len(api.requests) == 1


async def test_a_platform_that_cannot_be_reached_is_transient_and_the_message_shows_no_url(serve: Serve, until: Until) -> None:
    api, clock = Api(), FakeClock()
    login = await serve(api)
    settings = GenesysSettings(api_url="http://127.0.0.1:1", login_url=login)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(settings, credentials, clock=clock, metrics=Metrics(), random=lambda: 1.0) as platform:
        with pytest.raises(TransientError) as error:
            await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x"))
    assert error.value.code is ReasonCode.UNREACHABLE
    assert "127.0.0.1" not in str(error.value)


async def test_an_outage_of_the_platform_leaves_the_rate_budget_whole(serve: Serve, until: Until) -> None:
    """Or the first thing that follows it would be a wait for the next window."""
    away = True

    async def api(request: web.Request) -> web.StreamResponse:
        if away and not request.path.startswith("/oauth"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return await Api()(request)

    clock = FakeClock()
    async with platform_at(await serve(api), clock, requests_per_minute=10, request_share=1.0) as platform:
        for _ in range(5):
            with pytest.raises(TransientError):
                await through_waits(clock, until, lambda: platform.request("GET", "/api/v2/x"))
        away = False
        before = clock.monotonic()
        await platform.request("GET", "/api/v2/x")
        assert clock.monotonic() == before


async def test_an_error_in_the_body_of_the_context_leaves_it_as_it_is(serve: Serve) -> None:
    with pytest.raises(LookupError):
        async with platform_at(await serve(Api()), FakeClock()):
            raise LookupError


async def test_a_queue_that_slips_between_two_pages_is_found_by_reading_them_again(serve: Serve) -> None:
    """Of A, B and C on pages of one, A is deleted after the first was read: what was on the second is on the first now."""
    api = Api()

    def page(name: str, total: int) -> tuple[int, Any, dict[str, str]]:
        return 200, {"entities": [{"id": ID[:-1] + name, "name": name}], "pageCount": total, "total": total}, {}

    api.script = [page("a", 3), page("c", 2), page("b", 2), page("c", 2)]
    async with platform_at(await serve(api), FakeClock()) as platform:
        assert [queue.name for queue in await platform.queues()] == ["a", "c", "b"]


async def test_identity_queues_and_channels(serve: Serve) -> None:
    api = Api()
    api.script = [
        (200, {"organization": {"id": ID.upper(), "name": "x"}}, {}),
        (200, {"entities": [{"id": ID, "name": "A"}, {"name": "no id"}], "pageCount": 2}, {}),
        (200, {"entities": [{"id": ID[:-1] + "2", "name": "B"}], "pageCount": 2}, {}),
        (200, {"id": "streaming-1-abc", "connectUri": "wss://x.example/channels/secret", "expires": "2026-08-02T12:00:00.000Z"}, {}),
        (200, {"entities": [{"id": "b", "state": "Rejected", "missingPermissions": ["a:b:view"]}, {"id": "a", "state": "Permitted"}]}, {}),
        (200, {"entities": [{"id": "A", "selfUri": "/a"}, {"id": "b", "state": "Rejected"}]}, {}),
    ]
    async with platform_at(await serve(api), FakeClock()) as platform:
        assert await platform.identify() == ID == platform.organization_id
        assert [queue.name for queue in await platform.queues()] == ["A", "B"]
        channel = await platform.channels.create()
        assert "secret" not in repr(channel)
        states = await platform.channels.subscribe(channel.id, ["a", "b", "c"])
        assert await platform.channels.topics(channel.id) == {"a"}
    assert [(state.id, state.permitted, state.missing_permissions) for state in states] == [
        ("a", True, ()),
        ("b", False, ("a:b:view",)),
        ("c", False, ()),
    ]
    assert [request.method for request in api.requests[-2:]] == ["PUT", "GET"]
    assert api.requests[-2].query["ignoreErrors"] == "true"


@pytest.mark.parametrize(
    "told", [(200, {"OAuthClient": {"id": "c"}}), (200, {"organization": None}), (404, error_body("not.found")), (403, error_body("no"))]
)
async def test_an_organisation_that_the_token_does_not_name_is_asked_for(serve: Serve, told: tuple[int, Any]) -> None:
    api = Api()
    api.script = [(*told, {}), (200, {"id": ID.upper(), "state": "active"}, {})]
    async with platform_at(await serve(api), FakeClock()) as platform:
        assert await platform.identify() == ID == platform.organization_id
    assert api.requests[-1].path == "/api/v2/organizations/me"


async def test_a_platform_that_names_no_organisation_is_told_in_one_sentence(serve: Serve) -> None:
    async with platform_at(await serve(Api()), FakeClock()) as platform:
        with pytest.raises(TransientError, match="neither tokens/me nor organizations/me") as error:
            await platform.identify()
    assert error.value.code is ReasonCode.BAD_ANSWER


async def test_a_subscription_is_recognised_in_whatever_case_it_is_answered(serve: Serve) -> None:
    api, topic = Api(), f"v2.routing.queues.{ID}.conversations"
    api.script = [(200, {"entities": [{"id": topic.replace(ID, ID.upper())}]}, {})]
    async with platform_at(await serve(api), FakeClock()) as platform:
        (state,) = await platform.channels.subscribe("channel", [topic])
    assert (state.id, state.permitted) == (topic, True)
