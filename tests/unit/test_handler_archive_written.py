"""Chats, messages and e-mails in the archive: the platform's answer byte for byte, known by their medium or by what a batch tells."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from genesys_sync.plugin import Done, Event, Look, PermanentError, ReasonCode, RecordingInfo, TransientError
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.testing.samples import CONVERSATION_ID, RECORDING_ID
from genesys_sync_handlers.archive import Archive
from genesys_sync_handlers.discover import Discover

pytestmark = pytest.mark.anyio

FOLDER = f"recordings/2026/08/01/{CONVERSATION_ID}"
MEDIA = f"{FOLDER}/{RECORDING_ID}.media.json"
SIDECAR = f"{FOLDER}/{RECORDING_ID}.json"
CHAT = b'{ "media":"chat",  "transcript":[{"body":"caf\xc3\xa9 4111"}] }\n'
MAIL = orjson.dumps({"media": "email", "emailTranscript": [{"subject": "x", "attachments": [{"name": "a"}, {"name": "b"}]}]})
DETAILS = {
    "conversationId": CONVERSATION_ID,
    "participants": [
        {"sessions": [{"mediaType": "email", "segments": [{"subject": "my card 4111", "wrapUpNote": "told", "queueId": "q"}]}]}
    ],
}
Make = Callable[..., HandlerHarness[Any]]


def ready(media: str = "chat") -> Event:
    return make_event("recording.ready", revision=1, body={"media": media})


async def sidecar(harness: HandlerHarness[Any]) -> dict[str, Any]:
    return dict(orjson.loads(await harness.storage.read(SIDECAR)))


@pytest.mark.parametrize("media", ["chat", "message", "messaging", "email"])
async def test_the_answer_is_archived_byte_for_byte_and_announced_without_a_word_of_it(handler_harness: Make, media: str) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings.write(CONVERSATION_ID, RECORDING_ID, CHAT, media=media)
        outcome = await harness.handle(ready(media))
        assert isinstance(outcome, Done)
        (event,) = outcome.emit
        assert await harness.storage.read(MEDIA) == CHAT
        (part,) = event.body["parts"]
        digest = hashlib.sha256(CHAT).hexdigest()
        assert (part["key"], part["sha256"], part["contentType"]) == (MEDIA, digest, "application/json")
        assert "4111" not in str(event.body)
        assert (event.body["media"], (await sidecar(harness))["format"]) == (media, "body")
        assert (await harness.handle(ready(media))).emit[0].body == event.body


async def test_where_only_a_batch_was_asked_its_json_says_that_it_was_written(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings.write(CONVERSATION_ID, RECORDING_ID, CHAT)
        harness.genesys.recordings.place(CONVERSATION_ID, RECORDING_ID, b"[]", content_type="application/json;charset=UTF-8")
        outcome = await harness.handle(make_event("recording.ready", revision=1, body={"media": ""}))
        assert await harness.storage.read(MEDIA) == CHAT
        assert outcome.emit[0].body["media"] == "chat"


async def test_attachments_are_counted_and_not_fetched(handler_harness: Make) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings.write(CONVERSATION_ID, RECORDING_ID, MAIL)
        await harness.handle(ready("email"))
        assert (await sidecar(harness))["attachments"] == 2


@pytest.mark.parametrize("kept", [True, False])
async def test_what_people_wrote_into_analytics_is_kept_or_not(handler_harness: Make, kept: bool) -> None:
    async with handler_harness(Archive, {"free_text": kept}) as harness:
        harness.genesys.conversations.analytics[CONVERSATION_ID] = DETAILS
        harness.genesys.recordings.write(CONVERSATION_ID, RECORDING_ID, MAIL)
        await harness.handle(ready("email"))
        stored = await harness.storage.read(SIDECAR)
        assert (b"4111" in stored, b"told" in stored, b"queueId" in stored) == (kept, kept, True)


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        (
            b'{"media":"email","emailTranscript":[],"recordingErrorStatus":"EMAIL_TRANSCRIPT_TOO_LARGE"}',
            PermanentError,
            ReasonCode.FILESTATE_ERROR,
        ),
        (b'{"media":"chat","transcript":null}', TransientError, ReasonCode.NOT_READY),
    ],
)
async def test_a_body_without_contents_is_never_archived_as_if_it_had_them(
    handler_harness: Make, body: bytes, error: type[Exception], code: ReasonCode
) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings.write(CONVERSATION_ID, RECORDING_ID, body)
        with pytest.raises(error) as raised:
            await harness.handle(ready())
        assert raised.value.code is code  # type: ignore[attr-defined]  # both kinds have one
        assert harness.storage.keys() == []


@pytest.mark.parametrize(("media", "definitive"), [(["email"], True), (["voice", "message"], True), (["voice"], False), (None, False)])
async def test_of_a_written_conversation_every_look_asks_for_metadata(handler_harness: Make, media: object, definitive: bool) -> None:
    asked: list[bool] = []

    class Looks:
        async def look(self, _: str, *, definitive: bool = False) -> Look:
            asked.append(definitive)
            return Look((RecordingInfo(RECORDING_ID, "AVAILABLE", "email"),), definitive=definitive)

    async with handler_harness(Discover) as harness:
        harness.genesys.recordings = Looks()
        event = make_event("conversation.ended", occurred_at=harness.clock.now(), body={"recordingSeen": None, "mediaTypes": media})
        await harness.clock.advance(60)
        await harness.handle(event)
    assert asked == [definitive]
