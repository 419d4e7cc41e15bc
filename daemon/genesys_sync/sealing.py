"""The sealer: audit entries leave the ledger for hash-chained daily files, and checkpoints of them leave the machine.

Why no line is lost or written twice, whatever the moment of a kill or power cut:

1. An entry is durable in the ledger before the sealer can read it, and is never changed or deleted there.
2. Lines are a pure function of the entries, so writing them again writes the same bytes at the same place.
3. A portion is written behind the last sealed byte, then fsynced (a new file's folder too), and only then marked in the ledger. A
   crash before the mark leaves behind that byte a beginning of the very portion that is due: the next run compares it, writes the
   whole portion over it, fsyncs, marks. Bytes are written again even if they are there, because after an fsync that failed they may
   be in memory alone.
4. A checkpoint is recorded after the mark, so nothing it covers can be missing from the files after a power cut.

What lies behind the last sealed byte and is no beginning of the portion that is due cannot come from a crash: the ledger is older
than its files, or somebody wrote there. The sealer then refuses (AuditMismatch) and changes nothing. It never repairs what has been
sealed either: a file that became shorter is reported, and the chain goes on behind it, so that `verify` shows the wound.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import anyio
from anyio import to_thread

from genesys_sync.audit import Numbered, Seal, canonical, chained, day_of_file, file_day, file_name, line
from genesys_sync.clock import Clock
from genesys_sync.disk import fsync_folder, translated
from genesys_sync.errors import AuditMismatch, LedgerFull, LedgerSyncFailed, StorageError
from genesys_sync.events import Event, Topic
from genesys_sync.ledger.base import Ledger
from genesys_sync.logs import get_logger
from genesys_sync.routing import Router
from genesys_sync.signing import Signer

PORTION = 1_000
"""Entries written with one fsync. A release may raise it, never lower it: what a crash left must begin the portion that is due."""

_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_log = get_logger("sealing")


@dataclass(frozen=True, slots=True)
class Portion:
    """The lines to be written next, all of one file, and where the trail stands afterwards (its position counted from 0)."""

    day: date
    lines: bytes
    size: int
    root: bytes


def next_portion(seal: Seal, entries: Sequence[Numbered]) -> Portion | None:
    """What follows the seal: the first of these entries that belong to one file. None when there are none. Pure.

    Raises AuditMismatch when the entries do not go on where the seal ends.
    """
    day: date | None = None
    root, size, lines = seal.root, seal.size, []
    for numbered in entries:
        of_entry = file_day(numbered, seal.day if day is None else day)
        if day is not None and of_entry != day:
            break
        if numbered.seq != size + 1:
            raise AuditMismatch(f"the ledger has no audit entry {size + 1}, though entries are never deleted; run genesys-sync verify")
        text = canonical(numbered)
        day, size, root = of_entry, numbered.seq, chained(text, root)
        lines.append(line(text, root))
    return None if day is None else Portion(day, b"".join(lines), size, root)


class Sealer:
    """Seals one ledger's audit entries into `folder`. For the one process that holds the ledger.

    organization  the organisation's id once it is known, empty before: a checkpoint is an event, and an event is somebody's

    `checkpointed_at` is the time of the last checkpoint of this process.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        folder: Path,
        router: Router,
        clock: Clock,
        organization: Callable[[], str],
        every: timedelta,
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._ledger = ledger
        self._folder = folder.absolute()
        self._router = router
        self._clock = clock
        self._organization = organization
        self._every = every.total_seconds()
        self._one = anyio.Lock()
        self.waits = ""
        self.checkpointed_at: datetime | None = None

    async def open(self) -> None:
        """Prove that the files are those of this ledger; changes nothing but makes the folder.

        Raises AuditMismatch when they tell more than the ledger does, StorageError when they cannot be read. Files that tell less
        are reported, and no reason to let calls go by.
        """
        seal = await self._ledger.seal()
        portion = next_portion(seal, await self._ledger.audit_entries(after=seal.size, limit=PORTION))
        await to_thread.run_sync(_prove, self._folder, seal, portion)
        if seal.day is not None:
            self._compare(seal.day, await to_thread.run_sync(_length, self._folder / file_name(seal.day), seal.position), seal.position)

    async def run(self) -> None:
        """Every `every`: seal and checkpoint, until cancelled.

        Raises LedgerSyncFailed when an audit file could not be made durable: the process must end.
        """
        while True:
            await self._clock.sleep(self._every)
            await self.turn()

    async def turn(self) -> None:
        """Seal what there is and checkpoint it; also the last thing before the end. What cannot be written now, for want of space
        or because somebody wrote into a file, waits: the entries are safe in the ledger. `waits` says why, empty when all is well."""
        try:
            await self.seal()
            await self.checkpoint()
            self.waits = ""
        except (LedgerFull, StorageError, AuditMismatch) as error:
            self.waits = str(error)
            _log.error("audit entries wait to be sealed", error=str(error))

    async def seal(self) -> Seal:
        """Every entry that the ledger has when this is called lies in its file, durably, and the ledger knows it."""
        async with self._one:
            seal = await self._ledger.seal()
            while (portion := next_portion(seal, await self._ledger.audit_entries(after=seal.size, limit=PORTION))) is not None:
                start = seal.position if portion.day == seal.day else 0
                begin = await to_thread.run_sync(_length, self._folder / file_name(portion.day), start)
                if not self._compare(portion.day, begin, start):
                    # noted before anything is written, so that a crash here is like any other
                    await self._ledger.mark_sealed(replace(seal, position=begin))
                end = await to_thread.run_sync(_append, self._folder, portion, begin)
                seal = Seal(portion.size, portion.root, portion.day, end)
                await self._ledger.mark_sealed(seal)
            return seal

    def _compare(self, day: date, found: int, known: int) -> bool:
        if found < known:
            _log.error("an audit file is shorter than it was: run genesys-sync verify", file=file_name(day), bytes=found, known=known)
        return found >= known

    async def checkpoint(self) -> bool:
        """Record `audit.checkpointed` for what is sealed; False when nothing is new since the last one, or nobody's yet."""
        organization = self._organization()
        seal = await self._ledger.seal()
        if not organization or seal.size == await self._ledger.checkpointed():
            return False
        root = seal.root.hex()
        event = Event.of(
            Topic.AUDIT_CHECKPOINTED,
            occurred_at=self._clock.now(),
            organization_id=organization,
            state=f"{seal.size}:{root}",
            body={"size": seal.size, "root": root, **(self._signer.sign(seal.size, root) if self._signer is not None else {})},
        )
        recorded = await self._ledger.record_checkpoint(seal.size, self._router.route([event])[0])
        if recorded:
            self.checkpointed_at = event.occurred_at
        return recorded


