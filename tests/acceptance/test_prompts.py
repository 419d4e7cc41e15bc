"""Prompts and flows with the installed commands: a folder in mixed formats is pushed once, and flows that use prompts are published."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

SCENARIO = """
start = "on-request"
[platform]
rate_limit_per_minute = 100000
[architect]
prompts = ["prompt_000"]
prompt_time = "200ms"
operation_time = "{operation}"
tracking_time = "500ms"
[[architect.flows]]
name = "Main"
uses = ["prompt_000", "prompt_001"]
[[architect.flows]]
name = "Locked"
uses = ["prompt_001"]
locked_by = "Jane Doe"
[[architect.flows]]
name = "Other"
"""
PACE = ("genesys.architect_look=200ms", "genesys.requests_per_minute=100000")
BAD = {"text": "no known audio", "empty": "the file is empty", "big": "more than 25 MB", "cut": "promises", "page": "HTML"}


def tone(number: int, rate: int) -> np.ndarray[Any, Any]:
    seconds = 0.6 + number % 7 / 10
    return 0.05 * (1 + number % 5) * np.sin(2 * np.pi * (200 + number) * np.arange(round(seconds * rate)) / rate)


def as_wav(path: Path, number: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(np.repeat((tone(number, 44100) * 32767).astype("<i2"), 2).tobytes())


def as_encoded(path: Path, number: int, codec: str, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(number, rate).astype(np.float32)[np.newaxis, :], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def fill(folder: Path, count: int) -> tuple[set[str], dict[str, str]]:
    """`count` files: the places of the good ones, and of each bad one its kind. Every tenth is bad; formats take turns."""
    good, bad = set(), {}
    for number in range(count):
        place = folder / f"prompt_{number:03d}"
        place.mkdir(parents=True)
        if number % 10 == 9:
            kind = list(BAD)[number // 10 % len(BAD)]
            path = place / "en-us.wav"
            as_wav(path, number)
            whole = path.read_bytes()
            content = {"text": b"This is no WAV.\n", "empty": b"", "cut": whole[: len(whole) // 2], "page": b"<html>404</html>"}
            if kind == "big":
                with path.open("r+b") as file:
                    file.truncate(26_000_000)
            else:
                path.write_bytes(content[kind])
            bad[f"{place.name}/en-us.wav"] = kind
            continue
        match number % 3:
            case 0:
                as_wav(path := place / "en-us.wav", number)
            case 1:
                as_encoded(path := place / "de.mp3", number, "libmp3lame", 44100)
            case _:
                as_encoded(path := place / "es-us.ogg", number, "libopus", 48000)
        good.add(f"{place.name}/{path.name}")
    return good, bad


def requests(platform: Any) -> Counter[str]:
    operations = platform.page("requests")["operations"]
    return Counter({name: count for name, count in operations.items() if "architect" in name or "uploads" in name})


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_folder_in_mixed_formats_is_pushed_once(
    count: int, tmp_path: Path, simulator: Callable[..., Any], daemon: Callable[..., Any]
) -> None:
    """The plan is right, the push leaves exactly the good ones transcoded, and the second push does nothing."""
    platform = simulator(SCENARIO.format(operation="200ms"))
    here = daemon(platform, *PACE)
    folder = tmp_path / "prompts"
    good, bad = fill(folder, count)
    began = time.monotonic()
    plan = here.call("prompts", "plan", str(folder), "--json", timeout=110)
    planned = time.monotonic()
    assert plan.returncode == 65, plan.stderr
    changes = {one["file"]: one for one in told(plan)["prompts"]}
    assert {file for file, one in changes.items() if one["change"] == "new"} == good
    assert {file for file, one in changes.items() if one["change"] == "invalid"} == set(bad)
    assert all(BAD[kind] in changes[file]["why"] for file, kind in bad.items())
    assert all(changes[file]["converted"]["loudness"] == -20.0 for file in good)
    push = here.call("prompts", "push", str(folder), "--json", timeout=110)
    pushed = time.monotonic()
    assert push.returncode == 65, push.stdout + push.stderr
    assert {one["file"] for one in told(push)["prompts"] if one["outcome"] == "pushed"} == good
    assert told(push)["counts"] == {**told(plan)["counts"], "pushed": len(good)}
    for file in bad:
        (folder / file).unlink()
    sent = requests(platform)
    again = here.call("prompts", "push", str(folder), "--json", timeout=110)
    assert (again.returncode, {name: count for name, count in told(again)["counts"].items() if count}) == (0, {"unchanged": len(good)})
    more = requests(platform) - sent
    assert all(name.startswith("GET ") for name in more), more
    took = f"plan {planned - began:.1f} s, push {pushed - planned:.1f} s, again {sum(more.values())} requests"
    sys.stderr.write(f"{count} files, {len(good)} good: {took}\n")


def test_two_pushes_at_once_send_the_audio_once(tmp_path: Path, simulator: Callable[..., Any], daemon: Callable[..., Any]) -> None:
    """The second waits for the first, and then finds nothing to do."""
    platform = simulator(SCENARIO.format(operation="200ms"))
    here = daemon(platform, *PACE)
    for number in range(3):
        (tmp_path / "prompts" / f"prompt_{number}").mkdir(parents=True)
        as_wav(tmp_path / "prompts" / f"prompt_{number}" / "en-us.wav", number)
    command = here.command("prompts", "push", "prompts", "--json")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=here.environment, cwd=here.folder, **pipes) for _ in range(2)]
    ended = [(process.pid, *process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for *_, code in ended] == [0, 0], ended
    counts = [json.loads(output)["counts"] for _, output, *_ in ended]
    assert sorted((count["pushed"], count["unchanged"]) for count in counts) == [(0, 3), (3, 0)]
    assert requests(platform)["POST /api/v2/architect/prompts/{promptId}/resources/{languageCode}/uploads"] == 3
    [pid] = [pid for (pid, *_), count in zip(ended, counts, strict=True) if count["pushed"]]
    [said] = [error for (_, _, error, _), count in zip(ended, counts, strict=True) if not count["pushed"]]
    assert f"another command, `genesys-sync prompts push` (pid {pid}) is at work; this one begins when that has ended" in said


@pytest.mark.slow
def test_what_changed_is_pushed_again_and_what_is_too_large_can_be_allowed(
    tmp_path: Path, simulator: Callable[..., Any], daemon: Callable[..., Any]
) -> None:
    platform = simulator(SCENARIO.format(operation="200ms"))
    here = daemon(platform, *PACE)
    folder = tmp_path / "prompts"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        as_wav(folder / name / "en-us.wav", 1)
    assert here.call("prompts", "push", str(folder)).returncode == 0
    assert here.events("prompt.transcoded") == 2
    as_wav(folder / "one" / "en-us.wav", 2)
    with wave.open(str(folder / "two" / "de.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(bytes(26_000_000))
    plan = here.call("prompts", "plan", str(folder))
    assert plan.returncode == 65
    assert "the file's content is another" in plan.stdout
    assert "26.0 MB, more than 25 MB (prompts.largest_source)" in plan.stdout
    done = here.call("prompts", "push", str(folder), "--set", "prompts.largest_source=30MB", "--json")
    assert (done.returncode, told(done)["counts"]["pushed"]) == (0, 2)
    other = here.call("prompts", "push", str(folder), "--set", "prompts.largest_source=30MB", "--set", "prompts.encoding=ulaw", "--json")
    assert (other.returncode, told(other)["counts"]["changed"], told(other)["counts"]["pushed"]) == (0, 3, 3)


@pytest.mark.slow
def test_flows_that_use_a_prompt_are_published_and_an_interrupted_run_says_what_it_left(
    tmp_path: Path, simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(SCENARIO.format(operation="1500ms"))
    here = daemon(platform, *PACE)
    command = here.command("flows", "publish", "Main")
    with subprocess.Popen(command, env=here.environment, cwd=here.folder, stderr=subprocess.PIPE, text=True) as process:
        wait(lambda: flow(platform, "Main")["operations"], what="the checkin")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "interrupted: the flow Main: " in said
    wait(lambda: flow(platform, "Main")["lockedBy"] is None, what="the end of the checkin")
    with subprocess.Popen(command, env=here.environment, cwd=here.folder, stderr=subprocess.DEVNULL) as process:
        wait(lambda: flow(platform, "Main")["lockedBy"], what="the checkout")
        process.kill()
    again = here.call("flows", "publish", "--using-prompt", "prompt_001", "--json")
    assert again.returncode == 69, again.stderr
    outcomes = {one["flow"]["name"]: one for one in told(again)}
    assert (outcomes["Main"]["outcome"], outcomes["Locked"]["platformCode"]) == ("success", "architect.flow.locked.by.user")
    main = flow(platform, "Main")
    assert (main["lockedBy"], main["publishedVersion"]) == (None, main["checkedInVersion"])
    assert here.events("flow.published") == 1
    assert flow(platform, "Other")["operations"] == []
    assert here.call("flows", "list", "Nothing*").returncode == 1


def flow(platform: Any, name: str) -> dict[str, Any]:
    return next(one for one in platform.page("flows")["flows"] if one["name"] == name)
