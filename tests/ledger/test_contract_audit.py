"""The audit trail's promises: numbered without a hole, committed with what it tells of, sealed forward only, checkpointed once."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from genesys_sync.audit import ZERO, AuditEntry, Seal
from genesys_sync.errors import LedgerError
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

ENTRY = AuditEntry(
    at=datetime(2026, 8, 1, tzinfo=UTC), actor="app", action="daemon.start", target="host:1", outcome="success", facts={"a": 1}
)
ROOT = b"r" * 32


async def numbers(ledger: Ledger) -> list[tuple[int, str]]:
    return [(one.seq, one.entry.action) for one in await ledger.audit_entries(after=0, limit=100)]


async def test_entries_come_back_in_order_as_they_were_given(ledger: Ledger) -> None:
    await ledger.record_audit([ENTRY, replace(ENTRY, action="daemon.stop", facts={"b": [1.5, None, "ü"]})])
    first, second = await ledger.audit_entries(after=0, limit=10)
    assert (first.seq, first.entry) == (1, ENTRY)
    assert (second.seq, second.entry.facts) == (2, {"b": [1.5, None, "ü"]})
    assert await ledger.audit_entries(after=1, limit=10) == [second]
    assert await ledger.audit_entries(after=0, limit=1) == [first]


async def test_an_operation_that_fails_leaves_no_hole_in_the_numbers(ledger: Ledger) -> None:
    await ledger.record_audit([ENTRY])
    with pytest.raises(LedgerError):
        await ledger.record_audit([ENTRY, replace(ENTRY, outcome=None)])  # type: ignore[arg-type] # the table refuses it
    await ledger.record_audit([ENTRY])
    assert await numbers(ledger) == [(1, "daemon.start"), (2, "daemon.start")]


async def test_a_gap_is_audited_when_it_opens_and_once_when_it_closes(ledger: Ledger) -> None:
    gap = await ledger.open_gap(from_ms=1, to_ms=2, cause="silence", audit=[replace(ENTRY, action="gap.open")])
    for _ in range(2):
        await ledger.close_gap(gap, at_ms=3, audit=[replace(ENTRY, action="gap.close")])
    assert await numbers(ledger) == [(1, "gap.open"), (2, "gap.close")]


async def test_a_delivery_whose_process_died_each_time_is_audited_with_its_death_alone(
    ledger: Ledger, routed: Any, clock: FakeClock
) -> None:
    await ledger.append([routed("archive")])
    for _ in range(2):
        await ledger.claim({"archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1)
        await clock.advance(1)
        await ledger.return_expired(
            now_ms=clock.epoch_ms(),
            max_crashes=2,
            announce=lambda _: (),
            audit=lambda record: [replace(ENTRY, action="delivery.dead_letter", target=record.delivery_id)],
        )
    (dead,) = await ledger.dead_letters()
    assert [(one.entry.action, one.entry.target) for one in await ledger.audit_entries(after=0, limit=9)] == [
        ("delivery.dead_letter", dead.delivery_id)
    ]


async def test_the_seal_outlives_the_process_and_never_moves_back(url: str, clock: FakeClock) -> None:
    sealed = Seal(2, ROOT, date(2026, 8, 1), 200)
    async with open_ledger(url, clock=clock) as ledger:
        assert await ledger.seal() == Seal(0, ZERO, None, 0)
        await ledger.mark_sealed(sealed)
        await ledger.mark_sealed(Seal(1, ZERO, date(2026, 8, 1), 100))
    async with open_ledger(url, clock=clock) as ledger:
        assert await ledger.seal() == sealed


async def test_a_checkpoint_is_recorded_once_and_never_beyond_the_seal(ledger: Ledger, routed: Any) -> None:
    event = routed("webhook", topic="audit.checkpointed")
    assert not await ledger.record_checkpoint(0, event)
    assert not await ledger.record_checkpoint(3, event)
    await ledger.mark_sealed(Seal(3, ROOT, date(2026, 8, 1), 300))
    assert await ledger.checkpointed() == 0
    assert await ledger.record_checkpoint(3, event)
    assert await ledger.checkpointed() == 3
    assert not await ledger.record_checkpoint(3, routed("webhook", topic="audit.checkpointed"))
    assert not await ledger.record_checkpoint(2, routed("webhook", topic="audit.checkpointed"))
    (delivery,) = await ledger.find(event.event.id)
    assert delivery.handler == "webhook"


async def test_the_days_and_their_events_come_in_pages(ledger: Ledger, routed: Any) -> None:
    assert await ledger.event_days() == []
    first, second = date(2026, 7, 30), date(2026, 8, 2)
    of_first = [routed(topic="media.archived", day=first) for _ in range(5)]
    await ledger.append([*of_first, routed(topic="recording.ready", day=first), routed(topic="media.archived", day=second)])
    assert await ledger.event_days() == [first, second]
    ids = sorted(one.event.id for one in of_first)
    page = await ledger.events_of_day(first, ["media.archived"], limit=3)
    assert [event.id for event in page] == ids[:3]
    assert [event.id for event in await ledger.events_of_day(first, ["media.archived"], after=ids[2])] == ids[3:]
    assert len(await ledger.events_of_day(first, ["media.archived", "recording.ready"])) == 6
    assert await ledger.events_of_day(date(2026, 8, 1), ["media.archived"]) == []


async def test_one_who_only_looks_cannot_seal(url: str, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.record_audit([ENTRY])
        async with open_ledger(url, clock=clock, read_only=True) as looking:
            assert [one.entry for one in await looking.audit_entries(after=0, limit=9)] == [ENTRY]
            with pytest.raises(LedgerError, match="look only"):
                await looking.mark_sealed(Seal(1, ROOT, date(2026, 8, 1), 1))
