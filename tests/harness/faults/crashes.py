"""The process is killed at each system call of a recording's life, and fsync fails at chosen files. Needs nothing but ptrace."""

from __future__ import annotations

import json
import platform as machine
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..bench import PROJECT, Bench, Daemon, DidNotHappen, Simulator, wait_until
from ..checker import Finding, Terms
from ..receiver import Receiver
from ..tracer import CALLS
from .rows import READY_WITHIN, Played, Row, scenario

TRACER = PROJECT / "tests" / "harness" / "tracer.py"
EX_IOERR = 74
QUICK = (
    'handlers.discover.config.ladder=["300ms", "600ms", "1s"]',
    "handlers.discover.config.confirm_after=1s",
    "genesys.batch_gather=100ms",
    "genesys.batch_poll=300ms",
    "dispatch.max_crashes=1000",
    "dispatch.poll=200ms",
    "feed.backfill_settle=200ms",
    "feed.reconcile_every=1m",
    "feed.queue_refresh=1m",
    "feed.ping_every=4s",
    "handlers.discover.attempts=1000",
    "handlers.archive.attempts=1000",
    "handlers.verify.attempts=1000",
    "handlers.tell.attempts=1000",
)
"""A short life with little beside it, so that a call's number means the same in each life. Being killed at its own call again and again,
a handler looks like one that kills the process: `max_crashes` and the attempts are not what this is about."""
GUARD = 180.0
"""Seconds after which something that is waited for is taken never to come; no measurement."""
QUIET = 1.0
"""Seconds without a system call, after the receiver was told, that end a life. What a busy machine holds up for longer is not missed: a
point that did not come is played again."""


def traceable() -> str:
    """Why nothing can be traced here; empty when it can."""
    if machine.machine() not in CALLS:
        return f"the numbers of the system calls of {machine.machine()} are not known"
    with tempfile.NamedTemporaryFile() as report:
        command = [sys.executable, "-I", str(TRACER), "--report", report.name, "--", "true"]
        subprocess.run(command, capture_output=True, check=False, timeout=20)
        return "" if b"armed" in report.read() else "no process may be traced here (ptrace)"


def spoilable() -> str:
    """Why no system call can be made to fail here; empty when it can."""
    return traceable() or ("" if machine.machine() == "x86_64" else "making a call fail is known for x86-64 only")


def traced(daemon: Daemon, report: Path, *words: str) -> Sequence[str]:
    """What to put before the daemon's command."""
    below = (str(daemon.folder / "state"), str(daemon.folder / "archive"))
    return (
        sys.executable,
        "-I",
        str(TRACER),
        "--report",
        str(report),
        *(part for path in below for part in ("--below", path)),
        *words,
        "--",
    )


