"""A daemon killed with -9 around a transcription: one job, one transcript. Real processes, real kill."""

from __future__ import annotations

import json
import math
import socket
import struct
import subprocess
import sys
import urllib.request
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CALLS = 'start = "on-request"\n[calls]\ncount = 1\n[providers]\njob_time = ["2s", "2s"]\n'


@pytest.fixture
def providers(tmp_path: Path) -> Iterator[dict[str, str]]:
    scenario = tmp_path / "providers.toml"
    scenario.write_text(CALLS)
    command = [str(Path(sys.executable).parent / "genesys-sync-simulator"), "providers", "--scenario", str(scenario)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.kill()


def spoken(path: Path) -> None:
    """Three bursts of sound in three seconds."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        loud = (math.sin(n / 3) * (9000 if n % 8000 < 3000 else 40) for n in range(24_000))
        file.writeframes(b"".join(struct.pack("<h", int(one)) for one in loud))


def counts(said: dict[str, str]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{said['controlUrl']}/state", timeout=10) as answer:
        return json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("when", ["submitted", "answered"])
def test_one_job_and_one_transcript(
    when: str,
    providers: dict[str, str],
    simulator: Callable[..., Any],
    daemon: Callable[..., Any],
    wait: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Killed while the provider works, so that its callback finds nobody; killed at the moment at which its callback was taken."""
    secret, sound, port = tmp_path / "secret", tmp_path / "call.wav", free_port()
    secret.write_text(providers["callbackSecret"])
    secret.chmod(0o600)
    spoken(sound)
    here = daemon(
        simulator(CALLS),
        'handlers.transcribe.use="transcribe"',
        'handlers.transcribe.config.ladder=["3s"]',
        'providers.speech.use="jobs"',
        'providers.speech.locale="en-US"',
        f'providers.speech.callback_secret_files=["{secret}"]',
        f'providers.speech.config.url="{providers["jobsUrl"].removesuffix("/jobs")}"',
        'providers.speech.config.key_env="SPEECH_KEY"',
        f'callbacks.listen="127.0.0.1:{port}"',
        f'callbacks.public_url="http://127.0.0.1:{port}"',
        'http.allow_private=["127.0.0.1/32"]',
        environment={"SPEECH_KEY": providers["apiKey"]},
    )
    here.start()
    wait(lambda: "callbacks are taken" in here.log, what="the listener")
    asked = here.call("transcribe", str(sound), "--no-wait")
    assert asked.returncode == 0, asked.stderr
    if when == "submitted":
        wait(lambda: counts(providers)["jobs"] == 1, what="the job")
    else:
        wait(lambda: counts(providers)["counts"].get("callbacks_accepted") == 1, what="the callback")
    here.kill()
    if when == "submitted":
        wait(lambda: counts(providers)["counts"].get("callbacks_given_up") == 1, what="the callback to nobody")
    here.start()
    wait(lambda: here.log.count("callbacks are taken") == 2, what="the listener once more")
    done = here.call("transcribe", str(sound), "--json", timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout
    (told,) = json.loads(done.stdout)["requests"]
    assert (told["outcome"], told["new"]) == ("completed", False)
    assert (here.archive / told["transcript"]).is_file()
    wait(lambda: here.events("transcript.archived") == 1, what="the event")
    assert counts(providers)["jobs"] == 1
    assert here.events("transcription.completed") == 1
    assert here.stop() == 0
    assert here.call("verify").returncode == 0
