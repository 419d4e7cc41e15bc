"""`python -m tests.harness`: plays the faults and prints the table. Exit 0 only when no row failed or proved nothing; 1 otherwise."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from .bench import BIN, Bench, DidNotHappen, clear
from .checker import SHOWN, Finding, Verdict
from .faults.rows import Played, Row
from .table import ROWS

EX_USAGE, INTERRUPTED = 64, 130


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table."""

    row: Row
    verdict: Verdict
    injected: str
    outcome: str
    finding: Finding
    words: Sequence[str]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays what was chosen."""
    options = _parser().parse_args(arguments)
    chosen = [name.strip().upper() for name in options.only.split(",")] if options.only else [row.name.upper() for row in ROWS]
    known = {row.name.upper() for row in ROWS}
    if unknown := [name for name in chosen if name not in known]:
        sys.stderr.write(f"there is no row {unknown[0]}; the rows are {', '.join(row.name for row in ROWS)}\n")
        return EX_USAGE
    rows = [row for row in ROWS if row.name.upper() in chosen and (options.long or options.only or not row.long)]
    if not (BIN / "genesys-sync").exists():
        sys.stderr.write(f"there is no genesys-sync beside {sys.executable}; use make acceptance, or the Python of .venv\n")
        return EX_USAGE
    folder = Path(options.folder) if options.folder else Path(tempfile.mkdtemp(prefix="genesys-sync-acceptance-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"--folder {folder} cannot be made: {error.strerror}\n")
        return EX_USAGE
    began = time.monotonic()
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        playing = [pool.submit(play, row, folder / row.name, long=options.long) for row in rows]
        try:
            for done in as_completed(playing):
                result = done.result()
                results[result.row.name] = result
                sys.stdout.write(_line(result) + "\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stderr.write("stopped: the rows that are being played come to their end first\n")
            pool.shutdown(wait=True, cancel_futures=True)
            return INTERRUPTED
    ordered = [results[row.name] for row in rows]
    left_out = [row.name for row in ROWS if row.long and row not in rows and not options.only]
    sys.stdout.write("\n" + table(ordered) + "\n")
    for result in ordered:
        if result.words and result.verdict is not Verdict.PASS:
            sys.stdout.write(f"\n{result.row.name} {result.verdict}\n" + "".join(f"  {word}\n" for word in result.words))
    if left_out:
        sys.stdout.write(f"\nin the long form only: {', '.join(left_out)}\n")
    bad = [result for result in ordered if result.verdict in (Verdict.FAIL, Verdict.UNKNOWN)]
    sys.stdout.write(f"\n{len(ordered)} rows, {len(bad)} not as promised, {time.monotonic() - began:.0f} s; evidence in {folder}\n")
    return 1 if bad else 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.harness", description=__doc__)
    parser.add_argument("--only", metavar="F05,F22", help=f"these rows only; there are {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--long", action="store_true", help="more kills, more cuts, more recordings")
    parser.add_argument("--jobs", type=_positive, default=4, metavar="N", help="rows played at one time (default: 4)")
    parser.add_argument("--folder", metavar="PATH", help="where the evidence goes (default: a new folder for temporary files)")
    return parser


def play(row: Row, folder: Path, *, long: bool) -> Result:
    """One row from an empty folder to its verdict. Whatever goes wrong on the way is a row that failed."""
    began = time.monotonic()
    if reason := row.needs():
        return Result(row, Verdict.SKIPPED, "-", reason, Finding(), (reason,), 0.0)
    clear(folder)
    bench = Bench(row.name, folder, long)
    with bench.stack:
        try:
            played = row.play(bench)
        except DidNotHappen as why:
            played = Played("-", str(why), Finding())
            bench.problems.append(str(why))
        except Exception:  # noqa: BLE001 - a row that breaks is a row that failed; the others go on
            played = Played("-", "the row itself broke", Finding())
            bench.problems.append(traceback.format_exc())
    finding = played.finding
    if not played.bit:
        finding.unproved.append("the fault did not bite")
    verdict = Verdict.FAIL if bench.problems else finding.verdict
    words = [*bench.problems, *finding.lines(), *_ids(finding)]
    (folder / "verdict.txt").write_text("\n".join([f"{row.name} {verdict}", played.injected, played.outcome, *words]) + "\n")
    return Result(row, verdict, played.injected, played.outcome, finding, words, time.monotonic() - began)


def _ids(finding: Finding) -> Sequence[str]:
    return [f"{name}: {' '.join(sorted(ids)[:SHOWN])}" for name, ids in sorted(finding.counts.items()) if ids]


def _line(result: Result) -> str:
    return f"{result.row.name:<5} {result.verdict:<8} {result.seconds:>4.0f} s  {result.row.fault}: {result.outcome}"


COUNTS = ("lost", "altered", "duplicated", "unexpected", "undelivered", "late")


def table(results: Sequence[Result]) -> str:
    """The whole table: fault, injected, outcome, counts, verdict."""
    rows: list[tuple[str, ...]] = [("row", "fault", "injected", "outcome", "of", *COUNTS, "verdict")]
    for result in results:
        counts = [str(len(result.finding.counts.get(name, ()))) for name in COUNTS]
        rows.append(
            (result.row.name, result.row.fault, result.injected, result.outcome, str(result.finding.created), *counts, str(result.verdict))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


if __name__ == "__main__":
    sys.exit(main())
