"""Acting: one audit entry for each action however it ends, and tallies that say what was done and what is stored."""

from __future__ import annotations

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.governance import families
from genesys_sync.metrics import Kept
from genesys_sync.settings import CostsSettings
from genesys_sync.tallies import (
    ENDLESS_MS,
    ActionTally,
    Stored,
    Tallies,
    bound_ms,
    by_class,
    by_operation,
    stored_by,
    tally_of,
    whole_cost,
)
from genesys_sync.testing import FakeClock, make_event

pytestmark = pytest.mark.anyio


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.entries: list[AuditEntry] = []
        self.actions = AuditedActions(self._record, clock=self.clock, client_id="client-1", actor="operator:7")

    async def _record(self, entry: AuditEntry) -> None:
        await anyio.lowlevel.checkpoint()
        self.entries.append(entry)


async def test_an_action_that_succeeds_is_told_with_who_what_and_how_long() -> None:
    bench = Bench()
    async with bench.actions.perform("prompt.push", "p-1", facts={"language": "en-us"}) as action:
        action.correlation_id = "c-1"
        action.bytes = 12
        action.note(converted="loudness")
        await bench.clock.advance(2.5)
    (entry,) = bench.entries
    assert (entry.actor, entry.action, entry.target, entry.outcome) == ("operator:7", "prompt.push", "p-1", "success")
    facts = {"language": "en-us", "converted": "loudness", "client": "client-1", "seconds": 2.5, "correlationId": "c-1", "bytes": 12}
    assert entry.facts == facts


@pytest.mark.parametrize(
    ("error", "outcome", "facts"),
    [
        (
            PermanentError("no", code=ReasonCode.FORBIDDEN, correlation_id="c-2"),
            "refused",
            {"reason": "FORBIDDEN", "correlationId": "c-2"},
        ),
        (TransientError("later", code=ReasonCode.UNREACHABLE), "failure", {"reason": "UNREACHABLE"}),
        (OSError("broken"), "failure", {"reason": "OSError"}),
    ],
)
async def test_an_error_is_told_and_passes_on(error: Exception, outcome: str, facts: dict[str, str]) -> None:
    bench = Bench()
    with pytest.raises(type(error)) as raised:
        async with bench.actions.perform("media.upload", "u"):
            raise error
    assert raised.value is error
    assert bench.entries[0].outcome == outcome
    assert facts.items() <= bench.entries[0].facts.items()
    assert "broken" not in str(bench.entries[0].facts)


async def test_a_cancelled_action_is_told_of_too() -> None:
    bench = Bench()
    with anyio.CancelScope() as scope:
        async with bench.actions.perform("media.upload", "u"):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert [entry.outcome for entry in bench.entries] == ["failure"]


async def test_an_operation_is_a_label_and_holds_no_id() -> None:
    with pytest.raises(ValueError, match=r"noun\.verb"):
        async with Bench().actions.perform("upload.2f4a8b1e", "u"):
            raise AssertionError("nothing is done under a name that cannot be counted")


@pytest.mark.parametrize(("seconds", "bound"), [(0, 100), (0.1, 100), (0.101, 250), (1.0, 1000), (7200, 7_200_000), (7200.1, ENDLESS_MS)])
def test_a_duration_counts_within_the_smallest_bound_that_is_enough(seconds: float, bound: int) -> None:
    assert bound_ms(seconds) == bound


@pytest.mark.parametrize(
    "facts", [{}, {"seconds": 1.0}, {"client": "c"}, {"client": "c", "seconds": True}, {"client": "c", "seconds": "1"}]
)
def test_other_audit_entries_are_no_actions(facts: dict[str, object]) -> None:
    at = FakeClock().now()
    assert tally_of(AuditEntry(at=at, actor="a", action="recording.archive", target="t", outcome="success", facts=facts)) is None


