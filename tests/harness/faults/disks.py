"""Disks that are full. They need root for a small file system."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ..bench import Bench, DidNotHappen, wait_until
from ..checker import Terms
from .rows import Played, Row, scenario

EX_IOERR, EX_TEMPFAIL = 74, 75


class Namespace:
    """A mount namespace of its own, held open by a sleeping process; what is mounted in it nobody else sees."""

    def __init__(self, bench: Bench) -> None:
        self._holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "3600"])
        bench.stack.callback(self._end)
        own = Path("/proc/self/ns/mnt").readlink()
        wait_until(lambda: Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != own, 10, "a mount namespace")

    @property
    def within(self) -> Sequence[str]:
        return ("nsenter", "-t", str(self._holder.pid), "-m", "--")

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root")

    def run(self, *words: str) -> None:
        """A command inside. Raises DidNotHappen with its words."""
        done = subprocess.run([*self.within, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DidNotHappen(f"{words[0]} failed: {done.stderr.strip()}")

    def _end(self) -> None:
        self._holder.kill()
        self._holder.wait()


def root_only() -> str:
    """Why no file system can be mounted here; empty when one can."""
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    missing = [tool for tool in ("unshare", "nsenter", "mount") if shutil.which(tool) is None]
    if missing:
        return f"{missing[0]} is not installed"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "no mount namespace can be made here"


def archive_full(bench: Bench) -> Played:
    """F26: the archive's file system is full; work waits, the ledger and the socket go on; with space again everything is archived."""
    platform = bench.world(scenario(40, 5))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, "storage.min_free=256KiB")
    space = Namespace(bench)
    daemon.archive.mkdir()
    space.run("mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(daemon.folder / "archive"))
    daemon.within, daemon.seen_root = space.within, space.root
    daemon.start()
    wait_until(lambda: "archive_full" in daemon.health()[1] and platform.finished, 60, "archive_full in /readyz, and the scenario's end")
    told = len(receiver.accepted())
    time.sleep(2)
    if not daemon.running:
        bench.problems.append("a full archive ended the daemon")
    space.run("mount", "-o", "remount,size=256m", str(daemon.folder / "archive"))
    freed = time.time()
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=freed), seconds=60)
    after = len(receiver.accepted()) - told
    return Played("archive of 600 KiB", f"archive_full in /readyz, {after} completions after space returned", finding, after > 0)


def ledger_full(bench: Bench) -> Played:
    """F26: the ledger's file system is full; nothing that was accepted is lost, and what could not be recorded comes by back-fill."""
    platform = bench.world(scenario(80, 5))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    space = Namespace(bench)
    state = daemon.folder / "state"
    state.mkdir()
    space.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(state))
    daemon.within, daemon.seen_root = space.within, space.root
    daemon.start()
    daemon.until_ready()
    wait_until(lambda: len(receiver.accepted()) >= 5, 30, "five completions")
    subprocess.run([*space.within, "dd", "if=/dev/zero", f"of={state}/ballast", "bs=4k"], capture_output=True, check=False)
    wait_until(lambda: not daemon.running or "ledger_not_writable" in daemon.health()[1], 30, "a word about the full ledger")
    ended = None if daemon.running else daemon.process and daemon.process.returncode
    if ended not in (None, EX_IOERR, EX_TEMPFAIL):
        bench.problems.append(f"a full ledger ended the daemon with {ended}")
    time.sleep(2)
    space.run("rm", f"{state}/ballast")
    if not daemon.running:
        daemon.start()
    daemon.until_ready()
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()), seconds=90)
    how = "it waited" if ended is None else f"it ended with {ended}"
    return Played("no space for the ledger", f"{how}; everything after space returned", finding)


ROWS = (
    Row("F26", "archive full", archive_full, root_only),
    Row("F26b", "ledger full", ledger_full, root_only),
)
