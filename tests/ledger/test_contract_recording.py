"""Contract of every ledger: events are recorded once, watermarks and gaps with them."""

from datetime import date
from typing import Any

import anyio
import pytest

from genesys_sync.errors import LedgerError
from genesys_sync.events import Event, Origin
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import Appended, DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_an_event_comes_back_as_it_was_recorded(ledger: Ledger, routed: Any) -> None:
    written = routed(
        topic="recording.ready",
        conversation="c",
        recording_id="r",
        origin=Origin.BACKFILL,
        parent_id="ab" * 16,
        day=date(2026, 7, 31),
        body={"media": "audio", "sessionId": None, "revision": 1, "parts": [{"bytes": 12, "ratio": 0.5}], "word": "ä𝄞"},
    )
    assert await ledger.append([written]) == Appended(recorded=1, duplicates=0)
    assert await ledger.events_about("c") == [written.event]


async def test_an_event_already_here_changes_nothing(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    first = routed("archive", conversation="c", body={"said": "first"})
    again = RoutedEvent(routed(conversation="c", body={"said": "again"}).event, ("archive", "webhook"))
    await ledger.append([first])
    assert await ledger.append([again, again]) == Appended(recorded=0, duplicates=2)
    assert await ledger.events_about("c") == [first.event]
    counts = await ledger.counts(now_ms=clock.epoch_ms())
    assert counts.events == {"recording.ready": 1}
    assert counts.deliveries == {"archive": {DeliveryState.READY: 1}}


async def test_one_fact_twice_in_one_append_is_recorded_once(ledger: Ledger, routed: Any) -> None:
    event = routed("archive")
    assert await ledger.append([event, routed("archive"), event]) == Appended(recorded=2, duplicates=1)


@pytest.mark.parametrize("other", [date(2026, 7, 31), date(2026, 8, 1), date(2026, 8, 2)])
async def test_two_copies_that_disagree_about_the_day_near_midnight_are_one(ledger: Ledger, routed: Any, other: date) -> None:
    await ledger.append([routed(conversation="c", day=date(2026, 8, 1))])
    assert await ledger.append([routed(conversation="c", day=other)]) == Appended(recorded=0, duplicates=1)


async def test_a_settled_delivery_is_not_made_again_by_a_second_copy(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    event = routed("archive")
    now = clock.epoch_ms()
    await ledger.append([event])
    (claim,) = await ledger.claim({"archive": 1}, worker="w", now_ms=now, lease_ms=1000)
    await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=now)
    await ledger.append([event])
    assert await ledger.claim({"archive": 1}, worker="w", now_ms=now, lease_ms=1000) == []


async def test_a_handler_named_twice_gets_one_delivery(ledger: Ledger, routed: Any) -> None:
    event = routed("archive", "archive")
    await ledger.append([event])
    assert [record.handler for record in await ledger.find(event.event.id)] == ["archive"]


async def test_a_body_that_is_not_json_is_refused_and_spoils_nothing(ledger: Ledger, routed: Any) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        await ledger.append([routed(conversation="good"), routed(body={"when": object()})])
    assert await ledger.events_about("good") == []


async def test_nothing_to_append_is_no_event(ledger: Ledger) -> None:
    assert await ledger.append([]) == Appended(recorded=0, duplicates=0)


async def test_a_watermark_moves_forward_never_backward(ledger: Ledger, routed: Any) -> None:
    assert await ledger.watermark("live") is None
    await ledger.append([routed()], watermark=("live", 2000))
    await ledger.append([], watermark=("live", 1000))
    await ledger.append([], watermark=("backfill", 500))
    assert await ledger.watermark("live") == 2000
    assert await ledger.watermark("backfill") == 500
    await ledger.append([], watermark=("live", 3000))
    assert await ledger.watermark("live") == 3000


async def test_gaps_come_oldest_first_until_closed(ledger: Ledger, clock: FakeClock) -> None:
    later = await ledger.open_gap(from_ms=5000, to_ms=6000, cause="silent")
    earlier = await ledger.open_gap(from_ms=1000, to_ms=2000, cause="restart")
    assert [gap.id for gap in await ledger.gaps()] == [earlier, later]
    assert (await ledger.counts(now_ms=clock.epoch_ms())).open_gaps == 2

    await ledger.close_gap(earlier, at_ms=9000)
    await ledger.close_gap(earlier, at_ms=9999)
    assert [gap.id for gap in await ledger.gaps()] == [later]
    closed, still_open = await ledger.gaps(only_open=False)
    assert (closed.from_ms, closed.to_ms, closed.cause, closed.closed_ms) == (1000, 2000, "restart", 9000)
    assert still_open.closed_ms is None
    assert await ledger.gaps(only_open=False, limit=1) == [closed]
    assert (await ledger.counts(now_ms=clock.epoch_ms())).open_gaps == 1


async def test_events_about_a_conversation_a_recording_or_an_id_in_order_of_recording(ledger: Ledger, routed: Any) -> None:
    first = routed(conversation="c", recording_id="r", state="1", day=date(2026, 8, 9))
    second = routed("archive", conversation="c", recording_id="r", state="2", day=date(2026, 7, 2))
    other = routed(conversation="other", recording_id="other-r")
    await ledger.append([first, other, second])
    assert await ledger.events_about("c") == [first.event, second.event]
    assert await ledger.events_about(" r\n") == [first.event, second.event]
    assert await ledger.events_about(second.event.id) == [second.event]
    assert await ledger.events_about("c", limit=1) == [first.event]
    assert await ledger.events_about("nobody") == []
    assert await ledger.events_about("f" * 32) == []


async def test_ping_writes_and_statistics_tell_of_it(ledger: Ledger) -> None:
    before = await ledger.statistics()
    await ledger.ping()
    after = await ledger.statistics()
    assert after["commits"] == before["commits"] + 1
    assert after["file_bytes"] > 0
    assert after["queued"] == 0
    assert after["last_commit_operations"] == 1


async def test_closing_twice_is_allowed_and_afterwards_everything_is_refused(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.close()
    await ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        await ledger.append([routed()])
    with pytest.raises(LedgerError, match="closed"):
        await ledger.counts(now_ms=clock.epoch_ms())


async def test_what_was_accepted_before_close_is_committed(clock: FakeClock, url: str, routed: Any) -> None:
    events: list[Event] = []
    async with anyio.create_task_group() as callers, open_ledger(url, clock=clock) as ledger:
        for number in range(200):
            event = routed("archive", conversation=f"c{number}")
            events.append(event.event)
            callers.start_soon(ledger.append, [event])
        await anyio.wait_all_tasks_blocked()
    async with open_ledger(url, clock=clock) as ledger:
        assert (await ledger.counts(now_ms=0)).events == {"recording.ready": 200}
