"""What is found: a stretch of a stream, its type, and the rule that found it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CARD: Final = "CARD"
EXPIRY: Final = "EXPIRY"
CVV: Final = "CVV"
SSN: Final = "SSN"
PHONE: Final = "PHONE"
EMAIL: Final = "EMAIL"
IBAN: Final = "IBAN"
DATE_OF_BIRTH: Final = "DATE_OF_BIRTH"
CODE: Final = "CODE"
NUMBER: Final = "NUMBER"

MASKED: Final = "masked"
"""The rule of a mask that stood there before us."""

TYPES: Final = (CARD, EXPIRY, CVV, SSN, PHONE, EMAIL, IBAN, DATE_OF_BIRTH, CODE, NUMBER)
"""The built-in types; custom rules and name finders bring their own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A stretch [start, end) of a stream that is to be hidden. `value`: what it stands for, for pseudonyms; never shown."""

    start: int
    end: int
    type: str
    rule: str
    value: str


class Hidden:
    """The stretches found so far, in order and without overlap, each within one segment.

    Two that overlap are one stretch with the type that was found first; a mask that stood there before gives way.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: list[Finding] = []
        self._starts: list[int] = []
        for finding in findings:
            self.add(finding)

    def add(self, finding: Finding) -> None:
        """Takes the finding in; what it overlaps is widened instead, and keeps its type."""
        at = bisect_right(self._starts, finding.start)
        if at and self.findings[at - 1].end > finding.start:
            at -= 1
        until = at
        while until < len(self.findings) and self.findings[until].start < finding.end:
            until += 1
        touched = self.findings[at:until]
        if touched:
            kept = next((found for found in touched if found.rule != MASKED), finding)
            finding = Finding(
                min(finding.start, touched[0].start), max(finding.end, touched[-1].end), kept.type, kept.rule, kept.value or finding.value
            )
        self.findings[at:until] = [finding]
        self._starts[at:until] = [finding.start]

    def overlaps(self, start: int, end: int) -> bool:
        at = bisect_right(self._starts, start)
        return bool((at and self.findings[at - 1].end > start) or (at < len(self.findings) and self.findings[at].start < end))

    def tail(self, text: str, position: int, length: int) -> str:
        """The last `length` characters before `position`, as they read once everything found is hidden: NUL for each stretch.

        Rules that look back look at this, and so see the same text in a transcript that was redacted before.
        """
        pieces: list[str] = []
        missing = length
        at = bisect_right(self._starts, position - 1) - 1
        while missing > 0 and position > 0:
            start = self.findings[at].end if at >= 0 else 0
            piece = text[max(start, position - missing) : position]
            pieces.append(piece)
            missing -= len(piece)
            if at < 0 or missing <= 0:
                break
            pieces.append("\0")
            missing -= 1
            position = self.findings[at].start
            at -= 1
        return "".join(reversed(pieces))
