"""Opening the ledger's file: folder, lock, connections, schema. Everything here blocks; it runs in a worker thread."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import apsw

from genesys_sync.errors import LedgerError, LedgerLocked, LedgerMisplaced
from genesys_sync.ledger.migrate import migrate, require_current
from genesys_sync.ledger.queries import migrations
from genesys_sync.ledger.statements import DIALECT
from genesys_sync.ledger.translation import translated
from genesys_sync.locks import FileLock, Held

_BUSY_MS = 10_000
_WAL_KEPT_BYTES = 64 * 1024 * 1024
_CACHE_KIB = 16 * 1024
_FIXED_IN = (3, 51, 3)
"""Before this release, two connections that write and checkpoint at once could damage a database in WAL mode."""


class Mode(Enum):
    """Who opens: the daemon, alone; somebody who looks; somebody who writes beside the daemon."""

    EXCLUSIVE = "exclusive"
    READ_ONLY = "read only"
    SHARED = "shared"


def lock_of(location: str) -> Path:
    """The file whose lock belongs to whoever holds the ledger at this path alone."""
    return Path(f"{Path(location).absolute().resolve()}.lock")


@dataclass(slots=True)
class Opened:
    """An open ledger file. `writing` is None when it was opened to look only; `lock` is held by the exclusive opening alone."""

    path: Path
    reading: apsw.Connection
    writing: apsw.Connection | None
    lock: FileLock | None


def open_file(location: str, mode: Mode, *, command: str = "", vfs: str = "") -> Opened:
    """Open the ledger file in the given mode, for this command of ours. `vfs` names an SQLite VFS (tests put one with faults there).

    Raises LedgerLocked, LedgerTooNew or LedgerError; whatever was opened on the way is closed again.
    """
    library = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if library < _FIXED_IN:
        raise LedgerError(f"SQLite {apsw.sqlite_lib_version()} can damage a ledger; install apsw from its wheel, which carries a later one")
    path = Path(location).absolute()
    with _translating(path):
        path = path.resolve()
        if path.is_dir():
            raise LedgerMisplaced(f"ledger.url: DATA_DIR_UNSAFE: the ledger at {path} cannot be opened: it is a folder; name a file in it")
        if mode is Mode.EXCLUSIVE:
            return _open_exclusive(path, command, vfs)
        if not path.exists():
            raise LedgerError(f"there is no ledger at {path} yet; start the daemon first")
        return _open_beside(path, mode, vfs)


def _open_exclusive(path: Path, command: str, vfs: str) -> Opened:
    with ExitStack() as undo:
        _make_folder(path.parent)
        lock = _locked(path, command)
        undo.callback(lock.release)
        if not path.exists():
            # Made here, so that nobody else may read it from the first byte on; SQLite gives its other files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _sync_folder(path.parent)
        writing = _connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
        undo.callback(writing.close)
        _prepare_for_writing(writing)
        mode = writing.pragma("journal_mode", "wal")
        if mode != "wal":
            raise LedgerError(f"the file system of {path} cannot hold a write-ahead log (SQLite chose {mode}); use a local disk")
        # The switch to WAL ends with the removal of a rollback journal, and SQLite does not sync that at this level: came the
        # journal back after a power cut, it would undo the switch and with it every commit in the log.
        _sync_folder(path.parent)
        migrate(writing, path, migrations(DIALECT))
        reading = _connect(path, apsw.SQLITE_OPEN_READONLY, vfs)
        undo.pop_all()
    return Opened(path, reading, writing, lock)


def _locked(path: Path, command: str) -> FileLock:
    try:
        return FileLock(lock_of(str(path)), command)
    except Held as held:
        end = "stop it first" if held.holder.daemon else "wait for its end, or stop it"
        raise LedgerLocked(f"{held.holder} holds the ledger at {path}; {end}") from None


def _open_beside(path: Path, mode: Mode, vfs: str) -> Opened:
    with ExitStack() as undo:
        reading = _connect(path, apsw.SQLITE_OPEN_READONLY, vfs)
        undo.callback(reading.close)
        require_current(reading, path, len(migrations(DIALECT)))
        writing = None
        if mode is Mode.SHARED:
            writing = _connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
            undo.callback(writing.close)
            _prepare_for_writing(writing)
        undo.pop_all()
    return Opened(path, reading, writing, None)


def _connect(path: Path, flags: int, vfs: str) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs or None)
    # Checkpoints are made by the writer on purpose. At close SQLite would make one of its own, with an fsync: after a failed fsync
    # that must not happen.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.set_busy_timeout(_BUSY_MS)
    return connection


def _prepare_for_writing(connection: apsw.Connection) -> None:
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", 1)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("temp_store", "memory")


def _make_folder(folder: Path) -> None:
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(part.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translating(path: Path) -> Generator[None]:
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise translated(error, path) from error