@pytest.mark.parametrize(
    ("topic", "body", "expected"),
    [
        ("media.archived", {"parts": [{"bytes": 5}, {"bytes": 7}]}, ("recordings", Stored(2, 12))),
        ("transcript.archived", {"raw": {"bytes": 3}, "transcript": {"bytes": 4}, "segments": 9}, ("transcripts", Stored(2, 7))),
        ("transcript.redacted", {"transcript": {"bytes": 1}, "forms": [{"bytes": 2}]}, ("redacted", Stored(2, 3))),
        ("media.redacted", {"parts": [{"bytes": 8, "spans": 2}]}, ("redacted", Stored(1, 8))),
        ("upload.completed", {"bytes": 9}, ("uploads", Stored(1, 9))),
        ("media.verified", {"parts": [{"bytes": 5}]}, None),
        ("media.archived", {"parts": "?"}, None),
        ("media.archived", {"parts": [{"bytes": -5}, {"bytes": "7"}, None]}, None),
    ],
)
def test_what_an_event_tells_of_being_stored(topic: str, body: dict[str, object], expected: object) -> None:
    assert stored_by(topic, make_event(topic, body=body).body) == expected


TALLIES = (
    ActionTally("recording.pause", "success", 500, 3, 1.2, 0),
    ActionTally("recording.pause", "refused", 100, 1, 0.1, 0),
    ActionTally("recording.pause", "somehow", ENDLESS_MS, 1, 9000.0, 0),
    ActionTally("media.upload", "success", 30_000, 2, 41.0, 2_000),
)


def test_the_sum_of_each_operation() -> None:
    upload, pause = by_operation(TALLIES)
    assert (upload.operation, upload.success_rate, upload.mean_seconds, upload.bytes) == ("media.upload", 1.0, 20.5, 2_000)
    assert (pause.success, pause.refused, pause.failure, pause.success_rate) == (3, 1, 1, 0.6)


def test_costs_by_storage_class_and_none_without_a_price() -> None:
    stored = {"recordings": Stored(10, 2_000_000_000), "transcripts": Stored(10, 500_000_000), "uploads": Stored(1, 10**9)}
    priced = CostsSettings(per_gb_month={"archive": 0.02, "platform": 0.1, "cold": 0.004}, classes={"transcripts": "cold"})
    classes = by_class(stored, priced)
    assert [(one.storage_class, one.stored.bytes, one.per_month) for one in classes] == [
        ("archive", 2_000_000_000, pytest.approx(0.04)),
        ("cold", 500_000_000, pytest.approx(0.002)),
        ("platform", 10**9, pytest.approx(0.1)),
    ]
    assert whole_cost(classes) == pytest.approx(0.142)
    assert whole_cost(by_class(stored, CostsSettings(per_gb_month={"archive": 0.02}))) is None
    assert whole_cost([]) is None


def test_a_class_without_a_price_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ValueError, match=r"'arcive' has no price.*archive"):
        CostsSettings(per_gb_month={"archive": 1}, classes={"recordings": "arcive"})


def test_the_metrics_tell_the_same() -> None:
    registry, kept = CollectorRegistry(), Kept()
    registry.register(kept)
    assert generate_latest(registry) == b""
    kept.show(families(Tallies(TALLIES, {"recordings": Stored(1, 10**9)}), CostsSettings(currency="EUR", per_gb_month={"archive": 0.5})))
    text = generate_latest(registry).decode()
    for line in (
        'genesys_sync_actions_total{operation="recording.pause",outcome="success"} 3.0',
        'genesys_sync_actions_total{operation="recording.pause",outcome="failure"} 1.0',
        'genesys_sync_action_seconds_bucket{le="0.1",operation="recording.pause"} 1.0',
        'genesys_sync_action_seconds_bucket{le="0.5",operation="recording.pause"} 4.0',
        'genesys_sync_action_seconds_bucket{le="7200",operation="recording.pause"} 4.0',
        'genesys_sync_action_seconds_bucket{le="+Inf",operation="recording.pause"} 5.0',
        'genesys_sync_action_seconds_count{operation="recording.pause"} 5.0',
        'genesys_sync_action_bytes_total{operation="media.upload"} 2000.0',
        'genesys_sync_stored_bytes{storage_class="archive"} 1e+09',
        'genesys_sync_storage_cost_per_month{currency="EUR",storage_class="archive"} 0.5',
    ):
        assert line in text, text
