"""The letters of an IBAN, written or spelled, on both sides of its digits."""

from __future__ import annotations

import re
from typing import Final

from genesys_sync.redaction import findings as types
from genesys_sync.redaction.findings import Finding, Hidden
from genesys_sync.redaction.labels import names_anything
from genesys_sync.redaction.lexicon import SOFT, SOUNDS, SPELLING, word_set
from genesys_sync.redaction.stream import Stream

_LOOK_BACK: Final = 110
_LOOK_AHEAD: Final = 60
_PIECE: Final = re.compile(r"[^\W_]+")
_COUNTRY: Final = re.compile(r"[a-z][a-z]\d\d")
_LONGEST: Final = 34
_SHORTEST: Final = 12  # letters and digits, before what follows "IBAN" is one
_COUNTRIES: Final = word_set(
    "ad ae al at az ba be bg bh br by ch cr cy cz de dk do ee es fi fo fr gb ge gi gl gr gt hr hu ie il iq is it jo kw kz lb li lt lu lv"
    " mc md me mk mr mt mu nl no pk pl ps pt qa ro rs sa se si sk sm tn tr ua va vg xk"
)
_NOISES: Final = frozenset({"um", "uh", "uhm", "er", "erm", "äh", "ähm", "euh"})
_NUMBER_NEXT: Final = re.compile(r" ?\d\d")
_ASKED: Final = re.compile(r"\bi ?ban\b")
_ASKED_AHEAD: Final = 420  # characters: an IBAN that is spelled with words for its letters
_MOST_OTHERS: Final = 8  # words in a row that are neither spelled nor a confirmation


def before_iban(stream: Stream, position: int) -> int | None:
    """Where an IBAN begins whose digits go on at `position`: at its country's two letters and two digits. None where there is none."""
    floor = max(stream.starts[stream.segment_at(position)], position - _LOOK_BACK)
    spelled = ""
    begin = None
    at_digits = _PIECE.match(stream.low, position)
    ahead = at_digits.group() if at_digits else ""
    spelled = _as_spelled(stream.text, position, position + len(ahead), ahead) or ""
    following = _PIECE.match(stream.low, min(position + len(ahead) + 1, len(stream.low)))
    if following is not None:
        spelled += _as_spelled(stream.text, following.start(), following.end(), following.group()) or ""
    for piece in reversed(list(_PIECE.finditer(stream.low, floor, position))):
        letters = _as_spelled(stream.text, piece.start(), piece.end(), piece.group())
        if letters is None and piece.end() == position and piece.end() - piece.start() <= 4:
            letters = piece.group()  # "de89": written to its digits
        if letters is None or len(spelled) > _LONGEST:
            break
        spelled = letters + spelled
        if letters and _COUNTRY.match(spelled):
            begin = piece.start()
    return begin


def after_iban(stream: Stream, position: int, end: int) -> int:
    """Where an IBAN ends whose digits were read up to `position`: groups that hold a digit, or capitals, go on with it."""
    limit = min(stream.end_of(stream.segment_at(position)), position + _LOOK_AHEAD)
    for piece in _PIECE.finditer(stream.low, position, limit):
        if not any(c.isdecimal() for c in piece.group()):
            break
        end = max(end, piece.end())
    return end


def is_spelled(stream: Stream, start: int, end: int) -> bool:
    """Whether a stretch of one segment holds nothing but spelled letters and digits."""
    if stream.segment_at(start) != stream.segment_at(end):
        return False
    pieces = _PIECE.finditer(stream.low, start, end)
    return all(_as_spelled(stream.text, piece.start(), piece.end(), piece.group()) is not None for piece in pieces)


def _as_spelled(text: str, start: int, end: int, low: str) -> str | None:
    """What a word stands for in a spelled number, lower case; None where it is an ordinary word."""
    if low == "ray" and text[max(start - 2, 0) : start - 1] in ("x", "X"):
        return ""  # the rest of "x-ray"
    if low in _NOISES:
        return ""
    if len(low) == 1 or low in SPELLING:
        return low[0]
    sound = SOUNDS.get(low)
    if sound is not None and sound.digits:
        return sound.digits
    if any(c.isdecimal() for c in low) or (len(low) <= 4 and text[start:end].isupper()):
        return low
    return None


def find_asked_ibans(stream: Stream, hidden: Hidden) -> None:
    """Adds every IBAN that is given after the word, letters and digits over several segments: from its country's letters on.

    Words that are not spelled part it and are shown; after a few of them, or a name for something else, it is taken to be over.
    """
    done = 0
    for asked in _ASKED.finditer(stream.low):
        if asked.start() < done or hidden.overlaps(asked.start(), asked.end()):
            continue
        stretches = _spelled_after(stream, hidden, asked.end())
        value = "".join(letters for _, _, letters in stretches)
        country = _COUNTRY.search(value)
        if country is None or len(value) - country.start() < _SHORTEST:
            continue
        passed = 0
        for start, end, letters in stretches:
            passed += len(letters)
            if passed > country.start():
                hidden.add(Finding(start, end, types.IBAN, "asked_for", value[country.start() :]))
                done = end


def _goes_on_spelled(stream: Stream, position: int) -> bool:
    """Whether the segment ends at `position`, or goes on with another spelled letter or digit."""
    ahead = _PIECE.finditer(stream.low, position, min(stream.end_of(stream.segment_at(position - 1)), position + _LOOK_AHEAD))
    following = next((piece for piece in ahead if piece.group() not in _NOISES), None)
    if stream.low[position : position + 1] in ("'", "\u2019"):
        return False
    return following is None or _as_spelled(stream.text, following.start(), following.end(), following.group()) is not None


def _spelled_after(stream: Stream, hidden: Hidden, position: int) -> list[tuple[int, int, str]]:
    """(start, end, what it stands for) of each stretch of spelled letters and digits after `position`, until it goes on no more."""
    stretches: list[tuple[int, int, str]] = []
    others = told = 0
    joined = False
    limit = min(position + _ASKED_AHEAD, len(stream.low))
    for piece in _PIECE.finditer(stream.low, position, limit):
        start, end, word = piece.start(), piece.end(), piece.group()
        if piece.end() == limit < len(stream.low) or hidden.overlaps(start, end) or told >= _LONGEST or others > _MOST_OTHERS:
            break
        if word in _NOISES:
            continue
        letters = None if word in SOFT and len(word) > 1 and word not in SOUNDS else _as_spelled(stream.text, start, end, word)
        if letters is None and word in _COUNTRIES and _NUMBER_NEXT.match(stream.low, end):
            letters = word  # "de 89"
        if word in ("a", "i") and not _goes_on_spelled(stream, end):
            letters = None  # "i make"
        if letters is None or stream.low[start - 1] in "'\u2019":
            if names_anything(word) and _ASKED.match(word) is None:
                break
            others += bool(stretches) and word not in SOFT
            joined = False
            continue
        told += len(letters)
        others = 0
        if joined and stream.segment_at(stretches[-1][0]) == stream.segment_at(start):
            stretches[-1] = (stretches[-1][0], end, stretches[-1][2] + letters)
        else:
            stretches.append((start, end, letters))
        joined = True
    return stretches
