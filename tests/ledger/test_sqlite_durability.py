"""What is acknowledged survives: kill -9, power cut, full disk, failing fsync."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import apsw
import pytest

from genesys_sync.errors import LedgerError, LedgerFull, LedgerSyncFailed
from genesys_sync.ledger import open_ledger, opening
from genesys_sync.ledger.opening import Mode
from genesys_sync.ledger.sqlite import SqliteLedger
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

APPENDER = """
import os, sys
from datetime import UTC, datetime
import anyio
from genesys_sync.clock import SystemClock
from genesys_sync.events import Event
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent

def event(name):
    return Event.of("recording.ready", occurred_at=datetime(2026, 8, 1, tzinfo=UTC), organization_id="o", conversation_id=name)

async def main():
    url, run = sys.argv[1:]
    async with open_ledger(url, clock=SystemClock()) as ledger, anyio.create_task_group() as producers:
        async def produce(producer):
            for number in range(1_000_000):
                one = event(f"{run}-{producer}-{number}")
                await ledger.append([RoutedEvent(one, ("archive",))])
                os.write(1, f"appended {one.id}\\n".encode())
                if number % 3 == 0:
                    for claim in await ledger.claim({"archive": 2}, worker=run, now_ms=2**50, lease_ms=1000):
                        derived = claim.event.derive("media.archived", occurred_at=claim.event.occurred_at)
                        verdict = Verdict(state=DeliveryState.DONE)
                        assert await ledger.settle(claim, verdict, now_ms=0, emitted=[RoutedEvent(derived, ())])
                        os.write(1, f"appended {derived.id}\\nsettled {claim.delivery_id}\\n".encode())
        for producer in range(20):
            producers.start_soon(produce, producer)

anyio.run(main)
"""


async def test_kill_9_loses_nothing_that_was_acknowledged(url: str, location: Path, clock: FakeClock) -> None:
    appended: set[str] = set()
    settled: set[str] = set()
    for run, lines in enumerate((1, 40, 700)):
        with subprocess.Popen([sys.executable, "-c", APPENDER, url, str(run)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        for line in said:
            if line.endswith(b"\n"):
                what, identity = line.decode().split()
                (appended if what == "appended" else settled).add(identity)
        async with open_ledger(url, clock=clock) as ledger:
            for identity in appended:
                assert await ledger.events_about(identity), "an acknowledged event is missing"
            for identity in settled:
                (record,) = await ledger.find(identity)
                assert record.state == "done"
            told = (await ledger.counts(now_ms=0)).events
    assert sum(told.values()) >= len(appended) > 400
    assert settled
    connection = apsw.Connection(str(location))
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT topic, count(*) FROM event GROUP BY topic ORDER BY topic").fetchall() == sorted(told.items())
    assert connection.pragma("foreign_key_check") is None


async def _after_a_power_cut(disk: Any, location: Path, routed: Any, clock: FakeClock) -> tuple[set[str], set[str]]:
    """Append with a disk that keeps only what was synced; the ids acknowledged, and those found afterwards."""
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    acknowledged: set[str] = set()

    async def produce(producer: int) -> None:
        for number in range(10):
            event = routed("archive", conversation=f"c{producer}-{number}")
            await ledger.append([event])
            acknowledged.add(event.event.id)

    async with anyio.create_task_group() as producers:
        for producer in range(5):
            producers.start_soon(produce, producer)
    after = location.parent.parent / "after"
    after.mkdir()
    for name, content in disk.durable.items():
        (after / name).write_bytes(content)
    await ledger.close()
    async with open_ledger(f"sqlite:///{after / location.name}", clock=clock) as left:
        return acknowledged, {identity for identity in acknowledged if await left.events_about(identity)}


async def test_a_power_cut_loses_nothing_that_was_acknowledged(disk: Any, location: Path, routed: Any, clock: FakeClock) -> None:
    acknowledged, found = await _after_a_power_cut(disk, location, routed, clock)
    assert len(acknowledged) == 50
    assert found == acknowledged


async def test_without_full_sync_the_power_cut_bites(
    disk: Any, location: Path, routed: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: were commits not synced, the test above would fail."""
    prepare = opening._prepare_for_writing

    def careless(connection: apsw.Connection) -> None:
        prepare(connection)
        connection.pragma("synchronous", "normal")

    monkeypatch.setattr(opening, "_prepare_for_writing", careless)
    acknowledged, found = await _after_a_power_cut(disk, location, routed, clock)
    assert found < acknowledged


