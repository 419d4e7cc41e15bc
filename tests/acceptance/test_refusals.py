"""What goes wrong before and beside the work: one clear sentence each, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = """
[calls]
count = 6
per_second = 6
duration = ["1s", "2s"]
[recordings]
appear_after = ["100ms", "200ms"]
available_after = ["500ms", "1s"]
[platform]
batch_job_time = "200ms"
"""


def test_bad_settings_show_every_fault_with_its_path(tmp_path: Path, genesys_sync: Callable[..., Any]) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(
        """
        [genesys]
        regoin = "eu_central_1"
        request_timeout = "30"
        [storage]
        min_free = 7
        [handlers.archive]
        use = "archiv"
        [handlers.verify]
        use = "verify"
        [handlers.verify.config]
        levle = "full"
        """
    )
    done = genesys_sync("--settings", str(settings), "run")
    assert done.returncode == 78
    for expected in (
        "genesys.regoin: unknown key; did you mean 'region'?",
        "genesys.request_timeout: ",
        "storage.min_free: ",
        "handlers.archive.use: ",
        "handlers.verify.config.levle: unknown key; did you mean 'level'?",
    ):
        assert expected in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_credentials(simulator: Callable[..., Any], daemon: Callable[..., Any]) -> None:
    here = daemon(simulator(CALLS), environment={"GENESYS_CLIENT_SECRET": "not-the-secret"})
    done = here.call("run")
    assert done.returncode == 77
    assert "refused" in done.stderr
    assert "region" in done.stderr
    assert "not-the-secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert here.call("check").returncode == 77


def test_a_port_in_use(simulator: Callable[..., Any], daemon: Callable[..., Any], taken_port: int) -> None:
    here = daemon(simulator(CALLS), f'health.listen="127.0.0.1:{taken_port}"')
    done = here.call("run")
    assert done.returncode == 75
    assert f"127.0.0.1:{taken_port} is in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "named"), [('storage.root="/dev/null/archive"', "storage.root"), ('ledger.url="sqlite:////dev/null/l.db"', "/dev/null")]
)
def test_a_folder_that_cannot_be_written(simulator: Callable[..., Any], daemon: Callable[..., Any], setting: str, named: str) -> None:
    here = daemon(simulator(CALLS), setting)
    done = here.call("run")
    assert done.returncode in (74, 78)
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_on_one_ledger(simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]) -> None:
    here = daemon(simulator(CALLS))
    here.start()
    wait(lambda: '"running"' in here.log, what="the first daemon running")
    done = here.call("run")
    assert done.returncode == 75
    assert f"pid {here.process.pid}" in done.stderr
    assert here.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_drains(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any], number: signal.Signals
) -> None:
    here = daemon(simulator(CALLS))
    here.start()
    wait(lambda: '"running"' in here.log, what="the daemon running")
    here.process.send_signal(number)
    assert here.process.wait(40) == 0
    assert '"stopped"' in here.log


def test_a_refused_permission_is_named_and_nothing_is_lost(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    """Without the recordings' permission every call ends in the dead letters as FORBIDDEN; replayed with it, all are archived."""
    client = ("--client-id", "the-daemon", "--client-secret", "a-secret-of-its-own")
    granted = ["routing:queue:view", "conversation:communication:view", "analytics:conversationDetail:view"]
    some = f"[[clients]]\nid = 'x'\nsecret = 'x'\npermissions = {granted}\n"
    platform = simulator(CALLS + some, *client)
    here = daemon(platform, "feed.backoff_base=50ms", "feed.backoff_cap=200ms")
    check = here.call("check")
    assert check.returncode == 77
    assert "recording:recording:view" in check.stdout + check.stderr
    here.start()
    wait(lambda: here.call("dead-letters", "list", "--json").stdout.count("FORBIDDEN") >= 6, what="six dead letters")
    platform.process.terminate()
    platform.process.wait()

    # the same world again, now with the permission
    again = simulator(CALLS, "--port", platform.said["apiUrl"].rpartition(":")[2], *client)
    assert again.said["apiUrl"] == platform.said["apiUrl"]
    wait(lambda: again.page("state")["finished"], what="the scenario's end")
    assert here.call("dead-letters", "replay", "--all").returncode == 0
    wanted = {line["recordingId"] for line in again.truth("recording")}
    wait(lambda: set(here.archived()) == wanted, what="every recording archived")
    assert here.stop() == 0
    assert "Traceback" not in here.log


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nsenter") is None, reason="mounting a small file system needs root")
def test_a_full_disk_makes_work_wait_and_loses_nothing(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(CALLS)
    here = daemon(platform, "storage.min_free=64KiB")
    here.archive.mkdir()
    inner = here.command("run")
    script = f'mount -t tmpfs -o size=96k tmpfs "{here.archive}" && exec "$@"'
    with (here.folder / "daemon.log").open("ab") as log:
        here.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "sh", *inner], env=here.environment, cwd=here.folder, stdout=log, stderr=log
        )
    inside = Path(f"/proc/{here.process.pid}/root") / str(here.archive).lstrip("/")
    wait(lambda: "free" in here.log and "warning" in here.log, what="a word about the full disk")
    wait(lambda: platform.page("state")["finished"], what="the scenario's end")
    subprocess.run(["nsenter", "-t", str(here.process.pid), "-m", "mount", "-o", "remount,size=64m", str(here.archive)], check=True)
    wanted = {line["recordingId"] for line in platform.truth("recording")}
    wait(
        lambda: {path.name.split(".")[0] for path in (inside / "recordings").rglob("*.*") if path.suffix != ".json"} == wanted,
        what="every recording archived",
    )
    here.process.send_signal(signal.SIGTERM)
    assert here.process.wait(40) == 0
    assert "Traceback" not in here.log
