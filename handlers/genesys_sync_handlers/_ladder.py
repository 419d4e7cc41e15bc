"""When to look for what follows from a conversation. Pure: everything follows from the time since the conversation ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from genesys_sync_handlers._config import HandlerConfig, PositiveDuration

PATIENT_RUNG = 2
"""The rung (counted from 0) from which on an empty shared look is not taken as an answer, and a complete one is."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Moments at which looks are due, as times since the end of the conversation.

    rungs          ascending; past the last one a look is due at every multiple of it
    confirm_after  the earliest moment at which a conversation can be finished
    give_up        the moment of the last look
    """

    rungs: Sequence[timedelta]
    confirm_after: timedelta
    give_up: timedelta

    def next_look(self, elapsed: timedelta) -> timedelta:
        """How long to wait for the first look that is due later than `elapsed`; always longer than zero."""
        last = self.rungs[-1]
        due = next((rung for rung in self.rungs if rung > elapsed), (elapsed // last + 1) * last)
        due = min(moment for moment in (due, self.confirm_after, self.give_up) if moment > elapsed)
        return due - elapsed

    def patient(self, elapsed: timedelta) -> bool:
        """True from the third rung on (from the last one, when there are fewer)."""
        return elapsed >= self.rungs[min(PATIENT_RUNG, len(self.rungs) - 1)]

    def confirming(self, elapsed: timedelta) -> bool:
        """True once a look may finish the conversation."""
        return elapsed >= self.confirm_after

    def over(self, elapsed: timedelta) -> bool:
        """True once there is no further look."""
        return elapsed >= self.give_up


Rungs = Annotated[tuple[PositiveDuration, ...], Field(min_length=1)]


class LadderConfig(HandlerConfig):
    """The three settings of a ladder, the same for every handler that climbs one; what they are by default each says itself."""

    ladder: Rungs
    confirm_after: PositiveDuration
    give_up: PositiveDuration

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.ladder, self.ladder[1:], strict=False)):
            raise ValueError("ladder: each rung must be longer than the one before it")
        if self.give_up <= self.confirm_after:
            raise ValueError("give_up must be longer than confirm_after")
        return self

    def climbed(self) -> Ladder:
        """The ladder of these settings."""
        return Ladder(self.ladder, self.confirm_after, self.give_up)
