"""The ledgers that the contract suite runs on, and short ways to make what goes in."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from genesys_sync.events import Event
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

Routed = Callable[..., RoutedEvent]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def url(location: Path) -> str:
    return f"sqlite:///{location}"


@pytest.fixture(params=["sqlite"])
async def ledger(request: pytest.FixtureRequest, clock: FakeClock, url: str) -> AsyncGenerator[Ledger]:
    """An empty ledger of each kind; PostgreSQL will be a second parameter."""
    assert request.param == "sqlite"
    async with open_ledger(url, clock=clock) as opened:
        yield opened


@pytest.fixture
def routed() -> Routed:
    """An event with its handlers: `routed("archive", "webhook")`; each call gives another event unless `conversation` says which."""
    numbers = count(1)

    def make(*handlers: str, topic: str = "recording.ready", conversation: str = "", day: date | None = None, **facts: Any) -> RoutedEvent:
        event = Event.of(
            topic,
            occurred_at=datetime(2026, 8, 1, 11, 59, 30, 250_000, tzinfo=UTC),
            organization_id="organisation",
            conversation_id=conversation or f"conversation-{next(numbers)}",
            day=day,
            **facts,
        )
        return RoutedEvent(event, handlers)

    return make
