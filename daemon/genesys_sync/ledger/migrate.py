"""Bringing a ledger to this release's schema, forward only. `user_version` says which schema it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from genesys_sync.errors import LedgerError, LedgerTooNew

APPLICATION_ID = 0x47534C31
"""Marks the file as a ledger of ours, so that nobody else's database is ever migrated."""


def schema_version(connection: apsw.Connection) -> int:
    """0 for an empty file."""
    return int(connection.pragma("user_version"))


def require_known(connection: apsw.Connection, path: Path, latest: int) -> int:
    """The schema's version. Raises LedgerTooNew when a later release wrote it, LedgerError when it is no ledger at all."""
    version = schema_version(connection)
    if connection.pragma("application_id") != APPLICATION_ID and (version or _has_tables(connection)):
        raise LedgerError(f"{path} is a database, but not a genesys-sync ledger; name another file in ledger.url. Nothing was changed")
    if version > latest:
        raise LedgerTooNew(
            f"the ledger at {path} has schema {version} > {latest}, written by a later release; nothing was changed. "
            "Install that release or a later one"
        )
    return version


def require_current(connection: apsw.Connection, path: Path, latest: int) -> None:
    """Raises LedgerError unless the schema is this release's own: only the daemon's opening migrates."""
    version = require_known(connection, path, latest)
    if version < latest:
        raise LedgerError(f"the ledger at {path} has schema {version} < {latest}; start the daemon, which brings it up to date")


def migrate(connection: apsw.Connection, path: Path, scripts: Sequence[str]) -> int:
    """Run the scripts that the ledger has not had yet, each in one transaction with the new version; returns how many.

    Killed in the middle, the script that was running has left nothing, and the next start runs it again.
    """
    first = require_known(connection, path, len(scripts))
    for number in range(first, len(scripts)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(scripts[number])
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return len(scripts) - first


def _has_tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").get)
