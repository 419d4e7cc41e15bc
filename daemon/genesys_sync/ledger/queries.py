"""The SQL that lies beside the code: numbered migrations and named queries, read once from the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def _folder(dialect: str) -> Traversable:
    return resources.files("genesys_sync.ledger") / "sql" / dialect


@cache
def named_queries(dialect: str) -> Mapping[str, str]:
    """Name to statement, from `sql/<dialect>/queries.sql`. Raises ValueError for a name that comes twice."""
    parts = _NAME.split((_folder(dialect) / "queries.sql").read_text(encoding="utf-8"))
    queries: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if name in queries:
            raise ValueError(f"the query {name} is written twice")
        statement = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        queries[name] = statement.strip().removesuffix(";")
    return queries


@cache
def migrations(dialect: str) -> tuple[str, ...]:
    """The scripts that bring a ledger from nothing to this release's schema; script n makes schema n + 1 of schema n.

    Raises ValueError when a number is missing or comes twice.
    """
    files = sorted((entry for entry in _folder(dialect).iterdir() if _MIGRATION.fullmatch(entry.name)), key=lambda entry: entry.name)
    numbers = [int(entry.name[:4]) for entry in files]
    if numbers != list(range(1, len(files) + 1)):
        raise ValueError(f"migrations must be numbered 1, 2, 3 … without a hole; found {numbers}")
    return tuple(entry.read_text(encoding="utf-8") for entry in files)
