"""The runs in progress: which claims this process holds, and the means to end each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import anyio

from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event
from genesys_sync.ledger.base import Claim, DeliveryState, Verdict

FORBIDDEN_MOST: Final = 3
"""One conversation may lie in a division that is not ours to see; so many in a row are a permission that is missing."""


@dataclass(eq=False, slots=True)
class Run:
    """One claim in a handler's hands.

    lost         somebody else may have the delivery by now: whatever comes of this run is discarded
    handed_back  cancelled while draining: released, unless it finished all the same
    writing      its verdict is being written: what becomes of its lease now, the write itself will say
    """

    claim: Claim
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    lost: bool = False
    handed_back: bool = False
    writing: bool = False

    def lose(self) -> None:
        self.lost = True
        self.scope.cancel()

    def hand_back(self) -> None:
        self.handed_back = True
        self.scope.cancel()


class Runs:
    """All runs of this process, counted by handler."""

    def __init__(self, handlers: Mapping[str, int]) -> None:
        """`handlers`: how many runs of each there may be at one time."""
        self._limits = dict(handlers)
        self._counts = dict.fromkeys(handlers, 0)
        self._runs: set[Run] = set()
        self._forbidden = dict.fromkeys(handlers, 0)

    @property
    def counts(self) -> Mapping[str, int]:
        """Runs in progress by handler; handlers without any are there with 0."""
        return dict(self._counts)

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Handlers whose last deliveries to end all died FORBIDDEN, FORBIDDEN_MOST or more: nothing of theirs is done."""
        return tuple(name for name, count in self._forbidden.items() if count >= FORBIDDEN_MOST)

    def ended(self, handler: str, verdict: Verdict, *, news: bool) -> None:
        """A run's verdict is written; `news`: it emitted events. Work that was done shows that the handler may do it. A verdict that says
        nothing of that, such as a look that is not due yet, changes nothing."""
        if verdict.state is DeliveryState.DEAD and verdict.reason is ReasonCode.FORBIDDEN:
            self._forbidden[handler] += 1
        elif verdict.state is DeliveryState.DONE or (news and verdict.state is not DeliveryState.DEAD):
            self._forbidden[handler] = 0

    def free(self) -> dict[str, int]:
        """Handlers with room for more, and for how many."""
        return {name: limit - self._counts[name] for name, limit in self._limits.items() if self._counts[name] < limit}

    def add(self, run: Run) -> None:
        self._runs.add(run)
        self._counts[run.claim.handler] += 1

    def remove(self, run: Run) -> None:
        self._runs.remove(run)
        self._counts[run.claim.handler] -= 1

    def __iter__(self) -> Iterator[Run]:
        """A copy: runs may end while the caller waits."""
        return iter(list(self._runs))

    def __len__(self) -> int:
        return len(self._runs)


def age_of_call(event: Event, *, now: datetime) -> float | None:
    """Seconds since the end of the call that the event goes back to, never negative; None when the event does not tell of it."""
    text = event.body.get("conversationEndedAt") or event.body.get("endedAt")
    try:
        ended = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if ended is None or ended.tzinfo is None else max(0.0, (now - ended).total_seconds())
