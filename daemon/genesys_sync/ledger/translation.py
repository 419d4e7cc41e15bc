"""The one place where what SQLite and the operating system say becomes an error of ours."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

from genesys_sync.errors import LedgerError, LedgerFull, LedgerLocked, LedgerMisplaced, LedgerSyncFailed

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_MISPLACED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
_READING = frozenset({apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS, apsw.SQLITE_IOERR_DATA})
_SYNCING = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})


def translated(error: apsw.Error | OSError, path: Path, *, system_errno: int = 0) -> LedgerError:
    """The same failure as a LedgerError whose sentence says what to do. `system_errno` is `Connection.system_errno` where known.

    No space, whichever call noticed it, is LedgerFull: the transaction is rolled back and later ones may succeed. Any other failure to
    write is LedgerSyncFailed: the kernel may have dropped the data and marked it clean, so a second fsync would lie.
    """
    if isinstance(error, OSError):
        return _from_system(error, path)
    code = getattr(error, "extendedresult", 0)
    said = f"{error}, {apsw.mapping_extended_result_codes.get(code, code)}"
    if isinstance(error, apsw.FullError):
        return _full(path)
    if isinstance(error, apsw.IOError):
        if system_errno in _NO_SPACE and code not in _SYNCING:
            return _full(path)
        if code in _READING:
            return LedgerError(f"the ledger at {path} cannot be read ({said}): look at the disk and the kernel's log")
        return LedgerSyncFailed(
            f"a commit to the ledger at {path} could not be made durable ({said}): look at the disk and the kernel's log, "
            "then start again; what was acknowledged before is safe"
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return LedgerError(
            f"the ledger at {path} is damaged or is no SQLite file ({said}): keep it and its -wal file for inspection, "
            "put the last good copy in its place and start again"
        )
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return LedgerLocked(f"another process has been writing to the ledger at {path} for too long; find and stop it, then try again")
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return LedgerError(
            f"the ledger at {path} cannot be opened for this ({said}): the file and its folder must be readable and writable "
            f"for user id {os.geteuid()}, and the file system not mounted read-only"
        )
    return LedgerError(f"the ledger at {path} refused a statement: {said}")


def _from_system(error: OSError, path: Path) -> LedgerError:
    if error.errno in _NO_SPACE:
        return _full(path)
    kind = LedgerMisplaced if error.errno in _MISPLACED else LedgerError
    return kind(
        f"ledger.url: DATA_DIR_UNSAFE: the ledger at {path} cannot be opened ({error.strerror}: {error.filename}): "
        f"its folder must be writable for user id {os.geteuid()}"
    )


def _full(path: Path) -> LedgerFull:
    return LedgerFull(f"no space left for the ledger at {path}: what was committed is safe, nothing more was taken; free some space")
