"""Faults as they really fire. What the plan intends lies there until something happens that it can spoil."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from genesys_sync_simulator.scenario import Faults
from genesys_sync_simulator.truth import TruthLog


@dataclass(slots=True)
class FaultDesk:
    """Counts what is due, and says yes once for each. Every fault that fires is a line in the truth log."""

    rules: Faults
    truth: TruthLog
    fired: Counter[str] = field(default_factory=Counter)
    storms_due: int = 0
    storm_ends: float = 0.0
    errors_due: int = 0
    sockets_refused_until: float = 0.0
    _once: set[tuple[str, str]] = field(default_factory=set)

    def fire(self, kind: str, **about: object) -> None:
        """Writes down that a fault has happened."""
        self.fired[kind] += 1
        self.truth.write("fault", kind=kind, **about)

    def once(self, kind: str, recording_id: str) -> bool:
        """True the first time for this recording, and written down; False ever after."""
        if (kind, recording_id) in self._once:
            return False
        self._once.add((kind, recording_id))
        self.fire(kind, recordingId=recording_id)
        return True

    def first(self, kind: str, **about: object) -> bool:
        """Whether this is one of the first so many that the scenario spoils in this way; written down if so."""
        if self.fired[kind] >= self.rules.count(kind):
            return False
        self.fire(kind, **about)
        return True

    def storm(self, now: float) -> float:
        """Seconds that a 429 storm will still last, 0 when there is none. A storm that is due begins with the request that asks."""
        if now >= self.storm_ends and self.storms_due:
            self.storms_due -= 1
            self.storm_ends = now + self.rules.rate_limit_for
            self.fire("rate_limit", seconds=self.rules.rate_limit_for)
        return max(0.0, self.storm_ends - now)

    def server_error(self) -> bool:
        """Whether this request is the one that fails with 503."""
        if not self.errors_due:
            return False
        self.errors_due -= 1
        self.fire("server_error_once")
        return True