async def test_a_failed_fsync_is_final_and_never_retried(disk: Any, location: Path, routed: Any, clock: FakeClock) -> None:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    await ledger.append([routed(conversation="before")])
    disk.refuses_sync = lambda name: name.endswith("-wal")
    with pytest.raises(LedgerSyncFailed, match="could not be made durable"):
        await ledger.append([routed()])
    syncs = len(disk.syncs)
    disk.refuses_sync = lambda name: False
    with pytest.raises(LedgerSyncFailed):
        await ledger.append([routed()])
    with pytest.raises(LedgerSyncFailed):
        await ledger.ping()
    with pytest.raises(LedgerSyncFailed):
        await ledger.counts(now_ms=0)
    await ledger.close()
    assert len(disk.syncs) == syncs
    async with open_ledger(f"sqlite:///{location}", clock=clock) as again:
        assert len(await again.events_about("before")) == 1


async def test_everybody_who_shared_the_failed_commit_hears_of_it(disk: Any, location: Path, routed: Any, clock: FakeClock) -> None:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    disk.refuses_sync = lambda name: True
    failures: list[LedgerError] = []

    async def append() -> None:
        try:
            await ledger.append([routed()])
        except LedgerError as error:
            failures.append(error)

    async with anyio.create_task_group() as callers:
        for _ in range(20):
            callers.start_soon(append)
    assert [type(error) for error in failures] == [LedgerSyncFailed] * 20
    assert len({id(error) for error in failures}) == 20
    await ledger.close()


async def test_a_failed_fsync_of_the_file_itself_at_a_checkpoint_is_final_too(
    disk: Any, location: Path, routed: Any, clock: FakeClock
) -> None:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    await ledger.append([routed(conversation="before")])
    disk.refuses_sync = lambda name: name == location.name
    padding = {"padding": "x" * 4000}

    async def grow() -> None:
        while True:  # until the log is worth a checkpoint
            await ledger.append([routed(body=padding) for _ in range(500)])

    with pytest.raises(LedgerSyncFailed):
        await grow()
    syncs = len(disk.syncs)
    await ledger.close()
    assert len(disk.syncs) == syncs
    disk.refuses_sync = lambda name: False
    async with open_ledger(f"sqlite:///{location}", clock=clock) as again:
        assert len(await again.events_about("before")) == 1


async def test_a_full_disk_fails_the_callers_and_takes_more_when_there_is_space(
    disk: Any, location: Path, routed: Any, clock: FakeClock
) -> None:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    refused = routed("archive", conversation="refused")
    disk.full = True
    for _ in range(3):
        with pytest.raises(LedgerFull, match="no space left"):
            await ledger.append([refused])
    assert await ledger.events_about("refused") == []
    assert (await ledger.counts(now_ms=0)).events == {}
    disk.full = False
    assert (await ledger.append([refused])).recorded == 1
    await ledger.close()
    async with open_ledger(f"sqlite:///{location}", clock=clock) as again:
        assert len(await again.find("refused")) == 1


FILLER = """
import os, sys
from datetime import UTC, datetime
import anyio
from genesys_sync.clock import SystemClock
from genesys_sync.errors import LedgerFull
from genesys_sync.events import Event
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import RoutedEvent

folder = sys.argv[1]
names = iter(range(1_000_000))

def event():
    return Event.of("recording.ready", occurred_at=datetime(2026, 8, 1, tzinfo=UTC), organization_id="o",
                    conversation_id=f"c{next(names)}", body={"padding": "x" * 700})

async def main():
    url = f"sqlite:///{folder}/ledger.db"
    acknowledged, refused = [], []
    async with open_ledger(url, clock=SystemClock()) as ledger:
        ballast = os.open(f"{folder}/ballast", os.O_CREAT | os.O_WRONLY)
        os.write(ballast, b"x" * 700_000)
        async def append(one):
            try:
                await ledger.append([RoutedEvent(one, ("archive",))])
                acknowledged.append(one)
            except LedgerFull:
                refused.append(one)
        while len(refused) < 30:
            async with anyio.create_task_group() as callers:
                for _ in range(10):
                    callers.start_soon(append, event())
        assert len(acknowledged) > 100, len(acknowledged)
        for one in refused:
            assert not await ledger.events_about(one.id)
        os.unlink(f"{folder}/ballast")
        os.close(ballast)
        full, refused[:] = list(refused), []
        for one in full:
            await append(one)
        assert not refused
    async with open_ledger(url, clock=SystemClock()) as ledger:
        for one in acknowledged:
            assert await ledger.events_about(one.id) == [one]
        assert (await ledger.counts(now_ms=0)).events == {"recording.ready": len(acknowledged)}
    print("held", len(acknowledged))

anyio.run(main)
"""


async def test_a_really_full_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root and unshare(1)")
    folder = tmp_path / "small"
    folder.mkdir()
    script = 'mount -t tmpfs -o size=2m,mode=700 tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(folder), sys.executable, FILLER]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if "mount:" in ended.stderr:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("held ")
