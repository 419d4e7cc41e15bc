"""The console over real HTTP, on a real ledger: whom it answers and how, the numbers of the commands, no more work than is asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import structlog

from genesys_sync.cli.collect import Collector
from genesys_sync.cli.moments import Window
from genesys_sync.cli.report import as_json as report_as_json
from genesys_sync.cli.status import Status
from genesys_sync.cli.status import as_json as status_as_json
from genesys_sync.completeness import Roles, State
from genesys_sync.console import Console
from genesys_sync.console.readings import FRESH, SHARE, Spared, read_day
from genesys_sync.errors import LedgerError, ReasonCode
from genesys_sync.events import Event, Topic
from genesys_sync.feed.intake import STREAM
from genesys_sync.feed.listener import Feed
from genesys_sync.health import HealthReport, HealthServer
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.metrics import Metrics
from genesys_sync.overview import look
from genesys_sync.routing import RoutedEvent
from genesys_sync.sealing import Sealer
from genesys_sync.settings import FeedSettings, Settings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
PLANTED = ("+4915112345678", "Anna Meier", "four one one one")
WELL = HealthReport(live=True, ready=True, facts={"connected": 1})


def name(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444444444444"


def settings_for(folder: Path, **sections: Any) -> Settings:
    used = {handler: {"use": handler} for handler in ("discover", "archive", "verify")}
    ledger = {"url": f"sqlite:///{folder / 'ledger.db'}"}
    return Settings.model_validate(
        {"genesys": {"region": "us_east_1"}, "handlers": used, "ledger": ledger, "storage": {"root": str(folder)}, **sections}
    )


async def fill(ledger: Ledger, clock: FakeClock) -> None:
    """Seven conversations of today and one of yesterday: verified, rejected, dead, without a recording; an orphan; something planted."""
    body = {"ani": PLANTED[0], "name": PLANTED[1], "text": PLANTED[2]}
    for number in range(8):
        ended = NOW - timedelta(hours=20 if number == 7 else number)
        end = Event.of(
            Topic.CONVERSATION_ENDED,
            occurred_at=ended,
            organization_id="org",
            conversation_id=name(number),
            body={**body, "recordingSeen": number != 6},
        )
        ready = end.derive(Topic.RECORDING_READY, occurred_at=ended, recording_id=name(number + 100), body={"revision": 1})
        later = end.derive(
            (Topic.MEDIA_VERIFIED, Topic.MEDIA_REJECTED)[number % 2],
            occurred_at=ended,
            recording_id=name(number + 100),
            body={"revision": 1, "reason": "HEADER_ONLY"},
        )
        facts = [RoutedEvent(end, ("discover",))]
        facts += [] if number == 6 else [RoutedEvent(ready, ("archive",))]
        facts += [] if number in (5, 6) else [RoutedEvent(later, ())]
        await ledger.append(facts, watermark=(STREAM, clock.epoch_ms()))
    orphan = Event.of(Topic.RECORDING_ORPHANED, occurred_at=NOW - timedelta(hours=1), organization_id="org", recording_id=name(900))
    await ledger.append([RoutedEvent(orphan, ("archive",))])
    for claim in await ledger.claim({"discover": 7, "archive": 2}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000):
        dead = Verdict(state=DeliveryState.DEAD, reason=ReasonCode.FORBIDDEN, error=PLANTED[1])
        verdict = dead if claim.handler == "archive" else Verdict(state=DeliveryState.DONE, note=PLANTED[2])
        await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
    await clock.advance(90)


@dataclass
class Condition:
    feed: Feed | None = None
    sealer: Sealer | None = None


@dataclass
class Served:
    port: int
    clock: FakeClock
    settings: Settings
    ledger: Ledger

    async def get(self, path: str, *, method: str = "GET", host: str = "localhost") -> tuple[int, str, Any]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.request(method, f"http://127.0.0.1:{self.port}{path}", headers={"Host": host}, allow_redirects=False) as response,
        ):
            return response.status, await response.text(), response.headers

    async def json(self) -> Any:
        status, text, _ = await self.get("/console.json")
        assert status == 200
        return json.loads(text)


@asynccontextmanager
async def served(folder: Path, *, host: str = "127.0.0.1", **sections: Any) -> AsyncIterator[Served]:
    clock = FakeClock(NOW)
    settings = settings_for(folder, health={"listen": f"{host}:0"}, **sections)
    async with open_ledger(settings.ledger.url, clock=clock) as ledger, anyio.create_task_group() as tasks:
        await fill(ledger, clock)
        console = Console.of(settings, clock=clock, report=lambda: WELL, condition=Condition(), clients=())
        pages = console.routes() if console is not None else ()
        server = HealthServer((host, 0), report=lambda: WELL, metrics=Metrics(), pages=pages, hosts=settings.console.allow_hosts)
        _, port = await tasks.start(server.run)
        if console is not None:
            tasks.start_soon(console.run)
        yield Served(port, clock, settings, ledger)
        tasks.cancel_scope.cancel()


async def test_the_page_and_what_it_needs(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/console", "text/html; charset=utf-8"),
            ("/console.json", "application/json"),
            ("/console.css", "text/css; charset=utf-8"),
            ("/console.js", "text/javascript; charset=utf-8"),
            ("/console.svg", "image/svg+xml; charset=utf-8"),
        ):
            status, text, headers = await here.get(path)
            assert (status, headers["Content-Type"]) == (200, kind)
            assert text
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self';")
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["Cache-Control"] == "no-store"
            assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
            assert (headers["Referrer-Policy"], headers["Server"]) == ("no-referrer", "genesys-sync")
            assert "Access-Control-Allow-Origin" not in headers
            assert "Set-Cookie" not in headers
            assert (await here.get(path, method="HEAD"))[:2] == (200, "")
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                assert (await here.get(path, method=method))[0] == 405, "it takes no orders"


@pytest.mark.parametrize("path", ["/console/", "/console.html", "/assets/console.css", "/../pyproject.toml", "/favicon.ico", "/index.html"])
async def test_other_paths_do_not_exist(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as here:
        assert (await here.get(path))[0] == 404


async def test_a_rebound_name_gets_no_answer(tmp_path: Path) -> None:
    async with served(tmp_path, console={"allow_hosts": ["Sync.Example.com"]}) as here:
        for path in ("/", "/console.json", "/console.css"):
            for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.5:80", "sync.example.com.evil.example"):
                assert (await here.get(path, host=host))[:2] == (421, '{"error": "wrong host"}')
            for host in ("localhost", "127.0.0.1:8086", "[::1]:8086", "sync.example.com", "SYNC.example.com:443"):
                assert (await here.get(path, host=host))[0] == 200


async def test_off_loopback_it_is_served_only_under_a_name_that_was_given(tmp_path: Path) -> None:
    """Health may be asked by address there; the console, which asks nobody for a password, may not."""
    (tmp_path / "a").mkdir()
    with structlog.testing.capture_logs() as lines:
        async with served(tmp_path / "a", host="0.0.0.0") as here:
            assert (await here.get("/"))[0] == 404
            assert (await here.get("/readyz", host="10.0.0.5"))[0] == 200
    [line] = [line for line in lines if line["event"] == "the console is not served"]
    assert "console.allow_hosts" in line["reason"]
    (tmp_path / "b").mkdir()
    async with served(tmp_path / "b", host="0.0.0.0", console={"allow_hosts": ["sync.example.com"]}) as here:
        assert (await here.get("/", host="sync.example.com"))[0] == 200
        assert (await here.get("/readyz", host="sync.example.com"))[0] == 200
        assert (await here.get("/", host="10.0.0.5"))[0] == 421
        assert (await here.get("/readyz", host="10.0.0.5"))[0] == 200


async def test_switched_off_it_is_not_there(tmp_path: Path) -> None:
    async with served(tmp_path, console={"enabled": False}) as here:
        assert (await here.get("/"))[0] == 404
        assert (await here.get("/readyz"))[0] == 200


async def test_it_says_what_status_says(tmp_path: Path) -> None:
    prices = {"per_gb_month": {"archive": 0.5}}
    async with served(tmp_path, costs=prices) as here:
        shown = await here.json()
        overview = await look(here.ledger, stream=STREAM, now_ms=here.clock.epoch_ms(), costs=here.settings.costs)
        said = status_as_json(Status("", overview, shown["daemon"]))
        del said["ledger"]
        assert {key: shown[key] for key in said} == said
        assert (shown["backlogSeconds"], shown["backlogs"]["archive"]) == (90.0, 90.0)
        assert shown["deadReasons"] == [{"handler": "archive", "reason": "FORBIDDEN", "number": 2}]
        page = (await here.get("/"))[1]
        assert "genesys-sync dead-letters list --reason FORBIDDEN" in page


async def test_it_counts_the_day_as_the_report_does(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        shown = (await here.json())["today"]
        roles = Roles.of({handler: handler for handler in ("discover", "archive", "verify")})
        collector = Collector(ledger=here.ledger, platform=None, clock=here.clock, settings=FeedSettings(), roles=roles)
        said = report_as_json(await collector.report(Window(datetime(2026, 8, 1, tzinfo=UTC), here.clock.now())))
    for key in ("from", "to", "counts", "conversations", "recordings"):
        assert shown[key] == said[key], key
    assert shown["conversations"] == 7, "not the one of yesterday"
    assert shown["counts"][State.ARCHIVED] == 3
    assert shown["counts"][State.REJECTED] == 2
    assert shown["counts"][State.NONE_EXPECTED] == 1


async def test_it_holds_no_personal_data_and_no_id(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        for path in ("/", "/console.json"):
            text = (await here.get(path))[1]
            for planted in (*PLANTED, "1111-4222-8333", "dlv_", str(tmp_path)):
                assert planted not in text


async def test_a_ledger_that_cannot_be_read_is_said_and_the_page_stays(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    console = Console(settings_for(tmp_path), clock=clock, report=lambda: WELL, condition=Condition(), clients=())
    server = HealthServer(("127.0.0.1", 0), report=lambda: WELL, metrics=Metrics(), pages=console.routes())
    async with anyio.create_task_group() as tasks:
        _, port = await tasks.start(server.run)
        tasks.start_soon(console.run)
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
            text = await response.text()
        tasks.cancel_scope.cancel()
    assert response.status == 200
    assert "The ledger cannot be read at present" in text


class Counted:
    """A reading that takes a time of its own, and may fail."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.number, self.takes, self.fails = clock, 0, 0.0, False

    async def __call__(self) -> int:
        self.number += 1
        if self.takes:
            await self.clock.sleep(self.takes)
        if self.fails:
            raise LedgerError("away")
        return self.number


