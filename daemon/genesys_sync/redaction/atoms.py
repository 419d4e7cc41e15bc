"""The words and numerals of a text that belong to numbers, and what a listener writes down who hears them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genesys_sync.redaction.lexicon import DIGIT_IDEOGRAPHS, SOUNDS, Kind, Sound

_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_MARKED_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:[\u0900-\u0903\u093a-\u094f]+[^\W\d_]*)*")  # with Devanagari's vowel signs
_DIGIT = re.compile(r"[0-9]")
_LETTERS_ALONE = re.compile(r"[a-z]+")
_COMPOUNDS = ("soixante", "vingts")  # take up to nineteen after them


@dataclass(frozen=True, slots=True)
class Atom:
    start: int
    end: int
    sound: Sound
    written: bool  # as digits, not as a word

    @property
    def single(self) -> bool:
        """One digit, by itself."""
        return len(self.sound.digits) == 1 and self.sound.kind is Kind.DIGITS


def atoms_of(low: str) -> Iterator[Atom]:
    """Every word and numeral of `low` that belongs to numbers, in order."""
    position = 0
    for line in low.split("\n"):
        if not line.isascii() or _DIGIT.search(line) or not SOUNDS.keys().isdisjoint(_LETTERS_ALONE.findall(line)):  # few lines
            yield from _atoms_between(low, position, position + len(line))
        position += len(line) + 1


def _atoms_between(low: str, start: int, end: int) -> Iterator[Atom]:
    sounds = SOUNDS
    plain = low.isascii()
    for match in (_TOKEN if plain else _MARKED_TOKEN).finditer(low, start, end):
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
        elif sound.kind is Kind.HUNDREDS:
            writer.flush()
            writer.say_tens(int(sound.digits), 100)
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
