"""What the transcript handler promises: every communication by itself, nothing twice, nothing lost, and a reason where there is none."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
import pytest

from genesys_sync.plugin import (
    ConfigurationError,
    Done,
    Event,
    Look,
    MediaUrlExpired,
    NoFiles,
    Outcome,
    PermanentError,
    ReasonCode,
    RecordingInfo,
    Skip,
    Snooze,
    StorageFull,
    TranscriptFiles,
    TransientError,
)
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.transcripts import Transcript
from genesys_sync_handlers.transcript import TranscriptFetch

pytestmark = pytest.mark.anyio

ENDED = datetime(2026, 8, 1, 12, tzinfo=UTC)  # where FakeClock begins
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
FIRST = "d0d0d0d0-0000-4000-8000-000000000001"
SECOND = "d0d0d0d0-0000-4000-8000-000000000002"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
QUEUE = "b0b0b0b0-0000-4000-8000-000000000001"
FOLDER = f"transcripts/2026/08/01/{CONVERSATION}"
HOUR, DAYS = 3600.0, 3 * 86400.0


def file(text: str = "four one one one", language: str = "en-us") -> bytes:
    phrase = {"participantPurpose": "external", "text": text, "startTimeMs": 1000, "duration": {"milliseconds": 900}}
    return orjson.dumps({"duration": 5000, "transcripts": [{"language": language, "phrases": [phrase] if text else []}]})


def details(*sessions: str, media: str = "voice", **more: Any) -> dict[str, Any]:
    segments = [{"segmentStart": "2026-08-01T11:59:00.000Z", "segmentEnd": "2026-08-01T12:00:00.000Z", "queueId": QUEUE}]
    listed = [{"sessionId": one, "mediaType": media, "segments": segments} for one in sessions]
    customer = {"purpose": "customer", "participantName": "Rosa Martinez", "sessions": listed}
    return {"conversationEnd": "2026-08-01T12:00:00.000Z", "participants": [customer], **more}


class Scene:
    """A handler and its platform: one conversation with these communications."""

    def __init__(self, harness: HandlerHarness[Any], clock: FakeClock, *sessions: str) -> None:
        self.harness, self.clock = harness, clock
        self.transcripts = harness.genesys.transcripts
        self.event = make_event("conversation.ended", occurred_at=ENDED)
        harness.genesys.conversations.analytics[CONVERSATION] = details(*sessions)
        harness.genesys.recordings.looks(CONVERSATION, Look((), definitive=True))

    async def at(self, elapsed: float, *, snoozes: int = 0) -> Outcome:
        await self.clock.advance(elapsed - self.clock.monotonic())
        async with self.harness:
            return await self.harness.handle(self.event, snoozes=snoozes)

    def stored(self) -> list[str]:
        keys = self.harness.storage.keys()
        return [key.removeprefix(f"{FOLDER}/") for key in keys]


Make = Callable[..., Scene]


@pytest.fixture
def scene(handler_harness: Callable[..., HandlerHarness[Any]], fake_clock: FakeClock) -> Make:
    def make(*sessions: str, config: Mapping[str, Any] | None = None) -> Scene:
        return Scene(handler_harness(TranscriptFetch, config), fake_clock, *(sessions or (FIRST,)))

    return make


def told(outcome: Outcome) -> list[tuple[str, str, Any]]:
    assert isinstance(outcome, (Done, Snooze)), outcome
    return [(one.topic.partition(".")[2], one.body["communicationId"], one.body.get("reason")) for one in outcome.emit]


def archived(outcome: Outcome) -> Event:
    assert isinstance(outcome, (Done, Snooze)), outcome
    return next(one for one in outcome.emit if one.topic == "transcript.archived")


async def test_nothing_is_asked_before_the_first_rung(scene: Make) -> None:
    at = scene()
    assert await at.at(10) == Snooze("the first look is not due yet", timedelta(seconds=50))
    assert at.transcripts.asked == []


async def test_a_transcript_is_archived_untouched_with_our_model_beside_it_and_told_without_a_word_of_it(scene: Make) -> None:
    at = scene(config={"forms": ["srt", "vtt"]})
    at.transcripts.place(FIRST, file(), recording_id=RECORDING)
    event = archived(await at.at(60))
    raw = at.harness.storage.path(f"{FOLDER}/{FIRST}.{RECORDING}.raw.json").read_bytes()
    assert raw == file()
    model = Transcript.from_dict(orjson.loads(at.harness.storage.path(event.body["transcript"]["key"]).read_bytes()))
    assert [(one.text, one.start, one.end) for one in model.segments] == [("four one one one", 1.0, 1.9)]
    names = [f"{FIRST}.{RECORDING}.{ending}" for ending in ("json", "raw.json", "srt", "vtt")]
    assert at.stored() == [f"{FIRST}.archive.json", *names]
    assert (event.recording_id, event.body["recordingIds"], event.body["words"]) == (RECORDING, [RECORDING], 4)
    assert event.body["raw"]["bytes"] == len(raw)
    assert [form["form"] for form in event.body["forms"]] == ["vtt", "srt"]
    for told_of in (orjson.dumps(event.body), at.harness.storage.path(event.body["sidecar"]).read_bytes()):
        assert b"four" not in told_of
        assert b"Rosa" not in told_of
    assert [(entry.action, entry.target) for entry in at.harness.audited] == [("transcript.archive", FIRST)]


async def test_a_late_one_holds_up_nobody_and_what_is_there_is_not_fetched_again(scene: Make) -> None:
    at = scene(FIRST, SECOND)
    at.transcripts.place(FIRST, file())
    early = await at.at(60)
    assert isinstance(early, Snooze)
    assert told(early) == [("archived", FIRST, None)]
    assert early.delay == timedelta(minutes=2)
    at.transcripts.place(SECOND, file("later"))
    at.transcripts.finds(FIRST, PermanentError("must not be asked for a file again", code=ReasonCode.REQUEST_REFUSED))
    late = await at.at(2 * HOUR, snoozes=5)
    assert isinstance(late, Done)
    assert told(late) == [("archived", FIRST, None), ("archived", SECOND, None)]
    assert late.emit[0].id == early.emit[0].id, "the ledger records it once"
    assert [entry.target for entry in at.harness.audited] == [FIRST, SECOND]


async def test_a_run_killed_after_the_sidecar_is_repeated_without_the_platform_and_audited(scene: Make) -> None:
    at = scene()
    at.transcripts.place(FIRST, file())
    first = await at.at(2 * HOUR)
    at.transcripts.finds(FIRST, TransientError("down"))
    at.transcripts.asked.clear()
    again = await at.at(2 * HOUR)
    assert [one.body for one in again.emit] == [one.body for one in first.emit]
    assert at.transcripts.asked == []
    assert [entry.action for entry in at.harness.audited] == ["transcript.archive"] * 2, "the first run's entry was never committed"


async def test_what_one_file_told_is_not_left_where_nobody_redacts_it_when_another_is_no_transcript(scene: Make) -> None:
    at = scene()
    page = b"<html>four one one one</html>"
    files = (at.transcripts.file(file(), RECORDING), at.transcripts.file(page, SECOND))
    at.transcripts.finds(FIRST, TranscriptFiles(files))
    with pytest.raises(TransientError, match="no transcript"):
        await at.at(60)
    assert at.stored() == []


async def test_what_redaction_took_away_is_not_fetched_again(scene: Make) -> None:
    at = scene()
    at.transcripts.place(FIRST, file())
    body = archived(await at.at(2 * HOUR)).body
    for part in (body["raw"], body["transcript"]):
        await at.harness.storage.remove(part["key"])
    assert archived(await at.at(3 * HOUR)).body == body
    assert at.stored() == [f"{FIRST}.archive.json"]


async def test_trouble_with_one_is_raised_only_after_the_others_have_told(scene: Make) -> None:
    at = scene(FIRST, SECOND)
    at.transcripts.finds(FIRST, TransientError("slow down", code=ReasonCode.RATE_LIMITED, delay=timedelta(seconds=9)))
    at.transcripts.place(SECOND, file())
    first = await at.at(2 * HOUR)
    assert isinstance(first, Snooze)
    assert (told(first), first.delay) == ([("archived", SECOND, None)], timedelta(seconds=9))
    with pytest.raises(TransientError, match="slow down"):
        await at.at(2 * HOUR, snoozes=1)


async def test_an_expired_location_is_asked_for_again_once(scene: Make) -> None:
    at = scene()
    at.transcripts.place(FIRST, file())
    at.harness.media.fail(MediaUrlExpired())
    assert told(await at.at(60)) == [("archived", FIRST, None)]
    assert at.transcripts.asked == [FIRST, FIRST]


async def test_a_reason_is_told_even_where_another_is_given_up(scene: Make) -> None:
    at = scene(FIRST, SECOND)
    at.transcripts.finds(FIRST, PermanentError("no such thing", code=ReasonCode.REQUEST_REFUSED))
    at.transcripts.finds(SECOND, TranscriptFiles(without=NoFiles.NOT_ENABLED))
    first = await at.at(60)
    assert isinstance(first, Snooze)
    assert told(first) == [("missing", SECOND, "not_enabled")]
    with pytest.raises(PermanentError, match="no such thing"):
        await at.at(90, snoozes=1)
    assert [entry.action for entry in at.harness.audited] == ["transcript.miss"]


@pytest.mark.parametrize("served", [b"<Error><Code>AccessDenied</Code></Error>", b"[]", b""])
async def test_an_error_page_is_never_archived_as_a_transcript(scene: Make, served: bytes) -> None:
    at = scene()
    at.transcripts.place(FIRST, served)
    with pytest.raises(TransientError) as error:
        await at.at(60)
    assert error.value.code is ReasonCode.BAD_ANSWER
    assert at.stored() == []


async def test_a_full_disk_leaves_nothing_half_told(scene: Make) -> None:
    at = scene()
    at.transcripts.place(FIRST, file())
    at.harness.storage.fail(StorageFull("full"))
    with pytest.raises(StorageFull):
        await at.at(60)
    at.harness.storage.fail(None)
    assert told(await at.at(60)) == [("archived", FIRST, None)]


async def test_another_recordings_file_is_waited_for_until_nothing_more_is_expected(scene: Make) -> None:
    at = scene()
    other = "e0e0e0e0-0000-4000-8000-000000000002"
    infos = tuple(RecordingInfo(one, "AVAILABLE", "audio", FIRST) for one in (RECORDING, other))
    at.harness.genesys.recordings = type("Recordings", (), {"look": staticmethod(lambda *_, **__: _now(Look(infos, definitive=True)))})()
    one, two = at.transcripts.file(file("one"), RECORDING), at.transcripts.file(file("two"), other)
    at.transcripts.finds(FIRST, TranscriptFiles((one,)), TranscriptFiles((one, two)))
    assert isinstance(first := await at.at(60), Snooze)
    assert len(first.emit) == 1
    assert isinstance(second := await at.at(180, snoozes=1), Done)
    assert [event.recording_id for event in second.emit] == [RECORDING, other]


async def _now(look: Look) -> Look:
    return look


async def test_exclusion_by_policy_is_told_and_costs_no_request(scene: Make) -> None:
    for config in ({"queues": ["b0b0b0b0-0000-4000-8000-000000000009"]}, {"media_types": ["email"]}):
        at = scene(config=config)
        assert told(await at.at(60)) == [("missing", FIRST, "excluded")]
        assert at.transcripts.asked == []
    assert isinstance(await scene(config={"conversations": ["c0c0c0c0-0000-4000-8000-000000000009"]}).at(60), Skip)


async def test_a_language_is_known_after_the_fetch_and_one_not_wanted_is_not_kept(scene: Make) -> None:
    at = scene(config={"languages": ["de-DE"]})
    at.transcripts.place(FIRST, file())
    assert told(await at.at(60)) == [("missing", FIRST, "excluded")]
    assert at.stored() == []


@pytest.mark.parametrize("wanted", ["en", "en-US", "EN_us"])
async def test_a_language_covers_its_kinds_however_it_is_written(scene: Make, wanted: str) -> None:
    at = scene(config={"languages": [wanted]})
    at.transcripts.place(FIRST, file())
    assert told(await at.at(60)) == [("archived", FIRST, None)]


async def test_analytics_that_knows_nothing_yet_is_waited_for_and_in_the_end_it_is_told(scene: Make) -> None:
    at = scene()
    at.harness.genesys.conversations.analytics.clear()
    assert isinstance(await at.at(60), Snooze)
    with pytest.raises(PermanentError) as error:
        await at.at(DAYS)
    assert error.value.code is ReasonCode.NOT_FOUND


@pytest.mark.parametrize(("channels", "heard"), [({"external": 1}, 1), ({"internal": 0}, None)])
async def test_the_side_that_the_settings_name_a_channel_for_is_heard_in_that_one_and_else_in_any(
    scene: Make, channels: dict[str, int], heard: int | None
) -> None:
    at = scene(config={"channels": channels})
    at.transcripts.place(FIRST, file())
    await at.at(60)
    model = orjson.loads(await at.harness.storage.read(f"{FOLDER}/{FIRST}.json"))
    assert [segment["speaker"].get("channel") for segment in model["segments"]] == [heard]


async def test_check_names_the_permission(scene: Make) -> None:
    at = scene()
    nobody = "00000000-0000-4000-8000-000000000000"
    await at.harness.handler.check(at.harness.services)
    at.transcripts.finds(nobody, TranscriptFiles(without=NoFiles.FORBIDDEN, reason="403"))
    with pytest.raises(ConfigurationError, match="recording:recording:view"):
        await at.harness.handler.check(at.harness.services)


@pytest.mark.parametrize(
    "config",
    [
        {"ladder": ["5m", "1m"]},
        {"give_up": "30m"},
        {"queues": ["Sales"]},
        {"media_types": ["fax"]},
        {"channels": {"left": 0}},
        {"channels": {"external": -1}},
        {"forms": ["pdf"]},
        {"languages": ["english!"]},
        {"unknown": 1},
    ],
)
def test_a_wrong_setting_is_named(handler_harness: Callable[..., Any], config: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as error:
        handler_harness(TranscriptFetch, config)
    assert next(iter(config)) in str(error.value)


@pytest.mark.parametrize("recording", [RECORDING, None])
async def test_what_a_killed_run_had_fetched_is_told_of_though_the_platform_has_it_no_more(scene: Make, recording: str | None) -> None:
    """Otherwise it would lie in clear where nobody redacts it, and be called missing."""
    at = scene()
    name = f"{FIRST}.{recording}" if recording else FIRST
    await at.harness.storage.write(f"{FOLDER}/{name}.raw.json", file())
    at.transcripts.finds(FIRST, TranscriptFiles(without=NoFiles.NOT_ENABLED))

    event = archived(await at.at(60))

    assert event.body["raw"] == {"key": f"{FOLDER}/{name}.raw.json", "sha256": sha256(file()).hexdigest(), "bytes": len(file())}
    assert at.stored() == sorted([f"{FIRST}.archive.json", f"{name}.json", f"{name}.raw.json"])
    assert [(entry.action, entry.target) for entry in at.harness.audited] == [("transcript.archive", FIRST)]
