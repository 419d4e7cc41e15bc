"""The stage of one row: simulator, daemon and receiver as a row needs them, in a folder of its own; at the end the evidence."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import formats
from .checker import Evidence, Finding, Terms, judge
from .proxy import Proxy
from .receiver import Receiver

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

SCALED = (
    "feed.queue_refresh=5s",
    "feed.ping_every=2s",
    "feed.silence=5s",
    "feed.connect_timeout=4s",
    "feed.backoff_base=100ms",
    "feed.backoff_cap=1s",
    "feed.backfill_overlap=1m",
    "feed.backfill_settle=2s",
    "feed.reconcile_every=5s",
    "feed.ready_within=10s",
    "dispatch.lease=10s",
    "dispatch.poll=500ms",
    "dispatch.drain=5s",
    "genesys.requests_per_minute=3000",
    "genesys.request_timeout=4s",
    "genesys.batch_gather=300ms",
    "genesys.batch_poll=1s",
    "genesys.download_patience=2s",
    'handlers.discover.config.ladder=["1s", "2s", "4s"]',
    "handlers.discover.config.confirm_after=4s",
    "handlers.discover.backoff_base=200ms",
    "handlers.discover.backoff_cap=1s",
    "handlers.archive.config.refetch_delay=500ms",
    "handlers.archive.backoff_base=200ms",
    "handlers.archive.backoff_cap=1s",
    "handlers.archive.attempts=60",
    "handlers.discover.attempts=60",
    "handlers.verify.config.workers=1",
    "handlers.verify.backoff_base=200ms",
    "handlers.verify.backoff_cap=1s",
    'handlers.tell.schedule=["300ms", "500ms", "1s"]',
    "handlers.tell.attempts=200",
    "handlers.tell.config.timeout=2s",
)
"""A contact centre's waits, about sixty times shorter; everything else is as in the sample settings."""


class DidNotHappen(Exception):
    """Something that the row waited for did not come true."""


def wait_until(fact: Callable[[], Any], seconds: float, what: str, *, every: float = 0.1) -> Any:
    """The first true answer. Raises DidNotHappen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := fact():
            return answer
        time.sleep(every)
    raise DidNotHappen(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    """A port on loopback that nobody listens on, below those that the kernel lends to clients: it is still free when the daemon, killed,
    takes it again."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port
    raise DidNotHappen("a free port below 32000")


