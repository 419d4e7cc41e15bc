"""Looking and locating: shared requests, counted; and what analytics tells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import GenesysSyncError, PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import operation
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.metrics import Metrics
from genesys_sync.services import Look, MediaPart
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


def conversation(number: int) -> str:
    return str(UUID(int=number, version=4))


def recording(number: int) -> str:
    return str(UUID(int=(1 << 64) + number, version=4))


class World:
    """Conversations with recordings, as the platform tells of them."""

    def __init__(self) -> None:
        self.recordings: dict[str, list[str]] = {}
        self.states: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.polls_needed = 1
        self.polls: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.bodies: list[Any] = []
        self.records: list[dict[str, Any]] = []
        self.total_hits: int | None = None
        self.transcoding: list[web.Response] = []

    def add(self, number: int, count: int = 1) -> None:
        self.recordings[conversation(number)] = [recording(1000 * number + index) for index in range(count)]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "expires_in": 3600})
        self.calls[operation(request.method, request.path)] += 1
        match request.path.split("/")[3:]:
            case ["conversations", conversation_id, "recordingmetadata"]:
                return self.metadata(conversation_id)
            case ["conversations", _, "recordings", _]:
                return self.transcoding.pop(0)
            case ["recording", "batchrequests"]:
                return self.batch(await request.json())
            case ["recording", "batchrequests", job_id]:
                return self.poll(job_id)
            case ["analytics", "conversations", "details"]:
                wanted = request.query["id"].split(",")
                return web.json_response({"conversations": [{"conversationId": i} for i in wanted if i in self.recordings]})
            case ["analytics", "conversations", "details", "query"]:
                return self.query(await request.json())
            case other:
                raise AssertionError(other)

    def metadata(self, conversation_id: str) -> web.Response:
        if conversation_id not in self.recordings:
            return web.json_response({"code": "conversation.not.found"}, status=404)
        listed = [
            {"id": i, "fileState": self.states.get(i, "AVAILABLE"), "media": "audio", "sessionId": "s", "selfUri": "https://x/secret"}
            for i in self.recordings[conversation_id]
        ]
        return web.json_response(listed)

    def batch(self, body: Any) -> web.Response:
        self.bodies.append(body)
        items = body["batchDownloadRequestList"]
        assert 1 <= len(items) <= 100
        if any(item["conversationId"] in self.unknown for item in items):
            return web.json_response({"code": "batch.download.bad.request"}, status=400)
        results = []
        for item in items:
            for i in self.recordings.get(item["conversationId"], []):
                if item.get("recordingId", i) != i or self.states.get(i) == "UPLOADING":
                    continue
                base = {"conversationId": item["conversationId"], "recordingId": i}
                if i in self.errors:
                    results.append({**base, "errorMsg": self.errors[i]})
                else:
                    results += [{**base, "resultUrl": f"https://media.example/{i}/{n}?sig=s", "contentType": "audio/ogg"} for n in (1, 2)]
        job_id = str(UUID(int=len(self.jobs) + (1 << 100), version=4))
        self.jobs[job_id] = results
        return web.json_response({"id": job_id})

    def poll(self, job_id: str) -> web.Response:
        self.polls[job_id] += 1
        status = "Completed" if self.polls[job_id] >= self.polls_needed else "InProgress"
        return web.json_response({"jobId": job_id, "status": status, "results": self.jobs[job_id]})

    def query(self, body: Any) -> web.Response:
        """Like the platform: conversations that began on a day which the interval touches."""
        self.bodies.append(body)
        first, last = (datetime.fromisoformat(text) for text in body["interval"].split("/"))
        assert last - first <= timedelta(days=1)
        assert (body["order"], body["orderBy"]) == ("asc", "conversationStart")
        found = sorted(
            (r for r in self.records if first.date() <= datetime.fromisoformat(r["conversationStart"]).date() <= last.date()),
            key=lambda r: r["conversationStart"],
        )
        size, number = body["paging"]["pageSize"], body["paging"]["pageNumber"]
        page = found[(number - 1) * size : number * size]
        hits = len(found) if self.total_hits is None else self.total_hits
        return web.json_response({"totalHits": hits, **({"conversations": page} if page else {})})


@asynccontextmanager
async def platform_for(world: World, serve: Serve, clock: FakeClock) -> AsyncIterator[Platform]:
    url = await serve(world)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(GenesysSettings(api_url=url, login_url=url), credentials, clock=clock, metrics=Metrics()) as platform:
        yield platform


async def together(clock: FakeClock, *calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Make the calls at once and let time pass until all have ended; errors are returned."""
    ended: list[Any] = [None] * len(calls)
    left = len(calls)

    async def run(index: int, call: Callable[[], Awaitable[Any]]) -> None:
        nonlocal left
        try:
            ended[index] = await call()
        except GenesysSyncError as error:
            ended[index] = error
        left -= 1

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for index, call in enumerate(calls):
                tasks.start_soon(run, index, call)
            while left:
                await anyio.sleep(0.002)
                await clock.advance(0.5)
    return ended


