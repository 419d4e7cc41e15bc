"""Numbers as they are said or written: words and digits of any script to runs of digits.

A run is a stretch of one segment in which nothing stands between the numbers but separators and fillers. Its digits are what a
listener would write down: "forty-one double seven oh" is 41770.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genesys_sync.redaction.findings import Hidden
from genesys_sync.redaction.lexicon import (
    DIGIT_IDEOGRAPHS,
    FILLERS,
    HOMOPHONES,
    IN_DATES,
    LISTING,
    MONTHS,
    SOFT,
    SOUNDS,
    Kind,
    Sound,
)
from genesys_sync.redaction.stream import Stream

_TOKEN = re.compile(r"\d+|[^\W\d_]+")
WORD = re.compile(r"[^\W_]+")
_LONGEST_GAP = 48
_MOST_FILLERS = 5
_COMPOUNDS = ("soixante", "vingts")  # take up to nineteen after them


@dataclass(frozen=True, slots=True)
class Atom:
    start: int
    end: int
    sound: Sound
    written: bool  # as digits, not as a word


@dataclass(slots=True)
class Run:
    """start, end: all of it; core_start, core_end: from its first digit to its last; `listed`: it may as well be several numbers;
    `dictated`: digit by digit, and more than one."""

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


def atoms_of(low: str) -> Iterator[Atom]:
    """Every word and numeral of `low` that belongs to numbers, in order."""
    sounds = SOUNDS
    plain = low.isascii()
    for match in _TOKEN.finditer(low):
        word = match.group()
        sound = sounds.get(word)
        if sound is not None:
            yield Atom(match.start(), match.end(), sound, written=False)
        elif plain and word > ":":  # letters: nearly every word ends here
            continue
        elif word.isdecimal():
            digits = word if word.isascii() else "".join(str(unicodedata.decimal(c)) for c in word)
            yield Atom(match.start(), match.end(), Sound(Kind.DIGITS, digits), written=True)
        elif not word.isascii():
            for offset, character in enumerate(word, start=match.start()):
                digit = DIGIT_IDEOGRAPHS.get(character) or unicodedata.digit(character, None)
                if digit is not None:
                    yield Atom(offset, offset + 1, Sound(Kind.DIGITS, str(digit)), written=True)


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
            joint = None if atom.start > segment_end else _joint(stream.low, group[-1], atom)
            if joint is None or (shut and hidden.overlaps(group[-1].end, atom.start)):
                _close(runs, group, segment, stream.low, listed=listed)
                group, listed = [], False
            else:
                listed = listed or joint
        if not group and atom.start > segment_end:
            segment = stream.segment_at(atom.start)
            segment_end = stream.end_of(segment)
        group.append(atom)
    _close(runs, group, segment, stream.low, listed=listed)
    return runs


def _joint(low: str, left: Atom, right: Atom) -> bool | None:
    """None: what stands between parts two runs. Otherwise whether it is a joint at which two numbers may meet."""
    if right.start - left.end > _LONGEST_GAP:
        return None
    gap = low[left.end : right.start]
    words = WORD.findall(gap)
    if len(words) > _MOST_FILLERS:
        return None
    listed = False
    dated = Kind.DATE in (left.sound.kind, right.sound.kind)
    for word in words:
        if word in LISTING:
            listed = listed or not (left.sound.kind in (Kind.HUNDRED, Kind.SCALE) or word == "y" or {"then", "next"} & set(words))
        elif not (
            word in FILLERS
            or (dated and word in IN_DATES)
            or ((word in SOFT or word == "s") and len(left.sound.digits) == 1 and len(right.sound.digits) == 1)  # "four, then it's two"
            or (len(gap) == 1 and left.written)  # a letter in the midst of digits
            or (word in HOMOPHONES and len(left.sound.digits) == 1 and len(right.sound.digits) == 1 and len(words) == 1)
        ):
            return None
    return listed


def _close(runs: list[Run], group: Sequence[Atom], segment: int, low: str, *, listed: bool) -> None:
    while group and group[-1].sound.kind in (Kind.TIMES, Kind.DOT):
        group = group[:-1]
    while group and group[0].sound.kind is Kind.DOT:
        group = group[1:]
    dates = sum(atom.sound.kind is Kind.DATE for atom in group)
    if all(atom.sound.weak for atom in group) and (not dates or len(group) < 2):
        return
    counted = [atom for atom in group if atom.sound.kind is not Kind.DATE] or group
    digits = digits_of(group, low)
    month = any(atom.sound.kind is Kind.DATE and low[atom.start : atom.end] in MONTHS for atom in group)
    sizes = [len(atom.sound.digits) for atom in group if atom.sound.kind is not Kind.DATE]
    dictated = all(size == 1 for size in sizes) and len(sizes) > 1  # digit by digit, as no quantity is said
    dated = month and max(sizes, default=0) <= 4 and sizes.count(1) <= 4
    scaled = any(atom.sound.kind is Kind.SCALE and i <= 2 and not atom.written for i, atom in enumerate(group))
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
        )
    )


class _Writer:
    """Writes down digits as they are dictated: `value` is the number being said, `room` what may still be added to it."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.value: int | None = None
        self.room = 0
        self.pad = 0

    def flush(self) -> None:
        """What is being said is complete; `pad`: after a thousand it takes up three places."""
        if self.value is not None:
            self.out.append(str(self.value).zfill(self.pad))
            self.pad = 0
        self.value, self.room = None, 0

    def finish(self) -> None:
        """So is what a thousand left open."""
        self.flush()
        self.out.append("0" * self.pad)
        self.pad = 0

    def say(self, value: int) -> None:
        if self.value is not None and 0 < value < self.room:
            self.value += value
            self.room = 10 if value == 10 and self.room == 20 else 0
        else:
            self.flush()
            self.value = value

    def say_tens(self, value: int, room: int) -> None:
        if self.value == 4 and room == 20 and value == 20:  # quatre-vingts
            self.value, self.room = 80, 20
            return
        if self.value is not None and self.room == 100:
            self.value += value
        else:
            self.flush()
            self.value = value
        self.room = room

    def hundred(self) -> None:
        if self.value is None or not 0 < self.value < 100:
            self.flush()
            self.value = 1
        self.value *= 100
        self.room = 100

    def scale(self, zeros: int) -> None:
        if self.value is None and not self.pad:
            self.value = 1
        self.pad = max(self.pad - zeros, 0)
        self.flush()
        self.pad = zeros

    def write(self, digits: str) -> None:
        self.finish()
        self.out.append(digits)


def digits_of(atoms: Sequence[Atom], low: str) -> str:
    """What a listener writes down."""
    writer = _Writer()
    times = 1
    for atom in atoms:
        sound = atom.sound
        if sound.kind is Kind.TIMES:
            times = int(sound.digits)
            continue
        if sound.kind is Kind.DIGITS:
            if times > 1 or atom.written:
                writer.write(sound.digits[:1] * (times - 1) + sound.digits)
            else:
                writer.say(int(sound.digits))
        elif sound.kind is Kind.TENS:
            writer.say_tens(int(sound.digits), 20 if low[atom.start : atom.end] in _COMPOUNDS or _is_score(low, atom) else 10)
        elif sound.kind is Kind.HUNDRED:
            writer.hundred()
        elif sound.kind is Kind.SCALE:
            writer.scale(len(sound.digits))
        else:
            writer.flush()
        times = 1
    writer.finish()
    return "".join(writer.out)


def _is_score(low: str, atom: Atom) -> bool:
    """French "vingt" straight after "quatre"."""
    return low[atom.start : atom.end] == "vingt" and low[max(atom.start - 7, 0) : atom.start - 1] == "quatre"
