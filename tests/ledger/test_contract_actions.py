"""Tallies are written with what they count, and survive; what waits for a conversation can be withdrawn."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.ledger.queries import migrations
from genesys_sync.tallies import ActionTally, Stored
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
AT = datetime(2026, 8, 1, tzinfo=UTC)
CONVERSATION = "2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b"


def acted(outcome: str = "success", seconds: float = 0.4, size: int = 0) -> AuditEntry:
    facts = {"client": "c", "seconds": seconds, "bytes": size}
    return AuditEntry(at=AT, actor="a", action="media.upload", target="t", outcome=outcome, facts=facts)


async def test_actions_are_counted_by_outcome_and_duration_whoever_records_them(ledger: Ledger, url: str, clock: FakeClock) -> None:
    await ledger.record_audit([acted(size=5), acted(seconds=0.3, size=6), acted("failure", 9.0)])
    async with open_ledger(url, clock=clock, shared=True) as beside:
        await beside.record_audit([acted()])
    await ledger.record_audit([AuditEntry(at=AT, actor="a", action="daemon.start", target="t", outcome="success")])
    assert (await ledger.tallies()).actions == (
        ActionTally("media.upload", "failure", 10_000, 1, 9.0, 0),
        ActionTally("media.upload", "success", 500, 3, pytest.approx(1.1), 11),
    )


async def test_an_action_of_a_delivery_is_counted_with_its_settling_or_not_at_all(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("upload")])
    (held,) = await ledger.claim({"upload": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000)
    done = Verdict(state=DeliveryState.DONE)
    assert await ledger.settle(held, done, now_ms=clock.epoch_ms(), audit=[acted()])
    assert not await ledger.settle(held, done, now_ms=clock.epoch_ms(), audit=[acted()])
    assert [one.actions for one in (await ledger.tallies()).actions] == [1]


async def test_what_is_stored_is_counted_once_an_event(ledger: Ledger, routed: Any) -> None:
    event = routed(topic="media.archived", body={"parts": [{"bytes": 5}, {"bytes": 7}]})
    await ledger.append([event])
    await ledger.append([event])
    assert (await ledger.tallies()).stored == {"recordings": Stored(2, 12)}


async def test_an_earlier_ledger_knows_what_it_stored(url: str, location: Path, clock: FakeClock, routed: Any) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.append([routed(topic="media.archived", body={"parts": [{"bytes": 5}, {"bytes": 7}]})])
    number = next(at for at, script in enumerate(migrations("sqlite")) if "action_tally" in script)
    connection = apsw.Connection(str(location))
    connection.execute("DELETE FROM stored_tally")
    insert = "INSERT INTO stored_tally"
    connection.execute(insert + migrations("sqlite")[number].split(insert)[1])
    connection.close()
    async with open_ledger(url, clock=clock) as ledger:
        assert (await ledger.tallies()).stored == {"recordings": Stored(2, 12)}


async def test_what_waits_for_a_conversation_is_withdrawn_except_what_is_kept_or_in_hand(
    ledger: Ledger, routed: Any, clock: FakeClock
) -> None:
    def left(state: str, conversation: str = CONVERSATION) -> Any:
        return routed("resume", topic="recording.pause_left", conversation=conversation, state=state)

    in_hand, first, second, other = left("1"), left("2"), left("3"), left("4", "another")
    await ledger.append([in_hand])
    await ledger.claim({"resume": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000)
    await ledger.append([first, second, other])
    withdraw = {"note": "superseded", "now_ms": clock.epoch_ms(), "keep": second.event.id}
    assert await ledger.withdraw("recording.pause_left", CONVERSATION, **withdraw) == 1
    assert await ledger.withdraw("recording.pause_left", CONVERSATION, **withdraw) == 0
    assert await ledger.withdraw("recording.ready", CONVERSATION, **withdraw) == 0
    states = {record.event.id: (record.state, record.note) for record in await ledger.find(CONVERSATION)}
    assert states == {
        in_hand.event.id: (DeliveryState.LEASED, ""),
        first.event.id: (DeliveryState.SKIPPED, "superseded"),
        second.event.id: (DeliveryState.READY, ""),
    }
    counts = (await ledger.counts(now_ms=clock.epoch_ms())).deliveries["resume"]
    assert counts == {DeliveryState.READY: 2, DeliveryState.LEASED: 1, DeliveryState.SKIPPED: 1}
