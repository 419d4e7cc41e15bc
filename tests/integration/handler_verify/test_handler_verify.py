"""What verify promises: a good recording is announced, a bad one is withheld with its reason, and a kill at any point changes neither."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio.to_thread
import av
import numpy as np
import orjson
import pytest

from genesys_sync.plugin import ConfigurationError, Done, Event, PermanentError, ReasonCode, Skip
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.testing.samples import CONVERSATION_ID, RECORDING_ID
from genesys_sync_handlers._audio import inspect
from genesys_sync_handlers._report import Job, Report
from genesys_sync_handlers.verify import Verify

pytestmark = pytest.mark.anyio

FOLDER = f"recordings/2026/08/01/{CONVERSATION_ID}"
MEDIA, SIDECAR = f"{FOLDER}/{RECORDING_ID}.wav", f"{FOLDER}/{RECORDING_ID}.json"
HELD, HELD_SIDECAR = f"quarantine/{FOLDER}/{RECORDING_ID}.r1.wav", f"quarantine/{FOLDER}/{RECORDING_ID}.r1.json"
PAGE = b"<html>503</html>"

Make = Callable[..., Any]


class InThisProcess:
    """The same inspection without its process, for tests of what is decided afterwards."""

    async def inspect(self, job: Job, *, wall: timedelta) -> Report:
        return await anyio.to_thread.run_sync(inspect, job)

    async def aclose(self) -> None:
        pass


@pytest.fixture
def make(handler_harness: Make) -> Make:
    @asynccontextmanager
    async def make(**config: Any) -> AsyncIterator[HandlerHarness[Any]]:
        async with handler_harness(Verify, config) as harness:
            harness.handler._inspectors = InThisProcess()
            yield harness

    return make


async def archived(
    harness: HandlerHarness[Any],
    *parts: bytes,
    revision: int = 1,
    durations: tuple[float, ...] = (12.0,),
    media: str = "audio",
    content_type: str = "audio/wav",
) -> Event:
    """What archive would have left and said."""
    told = []
    for number, data in enumerate(parts, start=1):
        key = MEDIA if number == 1 else f"{FOLDER}/{RECORDING_ID}.part{number}.wav"
        await harness.storage.write(key, data)
        told.append(
            {
                "key": key,
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "contentType": content_type,
                "lengthStated": True,
            }
        )
    await harness.storage.write(
        SIDECAR, orjson.dumps({"revision": revision, "sessionId": "session", "parts": told, "conversation": {"a": 1}})
    )
    expected = {"durations": list(durations), "source": "analytics" if durations else "none"}
    return make_event("media.archived", revision=revision, body={"parts": told, "expected": expected, "media": media})


async def test_a_good_recording_is_announced_with_its_measures(make: Make, sounds: Mapping[str, bytes]) -> None:
    async with make() as harness:
        event = await archived(harness, sounds["wav_pcm"])
        outcome = await harness.handle(event)
        assert harness.storage.keys() == [SIDECAR, MEDIA]
    assert isinstance(outcome, Done)
    (verified,) = outcome.emit
    assert verified.topic == "media.verified"
    assert verified.body == {
        "revision": 1,
        "conversationEndedAt": "2026-08-01T11:59:00.000Z",
        "parts": [
            {
                "key": MEDIA,
                "sha256": hashlib.sha256(sounds["wav_pcm"]).hexdigest(),
                "bytes": len(sounds["wav_pcm"]),
                "container": "wav",
                "codec": "pcm_s16le",
                "sampleRate": 8000,
                "channels": 2,
                "duration": 12.0,
            }
        ],
        "warnings": [],
    }
    assert [entry.outcome for entry in harness.audited] == ["success"]


async def test_a_bad_recording_is_withheld_and_fetched_once_more(make: Make) -> None:
    async with make() as harness:
        outcome = await harness.handle(await archived(harness, PAGE))
        assert harness.storage.keys() == [HELD_SIDECAR, HELD]
        sidecar = orjson.loads(harness.storage.path(HELD_SIDECAR).read_bytes())
    assert isinstance(outcome, Done)
    (again,) = outcome.emit
    assert again.topic == "recording.ready"
    assert again.body == {
        "media": "audio",
        "sessionId": "session",
        "conversationEndedAt": "2026-08-01T11:59:00.000Z",
        "revision": 2,
    }
    assert sidecar["conversation"] == {"a": 1}
    assert sidecar["rejected"]["reason"] == "ERROR_PAGE"
    assert [entry.facts["reason"] for entry in harness.audited] == ["ERROR_PAGE"]


async def test_at_the_last_fetch_it_is_rejected_with_its_reason(make: Make) -> None:
    async with make() as harness:
        outcome = await harness.handle(await archived(harness, PAGE, revision=2))
        held = [HELD.replace(".r1.", ".r2.")]
        assert harness.storage.keys() == [HELD_SIDECAR.replace(".r1.", ".r2."), *held]
    (rejected,) = outcome.emit
    assert rejected.topic == "media.rejected"
    assert rejected.body == {"revision": 2, "reason": "ERROR_PAGE", "detail": "the file is an HTML or XML page", "quarantine": held}


async def test_with_one_fetch_the_first_refusal_is_final(make: Make) -> None:
    async with make(fetches=1) as harness:
        outcome = await harness.handle(await archived(harness, PAGE))
    assert [event.topic for event in outcome.emit] == ["media.rejected"]


@pytest.mark.parametrize("moved", [(), (MEDIA,), (MEDIA, SIDECAR)])
async def test_killed_on_the_way_to_quarantine_it_comes_to_the_same_end(make: Make, moved: tuple[str, ...]) -> None:
    async with make(fetches=1) as harness:
        event = await archived(harness, PAGE)
        for key in moved:
            await harness.storage.move(key, {MEDIA: HELD, SIDECAR: HELD_SIDECAR}[key])
        outcome = await harness.handle(event, attempt=2)
        assert harness.storage.keys() == [HELD_SIDECAR, HELD]
        assert orjson.loads(harness.storage.path(HELD_SIDECAR).read_bytes())["rejected"]["reason"] == "ERROR_PAGE"
        assert outcome.emit[0].body["reason"] == "ERROR_PAGE"
        assert await harness.handle(event, attempt=3) == outcome


async def test_a_good_file_that_an_interrupted_run_withheld_goes_back(make: Make, sounds: Mapping[str, bytes]) -> None:
    async with make() as harness:
        event = await archived(harness, sounds["mp3"])
        await harness.storage.move(MEDIA, HELD)
        await harness.storage.move(SIDECAR, HELD_SIDECAR)
        outcome = await harness.handle(event, attempt=2)
        assert harness.storage.keys() == [SIDECAR, MEDIA]
    assert outcome.emit[0].topic == "media.verified"


async def test_a_file_that_was_altered_or_is_gone_is_fetched_again(make: Make, sounds: Mapping[str, bytes]) -> None:
    async with make() as harness:
        event = await archived(harness, sounds["wav_pcm"])
        harness.storage.path(MEDIA).write_bytes(sounds["wav_ulaw"])
        outcome = await harness.handle(event)
        assert (outcome.emit[0].topic, outcome.note) == ("recording.ready", "MEDIA_ALTERED: fetched again")
        harness.storage.path(HELD).unlink()
        outcome = await harness.handle(event, attempt=2)
        assert outcome.note == "MEDIA_MISSING: fetched again"


async def test_a_replayed_event_does_not_touch_a_later_copy(make: Make, sounds: Mapping[str, bytes]) -> None:
    async with make() as harness:
        old = await archived(harness, PAGE)
        await archived(harness, sounds["wav_pcm"], revision=2)
        assert isinstance(await harness.handle(old), Skip)
        assert harness.storage.keys() == [SIDECAR, MEDIA]


async def test_one_bad_part_withholds_all_of_them(make: Make, sounds: Mapping[str, bytes]) -> None:
    async with make(fetches=1) as harness:
        event = await archived(harness, sounds["wav_pcm"], PAGE)
        outcome = await harness.handle(event)
        assert outcome.emit[0].body["detail"] == "part 2: the file is an HTML or XML page"
        assert len(outcome.emit[0].body["quarantine"]) == 2
        assert all(key.startswith("quarantine/") for key in list(harness.storage.keys()))


@pytest.mark.parametrize(
    ("durations", "stated", "verdict"),
    [
        ((60.0, 12.4), None, ("media.verified", [])),
        ((), None, ("media.verified", ["DURATION_UNCONFIRMED"])),
        ((60.0,), None, ("media.verified", ["DURATION_UNCONFIRMED"])),
        ((60.0,), 0, ("media.verified", ["DURATION_UNCONFIRMED"])),
        ((60.0,), 12_100, ("media.verified", [])),
        ((60.0,), 60_000, ("media.rejected", "DURATION_MISMATCH")),
        ((5.0,), None, ("media.rejected", "DURATION_MISMATCH")),
        ((5.0,), 12_000, ("media.verified", [])),
    ],
)
async def test_the_duration_is_held_against_the_call_and_in_doubt_against_the_platform(
    make: Make, sounds: Mapping[str, bytes], durations: tuple[float, ...], stated: int | None, verdict: tuple[str, Any]
) -> None:
    async with make(fetches=1) as harness:
        if stated is not None:
            harness.genesys.recordings.place(CONVERSATION_ID, RECORDING_ID, b"", raw={"outputDurationMs": stated})
        (event,) = (await harness.handle(await archived(harness, sounds["wav_pcm"], durations=durations))).emit
    assert (event.topic, event.body["warnings"] if event.topic == "media.verified" else event.body["reason"]) == verdict


def without_last_mark(ogg: bytes, *, pages_less: int = 0) -> bytes:
    """The Ogg file whose last page is not marked as such; `pages_less` pages are cut off before that."""
    starts = [at for at in range(len(ogg) - 4) if ogg[at : at + 4] == b"OggS"]
    data = bytearray(ogg[: starts[-pages_less]] if pages_less else ogg)
    last = starts[-1 - pages_less]
    data[last + 5] &= ~4
    data[last + 22 : last + 26] = bytes(4)
    data[last + 22 : last + 26] = ogg_checksum(data[last:]).to_bytes(4, "little")
    return bytes(data)


def ogg_checksum(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


@pytest.mark.parametrize("name", ["ogg_opus", "ogg_vorbis"])
@pytest.mark.parametrize(
    ("pages_less", "durations", "verdict"),
    [
        (0, (12.0,), ("media.verified", ["END_MISSING"])),
        (0, (60.0,), ("media.rejected", "TRUNCATED")),
        (0, (), ("media.rejected", "TRUNCATED")),
        (6, (12.0,), ("media.rejected", "TRUNCATED")),
    ],
)
async def test_an_ogg_stream_without_its_end_passes_only_when_it_is_as_long_as_the_call(
    make: Make, sounds: Mapping[str, bytes], name: str, pages_less: int, durations: tuple[float, ...], verdict: tuple[str, Any]
) -> None:
    data = without_last_mark(sounds[name], pages_less=pages_less)
    async with make(fetches=1) as harness:
        (event,) = (await harness.handle(await archived(harness, data, durations=durations, content_type="audio/ogg"))).emit
    assert (event.topic, event.body["warnings"] if event.topic == "media.verified" else event.body["reason"]) == verdict


async def test_silence_is_a_warning_or_a_reason_as_configured(make: Make) -> None:
    header = b"RIFF$\xfa\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\xfa\0\0"
    silent = header + bytes(64000)
    async with make(fetches=1) as harness:
        outcome = await harness.handle(await archived(harness, silent, durations=(4.0,)))
        assert outcome.emit[0].body["warnings"] == ["MEDIA_SILENT"]
    async with make(fetches=1, silence="reject") as harness:
        outcome = await harness.handle(await archived(harness, silent, durations=(4.0,)))
        assert outcome.emit[0].body["reason"] == "MEDIA_SILENT"


MAIL = b"From: a\r\nTo: b\r\nSubject: c\r\n\r\nhello\r\n"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("message.json", b"{}")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("media", "data", "content_type", "container"),
    [
        ("chat", zipped(), "application/zip", "zip"),
        ("message", zipped(), "application/zip", "zip"),  # as recordingmetadata calls it
        ("messaging", zipped(), "application/zip", "zip"),  # as recordings call the same
        ("message", b'{"messages": []}', "application/json", "json"),
        ("email", MAIL, "message/rfc822", "eml"),
    ],
)
async def test_written_media_are_verified_by_what_they_are(make: Make, media: str, data: bytes, content_type: str, container: str) -> None:
    async with make() as harness:
        outcome = await harness.handle(await archived(harness, data, media=media, content_type=content_type))
    (verified,) = outcome.emit
    assert verified.topic == "media.verified"
    assert verified.body["parts"][0]["container"] == container


@pytest.mark.parametrize("media", ["chat", "message", "messaging", "email"])
async def test_an_error_page_in_the_place_of_written_media_is_withheld(make: Make, media: str) -> None:
    async with make(fetches=1) as harness:
        outcome = await harness.handle(await archived(harness, PAGE, media=media, content_type="application/zip"))
    (rejected,) = outcome.emit
    assert (rejected.topic, rejected.body["reason"]) == ("media.rejected", "ERROR_PAGE")


async def test_a_screen_recording_of_pictures_alone_is_verified_and_a_truncated_one_is_not(make: Make) -> None:
    screen = pictures(2.0)
    async with make(fetches=1) as harness:
        good = await harness.handle(await archived(harness, screen, media="screen", content_type="video/webm", durations=(2.0,)))
    assert (good.emit[0].topic, good.emit[0].body["parts"][0]["container"]) == ("media.verified", "webm")
    async with make(fetches=1) as harness:
        cut = screen[: len(screen) * 6 // 10]
        bad = await harness.handle(await archived(harness, cut, media="screen", content_type="video/webm", durations=(2.0,)))
    assert bad.emit[0].topic == "media.rejected"


def pictures(seconds: float) -> bytes:
    """A WebM of moving pictures, without any sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(seconds * 10)):
            picture = np.full((48, 64, 3), number * 10 % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


async def test_a_chat_need_not_sound(make: Make) -> None:
    async with make() as harness:
        event = await archived(harness, b'{"messages": []}', media="chat", content_type="application/json")
        (verified,) = (await harness.handle(event)).emit
        assert verified.topic == "media.verified"
        assert verified.body["parts"][0]["container"] == "json"


async def test_ids_are_checked_before_anything_is_read(make: Make) -> None:
    async with make() as harness:
        with pytest.raises(PermanentError) as raised:
            await harness.handle(make_event("media.archived", recording_id="../x"))
    assert raised.value.code is ReasonCode.ID_INVALID


async def test_with_real_workers_a_batch_of_files_is_told_apart_and_none_is_left_running(
    handler_harness: Make, sounds: Mapping[str, bytes]
) -> None:
    async with handler_harness(Verify, {"workers": 1, "fetches": 1}) as harness:
        topics = []
        for data in (sounds["webm_opus"], PAGE, sounds["ogg_vorbis"], sounds["ogg_opus"][:-64]):
            outcome = await harness.handle(await archived(harness, data))
            topics.append((outcome.emit[0].topic, outcome.emit[0].body.get("reason")))
    assert topics == [("media.verified", None), ("media.rejected", "ERROR_PAGE"), ("media.verified", None), ("media.rejected", "TRUNCATED")]


async def test_check_decodes_under_the_configured_limits(handler_harness: Make) -> None:
    await handler_harness(Verify).check()


@pytest.mark.parametrize(
    "config",
    [{"workers": -1}, {"memory": "64MiB"}, {"memory": 1 << 30}, {"level": "half"}, {"silence": "ignore"}, {"fetches": 0}, {"x": 1}],
)
def test_a_faulty_configuration_is_refused(handler_harness: Make, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        handler_harness(Verify, config)
