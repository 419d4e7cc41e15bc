"""The power is cut: an ext4 image that stops taking writes, without what its journal still held, and is mounted again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..bench import Bench, Daemon, DidNotHappen, Simulator, wait_until
from ..checker import Terms
from ..formats import Request, read_archive
from ..receiver import Receiver
from .controls import mutated
from .disks import Namespace, root_only
from .rows import Played, Row, scenario

_CUT = """
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
"""
"""EXT4_IOC_SHUTDOWN without flushing the journal: from here on nothing reaches the image."""


@dataclass(slots=True)
class Machine:
    """A daemon whose ledger and archive lie on an image that can lose its power."""

    space: Namespace
    image: Path
    disk: Path
    daemon: Daemon
    platform: Simulator
    receiver: Receiver

    def cut(self) -> Sequence[Request]:
        """The power goes; returns what a receiver had been told before. The daemon is killed, the image mounted again."""
        observed = self.receiver.accepted()
        self.space.run("python3", "-c", _CUT, str(self.disk))
        self.daemon.kill()
        wait_until(self._unmounted, 20, "the image unmounted")
        self.space.run("mount", "-o", "loop", str(self.image), str(self.disk))
        return observed

    def _unmounted(self) -> bool:
        try:
            self.space.run("umount", str(self.disk))
        except DidNotHappen:
            return False
        return True

    def missing(self, observed: Sequence[Request]) -> tuple[list[str], int]:
        """What a receiver was told of and is not there any more: archive keys, and the number of events that the ledger has lost."""
        told = [one for one in observed if one.type == "media.verified"]
        archive = read_archive(self.daemon.archive)
        stored = {file.key: file.sha256 for file in archive.media}
        whole = {sidecar.recording_id for sidecar in archive.sidecars}
        keys = [part["key"] for one in told for part in one.data["parts"] if stored.get(part["key"]) != part["sha256"]]
        keys += [f"sidecar of {one.data['recordingId']}" for one in told if one.data["recordingId"] not in whole]
        known = self.daemon.status().get("events", {}).get("media.verified", 0)
        return keys, max(0, len({one.data["eventId"] for one in told}) - known)


def possible() -> str:
    """Why no image can be mounted here; empty when one can."""
    if reason := root_only():
        return reason
    if shutil.which("mkfs.ext4") is None and not Path("/usr/sbin/mkfs.ext4").exists():
        return "mkfs.ext4 is not installed"
    return "" if Path("/dev/loop-control").exists() else "there are no loop devices here"


def machine(bench: Bench, folder: Path, calls: int, rate: float, environment: Mapping[str, str] | None = None) -> Machine:
    """A fresh image, mounted, with nothing on it; the daemon is not started."""
    platform, receiver = bench.world(scenario(calls, rate), folder), bench.receiver(folder)
    space, image, disk = Namespace(bench), folder / "disk.img", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True, env={**os.environ, "PATH": path})
    space.run("mount", "-o", "loop", str(image), str(disk))
    daemon = bench.daemon(platform, receiver, folder=disk, environment=environment)
    daemon.within, daemon.seen_root = space.within, space.root
    return Machine(space, image, disk, daemon, platform, receiver)


def power_cut(bench: Bench) -> Played:
    """F24: what a receiver was told before the cut is in the archive and in the ledger after it; then everything else comes too.

    Two controls show that the injector bites: with `synchronous=NORMAL` the ledger must lose events, without fsync the archive files.
    """
    cuts = 10 if bench.long else 3
    one = machine(bench, bench.folder / "daemon", 24 * cuts, 4)
    survived = 0
    for number in range(cuts):
        one.daemon.start()
        before = len(one.receiver.accepted())
        wait_until(partial(_told, one.receiver, before + 8), 40, "eight completions")
        observed = one.cut()
        keys, events = one.missing(observed)
        survived += len(observed)
        bench.problems += [f"cut {number + 1}: {key} was told of and is gone" for key in keys[:20]]
        if events:
            bench.problems.append(f"cut {number + 1}: {events} events were told of and are gone from the ledger")
    one.daemon.start()
    finding = bench.conclude(one.platform, one.daemon, one.receiver, Terms(slo=120), seconds=90)
    bites = []
    for name in ("normal", "unsynced"):
        # a commit that was just checkpointed or written back survives by luck: three tries to lose one
        lost = next((lost for trial in range(3) if (lost := _control(bench, name, trial))), 0)
        bites.append(f"{name}: {lost} lost")
        if not lost:
            finding.unproved.append(f"the control '{name}' lost nothing: the power cut does not bite")
    return Played(f"{cuts} power cuts", f"all of {survived} told before a cut were there; controls: {', '.join(bites)}", finding)


def _control(bench: Bench, name: str, trial: int) -> int:
    """How much a daemon that lies about the disk has lost after one cut."""
    one = machine(bench, bench.folder / f"{name}-{trial}", 24, 5, mutated(name))
    one.daemon.start()
    # soon: the first checkpoint of the log, at some MiB, syncs even in a ledger that is careless
    wait_until(lambda: len(one.receiver.accepted()) >= 3, 40, "completions of a control")
    keys, events = one.missing(one.cut())
    return len(keys) if name == "unsynced" else events


def _told(receiver: Receiver, least: int) -> bool:
    return len(receiver.accepted()) >= least


ROWS = (Row("F24", "power cut", power_cut, possible),)
