"""Where transcripts lie: what the platform answers in its published forms, and what is made of a refusal."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.genesys.transcripts import parse_dialects, parse_urls
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import NoFiles
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
COMMUNICATION = "d0d0d0d0-0000-4000-8000-000000000001"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
QUEUE = "b0b0b0b0-0000-4000-8000-000000000001"
URLS = f"/api/v2/speechandtextanalytics/conversations/{CONVERSATION}/communications/{COMMUNICATION}/transcripturls"
SETTINGS = "/api/v2/routing/settings/transcription"
DIALECTS = "/api/v2/speechandtextanalytics/programs/transcriptionengines/dialects"


class Answers:
    """The platform: a status and a body for each path; everything asked is kept."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86400})
        self.asked.append(request.path)
        status, body = self.told.get(request.path, (404, {"code": "resource.not.found", "message": "URL is not available", "status": 404}))
        return web.Response(status=status, text=json.dumps(body), content_type="application/json")


@asynccontextmanager
async def connected(serve: Serve, answers: Answers, clock: FakeClock, metrics: Metrics) -> AsyncGenerator[Platform]:
    url = await serve(answers)
    settings = GenesysSettings(api_url=url, login_url=url)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    async with connect(settings, credentials, clock=clock, metrics=metrics) as platform:
        yield platform


@pytest.fixture
async def platform(serve: Serve, fake_clock: FakeClock) -> AsyncGenerator[tuple[Platform, Answers, Metrics]]:
    answers, metrics = Answers(), Metrics()
    async with connected(serve, answers, fake_clock, metrics) as found:
        yield found, answers, metrics


async def test_files_are_named_by_their_recordings_and_no_url_can_be_seen(platform: tuple[Platform, Answers, Metrics]) -> None:
    found, answers, _ = platform
    url = "https://example.amazonaws.com/t.json?X-Amz-Signature=secret"
    answers.told[URLS] = (200, {"communicationId": COMMUNICATION, "urls": [{"recording": {"id": RECORDING.upper()}, "url": url}]})
    told = await found.transcripts.find(CONVERSATION, COMMUNICATION)
    assert told.without is None
    assert [(one.recording_id, one.part.url.reveal(), one.part.content_type) for one in told.files] == [
        (RECORDING, url, "application/json")
    ]
    assert "secret" not in repr(told)


@pytest.mark.parametrize(
    ("status", "body", "without"),
    [
        (404, {"code": "resource.not.found", "message": "URL is not available"}, NoFiles.NOT_THERE),
        (200, {"urls": []}, NoFiles.NOT_THERE),
        (200, {}, NoFiles.NOT_THERE),
        (403, {"code": "feature.forbidden", "message": "x"}, NoFiles.NOT_ENABLED),
        (403, {"code": "forbidden", "message": "Transcription was not enabled for the interaction."}, NoFiles.NOT_ENABLED),
        (403, {"code": "forbidden", "message": "Access denied"}, NoFiles.FORBIDDEN),
        (403, {"code": "missing.permissions", "message": "not enabled: recording:recording:view"}, NoFiles.FORBIDDEN),
    ],
)
async def test_that_there_are_none_is_an_answer(
    platform: tuple[Platform, Answers, Metrics], status: int, body: dict[str, Any], without: NoFiles
) -> None:
    found, answers, _ = platform
    answers.told[URLS] = (status, body)
    told = await found.transcripts.find(CONVERSATION, COMMUNICATION)
    assert (told.files, told.without) == ((), without)


async def test_other_refusals_and_trouble_stay_errors(platform: tuple[Platform, Answers, Metrics]) -> None:
    found, answers, _ = platform
    answers.told[URLS] = (400, {"code": "bad.request", "message": "x"})
    with pytest.raises(PermanentError) as refused:
        await found.transcripts.find(CONVERSATION, COMMUNICATION)
    assert refused.value.code is ReasonCode.REQUEST_REFUSED
    answers.told[URLS] = (500, {})
    with pytest.raises(TransientError):
        await found.transcripts.find(CONVERSATION, COMMUNICATION)
    with pytest.raises(PermanentError) as invalid:
        await found.transcripts.find(CONVERSATION, "../../users")
    assert invalid.value.code is ReasonCode.ID_INVALID


async def test_settings_and_queues_are_asked_for_once_in_ten_minutes(
    platform: tuple[Platform, Answers, Metrics], fake_clock: FakeClock
) -> None:
    found, answers, _ = platform
    queue = f"/api/v2/routing/queues/{QUEUE}"
    answers.told[SETTINGS] = (200, {"transcription": "EnabledQueueFlow"})
    answers.told[DIALECTS] = (200, {"entities": [{"engine": "Genesys", "dialects": ["en-US"]}]})
    answers.told[queue] = (200, {"enableTranscription": False})
    for _ in range(3):
        settings = await found.transcripts.settings()
        assert (settings.mode, settings.dialects) == ("EnabledQueueFlow", frozenset({"en-us"}))
        assert await found.transcripts.queue_enabled(QUEUE) is False
    assert sorted(answers.asked) == sorted([SETTINGS, DIALECTS, queue])
    await fake_clock.advance(601)
    await found.transcripts.settings()
    assert answers.asked.count(SETTINGS) == 2


async def test_what_the_client_may_not_read_is_unknown(platform: tuple[Platform, Answers, Metrics]) -> None:
    found, answers, _ = platform
    answers.told[SETTINGS] = answers.told[DIALECTS] = (403, {"code": "forbidden"})
    settings = await found.transcripts.settings()
    assert (settings.mode, settings.dialects) == (None, None)
    assert await found.transcripts.queue_enabled(QUEUE) is None
    assert await found.transcripts.analysis(CONVERSATION) is None


def test_answers_of_other_shapes_are_passed_over() -> None:
    assert list(parse_urls({"urls": [None, {"url": 7}, {"recording": "x", "url": ""}]})) == []
    twice = [{"recording": {"id": RECORDING}, "url": url} for url in ("https://a", "https://b")]
    assert [one.part.url.reveal() for one in parse_urls({"urls": [*twice, {"url": "https://c"}]})] == ["https://a", "https://c"]
    assert parse_dialects([{"x": {"dialects": ["EN-us", 7]}}, {"dialects": "no"}]) == {"en-us"}
    assert parse_dialects(None) == frozenset()
