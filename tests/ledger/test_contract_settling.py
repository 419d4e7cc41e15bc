"""Contract of every ledger: how a claimed delivery ends, and what is committed with its end."""

from dataclasses import replace
from typing import Any

import pytest
from tests.ledger.deliveries import DONE, ENTRY, claimed, dead, nothing

from genesys_sync.errors import ReasonCode
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_done_is_final_and_counts_the_attempt(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    (claim,) = await claimed(ledger, clock)
    await clock.advance(2)
    assert await ledger.settle(claim, replace(DONE, note="3 parts"), now_ms=clock.epoch_ms())
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts, record.note, record.reason) == (DeliveryState.DONE, 1, "3 parts", None)
    assert record.finished_ms == clock.epoch_ms()
    await clock.advance(10_000)
    assert await claimed(ledger, clock) == []
    assert await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=1, announce=nothing) == []


@pytest.mark.parametrize(
    ("verdict", "state", "attempts", "snoozes"),
    [
        (Verdict(state=DeliveryState.SKIPPED, note="not ours"), DeliveryState.SKIPPED, 1, 0),
        (Verdict(state=DeliveryState.READY, due_ms=5), DeliveryState.READY, 1, 0),
        (Verdict(state=DeliveryState.READY, due_ms=5, counted=False, snoozed=True, note="not yet"), DeliveryState.READY, 0, 1),
        (Verdict(state=DeliveryState.READY, due_ms=5, counted=False), DeliveryState.READY, 0, 0),
        (Verdict(state=DeliveryState.DEAD, counted=False, reason=ReasonCode.TIME_EXHAUSTED), DeliveryState.DEAD, 0, 0),
    ],
)
async def test_each_verdict_counts_what_it_says(
    ledger: Ledger, routed: Any, clock: FakeClock, verdict: Verdict, state: DeliveryState, attempts: int, snoozes: int
) -> None:
    await ledger.append([routed("archive", conversation="c")])
    (claim,) = await claimed(ledger, clock)
    assert await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts, record.snoozes, record.note) == (state, attempts, snoozes, verdict.note)
    assert record.finished_ms == (None if state is DeliveryState.READY else clock.epoch_ms())


async def test_a_retry_is_claimed_when_it_is_due_and_not_before(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms() + 30_000), now_ms=clock.epoch_ms())
    await clock.advance(29.999)
    assert await claimed(ledger, clock) == []
    await clock.advance(0.001)
    (again,) = await claimed(ledger, clock)
    assert again.attempts == 1
    assert again.delivery_id == claim.delivery_id
    assert again.fence > claim.fence


async def test_first_and_last_error_are_kept_and_the_correlation_id_belongs_to_the_last(
    ledger: Ledger, routed: Any, clock: FakeClock
) -> None:
    await ledger.append([routed("archive", conversation="c")])
    retry = Verdict(state=DeliveryState.READY, reason=ReasonCode.UNREACHABLE)
    for verdict in (
        replace(retry, error="first", correlation_id="one"),
        replace(retry, error="second", correlation_id="two"),
        Verdict(state=DeliveryState.READY, counted=False, snoozed=True, note="waiting"),
    ):
        (claim,) = await claimed(ledger, clock)
        await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
    (record,) = await ledger.find("c")
    assert (record.first_error, record.last_error, record.correlation_id) == ("first", "second", "two")
    assert record.reason is ReasonCode.UNREACHABLE
    (claim,) = await claimed(ledger, clock)
    await ledger.settle(claim, replace(dead(), error="third"), now_ms=clock.epoch_ms())
    (record,) = await ledger.dead_letters()
    assert (record.first_error, record.last_error, record.correlation_id) == ("first", "third", "")
    assert record.reason is ReasonCode.NOT_FOUND


async def test_a_stale_fence_is_refused_and_nothing_is_written(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    event = routed("archive", conversation="c")
    await ledger.append([event])
    (old,) = await claimed(ledger, clock, lease_ms=1000)
    await clock.advance(1)
    await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing)
    for stage in ("returned", "leased by another"):
        if stage == "leased by another":
            (new,) = await claimed(ledger, clock)
            assert new.fence > old.fence
        emitted = routed("webhook", topic="media.archived", conversation="emitted")
        verdict = replace(DONE, park="gone")
        assert not await ledger.settle(old, verdict, now_ms=clock.epoch_ms(), emitted=[emitted], audit=[ENTRY])
        assert await ledger.events_about("emitted") == []
        assert (await ledger.counts(now_ms=clock.epoch_ms())).parked == {}
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts) == (DeliveryState.LEASED, 1)
    assert await ledger.settle(new, DONE, now_ms=clock.epoch_ms())


async def test_an_old_fence_neither_renews_nor_retries_nor_releases_what_another_has(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    (old,) = await claimed(ledger, clock)
    await ledger.release([old], now_ms=clock.epoch_ms())
    (new,) = await claimed(ledger, clock, lease_ms=1000)
    assert await ledger.renew([old], now_ms=clock.epoch_ms(), lease_ms=99_000) == []
    assert not await ledger.settle(old, Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms()), now_ms=clock.epoch_ms())
    await ledger.release([old], now_ms=clock.epoch_ms())
    assert await claimed(ledger, clock) == []
    await clock.advance(1)
    assert len(await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing)) == 1
    assert not await ledger.settle(new, DONE, now_ms=clock.epoch_ms())


async def test_settling_twice_writes_once(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    (claim,) = await claimed(ledger, clock)
    assert await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())
    assert not await ledger.settle(claim, dead(), now_ms=clock.epoch_ms())
    assert await ledger.dead_letters() == []


async def test_a_lease_past_its_end_still_settles_while_nobody_else_has_it(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive")])
    (claim,) = await claimed(ledger, clock, lease_ms=1000)
    await clock.advance(60)
    assert await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())


async def test_what_is_emitted_is_recorded_and_routed_in_the_same_commit(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    source = routed("archive", conversation="c")
    await ledger.append([source])
    (claim,) = await claimed(ledger, clock)
    derived = RoutedEvent(source.event.derive("media.archived", occurred_at=source.event.occurred_at, recording_id="r"), ("verify",))
    before = (await ledger.statistics())["commits"]
    assert await ledger.settle(claim, DONE, now_ms=clock.epoch_ms(), emitted=[derived], audit=[ENTRY])
    assert (await ledger.statistics())["commits"] == before + 1
    assert await ledger.events_about("c") == [source.event, derived.event]
    (next_claim,) = await claimed(ledger, clock, "verify")
    assert next_claim.event == derived.event


async def test_emitting_what_is_already_here_adds_nothing(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    known = routed("verify", topic="media.archived", conversation="known")
    await ledger.append([known, routed("archive")])
    (claim,) = await claimed(ledger, clock)
    assert await ledger.settle(claim, DONE, now_ms=clock.epoch_ms(), emitted=[known])
    assert len(await claimed(ledger, clock, "verify")) == 1


@pytest.mark.parametrize(
    "verdict", [Verdict(state=DeliveryState.LEASED), Verdict(state=DeliveryState.DEAD)], ids=["leased is no end", "dead without a reason"]
)
async def test_an_impossible_verdict_is_refused(ledger: Ledger, routed: Any, clock: FakeClock, verdict: Verdict) -> None:
    await ledger.append([routed("archive")])
    (claim,) = await claimed(ledger, clock)
    with pytest.raises(ValueError, match=r"verdict|reason"):
        await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
    assert await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())
