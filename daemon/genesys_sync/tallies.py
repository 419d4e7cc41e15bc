"""What the ledger counts in the commits that write it: actions by operation, outcome and duration, and what lies where. Pure.

Kept as tallies because people and gauges ask every few seconds, and because commands act beside the daemon: what they did is in the
ledger, not in the daemon's memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genesys_sync.audit import AuditEntry
from genesys_sync.events import Topic
from genesys_sync.settings import CostsSettings

BOUNDS_MS: Final = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000)
"""Durations of actions are kept as the smallest of these that was enough."""

ENDLESS_MS: Final = (1 << 63) - 1
"""Stands for longer than the last of them."""

CLIENT: Final = "client"
SECONDS: Final = "seconds"
"""The two facts by which an audit entry is known as one of an action."""

GIGABYTE: Final = 10**9

_KINDS: Final[Mapping[str, str]] = {
    Topic.MEDIA_ARCHIVED: "recordings",
    Topic.TRANSCRIPT_ARCHIVED: "transcripts",
    Topic.TRANSCRIPT_REDACTED: "redacted",
    Topic.MEDIA_REDACTED: "redacted",
    Topic.UPLOAD_COMPLETED: "uploads",
}


@dataclass(frozen=True, slots=True)
class ActionTally:
    """Actions of one operation with one outcome that took at most `within_ms`, and longer than the bound below it."""

    operation: str
    outcome: str
    within_ms: int
    actions: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Objects of one kind, and their bytes, as they were when they were stored."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tallies:
    """Everything that is counted so. `stored` by kind: `recordings`, `transcripts`, `redacted`, `uploads`."""

    actions: tuple[ActionTally, ...] = ()
    stored: Mapping[str, Stored] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OperationSum:
    """All actions of one operation, by outcome; `seconds` and `bytes` are sums."""

    operation: str
    success: int
    refused: int
    failure: int
    seconds: float
    bytes: int

    @property
    def actions(self) -> int:
        return self.success + self.refused + self.failure

    @property
    def success_rate(self) -> float:
        """From 0 to 1."""
        return self.success / self.actions if self.actions else 0.0

    @property
    def mean_seconds(self) -> float:
        return self.seconds / self.actions if self.actions else 0.0


@dataclass(frozen=True, slots=True)
class ClassCost:
    """What lies in one storage class. `per_month` is None where no price is set for it."""

    storage_class: str
    stored: Stored
    per_month: float | None


def tally_of(entry: AuditEntry) -> ActionTally | None:
    """What this entry adds to the tallies of actions; None for an entry that is of no action."""
    seconds, size = entry.facts.get(SECONDS), entry.facts.get("bytes", 0)
    if CLIENT not in entry.facts or isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return ActionTally(entry.action, entry.outcome, bound_ms(seconds), 1, float(seconds), size if isinstance(size, int) else 0)


def bound_ms(seconds: float) -> int:
    """The smallest of BOUNDS_MS that is enough, or ENDLESS_MS."""
    place = bisect_left(BOUNDS_MS, seconds * 1000)
    return BOUNDS_MS[place] if place < len(BOUNDS_MS) else ENDLESS_MS


def stored_by(topic: str, body: Mapping[str, Any]) -> tuple[str, Stored] | None:
    """What the event tells of being stored, by kind: `recordings`, `transcripts`, `redacted`, `uploads`; None for an event that tells
    of no such thing."""
    kind = _KINDS.get(topic)
    if kind is None:
        return None
    sizes = [size for one in _objects(kind, body) if isinstance(size := one.get("bytes"), int) and size >= 0]
    return (kind, Stored(len(sizes), sum(sizes))) if sizes else None


def _objects(kind: str, body: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if kind == "uploads":
        return [body]
    listed = [body.get("raw"), body.get("transcript")]
    for name in ("parts", "forms"):
        found = body.get(name)
        listed += found if isinstance(found, list) else []
    return [one for one in listed if isinstance(one, Mapping)]


def by_operation(tallies: Iterable[ActionTally]) -> list[OperationSum]:
    """The sum of each operation, in the order of their names. An outcome that is none of the three counts as a failure."""
    numbers: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("success", "refused", "failure"), 0))
    seconds: defaultdict[str, float] = defaultdict(float)
    size: defaultdict[str, int] = defaultdict(int)
    for one in tallies:
        outcome = one.outcome if one.outcome in ("success", "refused") else "failure"
        numbers[one.operation][outcome] += one.actions
        seconds[one.operation] += one.seconds
        size[one.operation] += one.bytes
    return [
        OperationSum(name, found["success"], found["refused"], found["failure"], seconds[name], size[name])
        for name, found in sorted(numbers.items())
    ]


def by_class(stored: Mapping[str, Stored], costs: CostsSettings) -> list[ClassCost]:
    """What lies in each storage class, and what a month of it costs at the prices that are set; in the order of their names."""
    sums: defaultdict[str, Stored] = defaultdict(lambda: Stored(0, 0))
    for kind, one in stored.items():
        name = costs.storage_class(kind)
        sums[name] = Stored(sums[name].objects + one.objects, sums[name].bytes + one.bytes)
    found = []
    for name, whole in sorted(sums.items()):
        price = costs.per_gb_month.get(name)
        found.append(ClassCost(name, whole, None if price is None else price * whole.bytes / GIGABYTE))
    return found


def whole_cost(classes: Sequence[ClassCost]) -> float | None:
    """A month of everything; None while one class that holds something has no price."""
    prices = [one.per_month for one in classes]
    return None if not prices or None in prices else sum(price for price in prices if price is not None)
