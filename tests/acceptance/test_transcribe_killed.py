"""A daemon killed with -9 around a transcription: one job, one transcript. Real processes, real kill."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.speech import free_port, speak, speech_services

pytestmark = pytest.mark.slow

CALLS = 'start = "on-request"\n[calls]\ncount = 1\n[providers]\njob_time = ["2s", "2s"]\n'


@pytest.fixture
def providers(tmp_path: Path) -> Iterator[dict[str, str]]:
    with speech_services(tmp_path, CALLS) as said:
        yield said


def counts(said: dict[str, str]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{said['controlUrl']}/state", timeout=10) as answer:
        return json.loads(answer.read())


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
    speak(sound)
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
