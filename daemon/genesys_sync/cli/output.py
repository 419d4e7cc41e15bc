"""How commands answer on standard output: JSON for programs, lines and tables for people, times and spans in one form each."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import orjson

from genesys_sync.errors import EX_IOERR, GenesysSyncError
from genesys_sync.events import iso as iso_time
from genesys_sync.scrubbing import escape

NOTHING_FOUND = 1
"""The command worked, and there was nothing to show or to do."""


class OutputFailed(GenesysSyncError):
    """Standard output takes nothing more, for another reason than a reader that went away."""

    exit_code = EX_IOERR


@contextmanager
def written() -> Generator[None]:
    """Around a write to standard output: a full disk is a sentence. BrokenPipeError passes as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}; make room, or send it elsewhere") from None


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    with written():
        sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_line(text: str = "") -> None:
    """One line; what the ledger holds cannot colour or confuse the terminal."""
    with written():
        sys.stdout.write(escape(text) + "\n")


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their contents; numbers to the right."""
    whole = [[str(cell) for cell in row] for row in rows]
    numeric = [bool(whole) and all(row[column].isdigit() for row in whole) for column in range(len(header))]
    widths = [max(len(row[column]) for row in [list(header), *whole]) for column in range(len(header))]
    for row in [list(header), *whole]:
        cells = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True))
        print_line("  ".join(cells).rstrip())


def counted(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`; `many` where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def iso(epoch_ms: int | None) -> str | None:
    """ISO 8601, UTC, milliseconds, Z."""
    if epoch_ms is None:
        return None
    return iso_time(datetime.fromtimestamp(epoch_ms / 1000, tz=UTC))


def clock_time(moment: datetime) -> str:
    """For people: date and time of day, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
