"""The audit files, walked line by line and held against the ledger and against checkpoints.

What each witness can tell:

    the chain                the first line that does not follow from the one before it
    the ledger               what the lines said, and how many there were
    an outside checkpoint    that files and ledger were not both rewritten, or both put back to an older copy

Blocking: meant for a worker thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from io import BufferedReader
from pathlib import Path

from genesys_sync.audit import LINE_LIMIT, ZERO, Checkpoint, Line, Numbered, Seal, canonical, chained, day_of_file, parse_line

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tampering(StrEnum):
    """What was done to the trail. The list is closed."""

    EDITED = "edited"
    TIME_CHANGED = "time changed"
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    TRUNCATED = "truncated"
    ROLLED_BACK = "rolled back"
    RECHAINED = "re-chained"
    DAY_MISSING = "day missing"
    FILES_SWAPPED = "files swapped"
    LEDGER_ALTERED = "ledger altered"
    CHECKPOINT_FORGED = "checkpoint forged"
    CHECKPOINT_UNSIGNED = "checkpoint unsigned"


@dataclass(frozen=True, slots=True)
class Finding:
    """The first bad entry. `file` and `line` (from 1) are where it stands or should stand, `seq` its number."""

    kind: Tampering
    seq: int
    sentence: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """One line of one file. `whole` says that it ends in a newline; `parsed` is None when it is not of a line's form."""

    file: str
    number: int
    text: bytes
    whole: bool
    parsed: Line | None


class Rows:
    """The ledger's entries by number. `fetch(after)` gives some entries after a number, none at the end."""

    def __init__(self, fetch: Callable[[int], Sequence[Numbered]]) -> None:
        self._fetch = fetch
        self._page: dict[int, Numbered] = {}

    def at(self, seq: int) -> Numbered | None:
        """None when the ledger has no such entry (now: one that the daemon is adding is asked for again)."""
        if seq not in self._page:
            self._page = {row.seq: row for row in self._fetch(seq - 1)}
        return self._page.get(seq)

    def ends_before(self, seq: int) -> bool:
        """There is no entry from this number on."""
        return not self._fetch(seq - 1)

    def count_after(self, seq: int) -> int:
        count = 0
        while page := self._fetch(seq):
            count += len(page)
            seq = page[-1].seq
        return count


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows. `checkpoints` are those of its events; `checkpointed` how many entries the last one covered."""

    rows: Rows
    seal: Seal
    checkpoints: Sequence[Checkpoint] = ()
    checkpointed: int = 0


@dataclass(frozen=True, slots=True)
class TrailReport:
    """What the walk found.

    size, root   how many lines follow from each other from the first on, and the hash of the last
    finding      the first bad entry; None when there is none
    unknown      why it cannot be told whether lines are missing at the end; empty when it can
    unsealed     entries that still lie in the ledger alone
    checkpoints  checkpoints that agree
    proved       the largest outside checkpoint that agrees; None when none was given
    signed       checkpoints that a trusted key has signed; None when no key was given to check them with
    """

    size: int
    root: bytes
    files: int
    finding: Finding | None = None
    unknown: str = ""
    unsealed: int = 0
    checkpoints: int = 0
    proved: Checkpoint | None = None
    signed: int | None = None


class AuditFiles:
    """The daily files of one folder, read in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = sorted(path.name for path in folder.glob("*.jsonl") if day_of_file(path.name)) if folder.is_dir() else []

    def places(self) -> Iterator[Place]:
        for name in self.names:
            yield from self.places_in(name)

    def places_in(self, name: str) -> Iterator[Place]:
        """Raises OSError for a file that cannot be read, and for what is no regular file: a pipe would be waited for without end."""
        with _opened(self._folder / name) as file:
            number = 0
            while text := file.readline(LINE_LIMIT + 1):
                number += 1
                yield Place(name, number, text.rstrip(b"\n"), text.endswith(b"\n"), parse_line(text.rstrip(b"\n")))


@dataclass(slots=True)
class Walk:
    """How far a walk came. `broken` is the first line that does not follow; `differs` the first that the ledger tells otherwise."""

    size: int = 0
    root: bytes = ZERO
    day: date | None = None
    broken: Place | None = None
    differs: Place | None = None
    differs_seq: int = 0
    beyond: Place | None = None
    at_seal: bytes | None = None
    agreed: list[Checkpoint] = field(default_factory=list)
    contradicted: Checkpoint | None = None


def _opened(path: Path) -> BufferedReader:
    file = os.fdopen(os.open(path, _READ), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return file


def walk(files: AuditFiles, record: Record | None, outside: Sequence[Checkpoint]) -> Walk:
    """Follow the chain to its end or its first break. Outside checkpoints are asked before the ledger's own."""
    state = Walk()
    due: dict[int, list[Checkpoint]] = {}
    for checkpoint in (*outside, *(record.checkpoints if record else ())):
        due.setdefault(checkpoint.size, []).append(checkpoint)
    _note(state, record, due)
    for place in files.places():
        line = place.parsed
        follows = line is not None and place.whole and line.seq == state.size + 1 and line.hash == chained(line.entry, state.root)
        day = _own_day(line, state.day)
        if line is None or not follows or day is None or day_of_file(place.file) != day:
            state.broken = place
            break
        if record is not None and state.differs is None and state.beyond is None:
            _compare(state, place, line, record.rows)
        state.size, state.root, state.day = line.seq, line.hash, day
        _note(state, record, due)
    return state


def _compare(state: Walk, place: Place, line: Line, rows: Rows) -> None:
    row = rows.at(line.seq)
    if row is None and rows.ends_before(line.seq):
        state.beyond = place
    elif row is None or canonical(row) != line.entry:
        state.differs, state.differs_seq = place, line.seq


def _own_day(line: Line | None, before: date | None) -> date | None:
    """Whose file takes the line, by the rule of `audit.file_day`; None when its time cannot be read."""
    try:
        day = date.fromisoformat(str(line.fields["at"])[:10]) if line is not None else None
    except ValueError:
        return None
    return day if day is None or before is None else max(day, before)


def _note(state: Walk, record: Record | None, due: Mapping[int, Sequence[Checkpoint]]) -> None:
    if record is not None and state.size == record.seal.size:
        state.at_seal = state.root
    for checkpoint in due.get(state.size, ()):
        if checkpoint.root == state.root:
            state.agreed.append(checkpoint)
        elif state.contradicted is None:
            state.contradicted = checkpoint
