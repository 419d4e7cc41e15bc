"""Contract of every ledger: which deliveries are claimed, in which order, and who is told that some are ready."""

from typing import Any

import anyio
import pytest
from tests.ledger.deliveries import claimed, dead, hinted, nothing

from genesys_sync.events import delivery_id
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_a_claim_carries_the_event_and_the_end_of_its_lease(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    event = routed("archive", body={"media": "audio"})
    await ledger.append([event])
    recorded_ms = clock.epoch_ms()
    await clock.advance(5)
    (claim,) = await claimed(ledger, clock, lease_ms=60_000)
    assert claim.event == event.event
    assert claim.delivery_id == delivery_id(event.event.id, "archive")
    assert (claim.handler, claim.attempts, claim.snoozes, claim.created_ms) == ("archive", 0, 0, recorded_ms)
    assert claim.lease_until_ms == clock.epoch_ms() + 60_000


async def test_what_is_leased_is_not_claimed_again(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive"), routed("archive")])
    assert len(await claimed(ledger, clock)) == 2
    assert await claimed(ledger, clock) == []


async def test_what_the_platform_deletes_soonest_is_claimed_first(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    """FakeClock stands at 2026-08-01; without a date it counts as thirty days after it was due."""
    dates = {
        "none": None,
        "in a year": "2027-08-01T00:00:00.000Z",
        "tomorrow": "2026-08-02T00:00:00.000Z",
        "no date": "soon",
        "no text": 7,
        "a word of the database's": "now",
        "next week": "2026-08-08T00:00:00Z",
        "passed": "2026-07-01T00:00:00.000Z",
    }
    for name, date in dates.items():
        await ledger.append([routed("archive", conversation=name, body={"deleteDate": date} if date is not None else {})])
        await clock.advance(1)
    order = [(await claimed(ledger, clock, limit=1))[0].event.conversation_id for _ in range(4)]
    order += [claim.event.conversation_id for claim in await claimed(ledger, clock)]
    assert order == ["passed", "tomorrow", "next week", "none", "no date", "no text", "a word of the database's", "in a year"]


async def test_a_nearer_deadline_does_not_make_a_delivery_due_sooner(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="urgent", body={"deleteDate": "2026-08-02T00:00:00Z"})])
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms() + 60_000), now_ms=clock.epoch_ms())
    await ledger.append([routed("archive", conversation="other")])
    assert [claim.event.conversation_id for claim in await claimed(ledger, clock)] == ["other"]


async def test_a_delivery_replayed_keeps_its_deadline(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="urgent", body={"deleteDate": "2026-08-02T00:00:00Z"})])
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, dead(), now_ms=clock.epoch_ms())
    await ledger.append([routed("archive", conversation="other")])
    await clock.advance(1)
    await ledger.replay([claim.delivery_id], now_ms=clock.epoch_ms())
    assert [claim.event.conversation_id for claim in await claimed(ledger, clock)] == ["urgent", "other"]


async def test_claims_are_the_oldest_due_and_no_more_than_there_is_room_for(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    names = []
    for _ in range(4):
        event = routed("archive", "webhook")
        names.append(event.event.conversation_id)
        await ledger.append([event])
        await clock.advance(1)
    claims = await ledger.claim({"archive": 3, "webhook": 1, "verify": 5, "other": 0}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000)
    assert [(claim.event.conversation_id, claim.handler) for claim in claims] == [
        (names[0], "archive"),
        (names[0], "webhook"),
        (names[1], "archive"),
        (names[2], "archive"),
    ]


async def test_no_room_no_claim(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    assert await ledger.claim({"archive": 0}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000) == []
    assert await ledger.claim({}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000) == []


async def test_concurrent_claims_never_meet(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive") for _ in range(50)])
    seen: list[str] = []

    async def take() -> None:
        while claims := await claimed(ledger, clock, limit=3):
            seen.extend(claim.delivery_id for claim in claims)

    async with anyio.create_task_group() as workers:
        for _ in range(5):
            workers.start_soon(take)
    assert len(seen) == len(set(seen)) == 50


async def test_the_next_due_time_is_the_earliest_of_the_handlers_asked_for(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    assert await ledger.next_due(["archive"]) is None
    await ledger.append([routed("archive", "webhook")])
    start = clock.epoch_ms()
    (claim,) = await claimed(ledger, clock)
    assert await ledger.next_due(["archive"]) is None
    await ledger.settle(claim, Verdict(state=DeliveryState.READY, due_ms=start + 9000), now_ms=start)
    assert await ledger.next_due(["archive"]) == start + 9000
    assert await ledger.next_due(["archive", "webhook"]) == start
    assert await ledger.next_due(["other"]) is None
    assert await ledger.next_due([]) is None


async def test_a_hint_comes_once_and_survives_a_cancelled_wait(ledger: Ledger, routed: Any) -> None:
    await ledger.append([routed()])  # routed to nobody: nothing is ready
    assert not await hinted(ledger)
    await ledger.append([routed("archive")])
    await ledger.append([routed("archive")])
    with anyio.move_on_after(0) as cancelled:
        await ledger.wait_for_ready()
    assert cancelled.cancelled_caught
    assert await hinted(ledger)
    assert not await hinted(ledger)


async def test_a_hint_follows_each_way_of_becoming_ready(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    assert await hinted(ledger)
    (claim,) = await claimed(ledger, clock, lease_ms=1000)
    assert not await hinted(ledger)
    await ledger.release([claim], now_ms=clock.epoch_ms())
    assert await hinted(ledger)
    (claim,) = await claimed(ledger, clock, lease_ms=1000)
    await clock.advance(1)
    await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing)
    assert await hinted(ledger)
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms()), now_ms=clock.epoch_ms())
    assert await hinted(ledger)
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, dead(), now_ms=clock.epoch_ms())
    assert not await hinted(ledger)
    await ledger.replay([claim.delivery_id], now_ms=clock.epoch_ms())
    assert await hinted(ledger)
    await ledger.add_deliveries("new", ["*"], since_ms=0, now_ms=clock.epoch_ms())
    assert await hinted(ledger)