async def test_a_reading_serves_all_who_ask_and_costs_nothing_while_nobody_does() -> None:
    clock = FakeClock()
    read = Counted(clock)
    spared = Spared(read, clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spared.run)
        await clock.advance(3600)
        assert read.number == 0
        assert [await spared.get() for _ in range(5)] == [1] * 5
        await clock.advance(FRESH + 0.1)
        await clock.advance(3600)
        assert read.number == 1
        assert await spared.get() == 2
        await clock.advance(FRESH + 0.1)
        read.fails = True
        assert await spared.get() == 2, "the one before has to do"
        assert spared.failed
        await clock.advance(FRESH + 0.1)
        read.fails = False
        assert (await spared.get(), spared.failed) == (4, False)
        tasks.cancel_scope.cancel()


async def test_a_slow_reading_is_made_the_more_seldom() -> None:
    clock = FakeClock()
    read = Counted(clock)
    read.takes = 30.0
    spared = Spared(read, clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spared.run)
        for _ in range(360):
            tasks.start_soon(spared.get)
            await clock.advance(10)
        tasks.cancel_scope.cancel()
    assert 1 < read.number <= 3600 * SHARE / 30 + 1


async def test_a_day_that_has_just_begun_is_empty(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 8, 2, tzinfo=UTC))
    settings = settings_for(tmp_path)
    async with open_ledger(settings.ledger.url, clock=clock):
        day = await read_day(settings, clock)
    assert (day.start, day.tally.conversations) == (day.end, 0)
