"""Why there is no transcript: what the platform says, when it may be believed, and nothing that it does not say."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.plugin import Done, Look, NoFiles, RecordingInfo, Snooze, TranscriptFiles, TranscriptionSettings
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.transcripts import Communication
from genesys_sync_handlers._transcript_reasons import Case, Missing, missing_because
from genesys_sync_handlers.transcript import TranscriptFetch

pytestmark = pytest.mark.anyio

SESSION = "d0d0d0d0-0000-4000-8000-000000000001"
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
HOUR, DAYS = 3600.0, 3 * 86400.0
DELETED, READY = (RecordingInfo("e0e0e0e0-0000-4000-8000-000000000001", state, "audio", SESSION) for state in ("DELETED", "AVAILABLE"))
EMPTY = b'{"transcripts":[{"language":"en-us","phrases":[]}]}'


def case(
    *, media: str = "voice", seconds: float | None = 60.0, recorded: bool | None = None, languages: tuple[str, ...] = (), **more: Any
) -> Case:
    one = Communication(SESSION, media, (), seconds, recorded, languages)
    return Case(communication=one, shortest=timedelta(seconds=2), **more)


def mode(name: str, *dialects: str) -> TranscriptionSettings:
    return TranscriptionSettings(name, frozenset(dialects))


def shares(agent: float, customer: float = 0.0) -> dict[str, Any]:
    return {"participantMetrics": {"agentDurationPercentage": agent, "customerDurationPercentage": customer}}


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (case(), Missing.NEVER_APPEARED),
        (case(without=NoFiles.NOT_ENABLED), Missing.NOT_ENABLED),
        (case(settings=mode("Disabled")), Missing.NOT_ENABLED),
        (case(settings=mode("Disabled"), media="email"), Missing.NEVER_APPEARED),
        (case(settings=mode("EnabledQueueFlow"), queues=[False]), Missing.NOT_ENABLED),
        (case(settings=mode("EnabledQueueFlow"), queues=[False, True]), Missing.NEVER_APPEARED),
        (case(settings=mode("EnabledQueueFlow")), Missing.NEVER_APPEARED),
        (case(recordings=[DELETED]), Missing.PURGED),
        (case(recordings=[DELETED, READY]), Missing.NEVER_APPEARED),
        (case(without=NoFiles.FORBIDDEN), Missing.FORBIDDEN),
        (case(without=NoFiles.FORBIDDEN, settings=mode("Disabled")), Missing.NOT_ENABLED),
        (case(empty=True), Missing.NO_SPEECH),
        (case(analysis=shares(0)), Missing.NO_SPEECH),
        (case(analysis=shares(1.0, 1.0)), Missing.TOO_SHORT),
        (case(analysis=shares(50.0)), Missing.NEVER_APPEARED),
        (case(analysis={"participantMetrics": {"agentDurationPercentage": True}}), Missing.NEVER_APPEARED),
        (case(seconds=1.5), Missing.TOO_SHORT),
        (case(seconds=None, analysis=shares(0)), Missing.NEVER_APPEARED),
        (case(languages=("sw-KE",), settings=mode("EnabledGlobally", "en-us")), Missing.LANGUAGE_NOT_SUPPORTED),
        (case(languages=("sw-KE", "en-US"), settings=mode("EnabledGlobally", "en-us")), Missing.NEVER_APPEARED),
        (case(languages=("sw-KE",)), Missing.NEVER_APPEARED),
        (case(recorded=False), Missing.NOT_RECORDED),
    ],
)
def test_the_reason_is_what_is_known_and_nothing_else(known: Case, reason: Missing) -> None:
    assert missing_because(known) is reason


@pytest.fixture
def run(handler_harness: Callable[..., HandlerHarness[Any]], fake_clock: FakeClock) -> Callable[..., Any]:
    harness = handler_harness(TranscriptFetch)
    segments = [{"segmentStart": "2026-08-01T11:59:00.000Z", "segmentEnd": "2026-08-01T12:00:00.000Z"}]
    customer = {"purpose": "customer", "sessions": [{"sessionId": SESSION, "mediaType": "voice", "segments": segments}]}
    harness.genesys.conversations.analytics[CONVERSATION] = {"conversationEnd": "2026-08-01T12:00:00.000Z", "participants": [customer]}
    event = make_event("conversation.ended", occurred_at=datetime(2026, 8, 1, 12, tzinfo=UTC))

    async def run(
        elapsed: float,
        answer: TranscriptFiles | bytes,
        *recordings: RecordingInfo,
        settings: TranscriptionSettings | None = None,
        of: str | None = None,
    ) -> tuple[Any, HandlerHarness[Any]]:
        transcripts = harness.genesys.transcripts
        found = TranscriptFiles((transcripts.file(answer, of),)) if isinstance(answer, bytes) else answer
        transcripts.finds(SESSION, found, found)
        transcripts.set = settings or TranscriptionSettings()
        harness.genesys.recordings.looks(CONVERSATION, Look(recordings, definitive=True))
        await fake_clock.advance(elapsed - fake_clock.monotonic())
        async with harness:
            return await harness.handle(event, snoozes=2), harness

    return run


def reasons(outcome: Any) -> list[str]:
    return [event.body["reason"] for event in outcome.emit if event.topic == "transcript.missing"]


async def test_in_the_platforms_own_words_it_ends_at_once(run: Any) -> None:
    outcome, harness = await run(60, TranscriptFiles(without=NoFiles.NOT_ENABLED))
    assert isinstance(outcome, Done)
    assert outcome.emit[0].body == {"communicationId": SESSION, "reason": "not_enabled", "looks": 3}
    assert [(entry.action, entry.outcome) for entry in harness.audited] == [("transcript.miss", "failure")]


@pytest.mark.parametrize(
    ("answer", "recordings", "settings", "reason"),
    [
        (TranscriptFiles(without=NoFiles.NOT_THERE), [DELETED], None, "purged"),
        (TranscriptFiles(without=NoFiles.NOT_THERE), [], mode("Disabled"), "not_enabled"),
        (EMPTY, [], None, "no_speech"),
    ],
)
async def test_what_follows_from_facts_ends_it_once_they_can_be_believed(
    run: Any, answer: Any, recordings: list[RecordingInfo], settings: TranscriptionSettings | None, reason: str
) -> None:
    assert isinstance((await run(600, answer, *recordings, settings=settings))[0], Snooze)
    outcome, harness = await run(HOUR, answer, *recordings, settings=settings)
    assert isinstance(outcome, Done)
    assert (reasons(outcome), list(harness.storage.keys())) == ([reason], [])


@pytest.mark.parametrize(("without", "reason"), [(NoFiles.NOT_THERE, "never_appeared"), (NoFiles.FORBIDDEN, "forbidden")])
async def test_what_may_still_change_is_final_only_at_the_end(run: Any, without: NoFiles, reason: str) -> None:
    for elapsed in (600, HOUR, 12 * HOUR):
        outcome, _ = await run(elapsed, TranscriptFiles(without=without))
        assert (isinstance(outcome, Snooze), reasons(outcome)) == (True, [])
    assert reasons((await run(DAYS, TranscriptFiles(without=without)))[0]) == [reason]


async def test_a_deleted_recordings_file_is_skipped_even_where_the_platform_still_shows_it(run: Any) -> None:
    file = b'{"transcripts":[{"phrases":[{"text":"kept too long"}]}]}'
    outcome, harness = await run(60, file, DELETED, of=DELETED.recording_id)
    assert (reasons(outcome), list(harness.storage.keys())) == (["purged"], [])
