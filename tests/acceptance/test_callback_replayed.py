"""A callback that a running daemon has taken, sent once more from outside: same id, same timestamp, same signature, same bytes. Real
processes; the sender is curl where there is one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.speech import free_port, speak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]
CALLS = 'start = "on-request"\n[calls]\ncount = 1\n'
KEY = b"a key of thirty-two bytes, to it"


def posted(url: str, body: Path, headers: dict[str, str], *more: str) -> tuple[int, str]:
    """Status and body, as curl saw them."""
    named = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    command = ["curl", "--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--data-binary", f"@{body}", *named, *more, url]
    told, _, status = subprocess.run(command, capture_output=True, text=True, check=False).stdout.rpartition("\n")
    return int(status), told


def test_a_taken_callback_is_refused_with_the_one_body_when_it_comes_again(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any], tmp_path: Path
) -> None:
    secret, sound, port, nobody = tmp_path / "secret", tmp_path / "call.wav", free_port(), free_port()
    secret.write_text("whsec_" + base64.b64encode(KEY).decode())
    secret.chmod(0o600)
    speak(sound)
    here = daemon(
        simulator(CALLS),
        'handlers.transcribe.use="transcribe"',
        'providers.speech.use="jobs"',
        'providers.speech.locale="en-US"',
        f'providers.speech.callback_secret_files=["{secret}"]',
        f'providers.speech.config.url="http://127.0.0.1:{nobody}"',
        f'callbacks.listen="127.0.0.1:{port}"',
        f'callbacks.public_url="http://127.0.0.1:{port}"',
        'http.allow_private=["127.0.0.1/32"]',
    )
    here.start()
    wait(lambda: "callbacks are taken" in here.log, what="the listener")
    asked = here.call("transcribe", str(sound), "--no-wait", "--json")
    assert asked.returncode == 0, asked.stderr
    key = json.loads(asked.stdout)["requests"][0]["request"]
    result = {"language": "en-US", "duration": 3.0, "segments": [{"text": "hello there", "start": 0.5, "end": 1.5}]}
    body = tmp_path / "body"
    body.write_text(
        json.dumps(
            {"type": "transcription.completed", "data": {"id": "j", "status": "completed", "idempotency_key": key, "result": result}}
        )
    )
    stamp = str(int(time.time()))
    signed = base64.b64encode(hmac.digest(KEY, b".".join([b"msg_1", stamp.encode(), body.read_bytes()]), hashlib.sha256)).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}", "Content-Type": "application/json"}
    url, refused = f"http://127.0.0.1:{port}/callbacks/speech", '{"error":"refused"}'

    assert posted(url, body, headers) == (204, "")
    assert posted(url, body, headers) == (401, refused), "the very same message"
    wait(lambda: here.events("transcription.completed") == 1, what="the end of the request")
    assert posted(url, body, headers) == (401, refused), "also when all is over"
    here.kill()
    here.start()
    wait(lambda: here.log.count("callbacks are taken") == 2, what="the listener once more")
    assert posted(url, body, headers) == (401, refused), "also to a daemon that was killed since"
    changed = tmp_path / "changed"
    changed.write_bytes(body.read_bytes().replace(b"hello", b"hallo"))
    assert posted(url, changed, {**headers, "webhook-id": "msg_2"}) == (401, refused)
    assert posted(url, body, {**headers, "webhook-id": "msg_3"}, "--limit-rate", "8") == (408, '{"error":"too slow"}'), "a byte at a time"
    assert here.events("transcription.answered") == here.events("transcript.archived") == 1
    assert here.stop() == 0