def read_report(report: Path) -> Sequence[Mapping[str, Any]]:
    """What the tracer wrote; a torn last line is none."""
    lines = report.read_text().splitlines() if report.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`-th call of a name on a kind of file."""

    call: str
    part: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.part}:{self.number}"


@dataclass(slots=True)
class Lane:
    """One daemon that lives through one recording after another; its ledger and archive grow."""

    bench: Bench
    folder: Path
    platform: Simulator
    receiver: Receiver
    daemon: Daemon
    lives: int = 0
    asked: int = 0
    slowest: float = 0.0
    kills: list[Mapping[str, Any]] = field(default_factory=list)

    def life(self, point: Point | None) -> Sequence[Mapping[str, Any]]:
        """The next call's life, with a kill at this point of it (None: watched only); returns what the tracer wrote. The call is asked for
        when all that came before is done and the tracer counts, however long that takes."""
        self.lives += 1
        report, armed = self.folder / f"life-{self.lives}.jsonl", self.folder / f"life-{self.lives}.armed"
        kill = () if point is None else ("--kill", str(point))
        self.daemon.under = traced(self.daemon, report, "--armed-by", str(armed), *kill)
        self._start()
        wait_until(self._at_rest, GUARD, "what the life before has left is done", every=0.05)
        armed.touch()
        wait_until(lambda: any("armed" in line for line in read_report(report)), GUARD, "the tracer is armed", every=0.02)
        self.platform.page("calls", method="POST")
        self.asked += 1
        self._follow(report)
        lines = read_report(report)
        killed = [line for line in lines if line.get("done") == "killed"]
        self.kills += killed
        if self.daemon.running:
            self.daemon.kill()
        elif not killed:
            raise DidNotHappen(f"the daemon ended by itself in life {self.lives} of {self.folder.name}")
        return lines

    def tidy(self) -> None:
        """A start that does what the lives so far have left, and an end in peace: the next life is a process that has done nothing yet,
        as that of the census was."""
        self.daemon.under = ()
        self._start()
        wait_until(self._at_rest, GUARD, "what the life before has left is done", every=0.05)
        if (status := self.daemon.stop()) != 0:
            self.bench.problems.append(f"at rest, the daemon of {self.folder.name} ended with {status} instead of 0")

    def _at_rest(self) -> bool:
        status, body = self.daemon.health()
        return status == 200 and json.loads(body).get("open_gaps") == 0 and self._all_told()

    def _start(self) -> None:
        self.daemon.start()
        self.slowest = max(self.slowest, self.daemon.until_ready(GUARD))

    def _follow(self, report: Path) -> None:
        """Until the daemon has been killed, or the receiver was told of the call and the last writes are made."""

        def ended() -> bool:
            return not self.daemon.running or (self._all_told() and time.time() > report.stat().st_mtime + QUIET)

        wait_until(ended, GUARD, f"the end of life {self.lives} of {self.folder.name}", every=0.02)

    def _all_told(self) -> bool:
        told = {one.data["conversationId"] for one in self.receiver.accepted() if "conversationId" in one.data}
        return len(told) == self.asked

    def conclude(self) -> Finding:
        """The last start, with nobody watching, and what is left of all lives."""
        self.daemon.under = ()
        self._start()
        if self.platform.page("state")["callsWaiting"]:
            self.platform.page("calls", method="DELETE")
        return self.bench.conclude(self.platform, self.daemon, self.receiver, Terms(least=5, slo=600), seconds=GUARD)


def _lane(bench: Bench, name: str, lives: int) -> Lane:
    folder = bench.folder / name
    calls = {"recordings_per_call": [1], "duration": ["300ms", "300ms"], "ring": "100ms", "wrapup_after": "100ms", "on_request": True}
    media = {"available_after": ["300ms", "400ms"], "formats": ["WAV_ULAW", "OGG_OPUS"]}
    jobs = {"batch_job_time": "100ms"}
    platform = bench.world(scenario(lives, 1, calls=calls, recordings=media, platform=jobs), folder)
    receiver = bench.receiver(folder)
    return Lane(bench, folder, platform, receiver, bench.daemon(platform, receiver, *QUICK, folder=folder))


def crash_points(bench: Bench) -> Played:
    """F23: killed instead of each write, sync, rename, unlink, folder made and send of a recording's life; short form: one of each kind."""
    census = _census(bench)
    points = list(points_of(census, all_of_them=bench.long))
    lanes = 2 if bench.long else 1
    shares = [points[number::lanes] for number in range(lanes)]
    with ThreadPoolExecutor(lanes) as pool:
        played = list(pool.map(partial(_enumerate, bench), range(lanes), shares))
    whole, kinds, absent = Finding(), Counter[str](), list[Point]()
    for lane, missed, finding in played:
        whole.add(finding)
        kinds.update(line["call"] for line in lane.kills)
        absent += missed
    slowest = max(lane.slowest for lane, _, _ in played)
    if slowest > READY_WITHIN:
        bench.problems.append(f"a start took {slowest:.1f} s until it was ready; {READY_WITHIN:.0f} s are allowed")
    bit = kinds.total()
    said = ", ".join(f"{count} {call}" for call, count in sorted(kinds.items()))
    # a few calls of the census belong to what runs beside the life, and need not come each time
    left = f"; {len(absent)} did not come: {', '.join(map(str, absent))}" if absent else ""
    return Played(
        f"killed at {bit} of a life's {len(census)} calls",
        f"{said}{left}; ready within {slowest:.1f} s each time",
        whole,
        bit >= 0.9 * len(points),
    )


def _enumerate(bench: Bench, number: int, points: Sequence[Point]) -> tuple[Lane, Sequence[Point], Finding]:
    """A life for each point, and one more, after everything is tidied up, for each that did not come in it; those that did not come in
    either."""
    lane, absent = _lane(bench, f"lane-{number}", 2 * len(points)), list[Point]()
    for point in points:
        if not _came(lane.life(point)):
            lane.tidy()
            if not _came(lane.life(point)):
                absent.append(point)
    return lane, absent, lane.conclude()


def _came(lines: Sequence[Mapping[str, Any]]) -> bool:
    return any(line.get("done") == "killed" for line in lines)


def _census(bench: Bench) -> Sequence[Mapping[str, Any]]:
    """The calls of one life that nobody disturbs, in their order. It is the second of its daemon: as in those to come, the ledger and the
    day's folders are there."""
    lane = _lane(bench, "census", 2)
    lane.life(None)
    lines = [line for line in lane.life(None) if "n" in line]
    if not lines:
        raise DidNotHappen("the tracer saw no system call in a whole life")
    return lines


def points_of(census: Sequence[Mapping[str, Any]], *, all_of_them: bool) -> Iterator[Point]:
    """Where to kill: at every call of the life, or at one of each kind, in the middle of its occurrences, and at the first and last
    send too."""
    kinds = Counter((str(line["call"]), _part(line["what"])) for line in census)
    for (call, part), most in sorted(kinds.items()):
        some = {1, (most + 1) // 2, most} if part == "tcp" else {(most + 1) // 2}
        yield from (Point(call, part, number) for number in (range(1, most + 1) if all_of_them else sorted(some)))


def _part(path: str) -> str:
    """What tells the kind of file in its path."""
    if path == "tcp":
        return path
    if "/archive/" in path:
        return "/.incoming" if "/.incoming" in path else "/recordings"
    return f"/{Path(path).name}$"


FAILURES = (
    ("ledger", "fdatasync:ledger.db-wal:6", EX_IOERR),
    ("object", "fsync:/archive/.incoming/:3", None),
    ("folder", "fsync:/archive/recordings/:4", None),
    ("audit", "fsync:/audit:1", EX_IOERR),
)
"""What fails, at which call, and with what the daemon ends; None: it goes on."""


def failed_sync(bench: Bench) -> Played:
    """F25: fsync answers EIO once. Of the ledger's log, or the audit trail's file, which are the ledger's promise: the daemon ends
    with 74 and begins again from the disk. Of an archived file, or its folder: that one is fetched again. Never is the same file synced
    again as if the first answer had not been."""
    whole, outcomes = Finding(), []
    for name, fault, status in FAILURES:
        folder = bench.folder / name
        platform, receiver = bench.world(scenario(12, 6), folder), bench.receiver(folder)
        daemon = bench.daemon(platform, receiver, "audit.checkpoint_every=3s", folder=folder)
        report = folder / "calls.jsonl"
        daemon.under = traced(daemon, report, "--fail", fault)
        daemon.start()
        wait_until(partial(has_failed, report), 90, f"EIO for the {name}")
        ended = _ended_within(daemon, 6 if status is not None else 3)
        if ended != status:
            bench.problems.append(f"EIO for the {name}: {_went(ended)} instead of: {_went(status)}")
        bench.problems += [f"EIO for the {name}: {again}" for again in synced_again(read_report(report))]
        outcomes.append(f"{name}: {_went(ended)}")
        if ended is not None:
            daemon.under = ()
            daemon.start()
        whole.add(bench.conclude(platform, daemon, receiver, Terms(least=8, slo=60), seconds=60))
    return Played(f"{len(FAILURES)} x EIO from fsync", "; ".join(outcomes), whole)


def has_failed(report: Path) -> bool:
    """Whether the call that was to fail has failed."""
    return any(line.get("done") == "failed" for line in read_report(report))


def _ended_within(daemon: Daemon, seconds: float) -> int | None:
    """The exit status, None when it goes on."""
    deadline = time.monotonic() + seconds
    while daemon.running and time.monotonic() < deadline:
        time.sleep(0.05)
    return None if daemon.running or daemon.process is None else daemon.process.returncode


def _went(status: int | None) -> str:
    return "it went on" if status is None else f"it ended with {status}"


def synced_again(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Sentences about syncs of a file whose sync has failed; a folder may be synced again, for another file."""
    failed: str | None = None
    for line in lines:
        if line.get("done") == "failed":
            failed = line["what"] if Path(line["what"]).suffix or "/.incoming/" in line["what"] else None
        elif failed is not None and line.get("what") == failed and line.get("call") in ("fsync", "fdatasync"):
            yield f"{failed} was synced again after its sync had failed"


ROWS = (
    Row("F23", "killed at chosen system calls", crash_points, traceable),
    Row("F25", "fsync fails", failed_sync, spoilable),
)
