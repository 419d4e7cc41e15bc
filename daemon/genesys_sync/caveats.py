"""What forbids a report the word "complete", whatever its numbers are. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Final

from genesys_sync.completeness import State, Tally
from genesys_sync.errors import ReasonCode

WHOLE: Final = "whole"
_FOR_WANT_OF_A_PERMISSION: Final = frozenset({ReasonCode.FORBIDDEN, ReasonCode.FORBIDDEN_SENSITIVE, ReasonCode.UNAUTHORIZED})


class Caveat(StrEnum):
    """Why a report must not say "complete". The list is closed."""

    OFFLINE = "OFFLINE"
    NOT_PAGED_TO_ITS_END = "NOT_PAGED_TO_ITS_END"
    ANALYTICS_NOT_YET_THERE = "ANALYTICS_NOT_YET_THERE"
    GAPS_OPEN = "GAPS_OPEN"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    PERMISSION_NOT_PROVED = "PERMISSION_NOT_PROVED"
    GIVEN_UP_FORBIDDEN = "GIVEN_UP_FORBIDDEN"
    VARIANT_NOT_WHOLE = "VARIANT_NOT_WHOLE"
    CLOCK_OFF = "CLOCK_OFF"
    STILL_LOOKING = "STILL_LOOKING"


def caveats(
    *,
    offline: bool,
    paging_fault: str,
    to_ms: int,
    known_until_ms: int,
    open_gaps: int,
    sensitive: bool | None,
    permission: str,
    tally: Tally,
    clock_offset: timedelta,
) -> list[tuple[Caveat, str]]:
    """Each with a sentence; none when nothing forbids the word.

    known_until_ms  up to where the platform's analytics may be believed
    sensitive       whether the client holds `permission`; None when that could not be asked
    """
    found: list[tuple[Caveat, str]] = []
    if offline:
        found.append((Caveat.OFFLINE, "the platform was not asked: this is what the ledger says of itself"))
    if paging_fault:
        found.append((Caveat.NOT_PAGED_TO_ITS_END, f"the platform's analytics were not read to the end of the time: {paging_fault}"))
    if not offline and to_ms > known_until_ms:
        found.append((Caveat.ANALYTICS_NOT_YET_THERE, "the time ends later than the platform's analytics are known to be filled"))
    if clock_offset:
        off = f"{abs(round(clock_offset.total_seconds()))} s {'behind' if clock_offset > timedelta(0) else 'ahead of'} the platform's"
        found.append((Caveat.CLOCK_OFF, f"this machine's clock is {off}: gaps may be noted at the wrong times"))
    if open_gaps:
        found.append((Caveat.GAPS_OPEN, f"gaps within the time that are not closed yet: {open_gaps}"))
    if sensitive is False:
        sentence = f"{permission} is missing: the platform leaves out recordings with redacted parts without a word"
        found.append((Caveat.PERMISSION_MISSING, sentence))
    elif sensitive is None:
        found.append((Caveat.PERMISSION_NOT_PROVED, f"whether the client holds {permission} is not proved"))
    if forbidden := sum(count for (state, reason), count in tally.reasons.items() if _forbidden(state, reason)):
        sentence = f"given up because a permission was missing: {forbidden}; grant it, then dead-letters replay"
        found.append((Caveat.GIVEN_UP_FORBIDDEN, sentence))
    if doubtful := tally.variants.total() - tally.variants[WHOLE]:
        sentence = f"recordings that may be redacted variants: {doubtful}; {permission} was not proved when they were fetched"
        found.append((Caveat.VARIANT_NOT_WHOLE, sentence))
    if tally.looking:
        found.append((Caveat.STILL_LOOKING, f"conversations whose recordings are still being looked for: {tally.looking}"))
    return found


def is_complete(tally: Tally, found: Iterable[tuple[Caveat, str]]) -> bool:
    """Whether everything of the time is accounted for: no caveat, nothing on its way, nothing unexplained. What is dead or rejected is
    accounted for: it has its reason."""
    return not any(found) and not tally.unfinished and not tally.states[State.UNEXPLAINED]


def _forbidden(state: State, reason: str) -> bool:
    return state is State.DEAD and reason in _FOR_WANT_OF_A_PERMISSION