@dataclass
class Simulator:
    """The platform, running."""

    process: subprocess.Popen[str]
    said: Mapping[str, str]
    truth_log: Path

    @property
    def port(self) -> int:
        return int(self.said["apiUrl"].rpartition(":")[2])

    def page(self, name: str, *, method: str = "GET") -> dict[str, Any]:
        request = urllib.request.Request(f"{self.said['controlUrl']}/{name}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found

    def fault(self, kind: str) -> None:
        """Lets one of the platform's faults happen now, or with the next request or socket."""
        self.page(f"faults/{kind}", method="POST")

    def fired(self, kind: str) -> int:
        return sum(line["kind"] == kind for line in formats.read_truth(self.truth_log, "fault"))

    @property
    def finished(self) -> bool:
        return bool(self.page("state")["finished"])


@dataclass
class Daemon:
    """`genesys-sync` with one set of settings, started as often as a row wants. `within` is put before every command (another mount
    namespace), `under` before `run` alone (a tracer). `seen_root` is where this process sees the daemon's root folder."""

    folder: Path
    overrides: Sequence[str]
    environment: dict[str, str]
    port: int
    log: Path
    within: Sequence[str] = ()
    under: Sequence[str] = ()
    seen_root: Path = Path("/")
    process: subprocess.Popen[bytes] | None = None

    @property
    def archive(self) -> Path:
        return self.seen_root / str(self.folder / "archive").lstrip("/")

    @property
    def trail(self) -> Path:
        return self.seen_root / str(self.folder / "state" / "audit").lstrip("/")

    def command(self, *words: str) -> list[str]:
        options = [part for override in self.overrides for part in ("--set", override)]
        return [*self.within, str(BIN / "genesys-sync"), "--settings", str(PROJECT / "settings.toml"), *options, *words]

    def call(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.environment, cwd=self.log.parent, capture_output=True, text=True, timeout=seconds, check=False
        )

    def spawn(self) -> subprocess.Popen[bytes]:
        """One more daemon process, whoever holds the ledger."""
        command = self.command("run")
        command[len(self.within) : len(self.within)] = self.under
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=self.environment, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> None:
        self.process = self.spawn()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; the exit status, -9 when it had to be killed."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def health(self) -> tuple[int, str]:
        """Status and body of `/readyz`; 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def ready(self) -> int:
        """The status of `/readyz`; 0 when nobody answers."""
        return self.health()[0]

    def until_ready(self, seconds: float = 30) -> float:
        """Seconds until `/readyz` says 200, without those in which others had the processors that it could have run on: a busy machine
        is nobody's fault. Raises DidNotHappen."""
        begun, starved = time.monotonic(), self._starved()
        wait_until(lambda: self.ready() == 200, seconds, "the daemon is ready")
        return time.monotonic() - begun - max(0.0, self._starved() - starved)

    def _starved(self) -> float:
        """Seconds for which the daemon's main thread was ready to run and had no processor; 0 where the kernel does not count them."""
        try:
            return int(Path(f"/proc/{self.process.pid if self.process else 0}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def status(self) -> dict[str, Any]:
        """`status --json`; empty when there is nothing to show."""
        answer = self.call("status", "--json")
        found: dict[str, Any] = json.loads(answer.stdout) if answer.returncode == 0 else {}
        return found

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass
class Bench:
    """What a row works with. `problems` are sentences about promises other than the invariants."""

    name: str
    folder: Path
    long: bool
    stack: ExitStack = field(default_factory=ExitStack)
    problems: list[str] = field(default_factory=list)

    def world(self, scenario: str, folder: Path | None = None) -> Simulator:
        """A simulator that plays this TOML text."""
        place = folder or self.folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "scenario.toml").write_text(scenario)
        log = self.stack.enter_context((place / "simulator.log").open("w"))
        command = [
            str(BIN / "genesys-sync-simulator"),
            "--scenario",
            str(place / "scenario.toml"),
            "--truth-log",
            str(place / "truth.jsonl"),
        ]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        self.stack.callback(_end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise DidNotHappen(f"the simulator did not start: {(place / 'simulator.log').read_text()}")
        return Simulator(process, json.loads(line), place / "truth.jsonl")

    def receiver(self, folder: Path | None = None) -> Receiver:
        place = folder or self.folder
        place.mkdir(parents=True, exist_ok=True)
        receiver = Receiver(place)
        self.stack.callback(receiver.close)
        return receiver

    def proxy(self, platform: Simulator) -> Proxy:
        proxy = Proxy(platform.port)
        self.stack.callback(proxy.close)
        return proxy

    def daemon(
        self,
        platform: Simulator,
        receiver: Receiver,
        *overrides: str,
        proxy: Proxy | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Daemon:
        """A daemon pointed at the platform (through the proxy, if there is one) and the receiver; not started. `folder` is where ledger
        and archive lie."""
        place = folder or self.folder
        port = free_port()
        url = proxy.url if proxy is not None else platform.said["apiUrl"]
        # an installed program has its bytecode; where it may not be written, each start would compile everything
        foreign = ("GENESYS_", "NOTIFY_", "SENTRY_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        kept |= {"GENESYS_CLIENT_ID": platform.said["clientId"], "GENESYS_CLIENT_SECRET": platform.said["clientSecret"]}
        settings = (
            f'genesys.api_url="{url}"',
            f'genesys.login_url="{url}"',
            'genesys.media_hosts=["127.0.0.1"]',
            f'ledger.url="sqlite:///{place / "state" / "ledger.db"}"',
            f'storage.root="{place / "archive"}"',
            "storage.min_free=1MiB",
            f'health.listen="127.0.0.1:{port}"',
            'http.allow_private=["127.0.0.0/8"]',
            'handlers.tell.use="webhook"',
            f'handlers.tell.config.url="{receiver.url}"',
            "handlers.tell.config.allow_http=true",
            f'handlers.tell.config.secret_files=["{receiver.secret_file}"]',
            *SCALED,
            *overrides,
        )
        one = Daemon(place, settings, kept | dict(environment or {}), port, platform.truth_log.parent / "daemon.log")
        self.stack.callback(lambda: one.kill() if one.running else None)
        return one

    def settle(self, platform: Simulator, daemon: Daemon, receiver: Receiver, seconds: float = 60, *, deaf: bool = False) -> bool:
        """Until the world has ended, everything in it was told, and (unless the row ends `deaf`) no gap is open; whether that came true
        in time."""
        deadline = time.monotonic() + seconds

        def told() -> bool:
            if not daemon.running:
                raise DidNotHappen(f"the daemon ended by itself with {daemon.process.returncode if daemon.process else None}")
            if not platform.finished:
                return False
            names = {str(one.data.get(key)) for one in receiver.accepted() for key in ("recordingId", "conversationId")}
            lines = formats.read_truth(platform.truth_log)
            return all(line["recordingId"] in names or (not line["good"] and line["conversationId"] in names) for line in lines)

        try:
            wait_until(told, max(1.0, deadline - time.monotonic()), "everything told", every=0.3)
            if deaf:
                return True
            # a daemon that has just begun has not yet noted what it missed; once it is ready, it has
            wait_until(lambda: daemon.ready() == 200, max(5.0, deadline - time.monotonic()), "the daemon is ready")
            wait_until(lambda: daemon.status().get("openGaps") == 0, max(5.0, deadline - time.monotonic()), "no open gap")
        except DidNotHappen as why:
            self.problems.append(str(why))
            return False
        return True

    def conclude(self, platform: Simulator, daemon: Daemon, receiver: Receiver, terms: Terms, *, seconds: float = 60) -> Finding:
        """Waits for rest, stops the daemon, and judges. The daemon must run, and must end with 0."""
        self.settle(platform, daemon, receiver, seconds, deaf=terms.ends_deaf)
        gaps = daemon.status().get("openGaps")
        status = daemon.stop()
        if status != 0:
            self.problems.append(f"the daemon ended with {status} instead of 0")
        if "Traceback" in daemon.text():
            self.problems.append("a traceback stands in the daemon's log")
        letters = daemon.call("dead-letters", "list", "--limit", "10000", "--json")
        evidence = Evidence(
            truth=formats.truths(formats.read_truth(platform.truth_log)),
            archive=formats.read_archive(daemon.archive),
            letters=formats.read_letters(letters.stdout) if letters.returncode == 0 else (),
            requests=list(receiver.requests),
            secret=receiver.secret,
            open_gaps=gaps,
            trail=formats.read_trail(daemon.trail),
            silences=formats.read_silences(platform.truth_log),
        )
        return judge(evidence, terms)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def clear(folder: Path) -> None:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
