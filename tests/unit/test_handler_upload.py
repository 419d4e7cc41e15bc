"""The handler `upload`: what it takes and what it refuses, how it follows the platform's report, what it does once more after a kill."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from genesys_sync.errors import ConfigurationError, PermanentError, ReasonCode, TransientError
from genesys_sync.events import Event
from genesys_sync.plugin import Done, Reported, Snooze, TranscriptionRequest, UploadStatus
from genesys_sync.testing import make_event
from genesys_sync_handlers._report import Fault, Report
from genesys_sync_handlers._uploadable import refusal
from genesys_sync_handlers.upload import Upload

pytestmark = pytest.mark.anyio
Harness = Callable[..., Any]


def wav(seconds: float, rate: int = 8000) -> bytes:
    samples = b"".join(struct.pack("<h", 8000 if number % 40 < 20 else -8000) for number in range(int(seconds * rate)))
    return (
        struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", len(samples)
        )
        + samples
    )


def asked(path: Path, content: bytes | None = None) -> Event:
    """The event that the command records for this file; with `content` it is written first."""
    if content is not None:
        path.write_bytes(content)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    body = {"path": str(path), "fileName": path.name, "bytes": len(data), "modifiedNs": 0, "sha256": digest, "md5": md5, "revision": 1}
    return make_event("upload.requested", conversation_id=None, recording_id=None, state=digest, body=body)


async def test_a_recording_is_uploaded_and_what_it_is_stands_in_the_event(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        outcome = await harness.handle(asked(tmp_path / "call.dat", wav(1.5)))
        [file] = harness.genesys.uploads.stored.values()
        assert file.content_type == "audio/wav", "by what is inside, whatever the name says"
        [event] = outcome.emit
        assert event.topic == "upload.completed"
        assert (event.body["status"], event.body["container"], event.body["codec"], event.body["duration"]) == (
            "Success",
            "wav",
            "pcm_s16le",
            1.5,
        )
        assert event.body["bytes"] == (tmp_path / "call.dat").stat().st_size
        assert [(entry.action, entry.outcome) for entry in harness.audited] == [("upload.complete", "success")]


@pytest.mark.parametrize(
    ("content", "config", "reason"),
    [
        (b"", {}, "EMPTY"),
        (b"this is a text", {}, "NOT_MEDIA"),
        (b"<html>an error page</html>", {}, "ERROR_PAGE"),
        (wav(1)[:44], {}, "HEADER_ONLY"),
        (wav(1)[:-1000], {}, "TRUNCATED"),
        (wav(3), {"max_duration": "2s"}, "TOO_LONG"),
        (wav(1), {"max_size": "1KB"}, "TOO_LARGE"),
        (wav(1), {"containers": ["mp3"]}, "CONTAINER_REFUSED"),
        (wav(1), {"codecs": ["opus"]}, "CODEC_REFUSED"),
    ],
)
async def test_what_is_no_fit_recording_is_never_sent_whatever_its_name(
    content: bytes, config: dict[str, Any], reason: str, handler_harness: Harness, tmp_path: Path
) -> None:
    async with handler_harness(Upload, config) as harness:
        outcome = await harness.handle(asked(tmp_path / "call.wav", content))
        assert not harness.genesys.uploads.stored
        [event] = outcome.emit
        assert (event.topic, event.body["reason"]) == ("upload.failed", reason)
        assert event.body["detail"]
        assert harness.audited[-1].outcome == "failure"


async def test_a_file_that_is_another_by_now_or_gone_is_not_sent(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        event = asked(tmp_path / "call.wav", wav(1))
        (tmp_path / "call.wav").write_bytes(wav(1, 8001)[: len(wav(1))])
        assert (await harness.handle(event)).emit[0].body["reason"] == Fault.MEDIA_ALTERED
        (tmp_path / "call.wav").write_bytes(wav(2))
        assert (await harness.handle(event)).emit[0].body["reason"] == Fault.MEDIA_ALTERED
        (tmp_path / "call.wav").unlink()
        assert (await harness.handle(event)).emit[0].body["reason"] == Fault.MEDIA_MISSING
        assert not harness.genesys.uploads.stored


async def test_what_was_proved_is_not_looked_into_again_after_a_break(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        event = asked(tmp_path / "call.wav", wav(1))
        harness.genesys.uploads.fail(TransientError("broken off", code=ReasonCode.UNREACHABLE))
        with pytest.raises(TransientError):
            await harness.handle(event)

        async def nobody(*_: Any, **__: Any) -> Any:
            raise AssertionError("looked into again")

        harness.handler._inspectors.inspect = nobody
        assert isinstance(await harness.handle(event), Done)


async def test_a_stored_file_may_be_taken_away_while_the_report_is_waited_for(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        event = asked(tmp_path / "call.wav", wav(1))
        harness.genesys.uploads.report(None, Reported(UploadStatus.PENDING), Reported(UploadStatus.WAIT_FOR_CONVERSATION))
        assert isinstance(await harness.handle(event), Snooze)
        (tmp_path / "call.wav").unlink()
        first = await harness.handle(event, snoozes=1)
        assert isinstance(first, Snooze)
        outcome = await harness.handle(event, snoozes=2)
        assert outcome.emit[0].body["status"] == "WaitForConversation"
        assert len(harness.genesys.uploads.stored) == 1


async def test_looks_become_rarer_and_end_in_a_dead_letter_that_can_be_replayed(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        event = asked(tmp_path / "call.wav", wav(1))
        harness.genesys.uploads.report(None)
        delays = [(await harness.handle(event, snoozes=number)).delay for number in (0, 5, 100)]
        assert delays == sorted(delays)
        assert delays[-1] == timedelta(minutes=5)
        harness.genesys.uploads.since = harness.clock.now() - timedelta(hours=25)
        with pytest.raises(PermanentError) as caught:
            await harness.handle(event)
        assert caught.value.code is ReasonCode.NOT_READY


async def test_the_platforms_own_failure_is_the_reason(handler_harness: Harness, tmp_path: Path) -> None:
    async with handler_harness(Upload) as harness:
        harness.genesys.uploads.report(Reported(UploadStatus.FAILURE, "no such conversation"))
        outcome = await harness.handle(asked(tmp_path / "call.wav", wav(1)))
        assert (outcome.emit[0].topic, outcome.emit[0].body["reason"], outcome.emit[0].body["detail"]) == (
            "upload.failed",
            "PLATFORM_FAILURE",
            "no such conversation",
        )


async def test_an_event_that_no_command_made_is_refused(handler_harness: Harness) -> None:
    async with handler_harness(Upload) as harness:
        with pytest.raises(PermanentError, match="genesys-sync upload"):
            await harness.handle(make_event("upload.requested", body={"path": "/etc/passwd"}))


def test_pictures_without_sound_are_refused() -> None:
    report = Report(container="mp4", codec="h264", streams=0)
    found = refusal(report, max_duration=timedelta(1), containers=frozenset({"mp4"}), codecs=frozenset({"aac"}))
    assert found is not None
    assert found[0] == "NO_AUDIO"


async def test_where_a_provider_is_named_what_was_uploaded_is_to_be_transcribed_from_a_copy(
    handler_harness: Harness, tmp_path: Path
) -> None:
    async with handler_harness(Upload) as harness:
        object.__setattr__(harness.handler, "config", harness.handler.config.model_copy(update={"transcribe": "jobs", "locale": "en-US"}))
        event = asked(tmp_path / "call.wav", wav(1))
        outcome = await harness.handle(event)
        completed, wish = outcome.emit
        assert (completed.topic, wish.topic) == ("upload.completed", "transcription.requested")
        request = TranscriptionRequest.of(wish)
        assert (request.provider, request.locale, request.size, request.seconds) == ("jobs", "en-US", len(wav(1)), 1.0)
        assert await harness.storage.sha256(request.key) == request.sha256 == event.body["sha256"]
        (tmp_path / "call.wav").unlink()
        assert len((await harness.handle(event)).emit) == 2, "run twice it finds its copy"


async def test_a_provider_that_is_not_there_is_a_fault_of_the_settings(handler_harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.nobody"):
        async with handler_harness(Upload, {"transcribe": "nobody", "locale": "en-US"}):
            pass
    with pytest.raises(ConfigurationError, match="locale"):
        handler_harness(Upload, {"transcribe": "nobody"})
