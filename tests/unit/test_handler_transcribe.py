"""What the handler transcribe promises by itself: wishes become requests, and a file of nobody's is redacted like any other transcript."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from genesys_sync.plugin import ConfigurationError, Done, Look, PermanentError, ProviderLimits, RecordingInfo, Skip, TranscriptionRequest
from genesys_sync.services.transcription_request import request_answered
from genesys_sync.testing import make_event
from genesys_sync.testing.samples import ORGANIZATION_ID
from genesys_sync_handlers._transcription_preflight import Sound, judge_locale, judge_products, judge_sound
from genesys_sync_handlers.transcribe import Transcribe

pytestmark = pytest.mark.anyio

CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
SESSION = "d0d0d0d0-0000-4000-8000-000000000001"
QUEUE = "b0b0b0b0-0000-4000-8000-000000000001"
PART = {"key": "recordings/a.wav", "sha256": "0" * 64, "bytes": 5, "codec": "pcm_s16le", "container": "wav", "duration": 4.5}


class OneProvider:
    """`services.Speech` with a name and nothing behind it."""

    names = ("speech",)

    def provider(self, name: str) -> Any:
        if name != "speech":
            raise PermanentError(f"there is no speech provider {name!r}")
        return object()

    def locale(self, name: str) -> str:
        return "en-US"


@pytest.fixture
def harness(handler_harness):
    from dataclasses import replace

    def make(**config: Any):
        one = handler_harness(Transcribe, config)
        one.services = replace(one.services, speech=OneProvider())
        return one

    return make


def verified(**more: Any):
    body = {"parts": [PART], "warnings": [], "conversationEndedAt": "2026-08-01T12:00:00.000Z", **more}
    return make_event("media.verified", conversation_id=CONVERSATION, recording_id=RECORDING, body=body)


async def test_a_verified_recording_becomes_a_request_with_what_was_measured(harness) -> None:
    async with harness() as here:
        outcome = await here.handle(verified())
        again = await here.handle(verified())
    assert isinstance(outcome, Done)
    assert isinstance(again, Done)
    (event,) = outcome.emit
    request = TranscriptionRequest.of(event)
    assert (event.topic, request.seconds, request.silent, request.content_type) == ("transcription.requested", 4.5, False, "audio/wav")
    assert event.id == again.emit[0].id == request.id_for(ORGANIZATION_ID)


async def test_what_has_no_sound_or_lies_in_another_queue_is_left_out(harness) -> None:
    async with harness(queues=[QUEUE]) as here:
        assert await here.handle(verified()) == Skip("excluded: the settings name other queues")
    async with harness() as here:
        chat = {**PART, "codec": "", "duration": 0.0}
        assert isinstance(await here.handle(verified(parts=[chat])), Skip)


async def test_a_communication_without_a_transcript_has_its_archived_recordings_transcribed(harness) -> None:
    event = make_event(
        "transcript.missing", conversation_id=CONVERSATION, body={"communicationId": SESSION, "reason": "not_enabled", "looks": 3}
    )
    async with harness() as here:
        here.genesys.recordings.looks(CONVERSATION, Look((RecordingInfo(RECORDING, "AVAILABLE", "audio", SESSION),), definitive=True))
        assert isinstance(await here.handle(event), Skip)
        sidecar = {"parts": [{"key": "k", "sha256": "0" * 64, "bytes": 9, "contentType": "audio/ogg"}], "conversationEndedAt": None}
        await here.storage.write(f"recordings/{event.day:%Y/%m/%d}/{CONVERSATION}/{RECORDING}.json", orjson.dumps(sidecar))
        outcome = await here.handle(event)
    assert isinstance(outcome, Done)
    request = TranscriptionRequest.of(outcome.emit[0])
    assert (request.communication_id, request.recording_id, request.seconds) == (SESSION, RECORDING, None)


async def test_events_that_are_no_requests_are_refused_with_a_sentence(harness) -> None:
    async with harness() as here:
        for topic in ("transcription.requested", "transcription.answered"):
            with pytest.raises(PermanentError, match=r"request|answer"):
                await here.handle(make_event(topic, body={"asked": {"provider": 1}}))


def test_an_answer_carries_its_request_and_no_other() -> None:
    request = TranscriptionRequest(provider="p", locale="en-US", key="k", sha256="0" * 64, size=1, content_type="audio/wav")
    event = request.event(ORGANIZATION_ID, at=verified().occurred_at, day=verified().day)
    answer = event.derive("transcription.answered", occurred_at=event.occurred_at, body={"request": event.id, "asked": event.body})
    assert request_answered(answer).id == event.id
    other = event.derive("transcription.answered", occurred_at=event.occurred_at, body={"request": "0" * 32, "asked": event.body})
    with pytest.raises(ValueError, match="another request"):
        request_answered(other)


def test_the_checks_are_judged_by_whoever_knows() -> None:
    assert not list(judge_locale("EN-us", ProviderLimits(locales=frozenset({"en-US"})), {"de-de"}))
    assert not list(judge_locale("de-DE", ProviderLimits(), {"de-de"}))
    assert not list(judge_locale("fr-FR", ProviderLimits(), None))
    (refused,) = judge_locale("en-IE", ProviderLimits(locales=frozenset({"en-US", "de-DE"})), None)
    assert refused.sentence == "the provider does not know the locale en-IE; it knows en-US"
    assert not list(judge_sound(Sound(10.0, silent=False), ProviderLimits(max_seconds=10)))
    assert [one.check.value for one in judge_sound(Sound(11.0, silent=True), ProviderLimits(max_seconds=10))] == ["audible", "length"]


def test_a_product_is_known_by_its_letters_and_none_at_all_is_no_licence() -> None:
    listed = frozenset({"pureCloud", "speech-And_TextAnalytics"})
    assert not list(judge_products(listed, ""))
    assert not list(judge_products(listed, "speechAndTextAnalytics"))
    assert not list(judge_products(None, "speechAndTextAnalytics"))
    assert "does not list workforce" in next(judge_products(listed, "workforce")).sentence
    assert "no product at all" in next(judge_products(frozenset(), "")).sentence


async def test_check_wants_a_provider(handler_harness) -> None:
    async with handler_harness(Transcribe) as here:
        with pytest.raises(ConfigurationError, match="no speech provider"):
            await here.check()
