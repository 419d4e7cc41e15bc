"""The handler `mute` on files that were given to be transcribed: the rules of recordings hold for them too. And what of a transcript that
comes while a copy is made, in this process or another."""

import hashlib
import io
import wave
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from genesys_sync.events import Event
from genesys_sync.plugin import Skip, Snooze
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word, written
from genesys_sync_handlers._spans import spans_file, spans_folder, spans_key
from genesys_sync_handlers.mute import Mute
from genesys_sync_handlers.redact import Redact

pytestmark = pytest.mark.anyio
REQUEST = "0123456789abcdef0123456789abcdef"
FOLDER = f"transcriptions/2026/08/01/{REQUEST}"
GIVEN = f"{FOLDER}/media.wav"
CARD = "4111 1111 1111 1111"
RATE = 8000
Make = Callable[..., HandlerHarness[Any]]


def sound() -> bytes:
    samples = np.random.default_rng(5).integers(500, 9000, (10 * RATE, 2)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


async def given(harness: HandlerHarness[Any]) -> Event:
    """The request for a transcript of a file that lies in the archive."""
    await harness.storage.write(GIVEN, sound())
    source = {"key": GIVEN, "sha256": hashlib.sha256(sound()).hexdigest(), "bytes": len(sound()), "contentType": "audio/wav"}
    bare = make_event("transcription.requested", conversation_id=None, state="x", body={"source": source, "revision": 3})
    return replace(bare, id=REQUEST)


async def transcribed(harness: HandlerHarness[Any]) -> Event:
    words = tuple(Word(text=word, start=1.0 + n, end=1.5 + n) for n, word in enumerate(f"my card is {CARD}".split()))
    segment = Segment(index=0, speaker=Speaker(label="speaker_0"), text=f"my card is {CARD}", start=1.0, end=8.0, words=words)
    data = written(Transcript(conversation_id="", source="speech", segments=(segment,)), "json")
    key = f"{FOLDER}/speech-01234567.json"
    await harness.storage.write(key, data)
    described = {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    body = {"communicationId": None, "recordingIds": [], "source": "speech", "raw": None, "transcript": described}
    return make_event("transcript.archived", conversation_id=None, state=REQUEST, body=body)


async def test_its_copy_is_silent_where_the_transcript_is_masked_and_the_original_goes_by_the_same_setting(handler_harness: Make) -> None:
    async with handler_harness(Redact, {"keep_original": False}) as redact, handler_harness(Mute, {"keep_original": False}) as mute:
        mute.services.storage.root = redact.services.storage.root
        event = await given(mute)
        assert isinstance(await mute.handle(event), Snooze)
        (redacted,) = (await redact.handle(await transcribed(redact))).emit
        assert isinstance(await mute.handle(redacted), Skip), "its own event makes the copy"
        (told,) = (await mute.handle(event)).emit
        assert (told.topic, told.conversation_id, told.recording_id, told.body["removed"]) == ("media.redacted", None, None, [GIVEN])
        with wave.open(io.BytesIO(await mute.storage.read(f"redacted/{GIVEN}"))) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert not heard[4 * RATE : int(7.5 * RATE)].any()
        assert heard[: int(3.8 * RATE)].all()
        spoken = b"4111"
        assert not any(spoken in mute.storage.path(key).read_bytes() for key in mute.storage.keys())  # noqa: SIM118 - no mapping
        assert await mute.storage.size(GIVEN) is None
        assert (await mute.handle(event)).emit[0].id == told.id, "killed before it was settled"


async def test_without_a_transcript_it_is_withheld_with_a_note(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"give_up": "1ms", "without_transcript": "quarantine"}) as harness:
        event = await given(harness)
        delivered = harness.clock.now()
        await harness.clock.advance(5)
        harness.clock.now = lambda: delivered
        (rejected,) = (await harness.handle(event)).emit
        held = f"quarantine/{FOLDER}/media.r1.wav"
        assert (rejected.body["reason"], rejected.body["quarantine"]) == ("NO_TRANSCRIPT", [held])
        assert harness.storage.keys() == [f"quarantine/{FOLDER}/media.r1.json", held]
        note = orjson.loads(await harness.storage.read(f"quarantine/{FOLDER}/media.r1.json"))
        assert note["rejected"]["reason"] == "NO_TRANSCRIPT"


async def test_a_recording_that_is_asked_for_has_events_of_its_own(handler_harness: Make) -> None:
    async with handler_harness(Mute) as harness:
        assert isinstance(await harness.handle(make_event("transcription.requested", body={"source": {"key": "recordings/a"}})), Skip)


async def test_a_transcript_that_comes_while_the_copy_is_made_is_not_lost(handler_harness: Make) -> None:
    """Its own event found no copy yet; so the run that made the copy must see it, though nothing in this process told it."""
    recording = "5b1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a11"
    async with handler_harness(Mute, {"margin": "1ms", "keep_original": False}) as harness:
        bare = make_event("media.verified", recording_id=recording)
        key = f"recordings/2026/08/01/{bare.conversation_id}/{recording}.wav"
        await harness.storage.write(key, sound())
        part = {"key": key, "sha256": hashlib.sha256(sound()).hexdigest(), "bytes": len(sound()), "duration": 10.0}
        folder = spans_folder(bare.day, bare.conversation_id or "")
        await harness.storage.write(spans_key(folder, recording, "one"), spans_file("one", [(1.0, 2.0, 0)]))
        whole = harness.storage.adopt

        async def overtaken(source: Any, to: str) -> None:
            await whole(source, to)
            await harness.storage.write(spans_key(folder, recording, "two"), spans_file("two", [(3.0, 4.0, 1)]))

        harness.storage.adopt = overtaken
        (told,) = (await harness.handle(make_event("media.verified", recording_id=recording, body={"parts": [part]}))).emit
        assert (told.body["revision"], told.body["parts"][0]["spans"], told.body["removed"]) == (2, 2, [key])
        with wave.open(io.BytesIO(await harness.storage.read(told.body["parts"][0]["key"]))) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert not heard[RATE : 2 * RATE, 0].any()
        assert not heard[3 * RATE : 4 * RATE, 1].any()
        again = make_event("transcript.redacted", body={"communicationId": None, "recordingIds": [recording], "transcript": {"key": "two"}})
        assert (await harness.handle(again)).emit[0].id == told.id
