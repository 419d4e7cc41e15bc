"""Acting on the platform: whoever does it does it within `Actions.perform`, which measures it and writes its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Action:
    """One action under way. What is noted here stands in its audit entry.

    operation       `noun.verb`, of a small set: it is the label of metrics
    target          to what: an id, or a name that is nobody's
    outcome         `success` unless set otherwise (`failure`, `refused`); an exception that leaves the context decides for itself
    correlation_id  the platform's, of the answer that mattered
    bytes           what was transferred, 0 where that says nothing
    facts           JSON values; never a secret, a URL or personal data
    """

    operation: str
    target: str
    outcome: str = "success"
    correlation_id: str = ""
    bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def note(self, **facts: Any) -> None:
        """Add facts; a later one of the same name wins."""
        self.facts.update(facts)


class Actions(Protocol):
    """How everybody acts: handlers through `services.actions`, the platform's typed operations and the commands through theirs."""

    def perform(self, operation: str, target: str, *, facts: Mapping[str, Any] | None = None) -> AbstractAsyncContextManager[Action]:
        """Around one action. When the context ends, however it ends, one audit entry is recorded: who (the OAuth client's id; the actor),
        what, to which target, with the outcome, the seconds that it took, the correlation id and the facts; and the metrics
        `genesys_sync_actions`, `genesys_sync_action_seconds` and `genesys_sync_action_bytes` count it, whichever process did it.

        A PermanentError that leaves the context is `refused`, anything else (also a cancellation) `failure`; it passes on as it is.
        Within a delivery the entry commits with its outcome, elsewhere at once. Actions do not nest: perform the whole or its parts."""
        ...
