"""Contract of every ledger: what a report of completeness reads, and how far a gap has been worked off."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event, Topic
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Fact, Gap, Standing, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)


def ended(conversation: str, after: timedelta = timedelta(0), *handlers: str, **facts: Any) -> RoutedEvent:
    event = Event.of(
        Topic.CONVERSATION_ENDED, occurred_at=NOON + after, organization_id="organisation", conversation_id=conversation, **facts
    )
    return RoutedEvent(event, handlers)


async def test_conversations_come_by_their_end_page_after_page(ledger: Ledger) -> None:
    second = timedelta(seconds=1)
    await ledger.append([ended("c"), ended("b"), ended("early", -second), ended("late", second), ended("d", second / 2)])
    await ledger.append([RoutedEvent(ended("d").event.derive(Topic.RECORDING_CREATED, occurred_at=NOON, recording_id="r"), ())])
    pages, after = [], None
    while page := await ledger.conversations_ended(from_ms=NOON_MS, to_ms=NOON_MS + 1000, after=after, limit=2):
        pages.append(page)
        after = page[-1]
    assert pages == [[(NOON_MS, "b"), (NOON_MS, "c")], [(NOON_MS + 500, "d")]], "from is included, to is not"


async def test_a_conversation_that_ended_again_comes_by_its_last_end(ledger: Ledger) -> None:
    second = timedelta(seconds=1)
    first, again, other = ended("c"), ended("c", second, revision=2), ended("o")
    await ledger.append([first, again, other])
    await ledger.append([RoutedEvent(first.event.derive(Topic.RECORDING_CREATED, occurred_at=NOON + 3 * second, recording_id="r"), ())])
    assert await ledger.conversations_ended(from_ms=NOON_MS, to_ms=NOON_MS + 1000) == [(NOON_MS, "o")]
    assert await ledger.conversations_ended(from_ms=NOON_MS, to_ms=NOON_MS + 2000) == [(NOON_MS, "o"), (NOON_MS + 1000, "c")]
    assert await ledger.ends_of(["c", "o", "unknown"]) == {"c": [first.event, again.event], "o": [other.event]}
    assert await ledger.ends_of([]) == {}


async def test_facts_carry_the_standing_of_every_delivery(ledger: Ledger, clock: FakeClock) -> None:
    first, second = ended("c", timedelta(0), "discover", "tell", "slow"), ended("other")
    lost = RoutedEvent(
        first.event.derive(Topic.RECORDING_LOST, occurred_at=NOON, recording_id="r", body={"reason": "DELETED_UPSTREAM"}), ()
    )
    await ledger.append([first, second])
    now = clock.epoch_ms()
    for claim in await ledger.claim({"discover": 1, "tell": 1}, worker="w", now_ms=now, lease_ms=1000):
        if claim.handler == "tell":
            dead = Verdict(state=DeliveryState.DEAD, reason=ReasonCode.RECEIVER_REFUSED)
            await ledger.settle(claim, dead, now_ms=now, emitted=[lost])
    found = await ledger.facts_of(["c", "other", "unknown"])
    assert found == {
        "c": [
            Fact(
                first.event,
                (
                    Standing("discover", DeliveryState.LEASED, None),
                    Standing("slow", DeliveryState.READY, None),
                    Standing("tell", DeliveryState.DEAD, ReasonCode.RECEIVER_REFUSED),
                ),
            ),
            Fact(lost.event),
        ],
        "other": [Fact(second.event)],
    }
    assert await ledger.facts_of([]) == {}


async def test_a_gap_is_advanced_forward_only_and_not_past_its_end(ledger: Ledger, url: str, clock: FakeClock) -> None:
    identity = await ledger.open_gap(from_ms=1000, to_ms=9000, cause="backfill:operator")
    assert await ledger.gap(identity) == Gap(identity, 1000, 9000, "backfill:operator", None)
    await ledger.advance_gap(identity, up_to_ms=5000, found=7, recorded=3)
    await ledger.advance_gap(identity, up_to_ms=4000, found=1)
    [gap] = await ledger.gaps()
    assert gap == Gap(identity, 1000, 9000, "backfill:operator", None, 5000, 8, 3)
    assert gap.rest_from_ms == 5000
    await ledger.advance_gap(identity, up_to_ms=90_000, found=1, recorded=1)
    await ledger.close_gap(identity, at_ms=77)
    await ledger.advance_gap(identity, up_to_ms=9000, found=100)
    await ledger.advance_gap(identity + 1, up_to_ms=9000)
    assert await ledger.gap(identity) == Gap(identity, 1000, 9000, "backfill:operator", 77, 9000, 9, 4)
    assert await ledger.gap(identity + 1) is None


async def test_how_far_a_gap_has_come_survives_closing_the_ledger(url: str, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as first:
        identity = await first.open_gap(from_ms=1000, to_ms=9000, cause="restart")
        await first.advance_gap(identity, up_to_ms=5000, found=2, recorded=2)
    async with open_ledger(url, clock=clock) as again:
        assert [gap.rest_from_ms for gap in await again.gaps()] == [5000]
