"""`genesys-sync demo` with kill -9 in the middle; as a newcomer runs it, `make demo` is the test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Demo = Callable[..., subprocess.CompletedProcess[str]]


def test_every_promise_of_the_demo_holds_also_when_the_daemon_is_killed_three_times(tmp_path: Path, demo: Demo) -> None:
    done = demo(tmp_path / "demo", "--kill", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9 of the daemon" in done.stdout
    for fault in ("error_page", "header_only", "truncated", "deleted"):
        assert fault in done.stdout, f"the demo planted no {fault}"
    for fault in ("drop_socket", "rate_limit", "expired_url_once"):
        assert fault in done.stdout.split("faults that happened")[1], f"{fault} never happened"
    assert "Where to look next" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr + (tmp_path / "demo" / "daemon.log").read_text()
    _holds_no_secret(tmp_path / "demo")


def _holds_no_secret(folder: Path) -> None:
    left = [folder / "daemon.log", folder / "webhooks.jsonl", *(path for path in (folder / "state").rglob("*") if path.is_file())]
    assert len(left) > 3
    for path in left:
        for secret in (b"whsec_", b"Bearer ", b"signature=", b"X-Amz-"):
            assert secret not in path.read_bytes(), f"{secret!r} in {path.name}"


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path, demo: Demo) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("mine")
    done = demo(tmp_path / "letters")
    assert done.returncode == 78
    assert "--folder" in done.stderr
    assert (tmp_path / "letters" / "love.txt").read_text() == "mine"
