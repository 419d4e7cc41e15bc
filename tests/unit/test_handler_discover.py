"""What discover promises: nothing is missed, nothing is asked for twice without need, and every conversation ends with a reason."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.plugin import ConfigurationError, Done, Event, Look, Outcome, PermanentError, ReasonCode, RecordingInfo, Snooze
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers.discover import Discover

pytestmark = pytest.mark.anyio

ENDED = datetime(2026, 8, 1, 12, tzinfo=UTC)  # where FakeClock begins
FIRST = "e0e0e0e0-0000-4000-8000-000000000001"
SECOND = "e0e0e0e0-0000-4000-8000-000000000002"
NOT_FOUND = PermanentError("no such conversation", code=ReasonCode.NOT_FOUND)


class Looks:
    """Answers looks from a script, the last one for ever, and keeps who asked how."""

    def __init__(self, *answers: Look | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[bool] = []

    async def look(self, conversation_id: str, *, definitive: bool = False) -> Look:
        self.asked.append(definitive)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def shared(*states: str) -> Look:
    return Look(_infos(states), definitive=False)


def definitive(*states: str) -> Look:
    return Look(_infos(states), definitive=True)


def _infos(states: tuple[str, ...]) -> tuple[RecordingInfo, ...]:
    return tuple(RecordingInfo(rid, state, "audio", f"session-{rid[-1]}") for rid, state in zip((FIRST, SECOND), states, strict=False))


def ended(seen: bool | None = True) -> Event:
    return make_event("conversation.ended", occurred_at=ENDED, body={"recordingSeen": seen})


Run = Callable[..., Any]


@pytest.fixture
def run(handler_harness: Callable[..., HandlerHarness[Any]], fake_clock: FakeClock) -> Run:
    async def run(
        elapsed: float,
        *answers: Look | Exception,
        config: Mapping[str, Any] | None = None,
        seen: bool | None = True,
        snoozes: int = 1,
        analytics: Mapping[str, Any] | None = None,
        again: timedelta | None = None,
    ) -> tuple[Outcome, list[bool]]:
        harness = handler_harness(Discover, config)
        looks = Looks(*answers)
        harness.genesys.recordings = looks
        event = ended(seen)
        if again is not None:
            event = make_event("conversation.ended", occurred_at=ENDED + again, revision=2, day=event.day, body=event.body)
        if analytics is not None:
            harness.genesys.conversations.analytics[event.conversation_id] = analytics
        await fake_clock.advance(elapsed - fake_clock.monotonic())
        async with harness:
            return await harness.handle(event, snoozes=snoozes), looks.asked

    return run


def facts(outcome: Outcome) -> list[tuple[str, str, Any]]:
    assert isinstance(outcome, (Done, Snooze))
    return [(event.topic, event.recording_id or "", event.body.get("fileState") or event.body.get("revision")) for event in outcome.emit]


async def test_nothing_is_asked_before_the_first_rung(run: Run) -> None:
    outcome, asked = await run(10, definitive("AVAILABLE"))
    assert outcome == Snooze("the first look is not due yet", timedelta(seconds=20))
    assert asked == []


async def test_an_old_conversation_is_looked_at_at_once(run: Run) -> None:
    outcome, asked = await run(7 * 3600, definitive("AVAILABLE"), snoozes=0)
    assert isinstance(outcome, Done)
    assert outcome.note == "1 ready"
    assert asked == [True]


async def test_a_recording_that_is_available_is_ready_at_once_and_the_conversation_goes_on(run: Run) -> None:
    outcome, _ = await run(30, definitive("AVAILABLE"))
    assert facts(outcome) == [
        ("recording.created", FIRST, "AVAILABLE"),
        ("recording.status_changed", FIRST, "AVAILABLE"),
        ("recording.ready", FIRST, 1),
    ]
    ready = outcome.emit[-1]
    assert ready.body == {"media": "audio", "sessionId": "session-1", "conversationEndedAt": "2026-08-01T12:00:00.000Z", "revision": 1}
    assert outcome.delay == timedelta(seconds=30)


async def test_looks_repeated_make_no_new_events(run: Run) -> None:
    early, _ = await run(30, definitive("UPLOADING", "AVAILABLE"))
    later, _ = await run(60, definitive("UPLOADING", "AVAILABLE"))
    assert {event.id for event in early.emit} == {event.id for event in later.emit}


async def test_a_conversation_taken_up_again_shows_its_earlier_recordings_as_known(run: Run) -> None:
    """The look after its second end tells of what is new alone: the ledger knows the other events by their ids and day."""
    early, _ = await run(3600, definitive("AVAILABLE"))
    later, _ = await run(3600, definitive("AVAILABLE", "AVAILABLE"), again=timedelta(minutes=50))
    known = {(event.day, event.id) for event in early.emit}
    assert {event.recording_id for event in later.emit if (event.day, event.id) not in known} == {SECOND}
    assert known <= {(event.day, event.id) for event in later.emit}


async def test_a_changed_state_is_one_new_event(run: Run) -> None:
    early, _ = await run(30, definitive("UPLOADING"))
    later, _ = await run(60, definitive("AVAILABLE"))
    new = [event.topic for event in later.emit if event.id not in {known.id for known in early.emit}]
    assert new == ["recording.status_changed", "recording.ready"]


@pytest.mark.parametrize(("state", "reason"), [("DELETED", "DELETED_UPSTREAM"), ("ERROR", "FILESTATE_ERROR")])
async def test_a_lost_recording_carries_its_true_reason(run: Run, state: str, reason: str) -> None:
    outcome, _ = await run(3600, definitive(state, "RESTORED"))
    assert isinstance(outcome, Done)
    assert outcome.note == "1 ready, 1 lost"
    lost = next(event for event in outcome.emit if event.topic == "recording.lost")
    assert lost.body == {"reason": reason, "fileState": state}
    assert lost.recording_id == FIRST


async def test_a_shared_look_never_finishes_a_conversation_by_metadata(run: Run) -> None:
    outcome, asked = await run(3599, shared("AVAILABLE"))
    assert isinstance(outcome, Snooze)
    assert outcome.delay == timedelta(seconds=1)
    outcome, asked = await run(3600, definitive("AVAILABLE"))
    assert isinstance(outcome, Done)
    assert asked == [True]


async def test_with_confirm_batch_a_shared_look_is_enough(run: Run) -> None:
    outcome, asked = await run(3600, shared("AVAILABLE"), config={"confirm": "batch"})
    assert isinstance(outcome, Done)
    assert asked == [False]


async def test_once_everything_seen_is_final_only_the_confirming_look_is_left(run: Run) -> None:
    outcome, _ = await run(120, shared("AVAILABLE", "AVAILABLE"))
    assert outcome.delay == timedelta(minutes=58)
    outcome, _ = await run(121, definitive("AVAILABLE", "UPLOADING"))
    assert outcome.delay == timedelta(seconds=179)


async def test_an_empty_shared_look_is_doubted_from_the_third_rung_on(run: Run) -> None:
    _, asked = await run(60, shared())
    assert asked == [False]
    outcome, asked = await run(120, shared(), definitive("DELETED"))
    assert asked == [False, True]
    assert "recording.lost" in [event.topic for event in outcome.emit]


async def test_where_nothing_was_recorded_an_empty_shared_look_is_believed_until_the_confirmation(run: Run) -> None:
    _, asked = await run(120, shared(), seen=False)
    assert asked == [False]
    outcome, asked = await run(3600, definitive(), seen=False)
    assert outcome == Done(note="none expected")
    assert asked == [True]


async def test_analytics_settles_whether_anything_is_expected(run: Run) -> None:
    silent = {"participants": [{"sessions": [{"recording": False}]}]}
    loud = {"participants": [{"sessions": [{"recording": False}, {"recording": True}]}]}
    outcome, _ = await run(3600, definitive(), seen=None, analytics=silent)
    assert outcome == Done(note="none expected")
    outcome, _ = await run(3600, definitive(), seen=None, analytics=loud)
    assert isinstance(outcome, Snooze)
    outcome, _ = await run(3600, definitive(), seen=None)
    assert isinstance(outcome, Snooze)


async def test_a_recording_that_never_appears_ends_as_such(run: Run) -> None:
    outcome, _ = await run(47 * 3600, definitive())
    assert isinstance(outcome, Snooze)
    with pytest.raises(PermanentError) as raised:
        await run(48 * 3600, definitive())
    assert raised.value.code is ReasonCode.NEVER_APPEARED


async def test_without_any_sign_of_recording_the_end_is_quiet(run: Run) -> None:
    outcome, _ = await run(48 * 3600, definitive(), seen=None)
    assert isinstance(outcome, Done)
    assert "no recording appeared" in outcome.note


async def test_an_archived_recording_waits_and_the_end_says_to_restore_it(run: Run) -> None:
    keep = {"restore": False}
    outcome, _ = await run(2 * 3600, definitive("ARCHIVED"), config=keep)
    assert isinstance(outcome, Snooze)
    assert outcome.delay == timedelta(hours=1)
    with pytest.raises(PermanentError, match=r"ARCHIVED.*must be restored") as raised:
        await run(48 * 3600, definitive("ARCHIVED"), config=keep)
    assert raised.value.code is ReasonCode.NOT_READY


async def test_an_old_conversation_given_up_tells_first_what_it_found(run: Run) -> None:
    outcome, _ = await run(90 * 3600, definitive("AVAILABLE", "ARCHIVED"), snoozes=0)
    assert isinstance(outcome, Snooze)
    assert "recording.ready" in [event.topic for event in outcome.emit]
    with pytest.raises(PermanentError):
        await run(91 * 3600, definitive("AVAILABLE", "ARCHIVED"), snoozes=1)


async def test_an_unknown_state_is_kept_verbatim_and_is_not_the_end(run: Run) -> None:
    outcome, _ = await run(3600, definitive("QUARANTINED_BY_POLICY"))
    assert isinstance(outcome, Snooze)
    assert ("recording.status_changed", FIRST, "QUARANTINED_BY_POLICY") in facts(outcome)


async def test_a_conversation_unknown_to_the_platform_stays_on_the_ladder_to_its_end(run: Run) -> None:
    outcome, _ = await run(30, NOT_FOUND)
    assert outcome == Snooze("the platform does not know the conversation yet", timedelta(seconds=30))
    with pytest.raises(PermanentError) as raised:
        await run(48 * 3600, NOT_FOUND)
    assert raised.value.code is ReasonCode.NOT_FOUND


async def test_other_refusals_are_passed_on(run: Run) -> None:
    with pytest.raises(PermanentError) as raised:
        await run(30, PermanentError("not allowed", code=ReasonCode.FORBIDDEN))
    assert raised.value.code is ReasonCode.FORBIDDEN


async def test_an_invalid_conversation_id_is_refused_before_anything_is_asked(handler_harness: Run) -> None:
    async with handler_harness(Discover) as harness:
        with pytest.raises(PermanentError) as raised:
            await harness.handle(make_event("conversation.ended", conversation_id="../../etc", occurred_at=ENDED))
    assert raised.value.code is ReasonCode.ID_INVALID


@pytest.mark.parametrize(
    "config",
    [
        {"ladder": []},
        {"ladder": ["1m", "30s"]},
        {"ladder": [30]},
        {"confirm": "maybe"},
        {"give_up": "30m"},
        {"confirm_after": "0s"},
        {"x": 1},
    ],
)
def test_a_faulty_configuration_is_refused(handler_harness: Run, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        handler_harness(Discover, config)
