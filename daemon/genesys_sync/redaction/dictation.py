"""A number that was asked for and is given in parts, with asides between them: "four one four seven, hold on, my glasses, twenty …".

What was called a card, a phone number or an account is not complete after four digits, so the chunks of digits that follow belong to
it, whatever was said in between, unless that names something else. Looks ahead from the first part only, and at a bounded number of
chains: what is taken is hidden at once, before anything after it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genesys_sync.redaction import findings as types
from genesys_sync.redaction import labels
from genesys_sync.redaction.chains import Chain
from genesys_sync.redaction.findings import Hidden
from genesys_sync.redaction.stream import Stream

COMPLETE: Final = {types.CARD: 15, types.PHONE: 10, types.SSN: 9, types.NUMBER: 8, types.IBAN: 18}
"""Digits from which on a number of that type goes on no further by what is asked alone."""

_MOST_BETWEEN: Final = 110  # characters
_MOST_SEGMENTS: Final = 6
_MOST_CHAINS: Final = 8


def is_near(chains: Sequence[Chain], at: int) -> bool:
    """Whether the next chain begins so near that it may go on with the one at `at`."""
    return at + 1 < len(chains) and 0 <= chains[at + 1].runs[0].start - chains[at].runs[-1].end <= _MOST_BETWEEN


def follows(stream: Stream, hidden: Hidden, chains: Sequence[Chain], at: int, kind: str) -> list[int]:
    """Which of the chains after `at` go on with it: their places in `chains`, in order."""
    count, end = len(chains[at].digits), chains[at].runs[-1].end
    segment = chains[at].runs[-1].segment
    taken: list[int] = []
    for place in range(at + 1, min(at + 1 + _MOST_CHAINS, len(chains))):
        chain = chains[place]
        start = chain.runs[0].start
        if start - end > _MOST_BETWEEN or chain.runs[0].segment - segment > _MOST_SEGMENTS:
            break
        if start < end or hidden.overlaps(end, start) or labels.names_anything(stream.low[end:start]):
            break
        if count >= COMPLETE[kind] and not labels.corrects(stream.low[end:start]):
            break
        if is_part(stream, chain):
            taken.append(place)
            count += len(chain.digits)
            end, segment = chain.runs[-1].end, chain.runs[-1].segment
    return taken


def is_part(stream: Stream, chain: Chain) -> bool:
    """Whether a chain reads like a part of something dictated, and not like a quantity, an amount, a time or a year."""
    first, last = chain.runs[0], chain.runs[-1]
    if chain.month or chain.listed or len(chain.digits) < (2 if first.dictated else 3):
        return False
    written = stream.low[first.start : last.end]
    if first.written and labels.without_dates_and_amounts(written, chain.digits) != chain.digits:
        return False
    return not labels.is_quantity(stream.low, first.start, last.end)
