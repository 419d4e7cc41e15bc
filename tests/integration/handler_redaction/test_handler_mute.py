"""The handler `mute`, with real worker processes: recording and spans meet in either order, and the copy always agrees with all spans."""

import hashlib
import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from genesys_sync.events import Event
from genesys_sync.plugin import Done, PermanentError, ReasonCode, Skip, Snooze
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers._spans import spans_file, spans_folder, spans_key
from genesys_sync_handlers.mute import Mute

pytestmark = pytest.mark.anyio
RECORDING = "5b1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a11"
SESSION = "7c1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a22"
RATE = 8000
Make = Callable[..., HandlerHarness[Any]]


def call(seconds: float = 6.0) -> bytes:
    sound = np.random.default_rng(5).integers(500, 9000, (int(seconds * RATE), 2)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.tobytes())
    return buffer.getvalue()


def samples(data: bytes) -> np.ndarray[Any, Any]:
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


class Archive:
    """One recording in the archive of a harness, and what transcripts say of it."""

    def __init__(self, harness: HandlerHarness[Any], *, parts: int = 1) -> None:
        self.harness, self.parts = harness, parts
        self.event = make_event("media.verified", recording_id=RECORDING)
        self.folder = f"recordings/2026/08/01/{self.event.conversation_id}"

    async def fill(self) -> Event:
        described = []
        for number in range(1, self.parts + 1):
            key = f"{self.folder}/{RECORDING}.{'' if number == 1 else f'part{number}.'}wav"
            await self.harness.storage.write(key, call())
            described.append({"key": key, "sha256": hashlib.sha256(call()).hexdigest(), "bytes": len(call()), "duration": 6.0})
        await self.harness.storage.write(f"{self.folder}/{RECORDING}.json", orjson.dumps({"sessionId": SESSION}))
        self.event = make_event("media.verified", recording_id=RECORDING, body={"parts": described})
        return self.event

    async def spans(self, *stretches: tuple[float, float, int], of: str = RECORDING, transcript: str = "one") -> Event:
        folder = spans_folder(self.event.day, self.event.conversation_id)
        await self.harness.storage.write(spans_key(folder, of, transcript), spans_file(transcript, stretches))
        body = {"communicationId": SESSION, "recordingIds": [RECORDING], "transcript": {"key": transcript}}
        return make_event("transcript.redacted", state=transcript, body=body)

    async def copy(self, number: int = 1) -> np.ndarray[Any, Any]:
        name = f"{RECORDING}.{'' if number == 1 else f'part{number}.'}wav"
        return samples(await self.harness.storage.read(f"redacted/{self.folder}/{name}"))


