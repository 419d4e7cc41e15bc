"""What archive promises: what it announces is stored, a repeat changes nothing, and personal data stay in the sidecar."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesys_sync.integrity.expected import expected
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import (
    ConfigurationError,
    Done,
    Event,
    MediaPart,
    MediaUrlExpired,
    PermanentError,
    ReasonCode,
    Snooze,
    StorageFull,
    TransientError,
)
from genesys_sync.storage.local import LocalStorage
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.testing.samples import CONVERSATION_ID, RECORDING_ID
from genesys_sync_handlers._keys import extension, quarantine_key
from genesys_sync_handlers.archive import Archive

pytestmark = pytest.mark.anyio

FOLDER = f"recordings/2026/08/01/{CONVERSATION_ID}"
MEDIA = f"{FOLDER}/{RECORDING_ID}.wav"
SIDECAR = f"{FOLDER}/{RECORDING_ID}.json"
SOUND = b"RIFF" + bytes(4000)
DETAILS = {
    "conversationId": CONVERSATION_ID,
    "conversationStart": "2026-08-01T11:55:00.000Z",
    "conversationEnd": "2026-08-01T11:59:00.000Z",
    "participants": [{"participantName": "Ada Lovelace", "sessions": [{"ani": "tel:+15551234567", "mediaType": "voice"}]}],
}

Make = Callable[..., HandlerHarness[Any]]


def ready(revision: int = 1) -> Event:
    return make_event("recording.ready", revision=revision, body={"sessionId": "5e551011-0000-4000-8000-000000000001"})


def place(harness: HandlerHarness[Any], *parts: bytes, content_type: str = "audio/wav") -> None:
    harness.genesys.recordings.place(CONVERSATION_ID, RECORDING_ID, *parts, content_type=content_type)


class Counting:
    """Counts what is asked of the platform, and passes it on."""

    def __init__(self, recordings: Any) -> None:
        self._recordings = recordings
        self.located: list[tuple[str | None, bool]] = []

    async def locate(
        self, *ids: str, format_id: str | None = None, fresh: bool = False, before: datetime | None = None
    ) -> tuple[MediaPart, ...]:
        self.located.append((format_id, fresh))
        self.before = before
        found: tuple[MediaPart, ...] = await self._recordings.locate(*ids, format_id=format_id, fresh=fresh)
        return found


def sidecar_of(harness: HandlerHarness[Any], key: str = SIDECAR) -> Mapping[str, Any]:
    sidecar: Mapping[str, Any] = orjson.loads(harness.storage.path(key).read_bytes())
    return sidecar


async def test_media_and_sidecar_are_stored_and_announced(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        harness.genesys.conversations.analytics[CONVERSATION_ID] = DETAILS
        outcome = await harness.handle(ready())
        assert harness.storage.keys() == [SIDECAR, MEDIA]
        assert harness.storage.path(MEDIA).read_bytes() == SOUND
        sidecar = sidecar_of(harness)
        hash_of_sidecar = hashlib.sha256(harness.storage.path(SIDECAR).read_bytes()).hexdigest()
    assert isinstance(outcome, Done)
    (event,) = outcome.emit
    (entry,) = harness.audited
    assert (entry.action, entry.target, entry.facts["sidecarSha256"]) == ("recording.archive", RECORDING_ID, hash_of_sidecar)
    part = {
        "key": MEDIA,
        "sha256": hashlib.sha256(SOUND).hexdigest(),
        "bytes": len(SOUND),
        "contentType": "audio/wav",
        "lengthStated": True,
    }
    assert event.topic == "media.archived"
    assert event.body == {
        "revision": 1,
        "conversationEndedAt": "2026-08-01T11:59:00.000Z",
        "media": "audio",
        "variant": "whole",
        "parts": [part],
        "sidecar": SIDECAR,
        "sidecarSha256": hash_of_sidecar,
        "expected": {"durations": [240.0], "source": "analytics"},
    }
    assert sidecar["conversation"] == DETAILS
    assert sidecar["parts"] == [{**part, "resumed": 0}]
    assert {key: sidecar[key] for key in ("schema", "conversationId", "recordingId", "revision", "fetchedAt", "format")} == {
        "schema": "genesys-sync/recording@1",
        "conversationId": CONVERSATION_ID,
        "recordingId": RECORDING_ID,
        "revision": 1,
        "fetchedAt": "2026-08-01T12:00:00.000Z",
        "format": "original",
    }


async def test_personal_data_stay_in_the_sidecar(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        harness.genesys.conversations.analytics[CONVERSATION_ID] = DETAILS
        outcome = await harness.handle(ready())
        told = repr(outcome) + repr(harness.audited)
    assert "Lovelace" not in told
    assert "15551234567" not in told


async def test_what_an_interrupted_run_left_is_made_durable_before_it_is_announced(
    handler_harness: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed between a rename and the folder's fsync leaves names that a power cut may still take back."""
    storage = LocalStorage(tmp_path / "real", min_free=0, metrics=Metrics())
    await storage.open()
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        harness.handler._services = replace(harness.services, storage=storage, scratch=storage.scratch)
        await harness.handle(ready())
        synced: list[Path] = []
        fsync = os.fsync
        monkeypatch.setattr(
            os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()) or fsync(descriptor)
        )
        await harness.handle(ready(), attempt=2)
        assert (tmp_path / "real" / MEDIA).parent in synced


