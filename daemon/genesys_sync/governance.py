"""What the ledger's tallies say in metrics: actions by operation, outcome and duration; what is stored, and what a month of it costs.

They are counters of the ledger, not of this process: they go on over a restart, and include what commands did beside the daemon.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from genesys_sync.clock import Clock
from genesys_sync.ledger.base import Ledger
from genesys_sync.metrics import Family, Metrics
from genesys_sync.settings import CostsSettings
from genesys_sync.tallies import BOUNDS_MS, ActionTally, Tallies, by_class, by_operation

EVERY: Final = 10.0
"""Seconds between two readings."""


async def keep(ledger: Ledger, metrics: Metrics, costs: CostsSettings, *, clock: Clock) -> None:
    """Every `EVERY` seconds, until cancelled: what the ledger has counted, as metrics."""
    while True:
        metrics.kept.show(families(await ledger.tallies(), costs))
        await clock.sleep(EVERY)


def families(tallies: Tallies, costs: CostsSettings) -> list[Family]:
    """The metrics that tell of these tallies. Pure."""
    actions = CounterMetricFamily("genesys_sync_actions", "Actions on the platform, by how they ended.", labels=["operation", "outcome"])
    size = CounterMetricFamily("genesys_sync_action_bytes", "Bytes that actions transferred.", labels=["operation"])
    for one in by_operation(tallies.actions):
        for outcome, number in (("success", one.success), ("refused", one.refused), ("failure", one.failure)):
            actions.add_metric([one.operation, outcome], number)
        size.add_metric([one.operation], one.bytes)
    stored = GaugeMetricFamily("genesys_sync_stored_bytes", "Bytes stored, as they were when they were stored.", labels=["storage_class"])
    price = GaugeMetricFamily(
        "genesys_sync_storage_cost_per_month", "What a month of them costs, by the settings' prices.", labels=["storage_class", "currency"]
    )
    for part in by_class(tallies.stored, costs):
        stored.add_metric([part.storage_class], part.stored.bytes)
        if part.per_month is not None:
            price.add_metric([part.storage_class, costs.currency], part.per_month)
    return [actions, _durations(tallies.actions), size, stored, price]


def _durations(tallies: Iterable[ActionTally]) -> HistogramMetricFamily:
    family = HistogramMetricFamily("genesys_sync_action_seconds", "Duration of an action.", labels=["operation"])
    within: defaultdict[str, Counter[int]] = defaultdict(Counter)
    seconds: defaultdict[str, float] = defaultdict(float)
    for one in tallies:
        within[one.operation][one.within_ms] += one.actions
        seconds[one.operation] += one.seconds
    for operation, found in sorted(within.items()):
        whole, buckets = 0, []
        for bound in BOUNDS_MS:
            whole += found[bound]
            buckets.append((f"{bound / 1000:g}", whole))
        family.add_metric([operation], buckets=[*buckets, ("+Inf", found.total())], sum_value=seconds[operation])
    return family
