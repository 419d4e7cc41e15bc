"""Disks that are full or refuse, and kills at chosen system calls. They need root for a small file system, or strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..bench import Bench, Daemon, DidNotHappen, Simulator, wait_until
from ..checker import Finding, Terms
from ..receiver import Receiver
from .rows import Played, Row, scenario

CALLS = ("pwrite64", "write", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "sendto", "sendmsg", "mkdirat")
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


def needs_strace() -> str:
    """Why nothing can be traced here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-D", "-f", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "nothing may be traced here"


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


def failed_sync(bench: Bench) -> Played:
    """F25: fsync answers EIO once: of the ledger (the daemon ends with 74 and begins again from the disk), and of the archive."""
    whole = Finding()
    injected, ends = 0, []
    for name, syscalls, when in (("ledger", "fdatasync", 20), ("archive", "fsync", 6), ("archive again", "fsync", 9)):
        folder = bench.folder / name.replace(" ", "-")
        platform, receiver = bench.world(scenario(16, 6), folder), bench.receiver(folder)
        daemon = bench.daemon(platform, receiver, folder=folder)
        trace = folder / "strace.log"
        daemon.under = ("strace", "-D", "-f", "-qq", "-o", str(trace), "-e", f"trace={syscalls}", *_inject(syscalls, "error=EIO", when))
        daemon.start()
        wait_until(partial(_says, trace, "(INJECTED)"), 30, f"EIO for the {name}")
        injected += 1
        began = time.monotonic()
        while daemon.running and time.monotonic() - began < 6:
            time.sleep(0.1)
        daemon.under = ()
        if not daemon.running and daemon.process is not None:
            ends.append(daemon.process.returncode)
            if daemon.process.returncode != EX_IOERR:
                bench.problems.append(f"EIO of the {name} ended the daemon with {daemon.process.returncode} instead of {EX_IOERR}")
            daemon.start()
        elif name == "ledger":
            bench.problems.append("EIO of the ledger did not end the daemon within 6 s")
        whole.add(bench.conclude(platform, daemon, receiver, Terms(least=10, slo=60), seconds=60))
    return Played("3 x EIO from fsync", f"ended {ends} and began again; the others went on", whole, injected == 3)


def _inject(syscalls: str, what: str, when: int) -> Sequence[str]:
    return ("-e", f"inject={syscalls}:{what}:when={when}")


def crash_points(bench: Bench) -> Played:
    """F23: killed at each write, sync, rename, unlink and send of a few recordings' life; short form: some of each kind."""
    counts = _census(bench)
    points = [(call, when) for call, most in sorted(counts.items()) for when in _chosen(most, all_of_them=bench.long)]
    whole, bit = Finding(), 0
    for call, when in points:
        folder = bench.folder / f"{call}-{when}"
        platform, receiver, daemon = _small(bench, folder)
        daemon.under = ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", *_inject(call, "signal=KILL", when))
        daemon.start()
        try:
            wait_until(partial(_ended, daemon), 12, "the kill")
            bit += 1
        except DidNotHappen:
            daemon.kill()
        daemon.under = ()
        daemon.start()
        whole.add(bench.conclude(platform, daemon, receiver, Terms(least=1, slo=120), seconds=40))
        bench.stack.pop_all().close()
    kinds = ", ".join(f"{call} {most}" for call, most in sorted(counts.items()))
    outcome = f"{bit} kills; in one life the busiest thread makes: {kinds}"
    if whole.created < 10:
        whole.unproved.append(f"only {whole.created} recordings were created")
    return Played(f"killed at {len(points)} system calls", outcome, whole, bit >= 0.8 * len(points))


def _small(bench: Bench, folder: Path) -> tuple[Simulator, Receiver, Daemon]:
    platform = bench.world(scenario(1, 5, calls={"recordings_per_call": [2]}), folder)
    receiver = bench.receiver(folder)
    return platform, receiver, bench.daemon(platform, receiver, folder=folder)


def _census(bench: Bench) -> dict[str, int]:
    """How often the busiest thread makes each call in one life: strace counts for each thread by itself."""
    folder = bench.folder / "census"
    platform, receiver, daemon = _small(bench, folder)
    trace = folder / "strace.log"
    daemon.under = ("strace", "-D", "-f", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}")
    daemon.start()
    bench.conclude(platform, daemon, receiver, Terms(least=1))
    found: dict[tuple[str, str], int] = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match is not None:
            found[match[2], match[1]] = found.get((match[2], match[1]), 0) + 1
    bench.stack.pop_all().close()
    return {call: max(count for (name, _), count in found.items() if name == call) for call in {name for name, _ in found}}


def _chosen(most: int, *, all_of_them: bool) -> Sequence[int]:
    """Which of a call's occurrences: all, or one in the second half, where the recordings' life lies; of a few calls two."""
    if all_of_them:
        return range(1, most + 1)
    return sorted({max(1, 2 * most // 3), most // 2 + 1}) if most < 10 else [2 * most // 3]


def _says(path: Path, words: str) -> bool:
    return path.exists() and words in path.read_text(errors="replace")


def _ended(daemon: Daemon) -> bool:
    return not daemon.running


ROWS = (
    Row("F23", "killed at chosen system calls", crash_points, needs_strace),
    Row("F25", "fsync fails", failed_sync, needs_strace),
    Row("F26", "archive full", archive_full, root_only),
    Row("F26b", "ledger full", ledger_full, root_only),
)
