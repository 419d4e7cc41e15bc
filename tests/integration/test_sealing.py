"""The sealer: every entry becomes one line, whatever the moment of a crash, and what was sealed is never repaired in silence."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from genesys_sync import sealing
from genesys_sync.audit import ZERO, AuditEntry, chained, parse_line
from genesys_sync.errors import AuditMismatch, LedgerSyncFailed
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.routing import Router
from genesys_sync.sealing import Sealer
from genesys_sync.testing import FakeClock
from genesys_sync.testing.samples import ORGANIZATION_ID

pytestmark = pytest.mark.anyio

ENTRY = AuditEntry(at=datetime(2026, 8, 1, 12, tzinfo=UTC), actor="archive", action="recording.archive", target="r", outcome="success")
Bench = Callable[[], AbstractAsyncContextManager[tuple[Ledger, Sealer]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit"


@pytest.fixture
def bench(tmp_path: Path, folder: Path, fake_clock: FakeClock) -> Bench:
    """The ledger and its sealer, as a start of the daemon opens them; again and again over the same files."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[tuple[Ledger, Sealer]]:
        async with open_ledger(f"sqlite:///{tmp_path}/state/ledger.db", clock=fake_clock) as ledger:
            yield ledger, sealer_of(ledger, folder, fake_clock)

    return opened


def sealer_of(ledger: Ledger, folder: Path, clock: FakeClock, organization: str = ORGANIZATION_ID) -> Sealer:
    router = Router({"webhook": ("audit.*",)})
    return Sealer(ledger=ledger, folder=folder, router=router, clock=clock, organization=lambda: organization, every=timedelta(seconds=60))


def entries(*numbers: int, day: int = 1) -> list[AuditEntry]:
    return [replace(ENTRY, at=ENTRY.at.replace(day=day), facts={"number": number}) for number in numbers]


def sealed(folder: Path) -> dict[str, list[int]]:
    """File to the numbers in it, read without the daemon's code; the chain is held over all files."""
    found: dict[str, list[int]] = {}
    before, seq = bytes(32), 0
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            head, entry = line[:83], line[83:-1]
            own = chained(entry, before)
            assert head == b'{"hash":"' + own.hex().encode() + b'","entry":', line
            seq += 1
            fields = orjson.loads(entry)
            assert fields["seq"] == seq
            found.setdefault(path.name, []).append(fields["facts"]["number"])
            before = own
    return found


