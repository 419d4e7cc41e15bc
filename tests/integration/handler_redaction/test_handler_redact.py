"""The handler `redact`: what is written, what is removed, and that nothing of what is hidden goes anywhere."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesys_sync.events import Event
from genesys_sync.plugin import Done, PermanentError, ReasonCode
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word, written
from genesys_sync_handlers.redact import Redact

pytestmark = pytest.mark.anyio
CARD = "4111 1111 1111 1111"
RECORDING = "5b1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a11"
COMMUNICATION = "7c1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a22"
KEY = f"transcripts/2026/08/01/c/{COMMUNICATION}.json"
Make = Callable[..., HandlerHarness[Any]]


def transcript(text: str = f"my card is {CARD}") -> Transcript:
    words = tuple(Word(text=word, start=1.0 + n, end=1.5 + n) for n, word in enumerate(text.split()))
    speaker = Speaker(label="external", role="customer", channel=0)
    segment = Segment(index=0, speaker=speaker, text=text, start=1.0, end=20.0, words=words)
    return Transcript(
        conversation_id="c", communication_id=COMMUNICATION, recording_ids=(RECORDING,), source="platform", segments=(segment,)
    )


async def archived(harness: HandlerHarness[Any], what: Transcript, *, recordings: tuple[str, ...] = (RECORDING,), key: str = KEY) -> Event:
    files = {}
    for name, form in (("transcript", "json"), ("vtt", "vtt")):
        data = written(what, form)
        place = key.removesuffix("json") + form
        await harness.storage.write(place, data)
        files[name] = {"key": place, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    raw = key.removesuffix("json") + "raw.json"
    await harness.storage.write(raw, b"{}")
    body = {
        "communicationId": COMMUNICATION,
        "recordingIds": list(recordings),
        "source": what.source,
        "languages": ["en-us"],
        "conversationEndedAt": "2026-08-01T11:59:00.000Z",
        "raw": {"key": raw, "sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2},
        "transcript": files["transcript"],
        "forms": [{"form": "vtt", **files["vtt"]}],
        "sidecar": "transcripts/2026/08/01/c/x.archive.json",
    }
    return make_event("transcript.archived", state=COMMUNICATION, body=body)


def everything(harness: HandlerHarness[Any], *, under: str = "") -> bytes:
    keys = harness.storage.keys()
    return b"\n".join(harness.storage.path(key).read_bytes() for key in keys if key.startswith(under))


async def test_text_words_forms_and_report_are_written_and_hold_no_value(handler_harness: Make) -> None:
    async with handler_harness(Redact, {"forms": ["vtt", "srt", "txt"]}) as harness:
        outcome = await harness.handle(await archived(harness, transcript()))
        assert isinstance(outcome, Done)
        (event,) = outcome.emit
        body = event.body
        assert body["hidden"] == {"CARD": 1}
        assert [form["form"] for form in body["forms"]] == ["vtt", "srt", "txt"]
        shown = everything(harness, under="redacted/") + orjson.dumps([dict(body), [entry.facts for entry in harness.audited]], default=str)
        assert b"[CARD]" in shown
        assert b"4111" not in shown
        assert b"1111" not in shown
        assert b"4111" in everything(harness, under="transcripts/")
        model = Transcript.from_dict(orjson.loads(await harness.storage.read(body["transcript"]["key"])))
        assert model.redacted
        assert body["removed"] == []
        assert hashlib.sha256(await harness.storage.read(body["transcript"]["key"])).hexdigest() == body["transcript"]["sha256"]


async def test_speakers_are_called_by_their_role_unless_the_settings_keep_their_names(handler_harness: Make) -> None:
    told = transcript()
    known = replace(told.segments[0], speaker=Speaker(label="external", role="customer", name="Mara Unlikely"))
    for config, voice, name in (({}, b"<v customer>", "a"), ({"names": True}, b"<v Mara Unlikely>", "b")):
        async with handler_harness(Redact, config) as harness:
            event = await archived(harness, replace(told, segments=(known,)), key=KEY.replace(COMMUNICATION, name))
            (redacted,) = (await harness.handle(event)).emit
            shown = await harness.storage.read(redacted.body["forms"][0]["key"])
            assert voice in shown
            assert (b"Unlikely" in shown) == (b"Unlikely" in await harness.storage.read(redacted.body["transcript"]["key"])) == bool(config)


async def test_where_to_mute_is_written_down_for_the_recording(handler_harness: Make) -> None:
    async with handler_harness(Redact) as harness:
        event = await archived(harness, transcript())
        await harness.handle(event)
        folder = f"redacted/recordings/2026/08/01/{event.conversation_id}"
        (place,) = await harness.storage.listed(folder)
        assert place.startswith(f"{folder}/{RECORDING}.")
        before = await harness.storage.read(place)
        assert orjson.loads(before)["transcripts"] == {f"redacted/{KEY}": [[4.0, 7.5, 0]]}
        # another transcript of the same recording has a file of its own, whoever writes it: none is read to be written again
        other = await archived(harness, transcript("call me at 212 555 0187 ext"), key=KEY.replace(".json", ".whisper.json"))
        await harness.handle(other)
        assert len(await harness.storage.listed(folder)) == 2
        assert await harness.storage.read(place) == before


async def test_without_a_recording_the_spans_are_the_communications(handler_harness: Make) -> None:
    async with handler_harness(Redact) as harness:
        event = await archived(harness, transcript(), recordings=())
        await harness.handle(event)
        (place,) = await harness.storage.listed(f"redacted/recordings/2026/08/01/{event.conversation_id}")
        assert place.rpartition("/")[2].startswith(f"{COMMUNICATION}.")


async def test_the_original_goes_when_it_may_not_be_kept_and_a_second_run_says_the_same(handler_harness: Make) -> None:
    async with handler_harness(Redact, {"keep_original": False}) as harness:
        event = await archived(harness, transcript())
        first = await harness.handle(event)
        assert b"4111" not in everything(harness)
        assert sorted(first.emit[0].body["removed"]) == sorted(KEY.removesuffix("json") + form for form in ("raw.json", "json", "vtt"))
        again = await harness.handle(event)  # killed before it was settled: the original is gone by now
        assert again.emit[0].id == first.emit[0].id
        assert again.emit[0].body == first.emit[0].body


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.write_bytes(path.read_bytes().replace(b"4111", b"4112")), ReasonCode.MEDIA_CHANGED),
        (lambda path: path.unlink(), ReasonCode.NOT_FOUND),
    ],
)
async def test_what_is_not_the_archived_transcript_is_withheld(
    handler_harness: Make, spoil: Callable[[Path], object], code: ReasonCode
) -> None:
    async with handler_harness(Redact) as harness:
        event = await archived(harness, transcript())
        spoil(harness.storage.path(KEY))
        with pytest.raises(PermanentError) as raised:
            await harness.handle(event)
        assert raised.value.code is code
        assert everything(harness, under="redacted/") == b""


async def test_a_rule_that_fails_withholds_the_whole_transcript(handler_harness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"choked on {CARD}")

    monkeypatch.setattr("genesys_sync.redaction.redactor.find_numbers", broken)
    async with handler_harness(Redact, {"keep_original": False}) as harness:
        event = await archived(harness, transcript())
        with pytest.raises(PermanentError) as raised:
            await harness.handle(event)
        assert raised.value.code is ReasonCode.REDACTION_FAILED
        assert "4111" not in raised.value.reason
        assert everything(harness, under="redacted/") == b""
        assert b"4111" in everything(harness)  # what could not be redacted is not thrown away either


async def test_a_document_that_is_no_transcript_is_withheld(handler_harness: Make) -> None:
    async with handler_harness(Redact) as harness:
        event = await archived(harness, transcript())
        for data in (b"not JSON", b'{"schema": 99}'):
            await harness.storage.write(KEY, data)
            described = {"key": KEY, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            with pytest.raises(PermanentError) as raised:
                await harness.handle(make_event("transcript.archived", body={**event.body, "transcript": described}))
            assert raised.value.code is ReasonCode.REDACTION_FAILED
        enormous = {**event.body["transcript"], "bytes": 200 << 20}
        with pytest.raises(PermanentError, match="it is larger than 64 MiB") as raised:
            await harness.handle(make_event("transcript.archived", body={**event.body, "transcript": enormous}))
        assert raised.value.code is ReasonCode.REDACTION_FAILED
        assert everything(harness, under="redacted/") == b""
