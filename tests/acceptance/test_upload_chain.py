"""From a dropped file to everything that follows: uploaded, transcribed by a provider, and another system told of both in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.speech import speak, speech_services
from tests.harness.receiver import Receiver

CALLS = 'start = "on-request"\n[calls]\ncount = 1\n[uploads]\nprocess_time = "50ms"\nreport_time = "50ms"\n'


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with closing(Receiver(tmp_path)) as made:
        yield made


@pytest.fixture
def providers(tmp_path: Path) -> Iterator[dict[str, str]]:
    with speech_services(tmp_path, CALLS) as said:
        yield said


def items(receiver: Receiver) -> dict[str, dict[str, Any]]:
    found = [item for one in receiver.accepted() for item in json.loads(one.body)["data"]["items"]]
    assert len({item["id"] for item in found}) == len(found), "each item once"
    return {item["type"]: item["data"] for item in found}


def test_a_dropped_file_is_uploaded_then_transcribed_and_both_are_told(
    simulator: Callable[..., Any],
    daemon: Callable[..., Any],
    providers: dict[str, str],
    receiver: Receiver,
    wait: Callable[..., Any],
    tmp_path: Path,
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    platform = simulator(CALLS)
    here = daemon(
        platform,
        f'upload.folder="{drop}"',
        "upload.settle=300ms",
        "upload.scan_every=200ms",
        "genesys.upload_report_every=200ms",
        'handlers.upload.config.transcribe="speech"',
        'handlers.upload.config.locale="en-US"',
        'handlers.transcribe.use="transcribe"',
        'providers.speech.use="at-once"',
        'providers.speech.locale="en-US"',
        f'providers.speech.config.url="{providers["transcriptionsUrl"].split("/v1/")[0]}"',
        'providers.speech.config.key_env="SPEECH_KEY"',
        'providers.speech.config.model="large-v3"',
        'handlers.tell.use="webhook"',
        'handlers.tell.topics=["upload.completed", "transcription.completed", "transcript.archived"]',
        f'handlers.tell.config.url="{receiver.url}"',
        f'handlers.tell.config.secret_files=["{receiver.secret_file}"]',
        "handlers.tell.config.allow_http=true",
        "handlers.tell.config.batch=10",
        "handlers.tell.config.batch_within=500ms",
        'http.allow_private=["127.0.0.0/8"]',
        environment={"SPEECH_KEY": providers["apiKey"]},
    )
    here.start()
    speak(drop / "call.wav")
    wait(lambda: len(items(receiver)) == 3, what="all three told")
    told = items(receiver)
    assert told["upload.completed"]["status"] == "Success"
    assert told["transcription.completed"]["provider"] == "speech"
    assert (here.archive / told["transcript.archived"]["transcript"]["key"]).is_file()
    assert [line["md5"] for line in platform.page("uploads")["uploads"]] == [told["upload.completed"]["md5"]]
    wait((drop / "done" / "call.wav").exists, what="the file put away")
    assert here.stop() == 0
    verified = here.call("verify", "--json")
    assert verified.returncode == 0, verified.stdout
