"""The handler `mute` and what was written: redacted at once, the original gone where it is to go, and nothing later changes the copy."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from genesys_sync.events import Event
from genesys_sync.plugin import Done, PermanentError, ReasonCode, Skip
from genesys_sync.redaction import RedactionFailed, Redactor
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers._spans import ALL, spans_file, spans_folder, spans_key
from genesys_sync_handlers.mute import Mute

pytestmark = pytest.mark.anyio
RECORDING = "5b1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a11"
SESSION = "7c1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a22"
CARD = b"4111 1111 1111 1111"
CHAT = orjson.dumps({"id": RECORDING, "media": "chat", "transcript": [{"participantPurpose": "customer", "body": f"card {CARD.decode()}"}]})
Make = Callable[..., HandlerHarness[Any]]


async def verified(harness: HandlerHarness[Any], data: bytes = CHAT) -> Event:
    event = make_event("media.verified", recording_id=RECORDING)
    folder = f"recordings/2026/08/01/{event.conversation_id}"
    key = f"{folder}/{RECORDING}.media.json"
    await harness.storage.write(key, data)
    await harness.storage.write(f"{folder}/{RECORDING}.json", orjson.dumps({"sessionId": SESSION}))
    part = {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "container": "json", "duration": 0.0}
    return make_event("media.verified", recording_id=RECORDING, body={"parts": [part], "conversationEndedAt": "2026-08-01T12:00:00.000Z"})


@pytest.mark.parametrize("keep", [True, False])
async def test_a_chat_is_redacted_at_once_and_its_original_goes_by_the_setting(handler_harness: Make, keep: bool) -> None:
    async with handler_harness(Mute, {"keep_original": keep, "without_transcript": "quarantine"}) as harness:
        event = await verified(harness)
        outcome = await harness.handle(event)
        assert isinstance(outcome, Done)
        (told,) = outcome.emit
        (original,) = event.body["parts"]
        (part,) = told.body["parts"]
        assert (told.topic, part["key"], part["spans"]) == ("media.redacted", f"redacted/{original['key']}", 1)
        assert (told.body["hidden"], told.body["removed"]) == ({"CARD": 1}, [] if keep else [original["key"]])
        copy = await harness.storage.read(part["key"])
        assert (b"[CARD]" in copy, CARD in copy) == (True, False)
        assert (await harness.storage.size(original["key"]) is not None) == keep
        assert not any(key.startswith("quarantine/") for key in list(harness.storage.keys()))
        again = await harness.handle(event)
        assert again.emit[0].body == told.body, "run again, also without the original, it repeats its result"


async def test_a_later_transcript_leaves_the_copy_as_it_is(handler_harness: Make) -> None:
    async with handler_harness(Mute) as harness:
        event = await verified(harness)
        (told,) = (await harness.handle(event)).emit
        before = await harness.storage.read(told.body["parts"][0]["key"])
        place = spans_key(spans_folder(event.day, event.conversation_id), RECORDING, "redacted/one.json")
        await harness.storage.write(place, spans_file("redacted/one.json", [(0.0, 0.0, ALL)]))
        body = {"communicationId": SESSION, "recordingIds": [RECORDING], "transcript": {"key": "redacted/one.json"}}
        assert isinstance(await harness.handle(make_event("transcript.redacted", state="one", body=body)), Skip)
        assert await harness.storage.read(told.body["parts"][0]["key"]) == before


async def test_where_redaction_fails_nothing_is_written_and_nothing_goes(handler_harness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RedactionFailed("redaction ended in ValueError: the transcript is withheld")

    async with handler_harness(Mute, {"keep_original": False}) as harness:
        event = await verified(harness)
        before = harness.storage.keys()
        monkeypatch.setattr(Redactor, "redact", fail)
        with pytest.raises(PermanentError) as raised:
            await harness.handle(event)
        assert raised.value.code is ReasonCode.REDACTION_FAILED
        assert harness.storage.keys() == before


async def test_a_body_that_was_altered_since_is_refused(handler_harness: Make) -> None:
    async with handler_harness(Mute, {"keep_original": False}) as harness:
        event = await verified(harness)
        await harness.storage.write(event.body["parts"][0]["key"], CHAT + b" ")
        with pytest.raises(PermanentError) as raised:
            await harness.handle(event)
        assert raised.value.code is ReasonCode.MEDIA_CHANGED


@pytest.mark.parametrize(("without", "withheld"), [("keep", False), ("quarantine", True)])
async def test_what_cannot_be_read_is_treated_like_what_has_no_transcript(handler_harness: Make, without: str, withheld: bool) -> None:
    async with handler_harness(Mute, {"without_transcript": without}) as harness:
        outcome = await harness.handle(await verified(harness, b'{"messages": []}'))
        if withheld:
            assert isinstance(outcome, Done)
            assert (outcome.emit[0].topic, outcome.emit[0].body["reason"]) == ("media.rejected", "NO_TRANSCRIPT")
        else:
            assert isinstance(outcome, Skip)
