"""Rules of your own, from settings: a pattern, the type that it hides as, and words that must have been said before it.

Patterns are matched by RE2, which knows no look-around and no back-reference and takes time in proportion to the text for any
pattern. Finding all matches of one could still take the square of it (each search may run to the end of the text), so a rule sees
the text in windows: however a pattern is written, the work is bounded by the text's length times the window's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from genesys_sync.redaction.findings import TYPES, Finding, Hidden
from genesys_sync.redaction.stream import Stream, lowered

if TYPE_CHECKING:
    from re2 import _Regexp

LONGEST_MATCH: Final = 256
"""Characters that a custom rule may match; what would match more is hidden piece by piece or not found."""

_STRIDE: Final = 768
_CONTEXT: Final = 160  # characters back in which a context word counts
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TYPE: Final = re.compile(r"[A-Z][A-Z_]{1,29}")
_LONGEST_PATTERN: Final = 1000


class RuleRefused(ValueError):
    """A rule cannot be used: its name and why, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomRule:
    """One rule. Raises RuleRefused for what cannot be used.

    name     lower_snake_case; stands in the report
    pattern  RE2 syntax, matched without regard to case; a match is hidden whole, and at most 256 characters of it
    type     CAPITALS: what the mask reads, such as `BADGE` for `[BADGE]`
    context  words of which one must have been said in the 160 characters before a match; empty: none is needed
    """

    name: str
    pattern: str
    type: str
    context: tuple[str, ...] = ()
    _compiled: _Regexp[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise RuleRefused(f"rule {self.name[:40]!r}: a name is lower_snake_case, at most 40 characters")
        if _TYPE.fullmatch(self.type) is None:
            raise RuleRefused(f"rule {self.name}: a type is written in capitals and underscores, 2 to 30 of them, such as BADGE")
        if len(self.pattern) > _LONGEST_PATTERN:
            raise RuleRefused(f"rule {self.name}: its pattern is longer than {_LONGEST_PATTERN} characters")
        if any(not word.strip() for word in self.context):
            raise RuleRefused(f"rule {self.name}: a context word is empty")
        object.__setattr__(self, "_compiled", _compile(self.name, self.pattern))

    def find(self, stream: Stream, hidden: Hidden) -> None:
        """Adds every match to `hidden`."""
        words = tuple(lowered(word) for word in self.context)
        done = 0
        for floor in range(0, max(len(stream.text), 1), _STRIDE):
            window = stream.text[floor : floor + _STRIDE + LONGEST_MATCH]
            for match in self._matches(window):
                start, end = floor + match.start(), min(floor + match.end(), floor + match.start() + LONGEST_MATCH)
                if match.start() >= _STRIDE or end <= max(start, done):
                    continue
                before = stream.low[max(0, start - _CONTEXT) : start]
                if words and not any(word in before for word in words):
                    continue
                for low, high in stream.parts(start, end):
                    hidden.add(Finding(low, high, self.type, self.name, lowered(match.group())))
                done = end

    def _matches(self, window: str) -> Any:
        return self._compiled.finditer(window) if self._compiled is not None else ()


def _compile(name: str, pattern: str) -> _Regexp[str]:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = 8 << 20
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RuleRefused(
            f"rule {name}: its pattern is not one that RE2 takes in ({said}); write it without look-around and back-references"
        ) from None
    if compiled.search("") is not None:
        raise RuleRefused(f"rule {name}: its pattern matches nothing at all; write + for *, or {{1,}}")
    return compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionRules:
    """What the redactor does beside its built-in rules. Raises RuleRefused.

    regions  ISO 3166 codes of the countries whose phone numbers are known without their country code: chooses labels only
    custom   rules of your own, applied before the built-in ones; names are unique
    """

    regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES")
    custom: tuple[CustomRule, ...] = ()

    def __post_init__(self) -> None:
        for region in self.regions:
            if not (len(region) == 2 and region.isascii() and region.isupper()):
                raise RuleRefused(f"region {region[:10]!r} is not an ISO 3166 code of two capitals, such as US")
        names = [rule.name for rule in self.custom]
        for name in names:
            if names.count(name) > 1:
                raise RuleRefused(f"two rules are named {name}")

    @property
    def types(self) -> frozenset[str]:
        """Every type that a mask may read."""
        return frozenset(TYPES) | {rule.type for rule in self.custom}
