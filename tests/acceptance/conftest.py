"""The installed commands as subprocesses, against the simulator as a subprocess. Nothing of the daemon is imported here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

QUICK = (
    "feed.queue_refresh=10s",
    "feed.backoff_base=200ms",
    "feed.backoff_cap=2s",
    "feed.backfill_settle=2s",
    "feed.reconcile_every=5s",
    "dispatch.lease=10s",
    "dispatch.poll=500ms",
    "genesys.batch_gather=500ms",
    "genesys.batch_poll=500ms",
    'handlers.discover.config.ladder=["1s", "2s", "3s", "5s"]',
)


def wait_until(fact: Callable[[], Any], *, seconds: float = 60, what: str = "the fact") -> Any:
    """The first true answer; one generous deadline for the whole test. A look that is dear, such as a command, is taken less often: it
    must not take the processors from what it waits for."""
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        if answer := fact():
            return answer
        time.sleep(max(0.1, 2 * (time.monotonic() - began)))
    raise AssertionError(f"{what} did not come true within {seconds} s")


@dataclass
class Simulator:
    process: subprocess.Popen[str]
    said: dict[str, str]
    truth_log: Path

    def page(self, name: str, *, method: str = "GET") -> dict[str, Any]:
        request = urllib.request.Request(f"{self.said['controlUrl']}/{name}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def truth(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.truth_log.read_text().splitlines()]
        return [line for line in lines if line["type"] == kind]


@dataclass
class Daemon:
    folder: Path
    settings: Path
    overrides: tuple[str, ...]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    peaks: list[int] = field(default_factory=list)

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def log(self) -> str:
        path = self.folder / "daemon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def command(self, *words: str) -> list[str]:
        options = [part for override in self.overrides for part in ("--set", override)]
        return [str(BIN / "genesys-sync"), "--settings", str(self.settings), *options, *words]

    def call(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"), env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def peak_memory(self) -> int:
        """Bytes, the most that the daemon's own process ever held resident."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 40) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def events(self, topic: str) -> int:
        """How many events of this topic the ledger holds, as `status --json` says; 0 before there is a ledger."""
        answer = self.call("status", "--json")
        return int(json.loads(answer.stdout)["events"].get(topic, 0)) if answer.returncode == 0 else 0

    def archived(self) -> dict[str, list[Path]]:
        """Media files by recording id."""
        found: dict[str, list[Path]] = {}
        for path in (self.archive / "recordings").rglob("*"):
            if path.is_file() and (path.suffix != ".json" or "." in path.stem):  # else it is a sidecar
                found.setdefault(path.name.split(".")[0], []).append(path)
        return found


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    """Start a simulator with a scenario that ships, a file, or TOML text; extra words go to its command line."""
    with ExitStack() as stack:

        def start(scenario: str = "demo", *words: str) -> Simulator:
            if "\n" in scenario:
                path = tmp_path / "scenario.toml"
                path.write_text(scenario)
                scenario = str(path)
            truth_log = tmp_path / "truth.jsonl"
            command = [str(BIN / "genesys-sync-simulator"), "--scenario", scenario, "--truth-log", str(truth_log), *words]
            log = stack.enter_context((tmp_path / "simulator.log").open("w"))
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (tmp_path / "simulator.log").read_text()
            return Simulator(process, json.loads(line), truth_log)

        yield start


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """A daemon with the sample settings, pointed at a simulator; not started yet."""
    made: list[Daemon] = []

    def make(platform: Simulator, *overrides: str, environment: dict[str, str] | None = None) -> Daemon:
        said = platform.said
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS_", "NOTIFY_", "SENTRY_"))}
        kept |= {"GENESYS_CLIENT_ID": said["clientId"], "GENESYS_CLIENT_SECRET": said["clientSecret"]}
        one = Daemon(
            folder=tmp_path,
            settings=PROJECT / "settings.toml",
            overrides=(
                f'genesys.api_url="{said["apiUrl"]}"',
                f'genesys.login_url="{said["loginUrl"]}"',
                'genesys.media_hosts=["127.0.0.1"]',
                "storage.min_free=1MiB",
                'health.listen="127.0.0.1:0"',
                *QUICK,
                *overrides,
            ),
            environment=kept | (environment or {}),
        )
        made.append(one)
        return one

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()


@pytest.fixture
def demo() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`genesys-sync demo` in the project's folder, as `make demo` calls it."""

    def play(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "genesys-sync"), "demo", "--folder", str(folder), *words]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=115, check=False)

    return play


@pytest.fixture
def genesys_sync(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, with nothing of ours in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS_", "NOTIFY_", "SENTRY_"))}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "genesys-sync"), *words]
        return subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=60, check=False)

    return call


@pytest.fixture
def wait() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on loopback that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
