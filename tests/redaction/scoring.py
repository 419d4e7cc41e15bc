"""How well a redactor does on cases: recall by planted value, precision by hidden span."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.redaction.cases import Case, Planted

from genesys_sync.redaction import Redaction, Redactor

_SPOKEN = re.compile(r"[a-zà-ÿ]{3,}")
_MASK = re.compile(r"\[[A-Z_]+\]")


@dataclass(slots=True)
class Score:
    """Counts, and the cases that went wrong. `planted` and `caught` by (type, spoken); `hidden`, `right`, `labelled` by type."""

    cases: int = 0
    planted: Counter[tuple[str, bool]] = field(default_factory=Counter)
    caught: Counter[tuple[str, bool]] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    labelled: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def recall(self, *, spoken: bool) -> float:
        total = sum(n for (_, said), n in self.planted.items() if said is spoken)
        return sum(n for (_, said), n in self.caught.items() if said is spoken) / total if total else 1.0

    @property
    def precision(self) -> float:
        total = sum(self.hidden.values())
        return sum(self.right.values()) / total if total else 1.0

    @property
    def label_accuracy(self) -> float:
        total = sum(self.right.values())
        return sum(self.labelled.values()) / total if total else 1.0


def score(redactor: Redactor, cases: Iterable[Case]) -> Score:
    """Every case redacted and compared with what was planted in it."""
    result = Score()
    for case in cases:
        result.cases += 1
        redaction = redactor.redact(case.transcript())
        hidden = _hidden(case, redaction)
        missed = False
        for planted in case.planted:
            value = case.lines[planted.segment][1][planted.start : planted.end]
            key = (planted.type, _is_spoken(planted.type, value))
            result.planted[key] += 1
            if all(position in hidden for position in _telling(planted, value)):
                result.caught[key] += 1
            else:
                missed = True
        false = _count_spans(case, redaction, result)
        if missed or false:
            shown = " / ".join(segment.text for segment in redaction.transcript.segments)
            result.wrong.append(f"{'missed' if missed else 'too much'}: {' / '.join(text for _, text in case.lines)}\n     -> {shown}")
    return result


def _is_spoken(kind: str, value: str) -> bool:
    if kind == "EMAIL":
        return "@" not in value
    return _SPOKEN.search(value) is not None


def _telling(planted: Planted, value: str) -> list[tuple[int, int]]:
    article = 4 if value.startswith("the ") else 0  # tells nothing
    return [(planted.segment, planted.start + i) for i, c in enumerate(value) if c.isalnum() and i >= article]


def _word_offsets(text: str) -> list[tuple[int, int]]:
    offsets = []
    position = 0
    for word in text.split(" "):
        offsets.append((position, position + len(word)))
        position += len(word) + 1
    return offsets


def _hidden(case: Case, redaction: Redaction) -> set[tuple[int, int]]:
    """Every position of the original text that is no longer shown. Text and words agree in these cases, before and after."""
    positions: set[tuple[int, int]] = set()
    for (_, text), segment in zip(case.lines, redaction.transcript.segments, strict=True):
        assert " ".join(word.text for word in segment.words) == segment.text
        pieces = _MASK.split(segment.text)
        match = re.fullmatch("(.+?)".join(re.escape(piece) for piece in pieces), text)
        assert match is not None, segment.text
        for group in range(1, len(pieces)):
            positions.update((segment.index, i) for i in range(*match.span(group)))
    return positions


def _count_spans(case: Case, redaction: Redaction, result: Score) -> bool:
    false = False
    for span in redaction.spans:
        offsets = _word_offsets(case.lines[span.segment][1])[span.first_word : span.last_word]
        touched = {i for start, end in offsets for i in range(start, end)}
        within = [p for p in case.planted if p.segment == span.segment]
        expected = {i for p in within for i in range(p.start, p.end)}
        result.hidden[span.type] += 1
        if len(touched & expected) * 2 >= len(touched):
            result.right[span.type] += 1
            result.labelled[span.type] += any(p.type == span.type and touched & set(range(p.start, p.end)) for p in within)
        else:
            false = True
    return false
