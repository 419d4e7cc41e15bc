"""Contract of every ledger: what people look at, and the little that they change."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.errors import ReasonCode
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState, Verdict
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

DONE = Verdict(state=DeliveryState.DONE)
ENTRY = AuditEntry(
    at=datetime(2026, 8, 1, tzinfo=UTC), actor="operator", action="dead_letter.replay", target="dlv", outcome="success", facts={"count": 1}
)


async def claim_all(ledger: Ledger, clock: FakeClock, handler: str) -> list[Claim]:
    return await ledger.claim({handler: 1000}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000)


async def kill(ledger: Ledger, clock: FakeClock, handler: str = "archive", reason: ReasonCode = ReasonCode.NOT_FOUND) -> list[Claim]:
    """Everything that is ready for the handler dies, a second after the last that died."""
    claims = await claim_all(ledger, clock, handler)
    for claim in claims:
        await clock.advance(1)
        verdict = Verdict(state=DeliveryState.DEAD, reason=reason, error=f"{reason} happened", correlation_id="abc")
        assert await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
    return claims


async def test_counts_of_an_empty_ledger(ledger: Ledger, clock: FakeClock) -> None:
    counts = await ledger.counts(now_ms=clock.epoch_ms())
    assert (counts.events, counts.deliveries, counts.oldest_ready_ms, counts.parked, counts.open_gaps) == ({}, {}, None, {}, 0)


async def test_counts_follow_every_state(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", "webhook") for _ in range(6)] + [routed(topic="platform.unknown")])
    done, skipped, dead, _leased, waiting = (await claim_all(ledger, clock, "archive"))[:5]
    now = clock.epoch_ms()
    await ledger.settle(done, DONE, now_ms=now)
    await ledger.settle(skipped, Verdict(state=DeliveryState.SKIPPED), now_ms=now)
    await ledger.settle(dead, Verdict(state=DeliveryState.DEAD, reason=ReasonCode.NOT_READY), now_ms=now)
    await ledger.settle(waiting, Verdict(state=DeliveryState.READY, due_ms=now + 5000), now_ms=now)
    counts = await ledger.counts(now_ms=now)
    assert counts.events == {"recording.ready": 6, "platform.unknown": 1}
    assert counts.deliveries == {
        "archive": {
            DeliveryState.READY: 1,
            DeliveryState.LEASED: 2,
            DeliveryState.DONE: 1,
            DeliveryState.SKIPPED: 1,
            DeliveryState.DEAD: 1,
        },
        "webhook": {DeliveryState.READY: 6},
    }
    await ledger.replay([dead.delivery_id], now_ms=now)
    archive = (await ledger.counts(now_ms=now)).deliveries["archive"]
    assert archive.get(DeliveryState.DEAD, 0) == 0
    assert archive[DeliveryState.READY] == 2


async def test_the_oldest_ready_delivery_is_the_longest_overdue(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    start = clock.epoch_ms()
    await ledger.append([routed("archive")])
    await clock.advance(10)
    await ledger.append([routed("webhook")])
    assert (await ledger.counts(now_ms=clock.epoch_ms())).oldest_ready_ms == start
    (claim,) = await claim_all(ledger, clock, "archive")
    assert (await ledger.counts(now_ms=clock.epoch_ms())).oldest_ready_ms == start + 10_000
    assert (await ledger.counts(now_ms=start + 9999)).oldest_ready_ms is None
    await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())


async def test_each_handler_has_its_own_oldest_ready_delivery(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    first = clock.epoch_ms()
    await ledger.append([routed("archive"), routed("verify")])
    await clock.advance(5)
    await ledger.append([routed("archive"), routed("webhook")])
    await claim_all(ledger, clock, "verify")
    assert (await ledger.counts(now_ms=clock.epoch_ms())).oldest_ready_of == {"archive": first, "webhook": first + 5000}
    assert (await ledger.counts(now_ms=first)).oldest_ready_of == {"archive": first}, "what is due later waits for nobody yet"


async def test_dead_letters_are_counted_by_handler_and_reason(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    assert await ledger.dead_reasons() == {}
    for handler, reason in (("archive", ReasonCode.NOT_FOUND), ("archive", ReasonCode.FORBIDDEN), ("verify", ReasonCode.FORBIDDEN)):
        await ledger.append([routed(handler), routed(handler)])
        letters = await kill(ledger, clock, handler, reason)
    await ledger.replay([letters[0].delivery_id], now_ms=clock.epoch_ms())
    assert await ledger.dead_reasons() == {
        ("archive", ReasonCode.NOT_FOUND): 2,
        ("archive", ReasonCode.FORBIDDEN): 2,
        ("verify", ReasonCode.FORBIDDEN): 1,
    }


async def test_find_tells_of_every_delivery_in_order_of_recording(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    first = routed("archive", "webhook", conversation="c", recording_id="r", state="1")
    second = routed("verify", conversation="c", recording_id="r", state="2")
    other = routed("archive", conversation="other")
    await ledger.append([first, other, second])
    claims = await claim_all(ledger, clock, "archive")
    await ledger.settle(claims[0], DONE, now_ms=clock.epoch_ms())

    def seen(records: list[DeliveryRecord]) -> list[tuple[str, str, DeliveryState]]:
        return [(record.event.id, record.handler, record.state) for record in records]

    whole = [
        (first.event.id, "archive", DeliveryState.DONE),
        (first.event.id, "webhook", DeliveryState.READY),
        (second.event.id, "verify", DeliveryState.READY),
    ]
    assert seen(await ledger.find("c")) == whole
    assert seen(await ledger.find(" r ")) == whole
    assert seen(await ledger.find("c", limit=2)) == whole[:2]
    assert seen(await ledger.find(first.event.id)) == whole[:2]
    assert seen(await ledger.find(claims[0].delivery_id)) == whole[:1]
    assert seen(await ledger.find(claims[1].delivery_id)) == [(other.event.id, "archive", DeliveryState.LEASED)]
    for unknown in ("nobody", "f" * 32, "dlv_" + "f" * 32, "dlv_x", "", "%"):
        assert await ledger.find(unknown) == []


async def test_dead_letters_come_newest_first_and_are_chosen_by_handler_and_reason(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="a"), routed("archive", conversation="b"), routed("webhook", conversation="w")])
    await kill(ledger, clock)
    await kill(ledger, clock, "webhook", ReasonCode.RECEIVER_REFUSED)
    assert [record.event.conversation_id for record in await ledger.dead_letters()] == ["w", "b", "a"]
    assert [record.event.conversation_id for record in await ledger.dead_letters(handler="archive")] == ["b", "a"]
    assert [record.event.conversation_id for record in await ledger.dead_letters(reason=ReasonCode.RECEIVER_REFUSED)] == ["w"]
    assert await ledger.dead_letters(handler="archive", reason=ReasonCode.RECEIVER_REFUSED) == []
    (newest,) = await ledger.dead_letters(limit=1)
    assert (newest.reason, newest.last_error) == (ReasonCode.RECEIVER_REFUSED, "RECEIVER_REFUSED happened")


async def test_replay_starts_afresh_and_keeps_id_and_errors(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    (snoozed,) = await claim_all(ledger, clock, "archive")
    await ledger.settle(snoozed, Verdict(state=DeliveryState.READY, snoozed=True), now_ms=clock.epoch_ms())
    (claim,) = await kill(ledger, clock)
    await clock.advance(3600)
    assert await ledger.replay([claim.delivery_id], now_ms=clock.epoch_ms(), audit=[ENTRY]) == 1
    assert await ledger.dead_letters() == []
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts, record.snoozes, record.due_ms) == (DeliveryState.READY, 0, 0, clock.epoch_ms())
    assert (record.created_ms, record.finished_ms) == (clock.epoch_ms(), None)
    assert (record.first_error, record.last_error, record.delivery_id) == ("NOT_FOUND happened",) * 2 + (claim.delivery_id,)
    (again,) = await claim_all(ledger, clock, "archive")
    assert again.fence > claim.fence
    assert not await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())
    assert await ledger.settle(again, DONE, now_ms=clock.epoch_ms())
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts) == (DeliveryState.DONE, 1)


async def test_replay_passes_over_what_is_not_dead(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive"), routed("archive")])
    done, ready = await claim_all(ledger, clock, "archive")
    await ledger.settle(done, DONE, now_ms=clock.epoch_ms())
    await ledger.release([ready], now_ms=clock.epoch_ms())
    ids = [done.delivery_id, ready.delivery_id, "dlv_" + "0" * 32, "nonsense"]
    assert await ledger.replay(ids, now_ms=clock.epoch_ms(), audit=[ENTRY]) == 0
    assert await ledger.replay([], now_ms=clock.epoch_ms()) == 0


async def test_replaying_one_id_twice_replays_it_once(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    (claim,) = await kill(ledger, clock)
    assert await ledger.replay([claim.delivery_id, claim.delivery_id], now_ms=clock.epoch_ms()) == 1
    assert len(await claim_all(ledger, clock, "archive")) == 1


async def test_crashes_are_counted_afresh_after_a_replay(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])

    async def crash() -> DeliveryRecord:
        await claim_all(ledger, clock, "archive")
        await clock.advance(60)
        (record,) = await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=2, announce=lambda _: ())
        return record

    assert (await crash()).state is DeliveryState.READY
    dead = await crash()
    assert dead.state is DeliveryState.DEAD
    await ledger.replay([dead.delivery_id], now_ms=clock.epoch_ms())
    assert (await crash()).state is DeliveryState.READY


async def test_a_parked_handler_takes_nothing_until_it_is_resumed(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("webhook", "archive"), routed("webhook")])
    first, second = await claim_all(ledger, clock, "webhook")
    parking = Verdict(state=DeliveryState.READY, counted=False, due_ms=clock.epoch_ms(), park="410 Gone")
    assert await ledger.settle(first, parking, now_ms=clock.epoch_ms())
    later = Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms() + 3_600_000, park="410 again")
    assert await ledger.settle(second, later, now_ms=clock.epoch_ms())
    assert await claim_all(ledger, clock, "webhook") == []
    assert await ledger.next_due(["webhook"]) is None
    assert (await ledger.counts(now_ms=clock.epoch_ms())).parked == {"webhook": "410 Gone"}
    assert len(await claim_all(ledger, clock, "archive")) == 1

    await clock.advance(1)
    assert await ledger.resume("webhook", now_ms=clock.epoch_ms(), audit=[ENTRY])
    assert not await ledger.resume("webhook", now_ms=clock.epoch_ms(), audit=[ENTRY])
    assert (await ledger.counts(now_ms=clock.epoch_ms())).parked == {}
    assert await ledger.next_due(["webhook"]) is not None
    again = await claim_all(ledger, clock, "webhook")
    assert [(claim.delivery_id, claim.attempts) for claim in again] == [(first.delivery_id, 0), (second.delivery_id, 1)]


async def test_a_new_handler_gets_the_events_it_takes_since_then_once(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="too early")])
    await clock.advance(10)
    since = clock.epoch_ms()
    await ledger.append(
        [
            routed("archive", topic="recording.ready", conversation="ready"),
            routed(topic="recording.lost", conversation="lost"),
            routed(topic="media.archived", conversation="archived"),
            routed("new", topic="recording.created", conversation="has one"),
        ]
    )
    (has_one,) = await claim_all(ledger, clock, "new")
    await ledger.settle(has_one, DONE, now_ms=clock.epoch_ms())
    await clock.advance(10)

    async def add(topics: Sequence[str]) -> int:
        return await ledger.add_deliveries("new", topics, since_ms=since, now_ms=clock.epoch_ms())

    assert await add(["no.such"]) == 0
    assert await add(["recording.*"]) == 2
    assert await add(["recording.*"]) == 0
    assert await add(["recording.*", "media.archived"]) == 1
    claims = await claim_all(ledger, clock, "new")
    assert [claim.event.conversation_id for claim in claims] == ["ready", "lost", "archived"]
    assert {claim.created_ms for claim in claims} == {clock.epoch_ms()}


async def test_a_new_handler_gets_nothing_older_though_the_clock_was_put_right_in_between(url: str, routed: Any, clock: FakeClock) -> None:
    ahead = FakeClock(clock.now() + timedelta(hours=1))
    async with open_ledger(url, clock=ahead) as ledger:
        await ledger.append([routed(conversation="ahead")])
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.append([routed(conversation="right")])
        assert await ledger.add_deliveries("new", ["*"], since_ms=ahead.epoch_ms(), now_ms=clock.epoch_ms()) == 1
        assert [claim.event.conversation_id for claim in await claim_all(ledger, clock, "new")] == ["ahead"]


async def test_a_new_handler_gets_all_of_a_long_record(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed(conversation=f"c{number}") for number in range(5_000)])
    assert await ledger.add_deliveries("new", ["*"], since_ms=clock.epoch_ms(), now_ms=clock.epoch_ms()) == 5_000
    counts = await ledger.counts(now_ms=clock.epoch_ms())
    assert counts.deliveries == {"new": {DeliveryState.READY: 5_000}}


async def test_an_audit_entry_that_is_not_json_is_refused(ledger: Ledger, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        await ledger.resume("webhook", now_ms=clock.epoch_ms(), audit=[replace(ENTRY, facts={"x": object()})])
