"""A file that is given to `transcribe` where only what is redacted may stay: real processes, from the command to the archive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import socket
import struct
import time
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
CALLS = 'start = "on-request"\n[calls]\ncount = 1\n'
KEY = b"a key of thirty-two bytes, to it"
SAID = "hello my card is four one one one one one one one one one one one one one one one goodbye"
HIDDEN = (2.0, 10.0)
"""Seconds: half a second for each word, the digits from the fifth on."""


def spoken(path: Path) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", 1 + int(abs(9000 * math.sin(n / 3)))) for n in range(12 * 8000)))
    return path.read_bytes()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answer(url: str, key: str) -> int:
    """The provider's result, signed and sent."""
    words = [{"word": word, "start": 0.5 * n, "end": 0.5 * n + 0.5} for n, word in enumerate(SAID.split())]
    result = {"language": "en-US", "duration": 12.0, "segments": [{"text": SAID, "start": 0.0, "end": 12.0, "words": words}]}
    data = {"id": "j", "status": "completed", "idempotency_key": key, "result": result}
    body = json.dumps({"type": "transcription.completed", "data": data}).encode()
    stamp = str(int(time.time()))
    signed = base64.b64encode(hmac.digest(KEY, b".".join([b"m1", stamp.encode(), body]), hashlib.sha256)).decode()
    headers = {"webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as told:
        return int(told.status)


def test_nothing_is_left_as_it_was_spoken_and_the_archive_is_whole(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any], tmp_path: Path
) -> None:
    secret, sound, port = tmp_path / "secret", tmp_path / "call.wav", free_port()
    secret.write_text("whsec_" + base64.b64encode(KEY).decode())
    secret.chmod(0o600)
    original = spoken(sound)
    here = daemon(
        simulator(CALLS),
        'handlers.transcribe.use="transcribe"',
        'handlers.redact.use="redact"',
        "handlers.redact.config.keep_original=false",
        'handlers.mute.use="mute"',
        "handlers.mute.config.keep_original=false",
        'handlers.mute.config.ladder=["1s"]',
        'handlers.mute.config.without_transcript="quarantine"',
        'providers.speech.use="jobs"',
        'providers.speech.locale="en-US"',
        f'providers.speech.callback_secret_files=["{secret}"]',
        f'providers.speech.config.url="http://127.0.0.1:{free_port()}"',
        f'callbacks.listen="127.0.0.1:{port}"',
        f'callbacks.public_url="http://127.0.0.1:{port}"',
        'http.allow_private=["127.0.0.1/32"]',
    )
    here.start()
    wait(lambda: "callbacks are taken" in here.log, what="the listener")
    asked = here.call("transcribe", str(sound), "--no-wait", "--json")
    assert asked.returncode == 0, asked.stderr
    request = json.loads(asked.stdout)["requests"][0]["request"]
    assert answer(f"http://127.0.0.1:{port}/callbacks/speech", request) == 204
    wait(lambda: here.events("media.redacted") == 1, what="the redacted copy")
    assert here.stop() == 0

    files = [path for path in here.archive.rglob("*") if path.is_file()]
    (copy,) = [path for path in files if path.suffix in (".wav", ".flac")]
    assert copy.is_relative_to(here.archive / "redacted" / "transcriptions")
    with wave.open(str(copy)) as file:
        heard = file.readframes(file.getnframes())
    first, last = (int(second * 8000) * 2 for second in HIDDEN)
    assert not any(heard[first:last])
    margin = int(0.15 * 8000) * 2
    head = original[-len(heard) :]
    assert heard[: first - margin] == head[: first - margin]
    assert heard[last + margin :] == head[last + margin :]
    for path in (*files, *(tmp_path / "state").rglob("*")):
        assert not path.is_file() or b"one one" not in path.read_bytes(), path
    verified = here.call("verify", "--json")
    assert verified.returncode == 0, verified.stdout
    assert sound.read_bytes() == original, "what it was copied from is nobody's business but its owner's"
