"""P-40: what the platform is about to delete and is not archived is told 72 hours before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.events import Event, Topic, iso
from genesys_sync.feed.retention import AGAIN, EVERY, FIRST, Retention
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


def uuid(number: int) -> str:
    return f"aaaaaaaa-0000-4000-8000-{number:012d}"


class Query:
    """Answers from what it is set to; an exception is raised."""

    def __init__(self) -> None:
        self.listed: list[tuple[str, str, datetime]] | Exception = []
        self.days: list[int] = []

    async def within(self, days: int) -> tuple[list[tuple[str, str, datetime]], bool]:
        self.days.append(days)
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed, True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Ledger]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as opened:
        yield opened


@pytest.fixture
def query() -> Query:
    return Query()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def retention(query: Query, ledger: Ledger, clock: FakeClock, metrics: Metrics) -> Retention:
    return Retention(query=query, ledger=ledger, clock=clock, alert=timedelta(hours=72), metrics=metrics)


async def waiting(ledger: Ledger, clock: FakeClock, number: int, left: timedelta) -> Event:
    """A recording that waits to be fetched, and is deleted after the time left."""
    ended = Event.of(
        Topic.CONVERSATION_ENDED, occurred_at=clock.now(), organization_id="o", conversation_id=uuid(number), day=clock.now().date()
    )
    body = {"deleteDate": iso(clock.now() + left), "revision": 1}
    ready = ended.derive(Topic.RECORDING_READY, occurred_at=clock.now(), recording_id=uuid(100 + number), body=body)
    await ledger.append([RoutedEvent(ended, ()), RoutedEvent(ready, ("archive",))])
    return ready


async def told(retention: Retention) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        await retention.look()
    return [dict(line) for line in lines if line["event"] == "retention_near"]


async def test_what_waits_in_the_ledger_is_told_within_the_time_and_once(
    retention: Retention, ledger: Ledger, clock: FakeClock, metrics: Metrics
) -> None:
    await waiting(ledger, clock, 1, 71 * HOUR)
    await waiting(ledger, clock, 2, 73 * HOUR)
    await waiting(ledger, clock, 3, -HOUR)
    [line] = await told(retention)
    assert (line["total"], line["recordings"], line["log_level"]) == (1, [uuid(101)], "error")
    assert line["nearest"] == iso(clock.now() + 71 * HOUR)
    assert await told(retention) == []
    assert retention.near == 1 == metrics.registry.get_sample_value("genesys_sync_retention_near")
    await clock.advance(2 * 3600)
    assert [line["recordings"] for line in await told(retention)] == [[uuid(102)]]


async def test_the_platforms_list_adds_what_never_became_ready_but_not_what_is_archived_or_not_followed(
    retention: Retention, ledger: Ledger, clock: FakeClock, query: Query
) -> None:
    soon = clock.now() + HOUR
    ended = Event.of(Topic.CONVERSATION_ENDED, occurred_at=clock.now(), organization_id="o", conversation_id=uuid(1))
    archived = ended.derive(Topic.MEDIA_ARCHIVED, occurred_at=clock.now(), recording_id=uuid(101))
    await ledger.append([RoutedEvent(ended, ()), RoutedEvent(archived, ())])
    query.listed = [
        (uuid(1), uuid(101), soon),
        (uuid(1), uuid(102), soon),
        (uuid(9), uuid(109), soon),
        (uuid(1), uuid(103), soon + 90 * HOUR),
    ]
    [line] = await told(retention)
    assert line["recordings"] == [uuid(102)]
    assert query.days == [3]


async def test_a_query_that_is_refused_leaves_what_discover_knows(
    retention: Retention, ledger: Ledger, clock: FakeClock, query: Query
) -> None:
    await waiting(ledger, clock, 1, HOUR)
    query.listed = PermanentError("no", code=ReasonCode.FORBIDDEN)
    with capture_logs() as lines:
        assert await retention.look()
        assert await retention.look()
    assert [line["event"] for line in lines] == ["retention_not_visible", "retention_near"]
    assert retention.near == 1


async def test_it_looks_every_hour_and_sooner_after_trouble(retention: Retention, clock: FakeClock, query: Query) -> None:
    query.listed = TransientError("away")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retention.run)

        async def asked(after: float) -> int:
            await clock.advance(after)
            for _ in range(200):
                await anyio.sleep(0.002)
                if len(query.days) > before:
                    break
            return len(query.days)

        before = 0
        assert await asked(FIRST) == 1
        query.listed, before = [], 1
        assert await asked(AGAIN) == 2
        before = 2
        assert await asked(EVERY) == 3
        tasks.cancel_scope.cancel()


async def test_an_event_without_a_date_or_with_nonsense_is_no_alert(retention: Retention, ledger: Ledger, clock: FakeClock) -> None:
    event = Event.of(
        Topic.RECORDING_READY,
        occurred_at=datetime(2026, 8, 1, tzinfo=UTC),
        organization_id="o",
        conversation_id=uuid(1),
        recording_id=uuid(2),
        body={"deleteDate": "soon"},
    )
    await ledger.append([RoutedEvent(event, ("archive",))])
    assert await told(retention) == []
