"""Contract of every ledger: leases renewed, released, run out, and who is blamed for a death."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tests.ledger.deliveries import DONE, claimed, nothing

from genesys_sync.errors import ReasonCode
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_renewing_prolongs_what_is_held_and_leaves_out_what_is_lost(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive") for _ in range(3)])
    lost, settled, held = await claimed(ledger, clock, lease_ms=1000)
    await ledger.release([lost], now_ms=clock.epoch_ms())
    await ledger.settle(settled, DONE, now_ms=clock.epoch_ms())
    await clock.advance(0.5)
    renewed = await ledger.renew([lost, settled, held], now_ms=clock.epoch_ms(), lease_ms=1000)
    assert renewed == [replace(held, lease_until_ms=clock.epoch_ms() + 1000)]
    await clock.advance(0.999)
    assert await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing) == []


async def test_released_is_ready_now_and_uncounted(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive"), routed("archive")])
    first, second = await claimed(ledger, clock)
    await ledger.settle(second, DONE, now_ms=clock.epoch_ms())
    await clock.advance(1)
    await ledger.release([first, second], now_ms=clock.epoch_ms())
    assert await ledger.next_due(["archive"]) == clock.epoch_ms()
    (again,) = await claimed(ledger, clock)
    assert (again.delivery_id, again.attempts) == (first.delivery_id, 0)
    assert again.fence > first.fence
    await ledger.release([first], now_ms=clock.epoch_ms())  # an old fence hands nothing back
    assert await claimed(ledger, clock) == []


async def test_abandoned_leases_need_not_run_out(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    (claim,) = await claimed(ledger, clock, lease_ms=60_000)
    assert await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing) == []
    (record,) = await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=5, announce=nothing, abandoned=True)
    assert (record.state, record.attempts, record.due_ms) == (DeliveryState.READY, 1, clock.epoch_ms())
    assert not await ledger.settle(claim, DONE, now_ms=clock.epoch_ms())
    assert len(await claimed(ledger, clock)) == 1


async def test_an_expired_lease_counts_and_is_ready_again(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    await claimed(ledger, clock, lease_ms=1000)
    await clock.advance(0.999)
    assert await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=2, announce=nothing) == []
    await clock.advance(0.001)
    (record,) = await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=2, announce=nothing)
    assert (record.state, record.attempts, record.due_ms) == (DeliveryState.READY, 1, clock.epoch_ms())
    assert record.reason is ReasonCode.HANDLER_CRASHED
    assert record.last_error
    assert await ledger.find("c") == [record]
    assert len(await claimed(ledger, clock)) == 1


async def crash(ledger: Ledger, clock: FakeClock) -> list[DeliveryRecord]:
    return await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=10, announce=nothing, abandoned=True)


async def test_suspects_are_ready_one_after_the_other(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    """Whatever was leased at two deaths in a row: the guilty one shall not take the innocent along at each further death."""
    await ledger.append([routed("archive", conversation=name) for name in "abcd"])
    assert len(await claimed(ledger, clock)) == 4
    assert {record.due_ms for record in await crash(ledger, clock)} == {clock.epoch_ms()}
    assert len(await claimed(ledger, clock)) == 4
    due = [record.due_ms - clock.epoch_ms() for record in await crash(ledger, clock)]
    assert due == sorted(due)
    assert min(due) > 0
    assert all(later > earlier for earlier, later in pairwise(due))


async def test_who_dies_in_company_is_to_blame_for_a_part_of_the_death_only(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    """Killed from outside again and again, with work that never gets done in between: nobody is taken for the one that kills."""
    await ledger.append([routed("archive", conversation=name) for name in "abcde"])
    for _ in range(49):  # the fifth part of 49 deaths is less than 10
        assert len(await claimed(ledger, clock)) == 5
        assert {record.state for record in await crash(ledger, clock)} == {DeliveryState.READY}
        await clock.advance(30)
    assert len(await claimed(ledger, clock)) == 5
    assert {record.state for record in await crash(ledger, clock)} == {DeliveryState.DEAD}


async def test_the_one_that_kills_soon_dies_alone_and_the_others_live(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    """Each run takes 3 s; the process dies whenever the guilty one has run for a moment."""
    names = [f"c{number}" for number in range(60)]
    await ledger.append([routed("archive", conversation=name) for name in names])
    done: set[str | None] = set()
    deaths = 0
    while deaths < 40:
        running: list[tuple[float, Claim]] = []
        began = clock.monotonic()
        while clock.monotonic() < began + 40:
            for claim in await claimed(ledger, clock, limit=100):
                running.append((clock.monotonic(), claim))
            if any(claim.event.conversation_id == "c30" for _, claim in running):
                break
            for since, claim in list(running):
                if clock.monotonic() >= since + 3:
                    assert await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=clock.epoch_ms())
                    running.remove((since, claim))
                    done.add(claim.event.conversation_id)
            await clock.advance(0.5)
        if not running:
            break
        deaths += 1
        await crash(ledger, clock)
    assert [record.event.conversation_id for record in await ledger.dead_letters()] == ["c30"]
    assert len(done) == 59
    assert deaths <= 20


async def test_an_end_that_is_no_crash_clears_the_suspicion(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    for _ in range(12):
        assert len(await claimed(ledger, clock)) == 1
        (record,) = await crash(ledger, clock)
        assert record.state is DeliveryState.READY
        (claim,) = await claimed(ledger, clock)
        assert await ledger.settle(claim, Verdict(state=DeliveryState.READY, due_ms=clock.epoch_ms()), now_ms=clock.epoch_ms())


async def test_a_poison_event_is_dead_after_so_many_crashes_and_announced_in_the_same_commit(
    ledger: Ledger, routed: Any, clock: FakeClock
) -> None:
    await ledger.append([routed("archive", conversation="c")])
    announced: list[DeliveryRecord] = []

    def announce(record: DeliveryRecord) -> Sequence[RoutedEvent]:
        announced.append(record)
        return [routed("webhook", topic="delivery.dead_lettered", conversation="c", state=record.delivery_id)]

    for crash in (1, 2, 3):
        await clock.advance(5)  # a suspect is not due at once
        assert len(await claimed(ledger, clock, lease_ms=1000)) == 1
        await clock.advance(1)
        (record,) = await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=3, announce=announce)
        assert record.attempts == crash
    assert (record.state, record.reason, record.finished_ms) == (DeliveryState.DEAD, ReasonCode.HANDLER_CRASHED, clock.epoch_ms())
    assert announced == [record]
    assert await ledger.dead_letters() == [record]
    assert [event.topic for event in await ledger.events_about("c")] == ["recording.ready", "delivery.dead_lettered"]
    assert len(await claimed(ledger, clock, "webhook")) == 1


async def test_an_announcement_that_fails_leaves_everything_as_it_was(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("archive", conversation="c")])
    await claimed(ledger, clock, lease_ms=1000)
    await clock.advance(1)

    def broken(record: DeliveryRecord) -> Sequence[RoutedEvent]:
        raise LookupError("no such route")

    with pytest.raises(LookupError, match="no such route"):
        await ledger.return_expired(now_ms=clock.epoch_ms(), max_crashes=1, announce=broken)
    (record,) = await ledger.find("c")
    assert (record.state, record.attempts) == (DeliveryState.LEASED, 0)
    assert await ledger.dead_letters() == []
