"""Uploads, as somebody at a terminal makes them: beside a daemon, without one, killed again and again, and very large."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCENARIO = """
seed = 9
[calls]
count = 0
[uploads]
resumable = {resumable}
upload_bandwidth = {bandwidth}
process_time = "50ms"
report_time = "50ms"
waiting = ["*.lonely.wav"]
failing = ["*.unwanted.wav"]
"""
QUICK = ("genesys.upload_chunk=256KiB", "genesys.upload_report_every=200ms", "upload.settle=300ms", "upload.scan_every=200ms")


def scenario(*, resumable: bool = False, bandwidth: int = 0) -> str:
    return SCENARIO.format(resumable=str(resumable).lower(), bandwidth=bandwidth)


def wav(path: Path, size: int, *, rate: int = 192_000, seed: int = 1) -> str:
    """A valid WAV of `size` bytes, stereo, 32 bits, mostly a hole; a little noise in it makes it its own. Returns its MD5."""
    data = size - 44
    assert data % 8 == 0
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + data, b"WAVE", b"fmt ", 16, 1, 2, rate, rate * 8, 8, 32, b"data", data))
        file.truncate(size)
        file.seek(44 + data // 16 * 8)
        file.write(random.Random(seed).randbytes(1024))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def stored(platform: Any) -> list[dict[str, Any]]:
    return [line for line in platform.page("uploads")["uploads"] if line["stored"]]


def test_files_and_folders_are_uploaded_without_a_daemon_and_what_is_no_recording_is_told_of(
    simulator: Callable[..., Any], daemon: Callable[..., Any], tmp_path: Path
) -> None:
    platform = simulator(scenario())
    here = daemon(platform, *QUICK, "costs.per_gb_month={platform = 2.0}")
    drop = tmp_path / "calls"
    drop.mkdir()
    digest = wav(drop / "one call.wav", 100_044)
    wav(drop / "two.lonely.wav", 100_052)
    (drop / "three.wav").write_text("this is no sound at all")
    (tmp_path / "empty.wav").touch()
    answer = here.call("upload", str(drop), str(tmp_path / "empty.wav"), "nowhere.wav", "--json")
    assert answer.returncode == 65, answer.stderr
    told = {Path(one["path"]).name: (one["state"], one["reason"]) for one in json.loads(answer.stdout)["files"]}
    assert told["one call.wav"] == ("uploaded", None)
    assert told["two.lonely.wav"] == ("waits for its conversation", None)
    assert told["three.wav"][1].startswith("NOT_MEDIA")
    assert told["empty.wav"][1].startswith("EMPTY")
    assert told["nowhere.wav"] == ("not asked for", "nowhere.wav: no such file or folder")
    assert {line["fileName"]: line["md5"] for line in stored(platform)}["one_call.wav"] == digest
    again = here.call("upload", "--again", str(drop / "one call.wav"))
    assert again.stdout == f"{drop}/one call.wav: uploaded\n"
    assert len(stored(platform)) == 3
    page = json.loads(here.call("upload", "list", "--json", "--limit", "3").stdout)
    assert [one["fileName"] for one in page["uploads"]] == ["one_call.wav", "empty.wav", "two.lonely.wav"]
    assert page["uploads"][0]["costPerMonth"] == pytest.approx(2.0 * 100_044 / 1e9)
    assert page["next"] == page["uploads"][-1]["number"]


def test_what_is_dropped_into_the_watched_folder_is_uploaded_and_put_away_and_a_command_follows_the_daemon(
    simulator: Callable[..., Any], daemon: Callable[..., Any], tmp_path: Path, wait: Callable[..., Any]
) -> None:
    platform = simulator(scenario())
    drop = tmp_path / "drop"
    drop.mkdir()
    here = daemon(platform, *QUICK, f'upload.folder="{drop}"', "log.format=json")
    here.start()
    wait(lambda: '"running"' in here.log, what="the daemon")
    digest = wav(drop / "good.wav", 100_044, seed=2)
    wav(drop / "a.unwanted.wav", 100_052, seed=3)
    (drop / ".hidden.wav").write_text("left alone")
    wait(lambda: (drop / "done" / "good.wav").exists() and (drop / "failed" / "a.unwanted.wav").exists(), what="both files put away")
    assert digest in [line["md5"] for line in stored(platform)]
    assert (drop / ".hidden.wav").exists()
    wav(tmp_path / "by-hand.wav", 100_060, seed=4)
    answer = here.call("upload", str(tmp_path / "by-hand.wav"), str(drop / "done" / "good.wav"), "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["by"] == "daemon"
    assert [(one["state"], one["new"]) for one in told["files"]] == [("uploaded", True), ("uploaded", False)], "the same content once"
    assert len(stored(platform)) == 3
    assert here.stop() == 0
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"X-Amz-Signature" not in kept + here.log.encode(), "no presigned address is kept anywhere"


def test_two_commands_at_once_both_end_well_and_the_second_says_who_holds_the_ledger(
    simulator: Callable[..., Any], daemon: Callable[..., Any], tmp_path: Path, wait: Callable[..., Any]
) -> None:
    platform = simulator(scenario(bandwidth=1_000_000))
    here = daemon(platform, *QUICK)
    digests = {wav(tmp_path / name, 2_000_044, seed=number) for number, name in enumerate(("one.wav", "two.wav"))}
    with subprocess.Popen(here.command("upload", "one.wav"), env=here.environment, cwd=here.folder) as first:
        wait(lambda: platform.page("uploads")["uploads"], what="the first upload")
        second = here.call("upload", "two.wav")
        assert first.wait(30) == 0
    assert (second.returncode, second.stdout) == (0, "two.wav: uploaded\n"), second.stderr
    assert f"another command, `genesys-sync upload` (pid {first.pid}) holds the ledger" in second.stderr
    assert "daemon" not in second.stderr
    assert {line["md5"] for line in stored(platform)} == digests


def killed_again_and_again(platform: Any, here: Any, path: Path, kills: int, *, longest: float) -> None:
    """`upload` in lives that end with SIGKILL at a random moment, at first perhaps before anything was sent; the last one lives on."""
    moments = random.Random(kills)
    for _ in range(kills):
        with subprocess.Popen(
            here.command("upload", str(path)), env=here.environment, cwd=here.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as life:
            time.sleep(moments.uniform(0.2, longest))
            life.send_signal(signal.SIGKILL)
    last = here.call("upload", str(path), "--json", timeout=110)
    assert last.returncode == 0, last.stderr + last.stdout


@pytest.mark.parametrize(
    ("resumable", "kills", "size", "bandwidth"),
    [
        pytest.param(True, 2, 4_000_044, 3_000_000, id="resumable-2-kills"),
        pytest.param(True, 20, 40_000_044, 3_000_000, id="resumable-20-kills", marks=pytest.mark.slow),
        pytest.param(False, 20, 4_000_044, 3_000_000, id="plain-20-kills", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(300)
def test_killed_at_random_points_it_ends_once_with_the_right_content(
    resumable: bool,
    kills: int,
    size: int,
    bandwidth: int,
    simulator: Callable[..., Any],
    daemon: Callable[..., Any],
    tmp_path: Path,
) -> None:
    platform = simulator(scenario(resumable=resumable, bandwidth=bandwidth))
    here = daemon(platform, *QUICK)
    digest = wav(tmp_path / "long.wav", size)
    killed_again_and_again(platform, here, tmp_path / "long.wav", kills, longest=2.5 if kills > 2 else 1.8)
    [line] = stored(platform)
    print(f"{kills} kills: {line['requests']} requests, {line['bytesReceived'] / size - 1:.1%} of the bytes sent again")  # noqa: T201 - the figure
    assert (line["md5"], line["bytes"], len(platform.truth("upload_stored"))) == (digest, size, 1)
    if resumable:
        assert line["bytesReceived"] <= size * 1.1, "no more than a tenth is sent again"
    assert here.events("upload.completed") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_daemon_that_is_killed_twenty_times_while_it_uploads_ends_it_once(
    simulator: Callable[..., Any], daemon: Callable[..., Any], tmp_path: Path, wait: Callable[..., Any]
) -> None:
    platform = simulator(scenario(resumable=True, bandwidth=2_000_000))
    drop = tmp_path / "drop"
    drop.mkdir()
    digest = wav(drop / "long.wav", 40_000_044)
    here = daemon(platform, *QUICK, f'upload.folder="{drop}"')
    moments = random.Random(20)
    for _ in range(20):
        here.start()
        time.sleep(moments.uniform(0.5, 3.0))
        here.kill()
    here.start()
    wait((drop / "done" / "long.wav").exists, seconds=90, what="the file put away as done")
    assert here.stop() == 0
    [line] = stored(platform)
    assert (line["md5"], len(platform.truth("upload_stored"))) == (digest, 1)
    assert line["bytesReceived"] <= line["bytes"] * 1.1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_gigabytes_stay_below_150_mebibytes_of_memory_all_processes_together(
    simulator: Callable[..., Any], daemon: Callable[..., Any], tmp_path: Path
) -> None:
    platform = simulator(scenario(resumable=True))
    here = daemon(platform)
    digest = wav(tmp_path / "large.wav", 2_000_000_044)
    peaks: dict[int, int] = {}
    with subprocess.Popen(here.command("upload", str(tmp_path / "large.wav")), env=here.environment, cwd=here.folder) as process:
        while process.poll() is None:
            for member in family(process.pid):
                peaks[member] = max(peaks.get(member, 0), high_water(member))
            time.sleep(0.1)
    assert process.returncode == 0
    [line] = stored(platform)
    assert line["md5"] == digest
    print(f"VmHWM of each process, MiB: {sorted(peak >> 20 for peak in peaks.values())}")  # noqa: T201 - the figure
    assert sum(peaks.values()) < 150 << 20
    os.truncate(tmp_path / "large.wav", 0)


def family(pid: int) -> list[int]:
    """The process and its children."""
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except FileNotFoundError:
        return []


def high_water(pid: int) -> int:
    """Bytes, the most that the process ever held resident; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
