"""The letters of an IBAN, written or spelled, on both sides of its digits."""

from __future__ import annotations

import re
from typing import Final

from genesys_sync.redaction.lexicon import SOUNDS, SPELLING
from genesys_sync.redaction.stream import Stream

_LOOK_BACK: Final = 110
_LOOK_AHEAD: Final = 60
_PIECE: Final = re.compile(r"[^\W_]+")
_COUNTRY: Final = re.compile(r"[a-z][a-z]\d\d")
_LONGEST: Final = 34


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
        if _COUNTRY.match(spelled):
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


def _as_spelled(text: str, start: int, end: int, low: str) -> str | None:
    """What a word stands for in a spelled number, lower case; None where it is an ordinary word."""
    if len(low) == 1 or low in SPELLING:
        return low[0]
    sound = SOUNDS.get(low)
    if sound is not None and sound.digits:
        return sound.digits
    if any(c.isdecimal() for c in low) or (len(low) <= 4 and text[start:end].isupper()):
        return low
    return None
