"""A report against a platform that knows too much, too little, or does not answer: nothing is unexplained in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from genesys_sync.cli.collect import Collector
from genesys_sync.cli.moments import Window
from genesys_sync.cli.report import Report
from genesys_sync.completeness import Roles, State
from genesys_sync.events import Event, Topic
from genesys_sync.genesys.platform import connect
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import RoutedEvent
from genesys_sync.settings import Credentials, FeedSettings, GenesysSettings
from genesys_sync.testing import FakeClock
from genesys_sync.transcript_states import TranscriptRoles, TranscriptState

pytestmark = pytest.mark.anyio

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORG = "11111111-2222-4333-8444-555555555555"
WINDOW = Window(NOW - 6 * HOUR, NOW - HOUR)
ROLES = Roles.of({"discover": "discover", "archive": "archive", "verify": "verify"})


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444444444444"


class Platform:
    """Analytics with a list of conversations, and the client's grants."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.actions = ["view", "viewSensitiveData"]
        self.refused: dict[str, int] = {}
        self.by_id: list[str] = []
        self.clock_off: timedelta | None = None

    def add(self, number: int, ended: datetime, *, recorded: bool | None = True) -> None:
        self.records[name(number)] = {
            "conversationId": name(number),
            "conversationStart": text(ended - timedelta(minutes=2)),
            "conversationEnd": text(ended),
            "participants": [{"sessions": [{} if recorded is None else {"recording": recorded}]}],
        }

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = await self.answer(request)
        if self.clock_off is not None:
            response.headers["Date"] = format_datetime(NOW + self.clock_off, usegmt=True)
        return response

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        for ending, status in self.refused.items():
            if path.endswith(ending):
                return web.json_response({"code": "refused"}, status=status)
        if path == "/oauth/token":
            return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86400})
        if path == "/api/v2/tokens/me":
            return web.json_response({"organization": {"id": ORG}})
        if path == "/api/v2/authorization/subjects/me":
            policy = {"domain": "recording", "entityName": "recording", "actions": self.actions}
            return web.json_response({"grants": [{"role": {"policies": [policy]}}]})
        if path.endswith("/details/query"):
            body = await request.json()
            found = list(self.records.values()) if body["paging"]["pageNumber"] == 1 else []
            return web.json_response({"totalHits": len(self.records), **({"conversations": found} if found else {})})
        wanted = request.query["id"].split(",")
        self.by_id += wanted
        return web.json_response({"conversations": [self.records[one] for one in wanted if one in self.records]})


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Ledger, FakeClock]]:
    clock = FakeClock(NOW)
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        yield ledger, clock


async def archived(ledger: Ledger, number: int, ended: datetime) -> None:
    end = Event.of(Topic.CONVERSATION_ENDED, occurred_at=ended, organization_id=ORG, conversation_id=name(number))
    verified = end.derive(Topic.MEDIA_VERIFIED, occurred_at=ended, recording_id=name(number + 1000), body={"revision": 1})
    await ledger.append([RoutedEvent(end, ()), RoutedEvent(verified, ())])


