"""From runs of digits to what is hidden. Left to right, looking back only at what is left once everything before is hidden:
so a transcript that was redacted is not redacted further."""

from __future__ import annotations

import re
from typing import Final

from genesys_sync.redaction import findings as types
from genesys_sync.redaction import labels
from genesys_sync.redaction.chains import Chain, chains_of
from genesys_sync.redaction.dictation import COMPLETE, follows, is_near, is_part
from genesys_sync.redaction.findings import Finding, Hidden
from genesys_sync.redaction.ibans import after_iban, before_iban, is_spelled
from genesys_sync.redaction.spoken import Run, runs_of
from genesys_sync.redaction.stream import Stream

_LOOK_BACK: Final = 160  # characters
_SEGMENTS_BACK: Final = 3
_LOOK_AHEAD: Final = 60
_LETTERS_BEFORE: Final = re.compile(r"(?<!['\u2019])(?:\b(?:[b-hj-z]|[A-Z]{1,4})[ -]){1,4}$")
_GLUED_BEFORE: Final = re.compile(r"(?:\bplus |[a-z]{1,4}[-/]?|[(+]{1,2})$")
_GLUED_AFTER: Final = re.compile(r"[a-z]{1,4}\b(?!')")
_ALONE: Final = frozenset({types.SSN, types.CVV, types.CODE})
_LAST: Final = 4
_SHORT_DATE: Final = 5
_LAST_FOUR: Final = re.compile(r"\b(?:last|final) (?:four|4)\b")
_PART_OF: Final = frozenset({types.DATE_OF_BIRTH, types.EXPIRY})


def find_numbers(stream: Stream, hidden: Hidden, regions: tuple[str, ...]) -> None:
    """Adds to `hidden` every number that the policy hides."""
    chains = chains_of(stream, runs_of(stream, hidden), hidden)
    taken: set[int] = set()
    for place, chain in enumerate(chains):
        if place in taken:
            continue
        decided = _decide(stream, hidden, chain, regions)
        if decided is None and not is_near(chains, place):
            continue
        kind = _asked_for(stream, hidden, chain) if decided is None else decided[0]
        whole = kind is None or kind not in COMPLETE or _is_all_that_was_asked(stream, chain)
        parts = [] if whole or kind is None else follows(stream, hidden, chains, place, kind)
        count = sum(len(chains[part].digits) for part in (place, *parts))
        if decided is None and kind is not None and parts and count >= labels.ENOUGH:
            decided = kind, "asked_for"
        if decided is not None:
            for part in (place, *parts):
                _hide(stream, hidden, chains[part], *decided)
            taken.update(parts)