async def test_entries_become_lines_of_the_day_and_the_chain_goes_over_days(bench: Bench, folder: Path) -> None:
    async with bench() as (ledger, sealer):
        await sealer.open()
        assert (await sealer.seal()).root == ZERO
        await ledger.record_audit([*entries(1, 2), *entries(3, day=2)])
        seal = await sealer.seal()
        assert await ledger.seal() == seal
        assert (seal.size, str(seal.day), seal.position) == (3, "2026-08-02", (folder / "2026-08-02.jsonl").stat().st_size)
        await ledger.record_audit(entries(4, day=2))
        await sealer.seal()
        await sealer.seal()
    assert sealed(folder) == {"2026-08-01.jsonl": [1, 2], "2026-08-02.jsonl": [3, 4]}
    assert (folder / "2026-08-01.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_clock_that_steps_back_opens_no_earlier_file(bench: Bench, folder: Path) -> None:
    async with bench() as (ledger, sealer):
        await ledger.record_audit([*entries(1, day=2), *entries(2, day=1), *entries(3, day=3)])
        await sealer.seal()
    assert sealed(folder) == {"2026-08-02.jsonl": [1, 2], "2026-08-03.jsonl": [3]}


async def test_many_entries_are_sealed_in_portions(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PORTION", 7)
    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(*range(30)))
        assert (await sealer.seal()).size == 30
    assert sealed(folder) == {"2026-08-01.jsonl": list(range(30))}


class Crash(BaseException):
    """The process is gone."""


BOUNDARIES = ["before writing", "half a line written", "all written", "before the folder's fsync", "before the mark", "after the mark"]


def arm(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, boundary: str) -> None:
    pwrite, mark = os.pwrite, ledger.mark_sealed

    def crash(*_: Any) -> Any:
        raise Crash

    def torn(file: int, data: bytes, offset: int) -> int:
        if boundary != "before writing":
            pwrite(file, data if boundary == "all written" else data[: len(data) // 2], offset)
        raise Crash

    async def marked(seal: Any) -> None:
        if boundary == "after the mark":
            await mark(seal)
        raise Crash

    match boundary:
        case "before writing" | "half a line written" | "all written":
            monkeypatch.setattr(sealing.os, "pwrite", torn)
        case "before the folder's fsync":
            monkeypatch.setattr(sealing, "fsync_folder", crash)
        case _:
            monkeypatch.setattr(ledger, "mark_sealed", marked)


@pytest.mark.parametrize(
    ("boundary", "day"), [(boundary, day) for boundary in BOUNDARIES for day in (1, 2) if "folder" not in boundary or day == 2]
)
async def test_a_crash_at_any_step_neither_loses_nor_doubles_a_line(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch, boundary: str, day: int
) -> None:
    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1, 2))
        await sealer.seal()
        await ledger.record_audit(entries(3, 4, 5, day=day))
        with monkeypatch.context() as patch:
            arm(patch, ledger, boundary)
            with pytest.raises(Crash):
                await sealer.seal()
        await ledger.record_audit(entries(6, day=day))  # the start's own entry comes before the repair
    async with bench() as (ledger, sealer):
        await sealer.open()
        assert (await sealer.seal()).size == 6
    expected = {"2026-08-01.jsonl": [1, 2, 3, 4, 5, 6]} if day == 1 else {"2026-08-01.jsonl": [1, 2], "2026-08-02.jsonl": [3, 4, 5, 6]}
    assert sealed(folder) == expected


KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import anyio
from genesys_sync import sealing
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import Router

folder, boundary, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    clock = SystemClock()
    async with open_ledger(f"sqlite:///{folder}/ledger.db", clock=clock) as ledger:
        at = datetime(2026, 8, 1, tzinfo=UTC)
        await ledger.record_audit([
            AuditEntry(at=at, actor="a", action="b.c", target="t", outcome="success", facts={"number": number})
            for number in range(first, first + 50)])
        sealer = sealing.Sealer(ledger=ledger, folder=folder / "audit", router=Router({}), clock=clock,
                                organization=lambda: "", every=timedelta(seconds=1))
        await sealer.open()
        pwrite = os.pwrite
        if boundary == "write":
            os.pwrite = lambda file, data, offset: (pwrite(file, data[:1234], offset), die())
        elif boundary == "fsync":
            sealing._sync = die
        elif boundary == "mark":
            ledger.mark_sealed = die
        await sealer.seal()

anyio.run(main)
"""


def test_killed_between_write_fsync_and_mark_every_line_is_there_once(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    for number, boundary in enumerate(["write", "fsync", "mark", "write", "none"]):
        command = [sys.executable, "-c", KILLED, str(folder), boundary, str(number * 50)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == (0 if boundary == "none" else -signal.SIGKILL), done.stderr
    assert sealed(folder / "audit") == {"2026-08-01.jsonl": list(range(250))}


async def test_a_failed_fsync_ends_the_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1))
        with monkeypatch.context() as patch:
            patch.setattr(sealing.os, "fsync", lambda file: refuse(file))
            patch.setattr(sealing, "fsync_folder", lambda _: None)
            with pytest.raises(LedgerSyncFailed, match="could not be made durable"):
                await sealer.turn()
        assert (await ledger.seal()).size == 0


async def test_a_full_disk_is_waited_for(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1))
        with monkeypatch.context() as patch:
            patch.setattr(sealing.os, "pwrite", full)
            await sealer.turn()
        assert "no space left" in sealer.waits
        await sealer.turn()
        assert sealer.waits == ""
    assert sealed(folder) == {"2026-08-01.jsonl": [1]}


async def test_a_ledger_older_than_its_files_is_refused_at_the_start(bench: Bench, tmp_path: Path, folder: Path) -> None:
    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1))
        await sealer.seal()
    older = (tmp_path / "state" / "ledger.db").read_bytes()
    for day in (1, 2):
        async with bench() as (ledger, sealer):
            await ledger.record_audit(entries(2, day=day))
            await sealer.seal()
        whole = {path.name: path.read_bytes() for path in folder.iterdir()}
        (tmp_path / "state" / "ledger.db").write_bytes(older)
        async with bench() as (ledger, sealer):
            with pytest.raises(AuditMismatch, match="older copy"):
                await sealer.open()
            await ledger.record_audit(entries(9, day=day))
            with pytest.raises(AuditMismatch):
                await sealer.open()
            await sealer.turn()
            assert "goes on after byte" in sealer.waits
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
        (tmp_path / "state" / "ledger.db").write_bytes(older)
        (folder / "2026-08-01.jsonl").write_bytes(whole["2026-08-01.jsonl"].splitlines(keepends=True)[0])


async def test_a_file_that_became_shorter_is_not_healed(bench: Bench, folder: Path) -> None:
    path = folder / "2026-08-01.jsonl"
    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1, 2, 3))
        await sealer.seal()
        path.write_bytes(path.read_bytes()[:-20])
        await ledger.record_audit(entries(4))
        await sealer.open()
        await sealer.seal()
    lines = [parse_line(line) for line in path.read_bytes().splitlines()]
    assert [None if line is None else line.seq for line in lines] == [1, 2, None, 4]


async def test_a_link_at_the_files_name_is_not_followed(bench: Bench, folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("")
    (folder / "2026-08-01.jsonl").symlink_to(tmp_path / "elsewhere")
    async with bench() as (ledger, sealer):
        await ledger.record_audit(entries(1))
        await sealer.turn()
        assert "PATH_UNSAFE" in sealer.waits
    assert (tmp_path / "elsewhere").read_text() == ""


async def test_a_checkpoint_is_an_event_made_once_and_only_when_something_is_new(bench: Bench, folder: Path, fake_clock: FakeClock) -> None:
    async with bench() as (ledger, sealer):
        await sealer.turn()
        assert (await ledger.counts(now_ms=0)).events == {}
        await ledger.record_audit(entries(1, 2))
        nobodys = sealer_of(ledger, folder, fake_clock, organization="")
        await nobodys.turn()
        assert (await ledger.counts(now_ms=0)).events == {}
        for _ in range(2):
            await sealer.turn()
            assert (await ledger.counts(now_ms=0)).events == {"audit.checkpointed": 1}
        (claim,) = await ledger.claim({"webhook": 9}, worker="w", now_ms=fake_clock.epoch_ms(), lease_ms=1)
        assert claim.event.body == {"size": 2, "root": (await ledger.seal()).root.hex()}
        await ledger.record_audit(entries(3))
        await sealer.turn()
        assert (await ledger.counts(now_ms=0)).events == {"audit.checkpointed": 2}


async def test_it_turns_by_the_clock(bench: Bench, folder: Path, fake_clock: FakeClock) -> None:
    async with bench() as (ledger, sealer), anyio.create_task_group() as group:
        group.start_soon(sealer.run)
        await ledger.record_audit(entries(1))
        await fake_clock.advance(59)
        assert (await ledger.seal()).size == 0
        await fake_clock.advance(1)
        with anyio.fail_after(10):
            while await ledger.checkpointed() != 1:
                await anyio.sleep(0)
        group.cancel_scope.cancel()
    assert sealed(folder) == {"2026-08-01.jsonl": [1]}