async def test_a_few_lookers_get_a_definitive_look_each(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    for number in (1, 2):
        world.add(number)
    world.states[recording(2000)] = "UPLOADING"
    async with platform_for(world, serve, clock) as platform:
        looks = await together(
            clock,
            lambda: platform.recordings.look(conversation(1)),
            lambda: platform.recordings.look(conversation(2)),
            lambda: platform.recordings.look(conversation(3)),
        )
    assert [look.definitive for look in looks[:2]] == [True, True]
    assert [look.recordings[0].file_state for look in looks[:2]] == ["AVAILABLE", "UPLOADING"]
    assert "secret" not in str(looks[0].recordings[0].raw)
    assert isinstance(looks[2], PermanentError)
    assert looks[2].code is ReasonCode.NOT_FOUND
    assert world.calls == {"GET /api/v2/conversations/{id}/recordingmetadata": 3}


async def test_a_hundred_conversations_that_end_together_cost_few_calls(serve: Serve) -> None:
    """Look, locate and details for all: at most 0.15 calls a recording (here it is 0.04)."""
    world, clock = World(), FakeClock()
    for number in range(100):
        world.add(number)
    async with platform_for(world, serve, clock) as platform:

        async def one(number: int) -> tuple[MediaPart, ...]:
            look: Look = await platform.recordings.look(conversation(number))
            assert not look.definitive
            await platform.conversations.details(conversation(number))
            return await platform.recordings.locate(conversation(number), look.recordings[0].recording_id)

        located = await together(clock, *(lambda number=number: one(number) for number in range(100)))
    assert all(len(parts) == 2 and parts[0].content_type == "audio/ogg" for parts in located)
    assert [part.url.reveal() for part in located[7]] == [f"https://media.example/{recording(7000)}/{n}?sig=s" for n in (1, 2)]
    assert sum(world.calls.values()) == 4, world.calls
    assert sum(world.calls.values()) / 100 <= 0.15


async def test_a_shared_look_shows_only_what_can_be_downloaded_now(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    for number in range(5):
        world.add(number, count=2)
    world.states[recording(1000)] = "UPLOADING"
    world.errors[recording(2001)] = "still transcoding"
    async with platform_for(world, serve, clock) as platform:
        looks = await together(clock, *(lambda n=n: platform.recordings.look(conversation(n)) for n in range(6)))
    assert [[info.recording_id for info in look.recordings] for look in looks] == [
        [recording(0), recording(1)],
        [recording(1001)],
        [recording(2000)],
        [recording(3000), recording(3001)],
        [recording(4000), recording(4001)],
        [],
    ]


async def test_a_bad_item_in_a_batch_spoils_only_itself(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    for number in range(8):
        world.add(number)
    world.unknown.add(conversation(3))
    async with platform_for(world, serve, clock) as platform:
        looks = await together(clock, *(lambda n=n: platform.recordings.look(conversation(n)) for n in range(8)))
    assert [n for n, look in enumerate(looks) if isinstance(look, PermanentError)] == [3]
    assert [len(look.recordings) for n, look in enumerate(looks) if n != 3] == [1] * 7


async def test_a_location_is_remembered_for_its_life_and_refused_when_a_fresh_one_is_wanted(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    for number in range(4):
        world.add(number)
    async with platform_for(world, serve, clock) as platform:
        await together(clock, *(lambda n=n: platform.recordings.look(conversation(n)) for n in range(4)))
        calls = sum(world.calls.values())
        await platform.recordings.locate(conversation(0), recording(0))
        assert sum(world.calls.values()) == calls
        await together(clock, lambda: platform.recordings.locate(conversation(0), recording(0), fresh=True))
        assert sum(world.calls.values()) == calls + 2
        await clock.advance(121)
        await together(clock, lambda: platform.recordings.locate(conversation(1), recording(1000)))
        assert sum(world.calls.values()) == calls + 4
    assert world.bodies[-1] == {"batchDownloadRequestList": [{"conversationId": conversation(1), "recordingId": recording(1000)}]}


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        ("Recording is still being processed", TransientError, ReasonCode.NOT_READY),
        ("User does not have permission https://x/?sig=secret", PermanentError, ReasonCode.FORBIDDEN),
        ("Recording was deleted", PermanentError, ReasonCode.DELETED_UPSTREAM),
        (None, TransientError, ReasonCode.NOT_READY),
    ],
)
async def test_why_a_recording_cannot_be_located_is_told(serve: Serve, words: str | None, error: type, code: ReasonCode) -> None:
    world, clock = World(), FakeClock()
    world.add(1)
    world.add(2)
    if words is None:
        world.recordings[conversation(1)] = []
    else:
        world.errors[recording(1000)] = words
    async with platform_for(world, serve, clock) as platform:
        bad, good = await together(
            clock,
            lambda: platform.recordings.locate(conversation(1), recording(1000)),
            lambda: platform.recordings.locate(conversation(2), recording(2000)),
        )
    assert isinstance(bad, error)
    assert isinstance(bad, TransientError | PermanentError)
    assert bad.code is code
    assert "secret" not in str(bad)
    assert len(good) == 2


async def test_the_same_recording_asked_for_twice_is_one_item_and_a_job_has_one_poller(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    world.add(1)
    world.polls_needed = 3
    async with platform_for(world, serve, clock) as platform:
        parts = await together(clock, *[lambda: platform.recordings.locate(conversation(1), recording(1000))] * 20)
    assert len(set(parts)) == 1
    assert len(world.bodies[0]["batchDownloadRequestList"]) == 1
    assert world.calls["GET /api/v2/recording/batchrequests/{id}"] == 3


async def test_a_job_that_never_completes_is_given_up_in_time(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    world.add(1)
    world.polls_needed = 10_000
    async with platform_for(world, serve, clock) as platform:
        (error,) = await together(clock, lambda: platform.recordings.locate(conversation(1), recording(1000)))
    assert isinstance(error, TransientError)
    assert error.code is ReasonCode.NOT_READY
    assert clock.monotonic() < 170, "before a look times out"


async def test_another_format_is_waited_for_as_the_platform_estimates(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    uris = {str(n): {"mediaUri": f"https://media.example/{n}"} for n in range(12)}
    world.transcoding = [
        web.json_response({"estimatedTranscodeTimeMs": 4000, "mediaUris": None}, status=202),
        web.Response(status=202),
        web.json_response({"mediaUris": uris}),
    ]
    async with platform_for(world, serve, clock) as platform:
        (parts,) = await together(clock, lambda: platform.recordings.locate(conversation(1), recording(1), format_id="WAV"))
    assert [part.url.reveal().rpartition("/")[2] for part in parts] == [str(n) for n in range(12)]
    assert parts[0].content_type == "audio/wav"
    assert 9 <= clock.monotonic() <= 11


async def test_a_transcoder_that_does_not_finish_is_left_with_a_delay(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    world.transcoding = [web.json_response({"estimatedTranscodeTimeMs": 1e9}, status=202) for _ in range(9)]
    async with platform_for(world, serve, clock) as platform:
        (error,) = await together(clock, lambda: platform.recordings.locate(conversation(1), recording(1), format_id="MP3"))
    assert isinstance(error, TransientError)
    assert (error.code, error.delay) == (ReasonCode.NOT_READY, timedelta(seconds=30))


async def test_details_are_none_where_analytics_knows_nothing_and_fifty_share_a_call(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    for number in range(60):
        world.add(number)
    async with platform_for(world, serve, clock) as platform:
        found = await together(clock, *(lambda n=n: platform.conversations.details(conversation(n)) for n in range(61)))
    assert [record["conversationId"] for record in found[:60]] == [conversation(n) for n in range(60)]
    assert found[60] is None
    assert world.calls["GET /api/v2/analytics/conversations/details"] == 2


@pytest.mark.parametrize("bad", ["", "../x", "8E1C9F1E-0000-4000-8000-000000000001", "x" * 300, "a\x00"])
async def test_an_id_that_is_no_uuid_is_refused_before_any_request(serve: Serve, bad: str) -> None:
    world = World()
    async with platform_for(world, serve, FakeClock()) as platform:
        for call in (
            platform.recordings.look(bad),
            platform.recordings.locate(bad, recording(1)),
            platform.recordings.locate(conversation(1), bad),
            platform.recordings.get(conversation(1), bad),
            platform.conversations.details(bad),
            platform.conversations.get(bad),
        ):
            with pytest.raises(PermanentError) as error:
                await call
            assert error.value.code is ReasonCode.ID_INVALID
    assert not world.calls


async def test_ended_conversations_are_found_each_once_over_days_and_pages(serve: Serve) -> None:
    world, clock = World(), FakeClock()
    start, end = datetime(2026, 8, 2, 6, tzinfo=UTC), datetime(2026, 8, 2, 12, tzinfo=UTC)

    def record(number: int, began: datetime, ended: datetime) -> None:
        form = "%Y-%m-%dT%H:%M:%S.000Z"
        world.records.append(
            {"conversationId": conversation(number), "conversationStart": began.strftime(form), "conversationEnd": ended.strftime(form)}
        )

    for number in range(250):
        record(number, start + timedelta(minutes=number), start + timedelta(minutes=number + 1))
    record(900, start - timedelta(hours=20), start + timedelta(minutes=1))
    record(901, start - timedelta(hours=3), start - timedelta(seconds=1))
    record(902, start, end + timedelta(seconds=1))
    world.records.append({"conversationId": conversation(903), "conversationStart": "2026-08-02T07:00:00.000Z", "conversationEnd": "soon"})
    async with platform_for(world, serve, clock) as platform:
        found = [r["conversationId"] async for r in platform.conversations.ended_between(start, end, timedelta(hours=24))]
    # 903 has ended, nobody can read when: rather found than lost
    assert sorted(found) == sorted(conversation(number) for number in [*range(250), 900, 903])
    assert json.dumps(world.bodies[0]).count("conversationEnd") == 0, "those that end while it is paged would come in between"


@pytest.mark.parametrize("total_hits", [0, 1, 100])
async def test_a_total_that_is_wrong_loses_no_conversation(serve: Serve, total_hits: int) -> None:
    """It lags behind while the result grows; only a page that is not full is the last one."""
    world, start = World(), datetime(2026, 8, 2, 6, tzinfo=UTC)
    world.total_hits = total_hits
    for number in range(250):
        moment = (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        world.records.append({"conversationId": conversation(number), "conversationStart": moment, "conversationEnd": moment})
    async with platform_for(world, serve, FakeClock()) as platform:
        ended = platform.conversations.ended_between(start, start + timedelta(hours=1), timedelta(hours=1))
        assert len([record async for record in ended]) == 250
