"""Contract of every ledger: the life of a delivery, from ready to its end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import anyio
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.errors import ReasonCode
from genesys_sync.events import delivery_id
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

DONE = Verdict(state=DeliveryState.DONE)
ENTRY = AuditEntry(at=datetime(2026, 8, 1, tzinfo=UTC), actor="archive", action="recording.archive", target="r", outcome="success")


def dead(reason: ReasonCode = ReasonCode.NOT_FOUND, error: str = "gone") -> Verdict:
    return Verdict(state=DeliveryState.DEAD, reason=reason, error=error)


def nothing(record: DeliveryRecord) -> Sequence[RoutedEvent]:
    return ()


async def claimed(ledger: Ledger, clock: FakeClock, handler: str = "archive", limit: int = 100, lease_ms: int = 60_000) -> list[Claim]:
    return await ledger.claim({handler: limit}, worker="w", now_ms=clock.epoch_ms(), lease_ms=lease_ms)


async def hinted(ledger: Ledger) -> bool:
    """Whether a hint is there now."""
    came = False

    async def wait() -> None:
        nonlocal came
        await ledger.wait_for_ready()
        came = True

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        waiting.cancel_scope.cancel()
    return came


# --- claim


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


# --- settle


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


# --- renew, release, expiry


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
