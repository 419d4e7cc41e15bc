"""Recordings that belong to no conversation: from the platform's list to verified files and their place in the report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesys_sync.cli.collect import Collector
from genesys_sync.cli.moments import Window
from genesys_sync.cli.report import as_json, header
from genesys_sync.completeness import Roles, State
from genesys_sync.events import Topic
from genesys_sync.feed.orphans import take_in, told_of
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.plugin import Done, ReasonCode
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers.archive import Archive

pytestmark = pytest.mark.anyio

Make = Callable[..., HandlerHarness[Any]]
ID = "e0e0e0e0-0000-4000-8000-000000000001"
MADE = datetime(2026, 8, 1, 11, tzinfo=UTC)
ORPHAN = Orphan(ID, MADE, "AVAILABLE", "call")
ROUTER = Router({"archive": ["recording.ready", "recording.orphaned"], "verify": ["media.archived"]})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Ledger]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as opened:
        yield opened


async def test_one_is_taken_in_once_whenever_it_is_found(ledger: Ledger, clock: FakeClock) -> None:
    for _ in range(3):
        await take_in([ORPHAN, Orphan(ID[:-1] + "2", None, "", "")], ledger=ledger, router=ROUTER, organization_id="o")
        await clock.advance(86_400 * 5)
    events = [event for number in (1, 2) for event in await ledger.events_about(ID[:-1] + str(number))]
    assert [(event.topic, event.conversation_id, event.day.year) for event in events] == [
        ("recording.orphaned", None, 2026),
        ("recording.orphaned", None, 1970),
    ]


async def test_it_is_archived_in_a_tree_of_its_own(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings.place("", ID, b"RIFF" + bytes(4000), content_type="audio/wav")
        outcome = await harness.handle(told_of(ORPHAN, "o"))
        assert isinstance(outcome, Done)
        (archived,) = outcome.emit
        folder = f"orphans/2026/08/01/{ID}"
        assert harness.storage.keys() == [f"{folder}/{ID}.json", f"{folder}/{ID}.wav"]
        sidecar = orjson.loads(harness.storage.path(f"{folder}/{ID}.json").read_bytes())
        assert (sidecar["conversationId"], sidecar["format"], sidecar["conversationMissing"]) == (None, "WAV", "NOT_FOUND")
        assert (archived.topic, archived.conversation_id, archived.recording_id) == ("media.archived", None, ID)
        assert [entry.action for entry in harness.audited] == ["recording.archive"]


async def report(ledger: Ledger, clock: FakeClock) -> Any:
    roles = Roles.of({"discover": "discover", "archive": "archive", "verify": "verify"})
    collector = Collector(ledger=ledger, platform=None, clock=clock, settings=FeedSettings(), roles=roles)
    return await collector.report(Window(MADE - timedelta(hours=1), MADE + timedelta(hours=1)))


async def test_the_report_counts_it_in_exactly_one_state(ledger: Ledger, clock: FakeClock) -> None:
    await take_in([ORPHAN], ledger=ledger, router=ROUTER, organization_id="o")
    made = await report(ledger, clock)
    assert (made.tally.orphans, made.tally.recordings, made.tally.states[State.WAITING]) == (1, 1, 1)
    now = clock.epoch_ms()
    told = told_of(ORPHAN, "o")
    body = {"revision": 1, "variant": "whole"}
    steps = ((Topic.MEDIA_ARCHIVED, "archive", State.WAITING), (Topic.MEDIA_VERIFIED, "verify", State.ARCHIVED))
    for topic, handler, state in steps:
        [claim] = await ledger.claim({handler: 1}, worker="w", now_ms=now, lease_ms=1000)
        emitted = ROUTER.route([told.derive(topic, occurred_at=clock.now(), body=body)])
        await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=now, emitted=emitted)
        made = await report(ledger, clock)
        assert made.tally.states[state] == 1
    assert dict(header(made))["orphans"] == "1 of them belong to no conversation"
    [item] = as_json(made)["items"]
    assert (item["recordingId"], item["state"], item["variant"]) == (ID, "archived", "whole")


async def test_one_that_was_given_up_is_dead_with_its_reason(ledger: Ledger, clock: FakeClock) -> None:
    await take_in([ORPHAN], ledger=ledger, router=ROUTER, organization_id="o")
    now = clock.epoch_ms()
    [claim] = await ledger.claim({"archive": 1}, worker="w", now_ms=now, lease_ms=1000)
    await ledger.settle(claim, Verdict(state=DeliveryState.DEAD, reason=ReasonCode.FORBIDDEN), now_ms=now)
    [item] = (await report(ledger, clock)).items
    assert (item.state, item.reason, item.conversation_id) == (State.DEAD, "FORBIDDEN", "")
