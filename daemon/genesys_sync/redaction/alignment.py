"""The same segment twice: as it reads, and as its words were heard. What is hidden in one is hidden in the other."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher

_PIECE = re.compile(r"[^\W_]+")
_MOST = 400  # pieces that are compared freely; beyond, only what both begin and end with is taken for equal


def carried_over(source: str, target: str, start: int, end: int) -> tuple[int, int] | None:
    """The stretch of `target` that says what [start, end) of `source` says; both lower case. None where nothing of it is there.

    Between two pieces that are surely the same, all is taken: where it is not known which word is meant, more is hidden.
    """
    ours, theirs = list(_PIECE.finditer(source)), list(_PIECE.finditer(target))
    first = bisect_right([piece.end() for piece in ours], start)
    last = next((i for i in range(first, len(ours)) if ours[i].start() >= end), len(ours))
    if first >= last:
        return None
    before, after = -1, len(theirs)
    for i, j in _pairs([p.group() for p in ours], [p.group() for p in theirs]):
        if i < first:
            before = j
        elif i >= last:
            after = j
            break
    if after - before < 2:
        return None
    return theirs[before + 1].start(), theirs[after - 1].end()


def _pairs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    if len(ours) <= _MOST and len(theirs) <= _MOST:
        blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
        return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    shorter = min(len(ours), len(theirs))
    head = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
    tail = next((i for i in range(shorter - head) if ours[-1 - i] != theirs[-1 - i]), shorter - head)
    return [(i, i) for i in range(head)] + [(len(ours) - i, len(theirs) - i) for i in range(tail, 0, -1)]