# --- in worker threads


def _prove(folder: Path, seal: Seal, portion: Portion | None) -> None:
    _make_folder(folder)
    with translated("reading the audit folder"):
        days = sorted(day for name in os.listdir(folder) if (day := day_of_file(name)) is not None)  # noqa: PTH208 - names, not paths
    for day in days:
        if seal.day is not None and day < seal.day:
            continue
        start = seal.position if day == seal.day else 0
        due = portion.lines if portion is not None and portion.day == day else b""
        with _opened(folder / file_name(day)) as file:
            _rest(file, file_name(day), start, due)


def _length(path: Path, most: int) -> int:
    """The file's length, `most` if it is longer; 0 when there is none."""
    if not path.exists():
        return 0
    with _opened(path) as file:
        return min(most, os.fstat(file).st_size)


def _append(folder: Path, portion: Portion, start: int) -> int:
    """The portion lies durably behind byte `start`; returns where it ends."""
    _make_folder(folder)
    name = file_name(portion.day)
    with translated(f"writing the audit file {name}"):
        new = not (folder / name).exists()
        with _opened(folder / name) as file:
            # a line that lost its end to somebody is closed, so that ours can be read
            torn = start > 0 and os.pread(file, 1, start - 1) != b"\n"
            data = b"\n" + portion.lines if torn else portion.lines
            _rest(file, name, start, data)
            _write(file, data, start)
            _sync(file, name)
    if new or start == 0:
        with translated("making an audit file's name durable"):
            fsync_folder(folder)
    return start + len(data)


def _rest(file: int, name: str, start: int, due: bytes) -> None:
    """Raises AuditMismatch when what lies behind byte `start` is no beginning of what is due there."""
    left = os.fstat(file).st_size - start
    if left <= 0:
        return
    if left > len(due) or os.pread(file, left, start) != due[:left]:
        raise AuditMismatch(
            f"the audit file {name} goes on after byte {start}, where the ledger's audit trail ends: the ledger is an older copy, or "
            "somebody wrote into the file; nothing was changed. Put the newer ledger back, or move the audit folder away, keep it, and "
            "start again"
        )


def _write(file: int, data: bytes, start: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], start + written)


def _sync(file: int, name: str) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        raise LedgerSyncFailed(f"the audit file {name} could not be made durable ({error.strerror}); start again") from error


def _make_folder(folder: Path) -> None:
    with translated("making the audit folder"):
        for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(missing.parent)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The file's descriptor, made if missing, for its owner alone. Raises StorageError for a link, a pipe or a device."""
    with translated(f"opening the audit file {path.name}"):
        file = os.open(path, _FILE, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StorageError(f"PATH_UNSAFE: the audit file {path.name} is no regular file; look who put it there")
        yield file
    finally:
        os.close(file)
