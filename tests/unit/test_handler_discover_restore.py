"""What discover does with recordings that the platform has archived: asked back once, waited for, and the refusal told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.plugin import Delivery, Done, Look, Outcome, PermanentError, ReasonCode, RecordingInfo, Snooze, TransientError
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers.discover import Discover

pytestmark = pytest.mark.anyio

RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
ENDED = datetime(2025, 8, 1, tzinfo=UTC)
"""A year before FakeClock begins: found by back-fill, long after `give_up`."""
EVENT = make_event("conversation.ended", occurred_at=ENDED, body={"recordingSeen": True})
PATH = f"/api/v2/conversations/{EVENT.conversation_id}/recordings/{RECORDING}"
ARCHIVED = {
    "id": RECORDING,
    "conversationId": EVENT.conversation_id,
    "fileState": "ARCHIVED",
    "archiveDate": "2025-08-02T00:00:00.000Z",
    "archiveMedium": "CLOUDARCHIVE",
    "deleteDate": "2030-01-01T00:00:00.000Z",
    "annotations": [{"description": "said by a customer"}],
}
FORBIDDEN = PermanentError("missing permission: recording:recording:editRetention", code=ReasonCode.FORBIDDEN)


class Shown:
    """The same look whenever one is taken."""

    def __init__(self, look: Look) -> None:
        self._look = look

    async def look(self, conversation_id: str, *, definitive: bool = False) -> Look:
        return self._look


class Case:
    """One handler, one conversation, and whatever the platform says of it next."""

    def __init__(self, harness: HandlerHarness[Any], clock: FakeClock) -> None:
        self.harness, self.clock, self.snoozes = harness, clock, 0

    def platform(self, recording: dict[str, Any], *edits: Any) -> None:
        """What the platform says of the recording, and to the coming edits of it."""
        self.harness.genesys.answer("GET", PATH, recording)
        self.harness.genesys.answer("PUT", PATH, *edits)

    async def look(self, *states: str, **raw: Any) -> Outcome:
        infos = tuple(RecordingInfo(RECORDING, state, "audio", "s", {"fileState": state, **raw}) for state in states)
        self.harness.genesys.recordings = Shown(Look(infos, definitive=True))
        outcome = await self.harness.handle(EVENT, snoozes=self.snoozes)
        self.snoozes += 1
        return outcome

    def asked(self) -> list[Any]:
        return [body for method, path, _, body in self.harness.genesys.requests if (method, path) == ("PUT", PATH)]


@pytest.fixture
async def case(handler_harness: Callable[..., HandlerHarness[Any]], fake_clock: FakeClock) -> AsyncIterator[Case]:
    async with handler_harness(Discover) as harness:
        yield Case(harness, fake_clock)


async def test_an_archived_recording_is_asked_back_once_and_waited_for_until_it_is_there(case: Case) -> None:
    case.platform(ARCHIVED, {})
    for state in ("ARCHIVED", "ARCHIVED", "RESTORING", "RESTORING"):
        outcome = await case.look(state)
        assert isinstance(outcome, Snooze)
        await case.clock.advance(outcome.delay.total_seconds())
    outcome = await case.look("RESTORED")
    assert isinstance(outcome, Done)
    assert outcome.emit[-1].topic == "recording.ready"
    assert len(case.asked()) == 1


async def test_the_edit_moves_the_archive_date_and_leaves_the_other_retention_dates_as_they_are(case: Case) -> None:
    case.platform(ARCHIVED, {})
    await case.look("ARCHIVED")
    (body,) = case.asked()
    assert body == {
        "id": RECORDING,
        "conversationId": EVENT.conversation_id,
        "archiveMedium": "CLOUDARCHIVE",
        "deleteDate": "2030-01-01T00:00:00.000Z",
        "archiveDate": "2026-08-08T12:00:00.000Z",
    }


async def test_a_process_that_knows_nothing_sees_by_the_archive_date_that_it_was_asked(case: Case) -> None:
    case.platform({**ARCHIVED, "archiveDate": "2026-08-08T00:00:00.000Z"})
    assert isinstance(await case.look("ARCHIVED"), Snooze)
    assert case.asked() == []


async def test_a_refusal_is_the_reason_in_the_end_and_names_the_permission(case: Case) -> None:
    case.platform(ARCHIVED, FORBIDDEN)
    assert isinstance(await case.look("ARCHIVED"), Snooze)
    with pytest.raises(PermanentError, match=r"restoring was refused \(missing permission: recording:recording:editRetention\)") as raised:
        await case.look("ARCHIVED")
    assert raised.value.code is ReasonCode.FORBIDDEN
    assert len(case.asked()) == 1


async def test_a_permission_granted_meanwhile_is_found_after_an_hour(case: Case) -> None:
    case.platform(ARCHIVED, FORBIDDEN, {})
    await case.look("ARCHIVED")
    await case.clock.advance(3600)
    assert isinstance(await case.look("ARCHIVED"), Snooze)
    assert len(case.asked()) == 2


async def test_a_platform_that_cannot_be_asked_now_is_asked_at_the_next_look(case: Case) -> None:
    case.platform(ARCHIVED, TransientError("503"), {})
    outcome = await case.look("ARCHIVED")
    assert isinstance(outcome, Snooze)
    assert "recording.status_changed" in [event.topic for event in outcome.emit], "what was seen is told all the same"
    await case.look("ARCHIVED")
    assert len(case.asked()) == 2


async def test_a_restore_that_never_ends_is_given_up(case: Case) -> None:
    await case.look("RESTORING")
    delivery = Delivery(id="dlv_1", handler="discover", attempt=1, snoozes=50, created_at=case.clock.now() - timedelta(hours=49))
    with pytest.raises(PermanentError, match="RESTORING") as raised:
        await case.harness.handler.handle(EVENT, delivery)
    assert raised.value.code is ReasonCode.NOT_READY


async def test_what_is_shown_as_deleted_was_deleted_upstream_although_its_date_has_passed(case: Case) -> None:
    """The date of a deletion that is told with the deletion was no time that we were given: RETENTION_ELAPSED would say so."""
    outcome = await case.look("DELETED", deleteDate="2000-01-01T00:00:00.000Z")
    assert isinstance(outcome, Done)
    assert [event.body["reason"] for event in outcome.emit if event.topic == "recording.lost"] == ["DELETED_UPSTREAM"]


async def test_ready_says_when_the_platform_will_delete_the_recording(case: Case) -> None:
    outcome = await case.look("AVAILABLE", deleteDate="2026-09-01T00:00:00.000Z")
    assert isinstance(outcome, Done)
    assert outcome.emit[-1].body["deleteDate"] == "2026-09-01T00:00:00.000Z"
