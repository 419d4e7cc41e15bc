"""The tracer counts a process's calls over all its threads, kills at the one that is named, or lets it fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.faults.channels import busiest_second
from tests.harness.faults.crashes import TRACER, Point, points_of, read_report, spoilable, synced_again, traceable

PROGRAM = """
import os, socket, sys, threading
folder = sys.argv[1]
def work(name):
    for number in range(3):
        path = f"{folder}/{name}{number}"
        file = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.write(file, b"x")
        try:
            os.fsync(file)
        except OSError as error:
            print(os.path.basename(path), error.errno)
        os.close(file)
        os.rename(path, path + ".done")
threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
for thread in threads: thread.start()
for thread in threads: thread.join()
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).send(b"x")
"""


def traced(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    (folder / "data").mkdir()
    report = folder / "report.jsonl"
    command = [sys.executable, "-I", str(TRACER), "--report", str(report), "--below", str(folder / "data"), *words]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", PROGRAM, str(folder / "data")], capture_output=True, text=True, check=False, timeout=30
    )
    return done, [dict(line) for line in read_report(report)]


@pytest.mark.skipif(bool(traceable()), reason=traceable())
def test_every_call_of_every_thread_is_counted(tmp_path: Path) -> None:
    done, lines = traced(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    calls = [line["call"] for line in lines if "n" in line]
    assert {name: calls.count(name) for name in set(calls)} == {"write": 6, "fsync": 6, "rename": 6, "sendto": 1}
    assert [line["n"] for line in lines if "n" in line] == list(range(1, 20))


@pytest.mark.skipif(bool(traceable()), reason=traceable())
def test_it_kills_instead_of_the_call(tmp_path: Path) -> None:
    done, lines = traced(tmp_path, "--kill", "rename:/data/b:2")
    assert done.returncode == -9
    assert lines[-1]["done"] == "killed"
    assert lines[-1]["what"].endswith("/b1")
    assert (tmp_path / "data" / "b1").exists(), "the call that it was killed at did not happen"
    assert (tmp_path / "data" / "b0.done").exists()


@pytest.mark.skipif(bool(traceable()), reason=traceable())
def test_the_end_of_a_path_can_be_meant(tmp_path: Path) -> None:
    done, lines = traced(tmp_path, "--kill", "rename:/b1$:1")
    assert (done.returncode, lines[-1]["what"].rpartition("/")[2]) == (-9, "b1")
    assert not Path(f"{tmp_path}/data/b1.done").exists()


@pytest.mark.skipif(bool(spoilable()), reason=spoilable())
def test_a_call_that_is_to_fail_fails_once(tmp_path: Path) -> None:
    done, lines = traced(tmp_path, "--fail", "fsync:/data/a:2")
    assert (done.returncode, done.stdout) == (0, "a1 5\n")
    assert [line["what"].rpartition("/")[2] for line in lines if line.get("done") == "failed"] == ["a1"]


def test_the_moments_to_kill_at() -> None:
    paths = ["/x/state/ledger.db-wal"] * 5 + ["tcp"] * 4 + ["/x/archive/.incoming/ab"] * 2 + ["/x/archive"]
    census = [{"n": number, "call": "write", "what": path} for number, path in enumerate(paths, 1)]
    assert len(list(points_of(census, all_of_them=True))) == len(census)
    assert list(points_of(census, all_of_them=False)) == [
        Point("write", "/.incoming", 1),
        Point("write", "/archive$", 1),
        Point("write", "/ledger.db-wal$", 3),
        Point("write", "tcp", 1),
        Point("write", "tcp", 2),
        Point("write", "tcp", 4),
    ]


def test_a_sync_that_is_tried_again_is_named() -> None:
    def line(call: str, what: str, **more: str) -> dict[str, Any]:
        return {"call": call, "what": what, **more}

    failed = line("fsync", "/x/state/ledger.db-wal", done="failed")
    assert list(synced_again([failed, line("pwrite64", "/x/state/ledger.db-wal"), line("fsync", "/x/other.db")])) == []
    assert len(list(synced_again([failed, line("fdatasync", "/x/state/ledger.db-wal")]))) == 1
    assert list(synced_again([line("fsync", "/x/archive/recordings", done="failed"), line("fsync", "/x/archive/recordings")])) == []


def test_the_busiest_second() -> None:
    assert busiest_second([]) == 0
    assert busiest_second([0.0, 0.9, 1.0, 1.1, 1.85, 5.0]) == 4
