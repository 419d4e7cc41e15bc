"""The worker processes: what they may use, and what becomes of a job when one of them breaks."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from genesys_sync.plugin import ReasonCode, StorageError, TransientError
from genesys_sync_handlers._report import Job
from genesys_sync_handlers._workers import Inspectors

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc as Linux has them")]

MEMORY = 1 << 30
PATIENCE = timedelta(seconds=60)

STUB = """
import os, signal, sys, time
print('{"worker": "ready"}', flush=True)
for line in sys.stdin:
    %s
"""


def job(path: Path, *, cpu_seconds: int = 60, audio: bool = True, content_type: str = "") -> Job:
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() and path.stat().st_size < 1 << 28 else "0" * 64
    return Job(path=str(path), sha256=digest, content_type=content_type, audio=audio, level="full", cpu_seconds=cpu_seconds)


def stub(body: str) -> tuple[str, ...]:
    return (sys.executable, "-c", STUB % body)


@pytest.fixture
def sound(tmp_path: Path, sounds: Mapping[str, bytes]) -> Path:
    path = tmp_path / "sound"
    path.write_bytes(sounds["ogg_opus"])
    return path


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


async def test_a_worker_serves_many_jobs_under_its_limits_and_without_our_environment(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", "hunter2")
    before = children()
    pool = Inspectors(workers=1, memory=MEMORY)
    try:
        for _ in range(3):
            report = await pool.inspect(job(sound), wall=PATIENCE)
            assert (report.fault, report.codec) == (None, "opus")
        (pid,) = children() - before
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        hard = {line[:26].strip(): line.split()[-2] for line in limits[1:]}
        assert hard["Max address space"] == str(MEMORY)
        assert hard["Max file size"] == hard["Max core file size"] == "0"
        assert hard["Max open files"] == "64"
        assert Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16] == str(os.nice(0) + 5)
        assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        await pool.aclose()
    assert children() == before
    await pool.aclose()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "VERIFIER_CRASHED"),
        ("sys.exit(3)", "VERIFIER_CRASHED"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "VERIFIER_OVERRUN"),
        ("time.sleep(3600)", "VERIFIER_OVERRUN"),
        ('print(\'{"worker": "memory"}\', flush=True)', "VERIFIER_MEMORY"),
        ("print('not json', flush=True)", "VERIFIER_CRASHED"),
        ('print(\'{"fault": "INVENTED"}\', flush=True)', "VERIFIER_CRASHED"),
        ("print('x' * 100_000, flush=True)", "VERIFIER_CRASHED"),
    ],
)
async def test_a_broken_worker_costs_one_retry_and_then_it_is_the_files_fault(sound: Path, body: str, fault: str) -> None:
    before = children()
    pool = Inspectors(workers=1, memory=MEMORY, command=stub(body))
    report = await pool.inspect(job(sound), wall=timedelta(seconds=0.3 if "sleep" in body else 60))
    assert report.fault == fault
    assert children() == before, "a broken worker is gone at once"


async def test_one_crash_is_forgiven(sound: Path, tmp_path: Path) -> None:
    mark = tmp_path / "crashed"
    body = f"""
    if not os.path.exists({str(mark)!r}):
        open({str(mark)!r}, "w").close()
        os.abort()
    print('{{"container": "ogg"}}', flush=True)"""
    pool = Inspectors(workers=1, memory=MEMORY, command=stub(body))
    try:
        report = await pool.inspect(job(sound), wall=PATIENCE)
        assert (report.fault, report.container) == (None, "ogg")
    finally:
        await pool.aclose()


async def test_an_idle_worker_that_was_killed_is_replaced(sound: Path) -> None:
    before = children()
    pool = Inspectors(workers=1, memory=MEMORY)
    try:
        await pool.inspect(job(sound), wall=PATIENCE)
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        assert (await pool.inspect(job(sound), wall=PATIENCE)).fault is None
    finally:
        await pool.aclose()


async def test_a_flood_on_stderr_neither_blocks_nor_piles_up(sound: Path) -> None:
    pool = Inspectors(
        workers=1, memory=MEMORY, command=stub("sys.stderr.write('x' * 5_000_000); print('{\"container\": \"ogg\"}', flush=True)")
    )
    try:
        with anyio.fail_after(60):
            assert (await pool.inspect(job(sound), wall=PATIENCE)).container == "ogg"
    finally:
        await pool.aclose()


async def test_a_cancelled_job_takes_its_worker_with_it(sound: Path) -> None:
    before = children()
    pool = Inspectors(workers=1, memory=MEMORY, command=stub("time.sleep(3600)"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: pool.inspect(job(sound), wall=PATIENCE))
        with anyio.fail_after(60):
            while children() == before:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert children() == before


async def test_memory_that_a_file_asks_for_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(b"[" + b"[]," * 12_000_000 + b"[]]")
    pool = Inspectors(workers=1, memory=512 << 20)
    report = await pool.inspect(job(path, audio=False, content_type="application/json"), wall=PATIENCE)
    assert report.fault == "VERIFIER_MEMORY"


async def test_processor_time_that_a_file_asks_for_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(6 << 30)
    pool = Inspectors(workers=1, memory=MEMORY)
    report = await pool.inspect(job(path, cpu_seconds=0), wall=timedelta(minutes=5))
    assert (report.fault, report.detail) == ("VERIFIER_OVERRUN", "decoding the file took more processor time than it may have")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_gigabytes_are_inspected_with_flat_memory(tmp_path: Path) -> None:
    path, size = tmp_path / "long.wav", 2_000_000_000
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", size)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    before, pool = children(), Inspectors(workers=1, memory=MEMORY)
    try:
        asked = Job(path=str(path), sha256=digest, content_type="", audio=True, level="full", cpu_seconds=600)
        report = await pool.inspect(asked, wall=timedelta(minutes=10))
        (pid,) = children() - before
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    finally:
        await pool.aclose()
    assert (report.fault, report.duration, report.warnings) == (None, 125_000.0, ("MEDIA_SILENT",))
    assert int(peak.split()[1]) < 150 << 10


async def test_a_file_that_cannot_be_read_is_the_storages_fault(tmp_path: Path) -> None:
    pool = Inspectors(workers=1, memory=MEMORY)
    try:
        with pytest.raises(StorageError, match="No such file"):
            await pool.inspect(job(tmp_path / "gone"), wall=PATIENCE)
    finally:
        await pool.aclose()


@pytest.mark.parametrize("command", [("/nonexistent/python",), (sys.executable, "-c", "raise SystemExit('no decoder here')")])
async def test_workers_that_do_not_start_are_no_fault_of_the_file(sound: Path, command: tuple[str, ...]) -> None:
    before = children()
    pool = Inspectors(workers=1, memory=MEMORY, command=command)
    with pytest.raises(TransientError) as raised:
        await pool.inspect(job(sound), wall=PATIENCE)
    assert raised.value.code is ReasonCode.VERIFIER_FAILED
    assert children() == before


def test_a_killed_daemon_leaves_no_worker_behind(sound: Path) -> None:
    program = f"""
import anyio, datetime, os, pathlib, hashlib
from genesys_sync_handlers._report import Job
from genesys_sync_handlers._workers import Inspectors
async def main():
    pool = Inspectors(workers=1, memory={MEMORY})
    job = Job(path={str(sound)!r}, sha256="", content_type="", audio=True, level="full", cpu_seconds=60)
    await pool.inspect(job, wall=datetime.timedelta(seconds=60))
    print(pathlib.Path(f"/proc/self/task/{{os.getpid()}}/children").read_text(), flush=True)
    await anyio.sleep_forever()
anyio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        worker = int(daemon.stdout.readline())
        daemon.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1][:3]:
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.01)