async def report(
    platform: Platform,
    serve: Serve,
    ledger: Ledger,
    clock: FakeClock,
    window: Window = WINDOW,
    transcript_roles: TranscriptRoles | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> Report:
    url = await serve(platform)
    credentials = Credentials(SecretStr("id"), SecretStr("secret"), "a test")
    made: list[Report] = []
    async with (
        connect(GenesysSettings(api_url=url, login_url=url), credentials, clock=clock, metrics=Metrics()) as connected,
        anyio.create_task_group() as tasks,
    ):
        collector = Collector(
            ledger=ledger,
            platform=connected,
            clock=clock,
            settings=FeedSettings(),
            roles=ROLES,
            transcript_roles=transcript_roles,
            show=show,
        )

        async def collect() -> None:
            made.append(await collector.report(window))

        tasks.start_soon(collect)
        with anyio.fail_after(20):
            while not made:
                await clock.advance(1)
                await anyio.sleep(0.001)
    return made[0]


def states(made: Report) -> dict[str, tuple[State, str]]:
    return {item.conversation_id: (item.state, item.reason) for item in made.items}


async def test_both_agree_and_the_report_is_complete(tmp_path: Path, serve: Serve) -> None:
    platform = Platform()
    async with opened(tmp_path) as (ledger, clock):
        for number in range(3):
            platform.add(number, NOW - 2 * HOUR)
            await archived(ledger, number, NOW - 2 * HOUR)
        platform.add(7, NOW - 3 * HOUR, recorded=False)
        told: list[str] = []
        made = await report(platform, serve, ledger, clock, show=told.append)
    assert made.complete
    assert (told[0], told[-1]) == ("asking the platform: 1 conversation seen", "comparing: 3 conversations judged")
    assert made.organization_id == ORG
    assert made.tally.states[State.ARCHIVED] == 3
    assert states(made)[name(7)] == (State.NONE_EXPECTED, "")
    assert platform.by_id == [], "nothing was in doubt"


async def test_what_only_one_of_both_has_is_unexplained(tmp_path: Path, serve: Serve) -> None:
    platform = Platform()
    async with opened(tmp_path) as (ledger, clock):
        platform.add(1, NOW - 2 * HOUR)
        platform.add(2, NOW - 2 * HOUR, recorded=None)
        await archived(ledger, 3, NOW - 2 * HOUR)
        made = await report(platform, serve, ledger, clock)
    assert not made.complete
    assert states(made) == {
        name(1): (State.UNEXPLAINED, "NOT_IN_LEDGER"),
        name(2): (State.UNEXPLAINED, "NOT_IN_LEDGER"),
        name(3): (State.UNEXPLAINED, "NOT_ON_PLATFORM"),
    }


async def test_an_end_on_two_sides_of_a_border_is_no_difference(tmp_path: Path, serve: Serve) -> None:
    """By the ledger it ended within, by the platform a second after; and the other way round: that one belongs to another time."""
    platform = Platform()
    second = timedelta(seconds=1)
    async with opened(tmp_path) as (ledger, clock):
        platform.add(1, WINDOW.end + second)
        await archived(ledger, 1, WINDOW.end - second)
        platform.add(2, WINDOW.end - second)
        await archived(ledger, 2, WINDOW.end + second)
        made = await report(platform, serve, ledger, clock)
    assert states(made) == {name(1): (State.ARCHIVED, "")}
    assert platform.by_id == [name(1)]
    assert made.complete


@pytest.mark.parametrize(
    ("refused", "caveat"),
    [
        ({"/details/query": 403}, "NOT_PAGED_TO_ITS_END"),
        ({"/details/query": 500}, "NOT_PAGED_TO_ITS_END"),
        ({"/conversations/details": 500}, "NOT_PAGED_TO_ITS_END"),
        ({"/subjects/me": 403}, "PERMISSION_NOT_PROVED"),
    ],
)
async def test_a_platform_that_does_not_tell_all_forbids_the_word(
    tmp_path: Path, serve: Serve, refused: dict[str, int], caveat: str
) -> None:
    platform = Platform()
    async with opened(tmp_path) as (ledger, clock):
        platform.add(1, WINDOW.end + timedelta(seconds=1))
        await archived(ledger, 1, WINDOW.end - timedelta(seconds=1))
        platform.refused = refused
        made = await report(platform, serve, ledger, clock)
    assert [str(code) for code, _ in made.caveats] == [caveat]
    assert not made.complete
    assert states(made) == {name(1): (State.ARCHIVED, "")}, "what could not be asked is not called unknown"


@pytest.mark.parametrize("ended_again", [WINDOW.end - HOUR, WINDOW.end + timedelta(minutes=9)], ids=["in the time", "after it"])
async def test_a_later_end_that_only_the_platform_tells_of_forbids_the_word(tmp_path: Path, serve: Serve, ended_again: datetime) -> None:
    platform = Platform()
    async with opened(tmp_path) as (ledger, clock):
        platform.add(1, ended_again)
        await archived(ledger, 1, WINDOW.start + HOUR)
        made = await report(platform, serve, ledger, clock)
        assert [(item.state, item.reason) for item in made.items] == [(State.ARCHIVED, ""), (State.UNEXPLAINED, "ENDED_AGAIN")]
        assert not made.complete
        later = await report(platform, serve, ledger, clock, Window(WINDOW.end - 2 * HOUR, NOW - HOUR / 2))
        assert "ENDED_AGAIN" in [item.reason for item in later.items], "in the time of the later end too"
        end = {"occurred_at": ended_again, "organization_id": ORG, "conversation_id": name(1)}
        await ledger.append([RoutedEvent(Event.of(Topic.CONVERSATION_ENDED, revision=2, day=(WINDOW.start + HOUR).date(), **end), ())])
        made = await report(platform, serve, ledger, clock, Window(WINDOW.start, NOW - HOUR / 2))
    assert [(item.state, item.reason) for item in made.items] == [(State.ARCHIVED, "")], "once, in the time of its last end"
    assert made.complete


async def test_a_missing_permission_an_open_gap_and_a_time_too_late_forbid_the_word(tmp_path: Path, serve: Serve) -> None:
    platform = Platform()
    platform.actions = ["view"]
    async with opened(tmp_path) as (ledger, clock):
        edges = [(WINDOW.from_ms - 10, WINDOW.from_ms), (WINDOW.to_ms, WINDOW.to_ms + 10), (WINDOW.from_ms - 20, WINDOW.from_ms - 10)]
        for start, end in edges:
            await ledger.open_gap(from_ms=start, to_ms=end, cause="silence")
        done = await ledger.open_gap(from_ms=WINDOW.from_ms, to_ms=WINDOW.to_ms, cause="silence")
        await ledger.close_gap(done, at_ms=1)
        made = await report(platform, serve, ledger, clock)
        assert [str(code) for code, _ in made.caveats] == ["GAPS_OPEN", "PERMISSION_MISSING"]
        assert made.open_gaps == 1, "of those at the edges, only the one that touches the time"
        late = await report(platform, serve, ledger, clock, Window(NOW - HOUR, clock.now()))
        assert "ANALYTICS_NOT_YET_THERE" in [str(code) for code, _ in late.caveats]


async def test_offline_asks_nobody_and_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as (ledger, clock):
        await archived(ledger, 1, NOW - 2 * HOUR)
        made = await Collector(ledger=ledger, platform=None, clock=clock, settings=FeedSettings(), roles=ROLES).report(WINDOW)
    assert [str(code) for code, _ in made.caveats] == ["OFFLINE", "PERMISSION_NOT_PROVED"]
    assert states(made) == {name(1): (State.ARCHIVED, "")}
    assert not made.complete


async def test_transcripts_are_compared_both_ways(tmp_path: Path, serve: Serve) -> None:
    """One archived, one that only the ledger has, one that only the platform has."""
    platform, ended = Platform(), NOW - 2 * HOUR
    roles = TranscriptRoles(fetch=frozenset({"transcript"}))
    async with opened(tmp_path) as (ledger, clock):
        for number in (1, 2, 3):
            platform.add(number, ended, recorded=False)
            session = {"sessionId": name(100 + number), "mediaType": "voice", "recording": False}
            platform.records[name(number)]["participants"] = [{"purpose": "customer", "sessions": [session] if number != 2 else [{}]}]
        for number in (1, 2):
            facts = {"occurred_at": ended, "organization_id": ORG, "conversation_id": name(number)}
            told = Event.of(Topic.TRANSCRIPT_ARCHIVED, state=name(100 + number), body={"communicationId": name(100 + number)}, **facts)
            await ledger.append([RoutedEvent(Event.of(Topic.CONVERSATION_ENDED, **facts), ()), RoutedEvent(told, ())])
        made = await report(platform, serve, ledger, clock, transcript_roles=roles)
    assert {item.communication_id: (item.state, item.reason) for item in made.transcripts.items} == {
        name(101): (TranscriptState.ARCHIVED, ""),
        name(102): (TranscriptState.UNEXPLAINED, "NOT_ON_PLATFORM"),
        name(103): (TranscriptState.UNEXPLAINED, "NOT_IN_LEDGER"),
    }
    assert not made.complete


async def test_a_clock_that_is_off_forbids_complete_and_does_not_promise_what_analytics_cannot_have(tmp_path: Path, serve: Serve) -> None:
    """This machine is four hours ahead of the platform: by the platform's clock the window has not passed yet."""
    platform = Platform()
    platform.clock_off = timedelta(hours=-4)
    async with opened(tmp_path) as (ledger, clock):
        made = await report(platform, serve, ledger, clock)
    assert [str(code) for code, _ in made.caveats] == ["ANALYTICS_NOT_YET_THERE", "CLOCK_OFF"]


async def test_a_conversation_whose_end_cannot_be_read_is_unexplained_where_the_ledger_does_not_know_it(
    tmp_path: Path, serve: Serve
) -> None:
    platform = Platform()
    platform.add(1, NOW - 2 * HOUR)
    platform.records[name(1)]["conversationEnd"] = "2026-08-01T10:00:00+99:99"
    async with opened(tmp_path) as (ledger, clock):
        made = await report(platform, serve, ledger, clock)
    assert [(item.conversation_id, item.state) for item in made.items] == [(name(1), State.UNEXPLAINED)]
