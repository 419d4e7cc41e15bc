"""Numbers as they are said or written: words and digits of any script to runs of digits.

A run is a stretch of one segment in which nothing stands between the numbers but separators and fillers. Its digits are what a
listener would write down: "forty-one double seven oh" is 41770.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from genesys_sync.redaction.atoms import Atom, atoms_of, digits_of
from genesys_sync.redaction.findings import Hidden
from genesys_sync.redaction.lexicon import (
    FILLERS,
    HOMOPHONES,
    IN_DATES,
    LISTING,
    MONTHS,
    NAMING,
    SOFT,
    SOUNDS,
    Kind,
    Sound,
)
from genesys_sync.redaction.stream import Stream

WORD = re.compile(r"[^\W_]+")
_LONGEST_GAP = 48
_MOST_FILLERS = 5
_SURE = 2  # digits said one by one, before "to" and "for" beside them are digits too; one fewer for what is no other common word
_LONG = 4  # digits of a group that is not said one by one throughout
_RARE = frozenset({"won", "ate", "tree", "fore", "niner", "fife"})
_EDGE = re.compile(r"[^\W\d_]+")
_ORDINAL_ENDINGS = frozenset({"st", "nd", "rd", "th"})
_FROM = re.compile(r"\b(?:from|between) $")
_RANGE = re.compile(r"\b(?:from|between)\b")
_DATE = 6  # digits of a day and a year
_NAMES_WITH_DIGIT = frozenset({"cvv", "cvc", "cvn"})
_COUNTING = re.compile(r"\b(?:last|first|final|next|other|remaining)[ -]$")
_COUNTING_ENDS = frozenset("tlrg")  # their last letters: nearly nothing else is looked at
_POINTING = re.compile(r"\b(?:the|this|that|which|another|no|each|every|any|only|last|new|old|other|right|wrong|next|good|first|second) $")
_NOTHING = re.compile(r"[^\w\n]*(?:\n|$)")


@dataclass(slots=True)
class Run:
    """start, end: all of it; core_start, core_end: from its first digit to its last; `listed`: it may as well be several numbers;
    `dictated`: digit by digit, and more than one; `letters`: how many single letters stand between its digits."""

    start: int
    end: int
    core_start: int
    core_end: int
    segment: int
    digits: str
    atoms: int
    written: bool
    month: bool
    listed: bool
    dictated: bool
    letters: int


def runs_of(stream: Stream, hidden: Hidden) -> list[Run]:
    """The runs of a stream, in order; what is hidden already belongs to none and parts those on its sides."""
    runs: list[Run] = []
    group: list[Atom] = []
    listed = False
    segment, segment_end = 0, -1
    shut = bool(hidden.findings)
    for atom in atoms_of(stream.low):
        if shut and hidden.overlaps(atom.start, atom.end):
            continue
        if group:
            joint = None if atom.start > segment_end else _joint(stream.low, group, atom)
            if joint is None or (shut and hidden.overlaps(group[-1].end, atom.start)):
                _close(runs, group, segment, stream, listed=listed)
                group, listed = [], False
            else:
                listed = listed or joint
        if not group and atom.start > segment_end:
            segment = stream.segment_at(atom.start)
            segment_end = stream.end_of(segment)
        group.append(atom)
    _close(runs, group, segment, stream, listed=listed)
    return runs


def _joint(low: str, group: Sequence[Atom], right: Atom) -> bool | None:
    """None: what stands between parts two runs. Otherwise whether it is a joint at which two numbers may meet."""
    left = group[-1]
    if right.start - left.end > _LONGEST_GAP:
        return None
    gap = low[left.end : right.start]
    words = WORD.findall(gap)
    if not words:
        return False
    if len(words) > _MOST_FILLERS or low.startswith((" digit", "-digit"), right.end):  # "three seven six, that's the three digit code"
        return None
    if words[0] in _ORDINAL_ENDINGS and left.written and left.end == right.start - len(gap):
        words = [word for word in words if word not in IN_DATES]  # "the 3rd of the 11th"
    if all(len(word) == 1 for word in words) and words not in (["a"], ["i"]):
        return False  # letters in the midst of digits
    listed = False
    dated = Kind.DATE in (left.sound.kind, right.sound.kind)
    digitwise = len(left.sound.digits) == 1 and len(right.sound.digits) == 1
    named = (len(group) == 1 and not NAMING.isdisjoint(words)) or {"my", "number"} <= set(words)  # "cvv two is 6 1 2"
    for word in words:
        if word in LISTING:
            listed = listed or not (left.sound.kind in (Kind.HUNDRED, Kind.SCALE) or word == "y" or {"then", "next"} & set(words))
        elif not (
            word in FILLERS
            or (dated and word in IN_DATES)
            or (digitwise and not named and (word in SOFT or word == "s"))  # "four, then it's two"
            or (
                (digitwise or (right.written and len(group) >= _SURE and all(atom.single for atom in group[-_SURE:])))
                and word in HOMOPHONES
                and not (word == "to" and _FROM.search(low, max(group[0].start - 12, 0), group[0].start))  # "from nine to five"
            )
        ):
            return None
    return listed


def _with_homophones(group: Sequence[Atom], low: str, floor: int, limit: int) -> list[Atom]:
    """The atoms with what was heard for digits among them, and at either end where the rest is surely dictated: "for one won to"."""
    single = [atom.single or atom.sound.kind is Kind.TIMES for atom in group]
    sure = sum(single) if all(single) or sum(len(atom.sound.digits) for atom in group) < _LONG else max(sum(single), _SURE)
    if sure < _SURE - 1 or not (single[0] or single[-1]):
        return list(group)
    out: list[Atom] = []
    for atom in group:
        if out and sure >= _SURE:
            out += _heard(low, out[-1].end, atom.start)
        out.append(atom)
    words: Set[str] = HOMOPHONES.keys() if sure >= _SURE else _RARE
    beside_to = low.startswith(" to", out[-1].end) or low.endswith("to ", floor, out[0].start)
    if beside_to and _RANGE.search(low, max(floor, out[0].start - _LONGEST_GAP), out[0].start):
        words = words - {"to"}  # "from seven oh five to six"
    while single[0] and (before := _word_before(low, out[0].start, floor, words)) is not None:
        out.insert(0, before)
    while single[-1] and (after := _word_after(low, out[-1].end, limit, words)) is not None:
        out.append(after)
    return out


def _heard(low: str, start: int, end: int) -> list[Atom]:
    """The homophones of a stretch, as the digits that they stand for."""
    if end - start < len(" to "):
        return []
    found = _EDGE.finditer(low, start, end)
    return [Atom(m.start(), m.end(), Sound(Kind.DIGITS, HOMOPHONES[m.group()]), written=False) for m in found if m.group() in HOMOPHONES]


def _word_before(low: str, position: int, floor: int, words: Set[str]) -> Atom | None:
    blank = position - 1
    if blank <= floor or low[blank] not in " ,":
        return None
    start = max(low.rfind(" ", floor, blank), floor - 1) + 1
    word = low[start:blank]
    return Atom(start, blank, Sound(Kind.DIGITS, HOMOPHONES[word]), written=False) if word in words else None


def _word_after(low: str, position: int, limit: int, words: Set[str]) -> Atom | None:
    match = _EDGE.match(low, min(position + 1, limit), limit)
    if match is None or low[position] != " " or match.group() not in words:
        return None
    return Atom(match.start(), match.end(), Sound(Kind.DIGITS, HOMOPHONES[match.group()]), written=False)


def _close(runs: list[Run], group: Sequence[Atom], segment: int, stream: Stream, *, listed: bool) -> None:
    if len(group) == 1 and group[0].sound.weak:
        return
    low = stream.low
    group = _numbers_alone(group, low)
    if len(group) == 1 and group[0].sound.kind in (Kind.DIGITS, Kind.TENS) and not group[0].sound.weak:  # as nearly all are
        runs.append(_alone(group[0], segment))
        return
    dates = sum(atom.sound.kind is Kind.DATE for atom in group)
    if all(atom.sound.weak for atom in group) and (not dates or len(group) < 2) and not _repeated(group):
        return
    if low[group[0].start : group[-1].end] == "one second":
        return
    if not dates:
        group = _with_homophones(group, low, stream.starts[segment], stream.end_of(segment))
    counted = [atom for atom in group if atom.sound.kind is not Kind.DATE] or group
    digits = digits_of(group, low)
    month = dates > 1 or any(atom.sound.kind is Kind.DATE and low[atom.start : atom.end] in MONTHS for atom in group)
    sizes = [len(atom.sound.digits) for atom in group if atom.sound.kind is not Kind.DATE]
    dictated = all(size == 1 for size in sizes) and len(sizes) > 1  # digit by digit, as no quantity is said
    months = sum(low[atom.start : atom.end] in MONTHS for atom in group) if month else 0
    dated = month and max(sizes, default=0) <= 4 and sizes.count(1) <= 4 and len(digits) <= _DATE * max(months, 1) + 2
    said = [atom for atom in group if atom.sound.kind is not Kind.DOT]
    hundreds = len(said) > 1 and said[1].sound.kind is Kind.HUNDRED  # "three hundred and thirty five million"
    scaled = any(atom.sound.kind is Kind.SCALE and i <= (4 if hundreds else 2) and not atom.written for i, atom in enumerate(said))
    runs.append(
        Run(
            start=group[0].start,
            end=group[-1].end,
            core_start=counted[0].start,
            core_end=counted[-1].end,
            segment=segment,
            digits=digits,
            atoms=len(group),
            written=all(atom.written for atom in group),
            month=month,
            listed=(listed and not dictated) or scaled or dated,
            dictated=dictated,
            letters=sum(len(word) == 1 for word in _EDGE.findall(low, counted[0].start, counted[-1].end) if word not in SOUNDS),
        )
    )


def _alone(atom: Atom, segment: int) -> Run:
    """The run of one number by itself, which is beside no homophone and no date."""
    return Run(
        start=atom.start,
        end=atom.end,
        core_start=atom.start,
        core_end=atom.end,
        segment=segment,
        digits=atom.sound.digits,
        atoms=1,
        written=atom.written,
        month=False,
        listed=False,
        dictated=False,
        letters=0,
    )


def _numbers_alone(group: Sequence[Atom], low: str) -> Sequence[Atom]:
    """The group without what only looks like a part of it: "oh, right", "the last four", "that one", "double" before another word."""
    while group and (
        group[-1].sound.kind is Kind.DOT
        or (group[-1].sound.kind is Kind.TIMES and (len(group) == 1 or not _NOTHING.match(low, group[-1].end)))
    ):
        group = group[:-1]
    while group and group[0].sound.kind is Kind.DOT:
        group = group[1:]
    if len(group) > 1 and group[0].written and low[max(group[0].start - 3, 0) : group[0].start] in _NAMES_WITH_DIGIT:
        return group[1:]  # "cvv2: 0 8 8"
    if not group or group[0].written:
        return group
    first, rest = group[0], group[1:]
    said = WORD.findall(low, first.end, rest[0].start) if rest and first.sound.weak and first.sound.digits == "0" else []
    if any(word in SOFT and word not in FILLERS for word in said):
        return rest  # an interjection: "oh, right, it's three one"
    if not rest and low[first.start : first.end] == "one" and _POINTING.search(low, max(first.start - 9, 0), first.start):
        return rest
    near = low[first.start - 2 : first.start - 1] in _COUNTING_ENDS
    counted = near and first.sound.kind is Kind.DIGITS and _COUNTING.search(low, max(first.start - 11, 0), first.start)
    if counted and (not rest or str(len(digits_of(rest, low))) == first.sound.digits):
        return rest
    if len(rest) == 1 and first.sound.kind is Kind.DATE and rest[0].single and low[first.start : first.end] not in MONTHS:
        return ()  # "the first four", "the second one"
    return group


def _repeated(group: Sequence[Atom]) -> bool:
    """Whether a digit is doubled in it: "triple o" counts, though neither word does by itself."""
    return any(left.sound.kind is Kind.TIMES and right.sound.kind is Kind.DIGITS for left, right in pairwise(group))