def silent(sound: np.ndarray[Any, Any], channel: int) -> list[tuple[float, float]]:
    """The silent stretches of one channel, in seconds; the original has no zero sample."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (sound[:, channel] == 0).astype(int), [0]))))
    return [(start / RATE, end / RATE) for start, end in edges.reshape(-1, 2)]


async def test_the_copy_is_silent_in_the_spans_and_their_margin_each_channel_by_itself(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "250ms"}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0), (2.25, 2.5, 0), (4.0, 4.5, 1), (5.9, 6.4, -1))
        outcome = await harness.handle(event)
        assert isinstance(outcome, Done)
        sound = await archive.copy()
        assert silent(sound, 0) == [(0.75, 2.75), (5.65, 6.0)]
        assert silent(sound, 1) == [(3.75, 4.75), (5.65, 6.0)]
        original = samples(call())
        assert sound.shape == original.shape
        assert np.array_equal(sound[sound != 0], original[sound != 0])
        body = outcome.emit[0].body
        assert outcome.emit[0].topic == "media.redacted"
        assert outcome.emit[0].recording_id == RECORDING
        assert body["removed"] == []
        assert body["verified"] is True
        data = await harness.storage.read(body["parts"][0]["key"])
        assert hashlib.sha256(data).hexdigest() == body["parts"][0]["sha256"]


async def test_what_has_no_length_is_silenced_until_the_recording_ends(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "250ms"}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((2.0, 2.0, 0), (1.0, 1.5, 1))
        await harness.handle(event)
        sound = await archive.copy()
        assert (silent(sound, 0), silent(sound, 1)) == ([(1.75, 6.0)], [(0.75, 1.75)])


async def test_spans_after_the_recordings_end_are_not_its_own_and_nothing_is_called_redacted(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"keep_original": False}) as harness:
        archive = Archive(harness, parts=2)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0), (1_700_000.0, 1_700_001.0, 0))
        with pytest.raises(PermanentError, match="times after the recording's end") as refused:
            await harness.handle(event)
        assert refused.value.code is ReasonCode.REDACTION_FAILED
        assert await harness.storage.size(f"{archive.folder}/{RECORDING}.wav") is not None
        assert await harness.storage.size(f"redacted/{archive.folder}/{RECORDING}.json") is None


async def test_a_recording_waits_for_its_transcript_and_in_the_end_stays_as_it_is(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"give_up": "1h"}) as harness:
        event = await Archive(harness).fill()
        outcome = await harness.handle(event)
        assert isinstance(outcome, Snooze)
        assert (await harness.handle(event, snoozes=1)).delay > outcome.delay
    async with handler_harness(Mute, {"give_up": "1ms"}) as harness:
        event = await Archive(harness).fill()
        delivered = harness.clock.now()
        await harness.clock.advance(5)
        harness.clock.now = lambda: delivered  # created five seconds ago
        assert isinstance(await harness.handle(event), Skip)
        assert not [key for key in harness.storage.keys() if key.startswith("redacted/")]  # noqa: SIM118 - no mapping


async def test_spans_of_the_communication_count_where_the_transcript_names_no_recording(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "1ms"}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 1), of=SESSION)
        await harness.handle(event)
        ((start, end),) = silent(await archive.copy(), 1)
        assert (start, end) == pytest.approx((0.999, 2.001), abs=1e-3)


async def test_a_later_transcript_has_the_copy_made_anew_also_when_the_original_is_gone(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "1ms", "keep_original": False}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        redacted = await archive.spans((1.0, 2.0, 0))
        assert isinstance(await harness.handle(redacted), Skip)  # nothing to make anew yet
        first = await harness.handle(event)
        assert first.emit[0].body["removed"] == [f"{archive.folder}/{RECORDING}.wav"]
        assert await harness.storage.size(f"{archive.folder}/{RECORDING}.wav") is None
        assert (await harness.handle(event)).emit[0].body == first.emit[0].body  # killed before it was settled
        assert isinstance(await harness.handle(redacted), Skip)  # the copy knows this transcript
        later = await archive.spans((3.0, 4.0, 1), transcript="two")
        second = await harness.handle(later)
        assert second.emit[0].body["revision"] == 2
        (part,) = second.emit[0].body["parts"]
        assert part["key"] == f"redacted/{archive.folder}/{RECORDING}.r2.wav"
        sound = samples(await harness.storage.read(part["key"]))
        assert [round(start) for start, _ in silent(sound, 0)] == [1]
        assert [round(start) for start, _ in silent(sound, 1)] == [3]
        assert await harness.storage.size(f"redacted/{archive.folder}/{RECORDING}.wav") is None  # less is hidden in it
        again = await harness.handle(later)  # killed before it was settled: nobody else tells of this revision
        assert (again.emit[0].id, again.emit[0].body) == (second.emit[0].id, second.emit[0].body)


async def test_a_kill_while_a_copy_is_made_anew_of_a_copy_leaves_the_former_to_begin_from(
    handler_harness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with handler_harness(Mute, {"margin": "1ms", "keep_original": False}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0))
        await harness.handle(event)
        later = await archive.spans((3.0, 4.0, 1), transcript="two")

        async def killed(key: str, data: bytes) -> None:
            raise KeyboardInterrupt(key, data)

        with monkeypatch.context() as patch:
            patch.setattr(harness.storage, "write", killed)
            with pytest.raises(KeyboardInterrupt, match="json"):
                await harness.handle(later)
        body = (await harness.handle(later)).emit[0].body
        assert body["revision"] == 2
        sound = samples(await harness.storage.read(body["parts"][0]["key"]))
        assert [[round(start) for start, _ in silent(sound, channel)] for channel in (0, 1)] == [[1], [3]]


async def test_an_original_outlives_a_copy_that_is_not_there_or_is_of_another(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "1ms", "keep_original": False}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0))
        first = (await harness.handle(event)).emit[0].body
        await archive.fill()
        copy = f"redacted/{archive.folder}/{RECORDING}.wav"
        await harness.storage.remove(copy)  # the sidecar tells of it still
        assert (await harness.handle(event)).emit[0].body["parts"] == first["parts"]
        assert await harness.storage.sha256(copy) == first["parts"][0]["sha256"]
        # fetched anew, it is not what it was: one sample differs
        other = call()[:-1] + b"\x11"
        key = f"{archive.folder}/{RECORDING}.wav"
        await harness.storage.write(key, other)
        part = {"key": key, "sha256": hashlib.sha256(other).hexdigest(), "bytes": len(other), "duration": 6.0}
        await harness.handle(make_event("media.verified", recording_id=RECORDING, body={"parts": [part]}))
        assert (await harness.storage.read(copy))[-1:] == b"\x11"
        assert await harness.storage.size(key) is None


async def test_several_parts_are_silenced_by_both_readings_of_their_order(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"margin": "1ms"}) as harness:
        archive = Archive(harness, parts=2)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0), (8.0, 9.0, 0))
        outcome = await harness.handle(event)
        assert len(outcome.emit[0].body["parts"]) == 2
        assert [round(start) for start, _ in silent(await archive.copy(1), 0)] == [1]
        assert [(round(start), round(end)) for start, end in silent(await archive.copy(2), 0)] == [(1, 3)]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"), ReasonCode.REDACTION_FAILED),
        (lambda path: path.unlink(), ReasonCode.NOT_FOUND),
    ],
)
async def test_what_is_not_the_verified_recording_is_not_copied(
    handler_harness: Make, spoil: Callable[..., object], code: ReasonCode
) -> None:
    async with handler_harness(Mute, {"keep_original": False}) as harness:
        archive = Archive(harness)
        event = await archive.fill()
        await archive.spans((1.0, 2.0, 0))
        spoil(harness.storage.path(f"{archive.folder}/{RECORDING}.wav"))
        with pytest.raises(PermanentError) as raised:
            await harness.handle(event)
        assert raised.value.code is code
        assert await harness.storage.size(f"redacted/{archive.folder}/{RECORDING}.wav") is None


async def test_what_has_no_sound_or_no_conversation_is_skipped(handler_harness: Make) -> None:
    async with handler_harness(Mute) as harness:
        chat = make_event("media.verified", recording_id=RECORDING, body={"parts": [{"key": "k", "sha256": "s", "duration": 0.0}]})
        assert isinstance(await harness.handle(chat), Skip)
        assert isinstance(await harness.handle(make_event("media.verified", conversation_id=None)), Skip)


async def in_archive(harness: HandlerHarness[Any]) -> set[str]:
    return {key for key in harness.storage.keys() if key.startswith(("recordings/", "quarantine/"))}  # noqa: SIM118 - no mapping


async def test_what_has_no_transcript_is_withheld_where_the_settings_say_so(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"give_up": "1ms", "without_transcript": "quarantine"}) as harness:
        archive = Archive(harness, parts=2)
        event = await archive.fill()
        delivered = harness.clock.now()
        await harness.clock.advance(5)
        harness.clock.now = lambda: delivered  # created five seconds ago
        outcome = await harness.handle(event)
        (rejected,) = outcome.emit
        held = [f"quarantine/{archive.folder}/{RECORDING}.r1.{ending}" for ending in ("wav", "part2.wav")]
        assert (rejected.topic, rejected.recording_id) == ("media.rejected", RECORDING)
        assert (rejected.body["reason"], rejected.body["revision"], rejected.body["quarantine"]) == ("NO_TRANSCRIPT", 1, held)
        sidecar = f"quarantine/{archive.folder}/{RECORDING}.r1.json"
        assert await in_archive(harness) == {*held, sidecar}
        noted = orjson.loads(await harness.storage.read(sidecar))
        assert (noted["sessionId"], noted["rejected"]["reason"]) == (SESSION, "NO_TRANSCRIPT")
        # killed before it was settled, and a transcript has come since: what was begun is finished
        await archive.spans((1.0, 2.0, 0))
        assert (await harness.handle(event)).emit[0].id == rejected.id
        assert await in_archive(harness) == {*held, sidecar}


@pytest.mark.parametrize("event", [{"conversation_id": None}, {}], ids=["no conversation", "no sound"])
async def test_what_can_have_no_transcript_is_withheld_at_once(handler_harness: Make, event: dict[str, Any]) -> None:
    async with handler_harness(Mute, {"without_transcript": "quarantine"}) as harness:
        key = f"recordings/2026/08/01/of/{RECORDING}.eml"
        await harness.storage.write(key, b"Subject: my card\r\n\r\n")
        parts = [{"key": key, "sha256": "s", "duration": 6.0 if event else 0.0}]
        outcome = await harness.handle(make_event("media.verified", recording_id=RECORDING, body={"revision": 2, "parts": parts}, **event))
        assert outcome.emit[0].body["quarantine"] == [f"quarantine/recordings/2026/08/01/of/{RECORDING}.r2.eml"]
        assert await harness.storage.size(key) is None
