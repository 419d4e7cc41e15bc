"""Opening an SQLite ledger: who may, in which mode, and what is said when it cannot be."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import apsw
import pytest

from genesys_sync.errors import ConfigurationError, LedgerError, LedgerLocked, LedgerMisplaced, LedgerTooNew, ReasonCode
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

HOLDER = """
import sys, anyio
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger

async def main():
    async with open_ledger(sys.argv[1], clock=SystemClock()):
        print("open", flush=True)
        sys.stdin.read()

anyio.run(main)
"""


async def test_folder_and_files_are_made_for_their_owner_alone(url: str, location: Path, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.ping()
        assert stat.S_IMODE(location.parent.stat().st_mode) == 0o700
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"):
            assert stat.S_IMODE((location.parent / name).stat().st_mode) == 0o600, name


async def test_a_relative_path_is_relative_to_the_working_folder(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_ledger("sqlite:///./state/ledger.db", clock=clock) as ledger:
        await ledger.ping()
    assert (tmp_path / "state" / "ledger.db").exists()


async def test_after_a_clean_end_everything_is_in_the_file_itself(url: str, location: Path, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.append([routed() for _ in range(10)])
    assert Path(f"{location}-wal").stat().st_size == 0
    Path(f"{location}-wal").unlink()
    async with open_ledger(url, clock=clock) as ledger:
        assert (await ledger.counts(now_ms=0)).events == {"recording.ready": 10}


async def test_a_commit_is_synced_and_foreign_keys_hold(url: str, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as ledger:

        def pragmas(connection: apsw.Connection, _: object) -> list[object]:
            return [connection.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")]

        assert await ledger._write(pragmas) == ["wal", 2, 1]  # type: ignore[attr-defined]  # of SqliteLedger


@pytest.mark.parametrize("wrong", ["postgresql://host/db", "sqlite:///", "sqlite://ledger.db", "/var/lib/ledger.db"])
def test_another_url_is_a_fault_of_the_settings(wrong: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError, match=r"^ledger\.url: "):
        open_ledger(wrong, clock=clock)


def test_the_two_guest_modes_exclude_each_other(url: str, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="exclude"):
        open_ledger(url, clock=clock, read_only=True, shared=True)


async def test_a_second_daemon_is_refused_with_the_pid_of_the_first_and_may_follow_it(url: str, location: Path, clock: FakeClock) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(LedgerLocked, match=rf"another genesys-sync \(pid {holder.pid}\) holds the ledger at .*ledger\.db"):
            async with open_ledger(url, clock=clock):
                pass
        async with open_ledger(url, clock=clock, read_only=True) as looking, open_ledger(url, clock=clock, shared=True) as beside:
            await beside.ping()
            assert (await looking.counts(now_ms=0)).events == {}
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.ping()
    assert Path(f"{location}.lock").read_text() == f"{os.getpid()}\n"


async def test_looking_while_the_daemon_writes_sees_what_is_committed(url: str, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as daemon, open_ledger(url, clock=clock, read_only=True) as looking:
        for number in range(1, 6):
            await daemon.append([routed("archive", conversation=f"c{number}")])
            assert (await looking.counts(now_ms=0)).events == {"recording.ready": number}
            assert len(await looking.find(f"c{number}")) == 1


async def test_looking_works_without_a_daemon_and_after_its_violent_end(url: str, location: Path, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as daemon:
        await daemon.append([routed(conversation="c")])
        for suffix in ("", "-wal"):  # what a killed daemon leaves: commits in the log that are not in the file yet
            Path(f"{location}.left{suffix}").write_bytes(Path(f"{location}{suffix}").read_bytes())
    for place in (url, f"{url}.left"):
        async with open_ledger(place, clock=clock, read_only=True) as looking:
            assert len(await looking.events_about("c")) == 1


async def test_whoever_looks_cannot_write(url: str, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock):
        pass
    async with open_ledger(url, clock=clock, read_only=True) as looking:
        with pytest.raises(LedgerError, match="open to look only"):
            await looking.append([routed()])
        with pytest.raises(LedgerError, match="open to look only"):
            await looking.ping()
        assert set(await looking.statistics()) == {"file_bytes"}


@pytest.mark.parametrize("mode", ["read_only", "shared"])
async def test_a_guest_makes_no_ledger(url: str, location: Path, clock: FakeClock, mode: str) -> None:
    with pytest.raises(LedgerError, match=r"there is no ledger at .*ledger\.db yet; start the daemon first"):
        async with open_ledger(url, clock=clock, **{mode: True}):
            pass
    assert not location.parent.exists()


async def test_a_guest_replays_and_resumes_beside_the_daemon(url: str, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as daemon:
        await daemon.append([routed("archive")])
        (claim,) = await daemon.claim({"archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000)
        verdict = Verdict(state=DeliveryState.DEAD, reason=ReasonCode.NOT_FOUND, park="gone")
        await daemon.settle(claim, verdict, now_ms=clock.epoch_ms())
        async with open_ledger(url, clock=clock, shared=True) as guest:
            assert await guest.replay([claim.delivery_id], now_ms=clock.epoch_ms()) == 1
            assert await guest.resume("archive", now_ms=clock.epoch_ms())
        assert len(await daemon.claim({"archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000)) == 1
        await daemon.ping()


@pytest.mark.parametrize("mode", [{}, {"read_only": True}, {"shared": True}], ids=["daemon", "read only", "shared"])
async def test_a_file_that_is_no_database_is_named_and_left_alone(
    url: str, location: Path, clock: FakeClock, mode: dict[str, bool]
) -> None:
    location.parent.mkdir()
    location.write_bytes(b"this is a text, not a database. " * 400)
    with pytest.raises(LedgerError, match=r"ledger at .*ledger\.db is damaged .* put the last good copy in its place") as caught:
        async with open_ledger(url, clock=clock, **mode):
            pass
    assert "Traceback" not in str(caught.value)
    assert location.read_bytes().startswith(b"this is a text")
    async with open_ledger(f"{url}.other", clock=clock):  # nothing of the failed opening is left that would hinder another
        pass


async def test_damage_in_the_middle_is_reported_when_it_is_met(url: str, location: Path, routed: Any, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        await ledger.append([routed("archive", body={"padding": "x" * 500}) for _ in range(200)])
    size = location.stat().st_size
    with location.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(LedgerError, match="damaged"):
        async with open_ledger(url, clock=clock) as ledger:
            await ledger.counts(now_ms=0)


async def test_somebody_elses_database_is_not_touched(url: str, location: Path, clock: FakeClock) -> None:
    location.parent.mkdir()
    with_table = apsw.Connection(str(location))
    with_table.execute("CREATE TABLE theirs (x)")
    with_table.close()
    for mode in ({}, {"read_only": True}):
        with pytest.raises(LedgerError, match="not a genesys-sync ledger"):
            async with open_ledger(url, clock=clock, **mode):
                pass


@pytest.mark.parametrize("mode", [{}, {"read_only": True}, {"shared": True}], ids=["daemon", "read only", "shared"])
async def test_a_ledger_of_a_later_release_is_refused_and_not_changed(
    url: str, location: Path, clock: FakeClock, mode: dict[str, bool]
) -> None:
    async with open_ledger(url, clock=clock):
        pass
    later = apsw.Connection(str(location))
    later.pragma("user_version", 99)
    later.close()
    with pytest.raises(LedgerTooNew, match=r"schema 99 > \d+, written by a later release; nothing was changed"):
        async with open_ledger(url, clock=clock, **mode):
            pass


async def test_a_guest_does_not_migrate(url: str, location: Path, clock: FakeClock) -> None:
    async with open_ledger(url, clock=clock):
        pass
    earlier = apsw.Connection(str(location))
    earlier.pragma("user_version", 0)
    earlier.close()
    with pytest.raises(LedgerError, match=r"schema 0 < \d+; start the daemon"):
        async with open_ledger(url, clock=clock, shared=True):
            pass


async def test_a_folder_in_the_place_of_the_file_is_one_clear_sentence(url: str, location: Path, clock: FakeClock) -> None:
    location.mkdir(parents=True)
    for how in ({}, {"read_only": True}, {"shared": True}):
        with pytest.raises(LedgerError, match="cannot be opened: it is a folder"):
            async with open_ledger(url, clock=clock, **how):
                pass


async def test_a_file_in_the_place_of_the_folder_is_one_clear_sentence(url: str, location: Path, clock: FakeClock) -> None:
    location.parent.write_text("a file")
    with pytest.raises(LedgerMisplaced, match=r"DATA_DIR_UNSAFE: .* cannot be opened") as misplaced:
        async with open_ledger(url, clock=clock):
            pass
    assert misplaced.value.exit_code == 78


UNPRIVILEGED = """
import os, sys
import anyio
from genesys_sync.clock import SystemClock
from genesys_sync.errors import LedgerError
from genesys_sync.ledger import open_ledger

async def main():
    ours, theirs = sys.argv[1:]
    async with open_ledger(ours, clock=SystemClock()):
        pass  # everything is imported from here on: the interpreter may lie where only root can read
    os.setgid(65534)
    os.setuid(65534)
    try:
        async with open_ledger(theirs, clock=SystemClock()):
            print("opened")
    except LedgerError as error:
        print(type(error).__name__, error)

anyio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
async def test_an_unwritable_folder_is_one_clear_sentence(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-c", UNPRIVILEGED, url, f"sqlite:///{folder}/ledger.db"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("LedgerMisplaced ledger.url: DATA_DIR_UNSAFE: the ledger at")
    assert "Permission denied" in said
    assert "must be writable for user id 65534" in said
