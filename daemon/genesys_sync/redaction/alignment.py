"""The same segment twice: as it reads, and as its words were heard. What is hidden in one is hidden in the other."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher

_PIECE = re.compile(r"[^\W_]+")
_MOST = 400  # pieces that are compared freely; beyond, only what both begin and end with is taken for equal


class Alignment:
    """`left` and `right`, both lower case, piece by piece."""

    def __init__(self, left: str, right: str) -> None:
        self._left = [(match.start(), match.end()) for match in _PIECE.finditer(left)]
        self._right = [(match.start(), match.end()) for match in _PIECE.finditer(right)]
        self._pairs = _pairs([left[a:b] for a, b in self._left], [right[a:b] for a, b in self._right])

    def rightwards(self, start: int, end: int) -> tuple[int, int] | None:
        """The stretch of `right` that says what [start, end) of `left` says; None where nothing of it is there.

        Between two pieces that are surely the same, all is taken: where it is not known which word is meant, more is hidden.
        """
        return _carried(self._left, self._right, self._pairs, start, end)

    def leftwards(self, start: int, end: int) -> tuple[int, int] | None:
        """The same from `right` to `left`."""
        return _carried(self._right, self._left, [(j, i) for i, j in self._pairs], start, end)


_Places = Sequence[tuple[int, int]]


def _carried(source: _Places, target: _Places, pairs: _Places, start: int, end: int) -> tuple[int, int] | None:
    first = bisect_right(source, start, key=lambda place: place[1])
    last = bisect_left(source, end, key=lambda place: place[0])
    if first >= last:
        return None
    at = bisect_left(pairs, first, key=lambda pair: pair[0])
    before = pairs[at - 1][1] if at else -1
    at = bisect_left(pairs, last, key=lambda pair: pair[0])
    after = pairs[at][1] if at < len(pairs) else len(target)
    return (target[before + 1][0], target[after - 1][1]) if after - before >= 2 else None


def _pairs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    if len(ours) <= _MOST and len(theirs) <= _MOST:
        blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
        return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    shorter = min(len(ours), len(theirs))
    head = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
    tail = next((i for i in range(shorter - head) if ours[-1 - i] != theirs[-1 - i]), shorter - head)
    return [(i, i) for i in range(head)] + [(len(ours) - i, len(theirs) - i) for i in range(tail, 0, -1)]
