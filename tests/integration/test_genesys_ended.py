"""Conversations that ended in a time: pages that shift are not counted, old times go through jobs, whatever becomes of those."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.genesys.details_query import paged_whole
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
QUERY = "/api/v2/analytics/conversations/details/query"
JOBS = "/api/v2/analytics/conversations/details/jobs"


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(interval: str) -> tuple[datetime, datetime]:
    first, _, second = interval.partition("/")
    return datetime.fromisoformat(first), datetime.fromisoformat(second)


class Analytics:
    """Details query and details jobs. `states` are what one job after the other ends with; FULFILLED when they are used up."""

    def __init__(self, *ends: datetime) -> None:
        self.records = [
            {"conversationId": f"{number:08x}", "conversationStart": text(end - timedelta(minutes=3)), "conversationEnd": text(end)}
            for number, end in enumerate(ends)
        ]
        self.available = NOW - DAY
        self.states: list[str] = []
        self.looks = 0
        self.jobs: dict[str, tuple[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.queried: list[tuple[datetime, datetime]] = []
        self.submitted: list[tuple[datetime, datetime]] = []
        self.removed: list[str] = []
        self.vanish: Callable[[int], None] = lambda page: None
        self.cursor_turns = False
        self.phantoms = 0
        self.refused = 0
        self.too_much = timedelta.max

    def active(self, interval: str) -> list[dict[str, Any]]:
        start, end = span(interval)
        return [
            one
            for one in sorted(self.records, key=lambda record: record["conversationStart"])
            if datetime.fromisoformat(one["conversationStart"]) < end and datetime.fromisoformat(one["conversationEnd"]) >= start
        ]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/oauth/token":
            return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86400})
        if path.startswith(JOBS) and self.refused:
            return web.json_response({"code": "not.allowed"}, status=self.refused)
        if path == QUERY:
            return self.query(await request.json())
        if path == JOBS:
            return self.submit(await request.json())
        if path == JOBS + "/availability":
            return web.json_response({"dataAvailabilityDate": text(self.available)})
        job, _, rest = path.removeprefix(JOBS + "/").partition("/")
        if request.method == "DELETE":
            self.removed.append(job)
            return web.Response(status=204)
        return self.results(job, request) if rest else self.status(job)

    def query(self, body: dict[str, Any]) -> web.StreamResponse:
        start, end = span(body["interval"])
        page, size = body["paging"]["pageNumber"], body["paging"]["pageSize"]
        if end - start > self.too_much:
            return web.json_response({"code": "result.set.too.large"}, status=413)
        if page == 1:
            self.queried.append((start, end))
        self.vanish(page)
        found = self.active(body["interval"])
        shown = found[(page - 1) * size : page * size]
        return web.json_response({"totalHits": len(found) + self.phantoms, **({"conversations": shown} if shown else {})})

    def submit(self, body: dict[str, Any]) -> web.StreamResponse:
        assert "paging" not in body
        self.submitted.append(span(body["interval"]))
        assert self.submitted[-1][1] <= self.available, "jobs are never asked past what they know"
        job = f"job-{len(self.submitted)}"
        self.jobs[job] = (body["interval"], self.states.pop(0) if self.states else "FULFILLED")
        return web.json_response({"jobId": job}, status=202)

    def status(self, job: str) -> web.StreamResponse:
        self.looks += 1
        if self.looks % 3:
            return web.json_response({"state": ("QUEUED", "PENDING")[self.looks % 3 - 1]}, status=202)
        state = self.jobs[job][1]
        return web.json_response({"state": "FULFILLED" if state == "GONE" else state})

    def results(self, job: str, request: web.Request) -> web.StreamResponse:
        interval, state = self.jobs[job]
        at = int(request.query.get("cursor", "0"))
        if state == "GONE" and at:
            return web.json_response({"code": "not.found"}, status=404)
        found = self.active(interval)
        answer: dict[str, Any] = {"conversations": found[at : at + 2], "dataAvailabilityDate": text(self.available)}
        if at + 2 < len(found):
            answer["cursor"] = str(at if self.cursor_turns and at else at + 2)
        return web.json_response(answer)


@asynccontextmanager
async def connected(analytics: Analytics, serve: Serve) -> AsyncIterator[tuple[Platform, FakeClock]]:
    url = await serve(analytics)
    clock = FakeClock(NOW)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(GenesysSettings(api_url=url, login_url=url), credentials, clock=clock, metrics=Metrics()) as platform:
        yield platform, clock


async def ended(analytics: Analytics, serve: Serve, start: datetime, end: datetime) -> list[str]:
    """What is found, while time passes; each conversation is yielded once."""
    found: list[str] = []
    async with connected(analytics, serve) as (platform, clock), anyio.create_task_group() as tasks:

        async def pass_time() -> None:
            while True:
                await clock.advance(1)
                await anyio.sleep(0.001)

        tasks.start_soon(pass_time)
        try:
            with anyio.fail_after(20):
                found = [one["conversationId"] async for one in platform.conversations.ended_between(start, end, HOUR)]
        finally:
            tasks.cancel_scope.cancel()
    assert len(found) == len(set(found))
    return found


@pytest.mark.parametrize(
    ("totals", "distinct", "whole"),
    [
        ([], 7, True),
        ([250, 250, 250], 250, True),
        ([250, 250, 250], 249, False),
        ([250, 249, 249], 249, False),
        ([250, 252, 252], 252, True),
        ([250, 252, 251], 252, False),
        ([0], 0, True),
    ],
)
def test_a_paging_is_whole_when_its_total_never_fell_and_was_reached(totals: list[int], distinct: int, whole: bool) -> None:
    assert paged_whole(totals, distinct) is whole


async def test_a_conversation_that_vanishes_while_pages_are_read_hides_no_other(serve: Serve) -> None:
    """Its vanishing moves the 101st to the first page, which has been read: no page shows it, unless the window is asked again."""
    start = NOW - 6 * HOUR
    analytics = Analytics(*(start + timedelta(seconds=30 * number) for number in range(250)))
    hidden = analytics.records[100]["conversationId"]

    def vanish(page: int) -> None:
        if page == 2 and len(analytics.records) == 250:
            del analytics.records[0]

    analytics.vanish = vanish
    found = await ended(analytics, serve, start, NOW - HOUR)
    assert hidden in found
    assert len(found) == 250, "what the vanished page showed is true, too"
    assert len(analytics.queried) == 2, "the window, and once more when it held still"


async def test_a_total_that_lies_steadily_costs_two_pagings_and_no_more(serve: Serve) -> None:
    """Halving a day down to minutes would be hundreds of requests, and each would meet the same lie."""
    start = NOW - 6 * HOUR
    analytics = Analytics(*(start + timedelta(minutes=number) for number in range(5)))
    analytics.phantoms = 1
    with pytest.raises(BaseExceptionGroup) as caught:
        await ended(analytics, serve, start, NOW - HOUR)
    assert caught.group_contains(TransientError, match="do not add up")
    assert len(analytics.queried) == 2


async def test_pages_that_never_hold_still_end_with_an_error(serve: Serve) -> None:
    start = NOW - 6 * HOUR
    analytics = Analytics(*(start + timedelta(seconds=number / 10) for number in range(3000)))

    def vanish(page: int) -> None:
        if page > 1 and len(analytics.records) > 200:
            del analytics.records[0]

    analytics.vanish = vanish
    with pytest.raises(BaseExceptionGroup) as caught:
        await ended(analytics, serve, start, NOW - HOUR)
    assert caught.group_contains(TransientError, match="do not add up")


async def test_a_window_that_is_too_much_is_halved(serve: Serve) -> None:
    start = NOW - 6 * HOUR
    analytics = Analytics(*(start + timedelta(minutes=number) for number in range(240)))
    analytics.too_much = HOUR
    assert len(await ended(analytics, serve, start, NOW - HOUR)) == 240


async def test_what_is_old_is_asked_of_jobs_a_day_each_and_the_rest_of_the_query(serve: Serve) -> None:
    analytics = Analytics(*(NOW - 5 * DAY + number * 6 * HOUR for number in range(20)))
    found = await ended(analytics, serve, NOW - 4 * DAY, NOW - HOUR)
    assert len(found) == 16
    assert analytics.submitted == [(NOW - 4 * DAY, NOW - 3 * DAY), (NOW - 3 * DAY, NOW - 2 * DAY)]
    assert min(start for start, _ in analytics.queried) == NOW - 2 * DAY - HOUR, "long calls before the border"
    assert analytics.removed == ["job-1", "job-2"]


async def test_jobs_are_never_asked_past_what_the_data_lake_knows(serve: Serve) -> None:
    analytics = Analytics(*(NOW - 5 * DAY + number * 6 * HOUR for number in range(20)))
    analytics.available = NOW - 3.5 * DAY
    assert len(await ended(analytics, serve, NOW - 4 * DAY, NOW - 2 * DAY)) == 9
    assert analytics.submitted == [(NOW - 4 * DAY, NOW - 3.5 * DAY)]
    assert min(start for start, _ in analytics.queried) == NOW - 3.5 * DAY - HOUR


async def test_what_is_recent_asks_no_job(serve: Serve) -> None:
    analytics = Analytics(NOW - 2 * HOUR)
    assert len(await ended(analytics, serve, NOW - DAY, NOW)) == 1
    assert analytics.submitted == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED", "GONE"])
async def test_a_job_that_ends_badly_is_submitted_anew(serve: Serve, state: str) -> None:
    """GONE: fulfilled, and its results are no longer there after the first page."""
    analytics = Analytics(*(NOW - 5 * DAY + number * HOUR for number in range(10)))
    analytics.states = [state, state]
    assert len(await ended(analytics, serve, NOW - 5 * DAY, NOW - 4 * DAY)) == 10
    assert len(analytics.submitted) == 3
    assert analytics.removed == ["job-1", "job-2", "job-3"]
    assert analytics.queried == []


@pytest.mark.parametrize("trouble", ["failing", "turning", "refused"])
async def test_when_no_job_helps_the_query_is_asked(serve: Serve, trouble: str) -> None:
    analytics = Analytics(*(NOW - 5 * DAY + number * HOUR for number in range(10)))
    analytics.states = ["FAILED"] * 3 if trouble == "failing" else []
    analytics.cursor_turns = trouble == "turning"
    analytics.refused = 400 if trouble == "refused" else 0
    assert len(await ended(analytics, serve, NOW - 5 * DAY, NOW - 4 * DAY)) == 10
    assert analytics.queried != []


async def test_a_permission_that_is_missing_is_told(serve: Serve) -> None:
    async def forbidden(request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86400})
        return web.json_response({"code": "missing.any.permissions"}, status=403)

    async with connected(forbidden, serve) as (platform, _):  # type: ignore[arg-type]  # a server, in its smallest form
        with pytest.raises(PermanentError):
            _ = [one async for one in platform.conversations.ended_between(NOW - 5 * DAY, NOW - 4 * DAY, HOUR)]


async def test_a_conversation_whose_end_cannot_be_read_has_ended_all_the_same(serve: Serve) -> None:
    start = NOW - 6 * HOUR
    analytics = Analytics(start + HOUR, start + 2 * HOUR)
    analytics.active = lambda interval: analytics.records  # type: ignore[method-assign]  # this one could not compare it either
    analytics.records[1]["conversationEnd"] = "2026-08-01T08:00:00+99:99"
    assert await ended(analytics, serve, start, NOW - HOUR) == [one["conversationId"] for one in analytics.records]