def _is_all_that_was_asked(stream: Stream, chain: Chain) -> bool:
    """Four digits, where the last four were asked for."""
    start = chain.runs[0].start
    return len(chain.digits) == _LAST and _LAST_FOUR.search(stream.low, max(start - _LOOK_BACK // 2, 0), start) is not None


def _asked_for(stream: Stream, hidden: Hidden, chain: Chain) -> str | None:
    """The type that a part of a number was asked for as, where it is not hidden by itself."""
    start = chain.runs[0].start
    if not is_part(stream, chain) or labels.is_no_beginning(stream.low, start):
        return None
    tail = _tail(stream, hidden, start)
    kind = labels.said_before(tail, small=False, close=True)
    return kind if kind in COMPLETE and not labels.is_over(tail, stream.low, start, chain.runs[-1].end) else None


def _decide(stream: Stream, hidden: Hidden, chain: Chain, regions: tuple[str, ...]) -> tuple[str, str] | None:
    count = len(chain.digits)
    first, last = chain.runs[0], chain.runs[-1]
    atoms = sum(run.atoms for run in chain.runs)
    if count < 3 and not (atoms > 1 and (chain.month or count == 2)):
        return None
    tail = _tail(stream, hidden, first.start)
    if count < 3 and not chain.month:  # "fifty one" may be 501
        bare = first.start == first.core_start and last.end == last.core_end  # and no "twenty second"
        asked = bare and not first.written and labels.said_before(tail, small=True) == types.CVV
        return (types.CVV, "asked_for") if asked and not labels.is_over(tail, stream.low, first.start, last.end) else None
    shaped = labels.is_date_shape(stream.low[first.core_start : first.core_end])
    context = None
    if count <= 8 or chain.month:
        context = labels.said_before(tail, small=True)
        kind = labels.small_type(context, chain.digits, month=chain.month, shaped_as_date=shaped)
        if context == types.CVV and kind is None and count < labels.ENOUGH and len(chain.runs) > 1 and len(first.digits) in (3, 4):
            chain.runs, chain.digits = [first], first.digits  # "456" · "it's fifty five inches": the code is complete
            return _decide(stream, hidden, chain, regions)
        if context == types.CVV and count == _LAST + 1 and stream.low.startswith(("to ", "for "), first.start):
            kind = context  # "change my cvv to four nine five two": the first was none
        over = labels.is_over(tail, stream.low, first.start, last.end) if kind in _ALONE else labels.is_past(tail)
        if kind is not None and not over and not labels.asks_anew(tail):
            return kind, "asked_for"
    head = stream.low[last.end : min(stream.end_of(last.segment), last.end + _LOOK_AHEAD)]
    announced = context == labels.BENIGN and "\0" not in tail and not labels.is_linked(head)  # "my order number is 48 221 7, social …"
    after = None if announced and count < labels.ENOUGH else labels.said_after(head)
    if shaped and count <= 8 and after == types.DATE_OF_BIRTH:
        return after, "named_after"
    if count < labels.ENOUGH:
        kind = labels.small_type(after, chain.digits, month=chain.month, shaped_as_date=shaped)
        spelled = count + sum(run.letters for run in chain.runs) >= labels.ENOUGH
        if spelled and labels.said_before(tail, small=False, close=True) == types.NUMBER:
            return types.NUMBER, "asked_for"
        dated = chain.month or shaped or (context is None and count >= _SHORT_DATE)
        if kind is None or (kind in _PART_OF and not (kind == types.DATE_OF_BIRTH and dated)):
            return None
        return kind, "named_after"
    return _decide_long(stream, chain, labels.said_before(tail, small=False), after, regions)


def _decide_long(stream: Stream, chain: Chain, before: str | None, after: str | None, regions: tuple[str, ...]) -> tuple[str, str] | None:
    first, last = chain.runs[0], chain.runs[-1]
    written = stream.low[first.start : last.end]
    left = "".join(
        labels.without_dates_and_amounts(stream.low[run.start : run.end], run.digits) if run.written else run.digits for run in chain.runs
    )
    if len(left) < labels.ENOUGH:
        return None
    context = after if before is None or (before == labels.BENIGN and after is not None) else before
    count = len(chain.digits)
    if count < labels.LONG:
        shown = stream.low[max(first.core_start - 1, 0) : first.core_start] != "+" and not labels.is_ssn_shape(written)
        if context == labels.BENIGN and shown:
            return None
        amount = labels.CURRENCY_BEFORE.search(stream.low, max(first.start - 2, 0), first.start) or labels.UNIT_AFTER.match(
            stream.low, last.end
        )
        if (chain.listed or amount) and context in (None, labels.BENIGN) and shown:
            return None
    start = first.core_start
    if stream.low[max(start - 5, 0) : start] == "plus " or stream.low[max(start - 1, 0) : start] == "+":
        written = "+" + written
    return labels.label(chain.digits, written, context, regions)


def _tail(stream: Stream, hidden: Hidden, position: int) -> str:
    tail = hidden.tail(stream.low, position, _LOOK_BACK)
    cut = len(tail)
    for _ in range(_SEGMENTS_BACK + 1):
        cut = tail.rfind("\n", 0, cut)
        if cut < 0:
            return tail
    return tail[cut:]


def _hide(stream: Stream, hidden: Hidden, chain: Chain, kind: str, rule: str) -> None:
    first, last = chain.runs[0], chain.runs[-1]
    value = chain.digits
    start, end = _edges(stream, first, kind)[0], _edges(stream, last, kind)[1]
    if len(value) >= labels.ENOUGH:
        before = before_iban(stream, first.core_start)
        if before is not None:
            kind, rule, start = types.IBAN, "iban_shape", min(before, start)
            end = after_iban(stream, last.core_end, end)
    reached = begun = start
    for run in chain.runs:
        low, high = _edges(stream, run, kind)
        if run is first:
            low = start
        elif kind == types.IBAN and reached < low and is_spelled(stream, reached, low):
            low = begun  # one with what stands before it
        reached, begun = (end if run is last else high), low
        hidden.add(Finding(begun, reached, kind, rule, value))


def _edges(stream: Stream, run: Run, kind: str) -> tuple[int, int]:
    """The run with what is written to it: `+`, a bracket, letters without a space."""
    if kind in _PART_OF or run.month:
        return run.start, run.end
    start, end = run.core_start, run.core_end
    floor = stream.starts[run.segment]
    window = stream.low[max(floor, start - 6) : start]
    glued = _GLUED_BEFORE.search(window)
    if glued is not None:
        start -= len(window) - glued.start()
    if kind == types.NUMBER and (letters := _LETTERS_BEFORE.search(stream.text, max(floor, start - 16), start)):
        start = letters.start()
    match = _GLUED_AFTER.match(stream.low, end, stream.end_of(run.segment)) if stream.low[end - 1 : end].isdecimal() else None
    if match is not None:
        end = match.end()
    return start, end
