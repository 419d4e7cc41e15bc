"""Every action on the platform is performed here: measured, and told of in one audit entry.

The entry is all there is to write: the ledger counts actions by operation and outcome in the commit that records the entry
(`Ledger.actions`), so that `status` and `/metrics` know of those that commands performed beside the daemon too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio

from genesys_sync.audit import AuditEntry
from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.services.actions import Action
from genesys_sync.tallies import CLIENT, SECONDS

_OPERATION = re.compile(r"[a-z][a-z_]{0,30}\.[a-z][a-z_]{0,30}")

Record = Callable[[AuditEntry], Awaitable[None]]
"""Takes an entry, durably or together with the delivery in hand."""


class AuditedActions:
    """`services.Actions` for one process, under one OAuth client.

    record     where entries go
    client_id  the OAuth client that acts: who it was to the platform
    actor      who it was to us; `record` may know better (the handler of the delivery in hand)
    """

    def __init__(self, record: Record, *, clock: Clock, client_id: str, actor: str) -> None:
        self._record = record
        self._clock = clock
        self._client_id = client_id
        self._actor = actor

    @asynccontextmanager
    async def perform(self, operation: str, target: str, *, facts: Mapping[str, Any] | None = None) -> AsyncGenerator[Action]:
        """See `services.Actions.perform`. Raises ValueError for an operation that is not of the form `noun.verb`: it labels metrics."""
        if _OPERATION.fullmatch(operation) is None:
            raise ValueError(f"operation {operation!r} is not of the form noun.verb")
        action = Action(operation, target, facts=dict(facts or {}))
        started = self._clock.monotonic()
        try:
            yield action
        except BaseException as error:  # whatever ends it is told of, and passes on
            blame(action, error)
            raise
        finally:
            seconds = round(max(0.0, self._clock.monotonic() - started), 3)
            with anyio.CancelScope(shield=True):
                await self._record(self._entry(action, seconds))

    def _entry(self, action: Action, seconds: float) -> AuditEntry:
        facts: dict[str, Any] = {**action.facts, CLIENT: self._client_id, SECONDS: seconds}
        if action.correlation_id:
            facts["correlationId"] = action.correlation_id
        if action.bytes:
            facts["bytes"] = action.bytes
        return AuditEntry(
            at=self._clock.now(), actor=self._actor, action=action.operation, target=action.target, outcome=action.outcome, facts=facts
        )


class LookOnly:
    """`services.Actions` where the platform is opened to look: nobody acts, because nobody could tell of it."""

    def perform(self, operation: str, target: str, *, facts: Mapping[str, Any] | None = None) -> AbstractAsyncContextManager[Action]:  # noqa: ARG002 - refused whatever it is
        """Raises RuntimeError, before anything was done."""
        raise RuntimeError(f"{operation}: the platform was opened here to look only; an action needs a ledger to be told of in")


def blame(action: Action, error: BaseException) -> None:
    """What the ending by this error says of the action. Pure but for the action."""
    if isinstance(error, (PermanentError, TransientError)):
        action.outcome = "refused" if isinstance(error, PermanentError) else "failure"
        action.correlation_id = error.correlation_id or action.correlation_id
        action.note(reason=error.code.value)
        if isinstance(error, PermanentError) and error.platform_code:
            action.note(platformCode=error.platform_code)
        return
    action.outcome = "failure"
    action.note(reason=type(error).__name__)
