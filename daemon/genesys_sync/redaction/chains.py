"""Numbers that go over several segments, and over both speakers: runs are linked to chains.

Links of the first kind, "strong": between the two runs stands nothing but confirmations and fillers. Of the second, "loose": the same
speaker goes on where the other put in whatever it may be. Of the third, "aside": one is dictated digit by digit, or long, the other
reads like a part of the same, and little is said between them, which names nothing ("no wait", "did you get that").

What hangs together by the second kind alone, and is not dictated digit by digit, counts as a list: it has to be longer, or asked for,
before it is taken for one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genesys_sync.redaction.findings import Hidden
from genesys_sync.redaction.labels import (
    ENOUGH,
    UNIT_AFTER,
    asks_for_little,
    is_no_beginning,
    is_quantity,
    names_anything,
    said_before,
    without_dates_and_amounts,
)
from genesys_sync.redaction.lexicon import ASIDES
from genesys_sync.redaction.spoken import WORD, Run
from genesys_sync.redaction.stream import Stream

_MOST_SEGMENTS = 5
_LOOK_BACK = 160  # characters
_MOST_SOFT = 90  # characters
_MOST_ASIDE = 80  # characters
_COUNTS = frozenset({"15", "16"})  # digits that a card has
_SHORTEST_PART = 3  # digits of a part that is not said digit by digit
_FEWEST = 5  # digits of two runs that go on with each other over an aside
_RANGE = frozenset({"to", "or", "until", "till", "through"})  # "five oh five to one oh five"
_REMEMBERED = 64  # digits that somebody may repeat


@dataclass(slots=True)
class Chain:
    """Runs that are one number. `digits`: of all of them, what one speaker only repeated of the other's words left out."""

    runs: list[Run]
    digits: str
    listed: bool

    @property
    def month(self) -> bool:
        return any(run.month for run in self.runs)


def chains_of(stream: Stream, runs: Sequence[Run], hidden: Hidden) -> list[Chain]:
    """Every run in exactly one chain; chains in the order of their first runs."""
    parents = list(range(len(runs)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    loose: list[tuple[int, int]] = []
    last_of: dict[int, int] = {}
    links = _Links(stream, hidden)
    for i, run in enumerate(runs):
        speaker = stream.speakers[run.segment]
        before = {i - 1, last_of.get(speaker, -1)} - {-1}
        for j in before:
            strength = links.between(runs[j], run)
            if strength in ("strong", "aside"):
                parents[root(i)] = root(j)
            elif strength == "loose":
                loose.append((j, i))
        last_of[speaker] = i
    listed: set[int] = set()
    for j, i in loose:
        a, b = root(j), root(i)
        if a != b:
            parents[b] = a
            if not (runs[j].dictated and runs[i].dictated):
                listed.add(a)
    members: dict[int, list[Run]] = {}
    for i, run in enumerate(runs):
        members.setdefault(root(i), []).append(run)
    marked = {root(i) for i in listed}
    return [
        Chain(parts, _without_echo(stream, parts), listed=key in marked or any(part.listed for part in parts))
        for key, parts in members.items()
    ]


def _without_echo(stream: Stream, runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return runs[0].digits
    said: dict[int, str] = {}
    out: list[str] = []
    for run in runs:
        speaker = stream.speakers[run.segment]
        if run.digits and any(other != speaker and run.digits in digits for other, digits in said.items()):
            continue
        said[speaker] = (said.get(speaker, "") + run.digits)[-_REMEMBERED:]
        out.append(run.digits)
    return "".join(out)


class _Links:
    def __init__(self, stream: Stream, hidden: Hidden) -> None:
        self._stream = stream
        self._hidden = hidden

    def between(self, left: Run, right: Run) -> str | None:
        """`strong`, `loose`, `aside`, or None where the two runs have nothing to do with each other."""
        stream = self._stream
        apart = right.segment - left.segment
        if not 0 <= apart <= _MOST_SEGMENTS:
            return None
        if self._dictated_on(left, right):
            return "aside"
        if not apart:
            return None
        if not self._soft(left.end, stream.end_of(left.segment)) or not self._soft(stream.starts[right.segment], right.start):
            return None
        if right.atoms <= 1 and len(right.digits) <= 2 and not self._soft(right.end, stream.end_of(right.segment)):
            return None  # "one moment please" goes on with nothing
        if left.atoms == 1 and left.digits in _COUNTS and WORD.search(stream.low, left.end, stream.end_of(left.segment)):
            return None  # "the full sixteen please"
        if left.atoms <= 2 and UNIT_AFTER.match(stream.low, left.end):
            return None  # "sixteen digits is it"
        if not self._may_go_on(left, right):
            return None
        speaker = stream.speakers[right.segment]
        same = speaker == stream.speakers[left.segment]
        strength = "strong"
        for segment in range(left.segment + 1, right.segment):
            start, end = stream.starts[segment], stream.end_of(segment)
            if not self._soft(start, end):
                if not same or stream.speakers[segment] == speaker or self._asks_for_else(left, stream.low[start:end]):
                    return None
                strength = "loose"
        return strength

    def _may_go_on(self, left: Run, right: Run) -> bool:
        """Whether neither is a quantity or a time, and the left one was not called something short that is no person's."""
        low = self._stream.low
        if (not right.dictated and is_quantity(low, right.start, right.end)) or (
            not left.dictated and is_quantity(low, left.start, left.end)
        ):
            return False
        same = self._stream.speakers[left.segment] == self._stream.speakers[right.segment] and right.segment == left.segment + 1
        return not (same and is_no_beginning(low, left.start))

    def _asks_for_else(self, left: Run, text: str) -> bool:
        """Whether `text` names something short, or something long that is not what `left` was called."""
        named = said_before(text, small=False)
        called = said_before(self._stream.low[max(left.start - _LOOK_BACK, 0) : left.start], small=False) if named else None
        return asks_for_little(text) or (called is not None and named != called)

    def _dictated_on(self, left: Run, right: Run) -> bool:
        """Two stretches of digits with an aside between them, however it goes."""
        if len(left.digits) + len(right.digits) < _FEWEST or not any(run.dictated or len(run.digits) >= ENOUGH for run in (left, right)):
            return False
        if right.start - left.end > _MOST_ASIDE or self._hidden.overlaps(left.end, right.start):
            return False
        low = self._stream.low
        between = low[left.end : right.start]
        if between.strip() in _RANGE or names_anything(between) or is_no_beginning(low, left.start):
            return False
        return all(self._is_part(run) for run in (left, right))

    def _is_part(self, run: Run) -> bool:
        low = self._stream.low
        if run.dictated:
            return UNIT_AFTER.match(low, run.end) is None
        if run.month or run.listed or len(run.digits) < _SHORTEST_PART or is_quantity(low, run.start, run.end):
            return False
        return not run.written or without_dates_and_amounts(low[run.start : run.end], run.digits) == run.digits

    def _soft(self, start: int, end: int) -> bool:
        if end - start > _MOST_SOFT or self._hidden.overlaps(start, end):
            return False  # a mask stands for a number, and so do we read it
        return all(word in ASIDES or word in _SHORT for word in WORD.findall(self._stream.low[start:end]))


_SHORT = frozenset({"s", "m", "c", "d", "l", "j", "ll", "ve", "re", "est"})