async def test_a_second_run_asks_the_platform_nothing_and_says_the_same(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        first = await harness.handle(ready())
        counting = harness.genesys.recordings = Counting(harness.genesys.recordings)
        second = await harness.handle(ready(), attempt=2)
    assert counting.located == []
    assert second == first


@pytest.mark.parametrize("spoil", ["media changed", "media gone", "sidecar gone", "sidecar broken", "sidecar of another revision"])
async def test_what_is_not_whole_is_fetched_again(handler_harness: Make, spoil: str) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        first = await harness.handle(ready())
        media, sidecar = harness.storage.path(MEDIA), harness.storage.path(SIDECAR)
        match spoil:
            case "media changed":
                media.write_bytes(SOUND[:-1])
            case "media gone":
                media.unlink()
            case "sidecar gone":
                sidecar.unlink()
            case "sidecar broken":
                sidecar.write_bytes(b'{"schema":')
            case _:
                sidecar.write_bytes(orjson.dumps({**sidecar_of(harness), "revision": 2}))
        counting = harness.genesys.recordings = Counting(harness.genesys.recordings)
        assert await harness.handle(ready(), attempt=2) == first
        assert counting.located == [(None, False)]
        assert harness.storage.path(MEDIA).read_bytes() == SOUND


async def test_an_expired_url_is_renewed_once_within_the_attempt(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND, SOUND + b"2")
        counting = harness.genesys.recordings = Counting(harness.genesys.recordings)
        harness.media.fail(MediaUrlExpired())
        outcome = await harness.handle(ready())
        assert counting.located == [(None, False), (None, True)]
        assert [part["key"] for part in outcome.emit[0].body["parts"]] == [MEDIA, f"{FOLDER}/{RECORDING_ID}.part2.wav"]
        harness.storage.path(SIDECAR).unlink()
        harness.media.fail(MediaUrlExpired(), MediaUrlExpired())
        with pytest.raises(MediaUrlExpired):
            await harness.handle(ready(), attempt=2)


async def test_the_platform_s_date_of_deletion_goes_with_the_question_and_into_the_sidecar(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        counting = harness.genesys.recordings = Counting(harness.genesys.recordings)
        await harness.handle(make_event("recording.ready", body={"deleteDate": "2026-09-01T00:00:00.000Z"}))
        assert counting.before == datetime(2026, 9, 1, tzinfo=UTC)
        assert sidecar_of(harness)["deleteDate"] == "2026-09-01T00:00:00.000Z"
        await harness.handle(make_event("recording.ready", body={"deleteDate": "soon"}, revision=2), snoozes=1)
        assert counting.before is None, "what is no time is no hurry"


async def test_a_published_format_is_asked_for_by_its_name(handler_harness: Make) -> None:
    async with handler_harness(Archive, {"format": "MP3"}) as harness:
        place(harness, b"ID3" + bytes(100), content_type="audio/mpeg")
        counting = harness.genesys.recordings = Counting(harness.genesys.recordings)
        await harness.handle(ready())
        assert counting.located == [("MP3", False)]
        assert harness.storage.keys() == [SIDECAR, f"{FOLDER}/{RECORDING_ID}.mp3"]


async def test_a_refused_copy_is_fetched_again_only_after_a_pause(handler_harness: Make) -> None:
    async with handler_harness(Archive, {"refetch_delay": "90s"}) as harness:
        place(harness, SOUND)
        outcome = await harness.handle(ready(2))
        assert isinstance(outcome, Snooze)
        assert outcome.delay == timedelta(seconds=90)
        outcome = await harness.handle(ready(2), snoozes=1)
        assert isinstance(outcome, Done)
        assert outcome.emit[0].body["revision"] == 2
        assert sidecar_of(harness)["revision"] == 2


async def test_analytics_that_refuses_or_stays_down_does_not_hold_up_the_media(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        failure: Exception = TransientError("down", code=ReasonCode.UNREACHABLE)

        async def details(_: str) -> None:
            raise failure

        harness.genesys.conversations.details = details
        with pytest.raises(TransientError):
            await harness.handle(ready(), attempt=3)
        outcome = await harness.handle(ready(), attempt=4)
        assert outcome.emit[0].body["expected"] == {"durations": [], "source": "none"}
        assert sidecar_of(harness)["conversationMissing"] == "UNREACHABLE"
        harness.storage.path(SIDECAR).unlink()
        failure = PermanentError("no", code=ReasonCode.FORBIDDEN)
        await harness.handle(ready(), attempt=1)
        assert sidecar_of(harness)["conversationMissing"] == "FORBIDDEN"


async def test_a_full_disk_is_passed_on_and_leaves_no_sidecar(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        harness.storage.fail(StorageFull("no space"))
        with pytest.raises(StorageFull):
            await harness.handle(ready())
        assert harness.storage.keys() == []
        harness.storage.fail(None)
        assert isinstance(await harness.handle(ready()), Done)


async def test_a_lost_recording_becomes_a_dead_letter_with_its_reason(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        with pytest.raises(PermanentError) as raised:
            await harness.handle(make_event("recording.lost", state="DELETED_UPSTREAM"))
    assert raised.value.code is ReasonCode.DELETED_UPSTREAM
    (entry,) = harness.audited
    assert (entry.action, entry.target, entry.outcome) == ("recording.lose", RECORDING_ID, "failure")
    assert entry.facts == {"reason": "DELETED_UPSTREAM"}


@pytest.mark.parametrize(
    "recording", ["../../etc/cron.d/x", "", "E0E0E0E0-0000-4000-8000-000000000001", "a" * 300, "x\0y", RECORDING_ID + "\n"]
)
async def test_an_id_that_is_no_canonical_uuid_comes_near_no_path(handler_harness: Make, recording: str) -> None:
    async with handler_harness(Archive) as harness:
        with pytest.raises(PermanentError) as raised:
            await harness.handle(make_event("recording.ready", recording_id=recording))
        assert raised.value.code is ReasonCode.ID_INVALID
        assert harness.storage.keys() == []


async def test_an_absurd_number_of_parts_is_refused(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, *([b"x"] * 65))
        with pytest.raises(PermanentError) as raised:
            await harness.handle(ready())
    assert raised.value.code is ReasonCode.BAD_ANSWER


@pytest.mark.parametrize(
    ("content_type", "head", "ending"),
    [
        ("audio/wav", b"", "wav"),
        ("Audio/OGG; codecs=opus", b"", "ogg"),
        ("video/webm", b"", "webm"),
        ("audio/mpeg", b"<html>", "mp3"),
        ("audio/mp4", b"", "m4a"),
        ("application/zip", b"", "zip"),
        ("message/rfc822", b"", "eml"),
        ("application/json", b"", "media.json"),
        ("application/octet-stream", b"OggS\0", "ogg"),
        ("", b"\0\0\0\x20ftypM4A ", "m4a"),
        ("", b"????", "bin"),
    ],
)
def test_the_ending_follows_the_content_type_then_the_first_bytes(content_type: str, head: bytes, ending: str) -> None:
    assert extension(content_type, head) == ending


def test_quarantine_keeps_each_revision_and_each_part_apart() -> None:
    assert quarantine_key(MEDIA, 1) == f"quarantine/{FOLDER}/{RECORDING_ID}.r1.wav"
    assert quarantine_key(f"{FOLDER}/{RECORDING_ID}.part2.wav", 2) == f"quarantine/{FOLDER}/{RECORDING_ID}.r2.part2.wav"


@pytest.mark.parametrize("config", [{"format": "FLAC"}, {"refetch_delay": 60}, {"root": "x"}])
def test_a_faulty_configuration_is_refused(handler_harness: Make, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        handler_harness(Archive, config)


@pytest.mark.parametrize("removed", [True, False], ids=["original removed", "original kept"])
async def test_what_is_kept_redacted_alone_is_not_fetched_again_by_a_ledger_that_does_not_know(
    handler_harness: Make, removed: bool
) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        copy = {"key": f"redacted/{MEDIA}", "sha256": hashlib.sha256(SOUND).hexdigest(), "bytes": len(SOUND)}
        body = {"revision": 3, "parts": [copy], "removed": [MEDIA] if removed else [], "verified": True}
        made = {"schema": 1, "digest": "d", "originals": [{"key": MEDIA, "sha256": "0", "duration": 6.0}], "body": body}
        await harness.storage.write(copy["key"], SOUND)
        await harness.storage.write(f"redacted/{SIDECAR}", orjson.dumps(made))
        await harness.storage.write(SIDECAR, b"{}")
        (event,) = (await harness.handle(ready())).emit
        assert (await harness.storage.size(MEDIA) is None) is removed
        assert event.topic == ("media.redacted" if removed else "media.archived")
        if removed:
            assert (event.recording_id, event.body["revision"], event.body["parts"]) == (RECORDING_ID, 3, [copy])
            assert event.body["sidecar"] == f"redacted/{SIDECAR}"
            assert event.body["originalSidecar"] == {"key": SIDECAR, "sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2}
            assert await harness.storage.sha256(event.body["sidecar"]) == event.body["sidecarSha256"]


async def test_what_was_withheld_for_want_of_a_transcript_is_not_fetched_again_by_a_ledger_that_does_not_know(
    handler_harness: Make,
) -> None:
    async with handler_harness(Archive) as harness:
        place(harness, SOUND)
        await harness.handle(ready())
        sidecar = orjson.loads(await harness.storage.read(SIDECAR))
        for reason, kept in (("TRUNCATED", False), ("NO_TRANSCRIPT", True)):
            await harness.storage.write(MEDIA, SOUND)
            await harness.storage.move(MEDIA, quarantine_key(MEDIA, 1))
            await harness.storage.remove(SIDECAR)
            noted = orjson.dumps({**sidecar, "rejected": {"reason": reason, "detail": "no redacted transcript came"}})
            await harness.storage.write(quarantine_key(SIDECAR, 1), noted)
            (told,) = (await harness.handle(ready())).emit
            assert (told.topic == "media.rejected") == kept
            assert (await harness.storage.size(MEDIA) is None) == kept, "it does not come back, not even for a moment"
        assert (told.body["reason"], told.body["quarantine"]) == ("NO_TRANSCRIPT", [quarantine_key(MEDIA, 1)])
        assert [one["key"] for one in told.body["held"]] == [quarantine_key(MEDIA, 1), quarantine_key(SIDECAR, 1)]
        assert b"Lovelace" not in orjson.dumps(told.body)
        assert [one.places for one in expected([told])] == [(one["key"],) for one in told.body["held"]]
        await harness.storage.remove(quarantine_key(MEDIA, 1))
        assert (await harness.handle(ready())).emit[0].topic == "media.archived", "who wants it back takes it out of quarantine"
