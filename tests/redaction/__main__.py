"""The redactor's score: `make redaction-score`.

Redacts the corpus (written by hand, held out, and generated from seeds) and prints recall, precision and label by type, and the text
redacted a second. Ends with 1 where a promise is broken: recall on digits as digits 100 %, on spoken digits 98 %, precision 97 %,
2.5 MB of text a second on one core.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.redaction import measure
from tests.redaction.cases import cases_in
from tests.redaction.generating import Generator
from tests.redaction.noise import Noisy
from tests.redaction.scoring import Score, score
from tests.redaction.strangers import Strangers

from genesys_sync.redaction import Redactor

WRITTEN = {
    "written by hand": "hand.txt",
    "held out": "heldout.txt",
    "second": "second.txt",
    "set A": "unseen_a.txt",
    "set B": "unseen_b.txt",
    "set C": "unseen_c.txt",
    "set D": "unseen_d.txt",
    "set E": "unseen_e.txt",
    "set F": "unseen_f.txt",
    "set G": "unseen_g.txt",
    "set H": "unseen_h.txt",
}
SEEDS = (1, 20261121)
NOISE_SEEDS = (71, 1009)
STRANGE_SEEDS = (13, 20270101)
LEAST_WRITTEN, LEAST_SPOKEN, LEAST_PRECISION, LEAST_SPEED = 1.0, 0.98, 0.97, 2.5


def faults(name: str, result: Score) -> list[str]:
    """Each promise that a score breaks, as a sentence."""
    measured = (
        ("recall on digits as digits", result.recall(spoken=False), LEAST_WRITTEN),
        ("recall on spoken values", result.recall(spoken=True), LEAST_SPOKEN),
        ("precision", result.precision, LEAST_PRECISION),
    )
    return [f"{name}: {what} is {value:.2%}, below {least:.0%}" for what, value, least in measured if value < least]


def _print_table(result: Score) -> None:
    print(f"{'type':<15} {'as digits':>14} {'spoken':>14} {'precision':>14} {'label':>8}")
    for kind in sorted({kind for kind, _ in result.planted} | set(result.hidden)):
        cells = [
            _share(result.caught[kind, False], result.planted[kind, False]),
            _share(result.caught[kind, True], result.planted[kind, True]),
            _share(result.right[kind], result.hidden[kind]),
        ]
        print(f"{kind:<15} {cells[0]:>14} {cells[1]:>14} {cells[2]:>14} {_percent(result.labelled[kind], result.right[kind]):>8}")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:4.0%}" if whole else "-"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="redaction-score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=int, default=1000, help="cases generated from each seed")
    parser.add_argument("--seed", type=int, action="append", help="seeds, instead of those that are always used")
    parser.add_argument(
        "--show", action="store_true", help="print each case that went wrong: the corpus is invented, none of it is anybody's"
    )
    options = parser.parse_args(arguments)
    redactor = Redactor()
    parts = {name: cases_in(file) for name, file in WRITTEN.items()}
    parts |= {f"seed {seed}": list(Generator(seed).cases(options.generated)) for seed in options.seed or SEEDS}
    parts |= {f"noise {seed}": list(Noisy(seed).cases(options.generated)) for seed in options.seed or NOISE_SEEDS}
    parts |= {f"strangers {seed}": list(Strangers(seed).cases(options.generated)) for seed in options.seed or STRANGE_SEEDS}
    print(
        f"{sum(len(case.lines) for cases in parts.values() for case in cases)} utterances in {sum(map(len, parts.values()))} conversations"
    )
    broken: list[str] = []
    for name, cases in parts.items():
        result = score(redactor, cases)
        print(
            f"{name:<18} {result.cases:5} conversations: digits {result.recall(spoken=False):.2%}, spoken {result.recall(spoken=True):.2%},"
            f" precision {result.precision:.2%}, right label {result.label_accuracy:.2%}"
        )
        broken += faults(name, result)
        if options.show:
            print(*(f"  {line}" for line in result.wrong), sep="\n")
    _print_table(score(redactor, [case for cases in parts.values() for case in cases]))
    for name, rate in measure(1.0, 5).items():
        print(f"{name:<16} {rate:.1f} MB of text a second on one core")
        if name == "conversations" and rate < LEAST_SPEED:
            broken.append(f"speed is {rate:.1f} MB a second, below {LEAST_SPEED}")
    for sentence in broken:
        print(f"BROKEN  {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
