"""Running a named query of `sql/sqlite/queries.sql`."""

from __future__ import annotations

from typing import Any

import apsw

from genesys_sync.ledger.queries import named_queries

DIALECT = "sqlite"

_SQL = named_queries(DIALECT)


def run(connection: apsw.Connection, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run the named query to its end; its rows, none for a statement that returns nothing."""
    return connection.execute(_SQL[name], parameters).fetchall()
