"""Migrations of the SQLite ledger: whatever the start, the end is the same schema."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import apsw.ext
import pytest

import genesys_sync.ledger
from genesys_sync.errors import LedgerTooNew
from genesys_sync.ledger.migrate import migrate, schema_version
from genesys_sync.ledger.queries import migrations, named_queries

REAL = migrations("sqlite")
MADE_UP = (
    "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);",
    "CREATE TABLE b (y INTEGER); INSERT INTO b SELECT x FROM a;",
    "ALTER TABLE a ADD COLUMN z TEXT; CREATE INDEX a_by_z ON a (z);",
)


def schema(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


def fresh(scripts: tuple[str, ...]) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection, Path("ledger.db"), scripts)
    return connection


@pytest.mark.parametrize(
    ("scripts", "start"),
    [(REAL, start) for start in range(len(REAL) + 1)] + [(MADE_UP, start) for start in range(len(MADE_UP) + 1)],
)
def test_each_earlier_schema_becomes_the_schema_of_a_fresh_ledger(tmp_path: Path, scripts: tuple[str, ...], start: int) -> None:
    path = tmp_path / "ledger.db"
    connection = apsw.Connection(str(path))
    migrate(connection, path, scripts[:start])
    assert schema_version(connection) == start
    assert migrate(connection, path, scripts) == len(scripts) - start
    assert schema_version(connection) == len(scripts)
    assert schema(connection) == schema(fresh(scripts))
    assert migrate(connection, path, scripts) == 0


def test_deliveries_that_were_waiting_get_the_deadline_of_their_event(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = apsw.Connection(str(path))
    migrate(connection, path, REAL[:3])
    bodies = {1: b'{"deleteDate":"2026-08-02T00:00:00.000Z"}', 2: b"{}", 3: b'{"deleteDate":"soon"}'}
    for seq, body in bodies.items():
        identity = bytes([seq]) * 16
        columns = "(seq, day, id, topic, occurred_ms, organization_id, origin, body, recorded_ms)"
        connection.execute(f"INSERT INTO event {columns} VALUES (?, 1, ?, 'recording.ready', 0, 'o', 'live', ?, 0)", (seq, identity, body))
        connection.execute(
            "INSERT INTO delivery (event_seq, handler, day, id, state, created_ms, due_ms) VALUES (?, 'archive', 1, ?, 'ready', 0, 0)",
            (seq, identity),
        )
    migrate(connection, path, REAL)
    found = dict(connection.execute("SELECT event_seq, deadline_ms FROM delivery").fetchall())
    assert found == {1: 1_785_628_800_000, 2: None, 3: None}


def test_a_script_that_fails_leaves_the_schema_before_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = apsw.Connection(str(path))
    broken = (*MADE_UP[:1], "CREATE TABLE b (y INTEGER); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        migrate(connection, path, broken)
    assert schema_version(connection) == 1
    assert schema(connection) == schema(fresh(MADE_UP[:1]))
    migrate(connection, path, MADE_UP)
    assert schema(connection) == schema(fresh(MADE_UP))


KILLED = """
import os, signal, sys
from pathlib import Path
import apsw
from genesys_sync.ledger.migrate import migrate

connection = apsw.Connection(sys.argv[1])
connection.create_scalar_function("die", lambda: os.kill(os.getpid(), signal.SIGKILL))
first, second, third = sys.argv[2:]
migrate(connection, Path(sys.argv[1]), (first, second + "SELECT die();", third))
"""


def test_killed_in_the_middle_it_runs_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), *MADE_UP], check=False)
    assert ended.returncode == -signal.SIGKILL
    connection = apsw.Connection(str(path))
    assert schema_version(connection) == 1
    assert migrate(connection, path, MADE_UP) == 2
    assert schema(connection) == schema(fresh(MADE_UP))
    assert connection.execute("SELECT y FROM b").fetchall() == [(1,)]


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    connection = fresh(MADE_UP)
    with pytest.raises(LedgerTooNew, match=r"schema 3 > 2, written by a later release; nothing was changed"):
        migrate(connection, tmp_path / "ledger.db", MADE_UP[:2])


@pytest.mark.parametrize("name", sorted(named_queries("sqlite")))
def test_no_query_reads_a_whole_table_that_grows(name: str) -> None:
    """The plan of each named query searches the tables that grow with the ledger's age, and never scans them."""
    connection = fresh(REAL)
    statement = named_queries("sqlite")[name]
    parameters = dict.fromkeys(apsw_parameters(connection, statement))
    plan = [str(row[-1]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    growing = ("event", "e", "delivery_history", "h", "audit", "d" if "delivery_history AS d" in statement else "event")
    scans = [step for step in plan if step.startswith("SCAN ") and step.split()[1] in growing]
    walks_an_index_of_the_dead = "USING INDEX delivery_dead" in "".join(scans)
    assert not scans or walks_an_index_of_the_dead, plan


def apsw_parameters(connection: apsw.Connection, statement: str) -> list[str]:
    return list(apsw.ext.query_info(connection, statement).bindings_names)


def test_the_named_queries_are_the_ones_that_the_code_runs() -> None:
    code = "\n".join(path.read_text() for path in Path(str(genesys_sync.ledger.__file__)).parent.glob("*.py"))
    words = set(re.findall(r'"(\w+)"', code))
    assert set(named_queries("sqlite")) <= words
