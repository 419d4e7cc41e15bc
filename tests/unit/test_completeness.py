"""The table of a report's states: what the ledger holds and the platform says, and what that comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genesys_sync.caveats import Caveat, caveats, is_complete
from genesys_sync.completeness import (
    Item,
    Judged,
    PlatformSays,
    Roles,
    State,
    Tally,
    Unexplained,
    judge,
    recorded,
    without,
)
from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event, Origin, Topic
from genesys_sync.ledger.base import DeliveryState, Fact, Standing

AT = datetime(2026, 8, 1, 12, tzinfo=UTC)
CONVERSATION = "aaaaaaaa-1111-4222-8333-444444444444"
RECORDING = "bbbbbbbb-1111-4222-8333-444444444444"
ROLES = Roles.of({"find": "discover", "keep": "archive", "prove": "verify", "tell": "webhook"})
READY, LEASED, DONE, SKIPPED, DEAD = DeliveryState

RECORDED, SILENT, UNKNOWN = PlatformSays(known=True, recorded=True), PlatformSays(known=True, recorded=False), PlatformSays(known=True)
ABSENT, NOT_ASKED = PlatformSays(known=False), PlatformSays()


def fact(
    topic: str, /, *deliveries: tuple[str, DeliveryState], recording: str | None = RECORDING, origin: str = "live", **body: Any
) -> Fact:
    event = Event.of(
        topic,
        occurred_at=AT,
        organization_id="organisation",
        conversation_id=CONVERSATION,
        recording_id=recording,
        origin=Origin(origin),
        body=body,
    )
    standings = tuple(Standing(name, state, ReasonCode.NOT_READY if state is DEAD else None) for name, state in deliveries)
    return Fact(event, standings)


def end(state: DeliveryState = DONE, **more: Any) -> Fact:
    return fact(Topic.CONVERSATION_ENDED, ("find", state), ("tell", DEAD), recording=None, **more)


CREATED = fact(Topic.RECORDING_CREATED)
LOST = fact(Topic.RECORDING_LOST, ("keep", DEAD), reason="DELETED_UPSTREAM")
VERIFIED = fact(Topic.MEDIA_VERIFIED, revision=1)
SOUND_AGAIN = fact(Topic.MEDIA_VERIFIED, revision=2)
REDACTED = fact(Topic.MEDIA_REDACTED, revision=1)
REJECTED = fact(Topic.MEDIA_REJECTED, revision=1, reason="MEDIA_EMPTY")


def ready(state: DeliveryState, revision: int = 1) -> Fact:
    return fact(Topic.RECORDING_READY, ("keep", state), ("tell", READY), revision=revision)


def stored(state: DeliveryState, revision: int = 1) -> Fact:
    return fact(Topic.MEDIA_ARCHIVED, ("prove", state), ("tell", DEAD), revision=revision)


TABLE: list[tuple[str, list[Fact], PlatformSays, State, str]] = [
    ("seen, not ready yet", [end(READY), CREATED], RECORDED, State.DETECTED, ""),
    ("being looked at now", [end(LEASED), CREATED], RECORDED, State.DETECTED, ""),
    ("never became available", [end(DEAD), CREATED], RECORDED, State.DEAD, "NOT_READY"),
    ("seen, and nobody looks on", [end(DONE), CREATED], RECORDED, State.UNEXPLAINED, Unexplained.NOBODY_WORKS_ON_IT),
    ("ready", [end(), CREATED, ready(READY)], RECORDED, State.WAITING, ""),
    ("being fetched", [end(), CREATED, ready(LEASED)], RECORDED, State.WAITING, ""),
    ("could not be fetched", [end(), CREATED, ready(DEAD)], RECORDED, State.DEAD, "NOT_READY"),
    ("fetched, and nothing came of it", [end(), ready(DONE)], RECORDED, State.UNEXPLAINED, Unexplained.NOBODY_WORKS_ON_IT),
    ("not verified yet", [end(), ready(DONE), stored(READY)], RECORDED, State.WAITING, ""),
    ("could not be verified", [end(), ready(DONE), stored(DEAD)], RECORDED, State.DEAD, "NOT_READY"),
    ("no verdict", [end(), ready(DONE), stored(SKIPPED)], RECORDED, State.UNEXPLAINED, Unexplained.NO_VERDICT),
    ("verified", [end(), ready(DONE), stored(DONE), VERIFIED], RECORDED, State.ARCHIVED, ""),
    ("found by back-fill", [end(origin="backfill"), ready(DONE), stored(DONE), VERIFIED], RECORDED, State.RECOVERED, ""),
    ("back-filled, waiting", [end(origin="backfill"), ready(READY)], RECORDED, State.WAITING, ""),
    ("rejected", [end(), ready(DONE), stored(DONE), REJECTED], RECORDED, State.REJECTED, "MEDIA_EMPTY"),
    ("sound, withheld since", [end(), ready(DONE), stored(DONE), VERIFIED, REJECTED], RECORDED, State.REJECTED, "MEDIA_EMPTY"),
    ("rejected, sound when fetched again", [end(), REJECTED, stored(DONE, 2), SOUND_AGAIN], RECORDED, State.ARCHIVED, ""),
    ("rejected, fetched again", [end(), ready(DONE), REJECTED, ready(LEASED, 2)], RECORDED, State.WAITING, ""),
    ("refetched, not verified yet", [end(), ready(DONE), REJECTED, ready(DONE, 2), stored(READY, 2)], RECORDED, State.WAITING, ""),
    ("redacted before this ledger was", [end(), ready(DONE), REDACTED], RECORDED, State.ARCHIVED, ""),
    ("lost", [end(), CREATED, LOST], RECORDED, State.DEAD, "DELETED_UPSTREAM"),
    ("lost after it was archived", [end(), ready(DONE), stored(DONE), VERIFIED, LOST], RECORDED, State.ARCHIVED, ""),
    ("discovery still looks for more", [end(READY), ready(DONE), VERIFIED], RECORDED, State.ARCHIVED, ""),
    ("the platform was not asked", [end(), ready(DONE), VERIFIED], NOT_ASKED, State.ARCHIVED, ""),
    ("archived, unknown to the platform", [end(), ready(DONE), VERIFIED], ABSENT, State.UNEXPLAINED, Unexplained.NOT_ON_PLATFORM),
]


@pytest.mark.parametrize(("facts", "says", "state", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_recording_is_in_exactly_one_state(facts: list[Fact], says: PlatformSays, state: State, reason: str) -> None:
    [item] = judge(CONVERSATION, AT, facts, says, ROLES).items
    assert (item.recording_id, item.state, item.reason) == (RECORDING, state, reason)


WITHOUT: list[tuple[str, list[Fact], PlatformSays, State, str]] = [
    ("being looked for", [end(READY)], RECORDED, State.DETECTED, ""),
    ("never appeared", [end(DEAD)], RECORDED, State.DEAD, "NOT_READY"),
    ("recorded, says the platform", [end()], RECORDED, State.UNEXPLAINED, Unexplained.RECORDED_NONE_FOUND),
    ("recorded, says the socket", [end(recordingSeen=True)], SILENT, State.UNEXPLAINED, Unexplained.RECORDED_NONE_FOUND),
    ("not recorded", [end()], SILENT, State.NONE_EXPECTED, ""),
    ("not recorded, offline", [end(recordingSeen=False)], NOT_ASKED, State.NONE_EXPECTED, ""),
    ("nobody says", [end()], UNKNOWN, State.UNEXPLAINED, Unexplained.RECORDING_UNKNOWN),
    ("nobody works on it", [fact(Topic.CONVERSATION_ENDED, recording=None)], SILENT, State.UNEXPLAINED, Unexplained.NOBODY_WORKS_ON_IT),
    ("not here, recorded", [], RECORDED, State.UNEXPLAINED, Unexplained.NOT_IN_LEDGER),
    ("not here, nobody says", [], UNKNOWN, State.UNEXPLAINED, Unexplained.NOT_IN_LEDGER),
    ("not here, not recorded", [], SILENT, State.NONE_EXPECTED, ""),
    ("here, not on the platform", [end()], ABSENT, State.UNEXPLAINED, Unexplained.NOT_ON_PLATFORM),
]


@pytest.mark.parametrize(("facts", "says", "state", "reason"), [row[1:] for row in WITHOUT], ids=[row[0] for row in WITHOUT])
def test_a_conversation_without_recordings_is_in_exactly_one_state(
    facts: list[Fact], says: PlatformSays, state: State, reason: str
) -> None:
    [item] = judge(CONVERSATION, AT, facts, says, ROLES).items
    assert (item.recording_id, item.state, item.reason) == (None, state, reason)


AGAIN = AT + timedelta(days=3)
LATER = PlatformSays(known=True, recorded=True, left=AGAIN)


def again(state: DeliveryState, origin: str = "live") -> Fact:
    """The conversation was taken up again, and ended again."""
    told = end(state, origin=origin)
    body = {"occurred_at": AGAIN, "organization_id": "organisation", "conversation_id": CONVERSATION, "origin": Origin(origin)}
    return Fact(Event.of(Topic.CONVERSATION_ENDED, revision=2, **body), told.deliveries)


def test_what_the_platform_says_ended_again_unknown_to_us_is_unexplained_beside_what_is_archived() -> None:
    judged = judge(CONVERSATION, AT, [end(), ready(DONE), VERIFIED], LATER, ROLES)
    assert [(item.recording_id, item.state, item.reason) for item in judged.items] == [
        (RECORDING, State.ARCHIVED, ""),
        (None, State.UNEXPLAINED, Unexplained.ENDED_AGAIN),
    ]
    [item] = judge(CONVERSATION, AT, [end()], LATER, ROLES).items
    assert item.reason == Unexplained.ENDED_AGAIN


@pytest.mark.parametrize(("state", "looking"), [(READY, True), (DONE, False)])
def test_the_last_end_tells_whether_more_may_be_found(state: DeliveryState, looking: bool) -> None:
    judged = judge(CONVERSATION, AGAIN, [end(), ready(DONE), VERIFIED, again(state)], LATER, ROLES)
    assert [item.state for item in judged.items] == [State.ARCHIVED]
    assert judged.looking is looking


def test_recovered_is_what_was_found_after_the_end_that_back_fill_told() -> None:
    first, second = end(), again(DONE, "backfill")
    other = "cccccccc-1111-4222-8333-444444444444"
    found = [
        Fact(one.event.derive(topic, occurred_at=AT, recording_id=recording, body={"revision": 1}))
        for one, recording in ((first, RECORDING), (second, other))
        for topic in (Topic.RECORDING_CREATED, Topic.MEDIA_VERIFIED)
    ]
    judged = judge(CONVERSATION, AGAIN, [first, *found, second], LATER, ROLES)
    assert {item.recording_id: item.state for item in judged.items} == {RECORDING: State.ARCHIVED, other: State.RECOVERED}


def test_each_recording_of_a_conversation_counts_by_itself() -> None:
    other = fact(Topic.RECORDING_LOST, recording="cccccccc-1111-4222-8333-444444444444", reason="FILESTATE_ERROR")
    judged = judge(CONVERSATION, AT, [end(READY), VERIFIED, other], RECORDED, ROLES)
    assert [item.state for item in judged.items] == [State.ARCHIVED, State.DEAD]
    assert judged.looking
    tally = Tally()
    tally.add(judged)
    assert (tally.conversations, tally.recordings, tally.looking) == (1, 2, 1)
    assert tally.states[State.EXCLUDED] == 0
    assert tally.reasons == {(State.DEAD, "FILESTATE_ERROR"): 1}


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ("2026-08-05T12:00:00+02:00", datetime(2026, 8, 5, 10, tzinfo=UTC)),
        ("2026-08-05T12:00:00", datetime(2026, 8, 5, 12, tzinfo=UTC)),
        ("soon", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("9999-12-31T23:59:59-10:00", None),
    ],
)
def test_a_date_of_deletion_is_a_moment_or_none(told: str, moment: datetime | None) -> None:
    """It is the platform's own text, and a report writes it out in UTC."""
    facts = [end(), fact(Topic.RECORDING_READY, ("keep", DONE), deleteDate=told)]
    [item] = judge(CONVERSATION, AT, facts, NOT_ASKED, ROLES).items
    assert item.delete_date == moment


def test_without_a_verifier_what_is_stored_is_archived() -> None:
    [item] = judge(CONVERSATION, AT, [end(), ready(DONE), stored(DEAD)], RECORDED, Roles.of({"find": "discover", "keep": "archive"})).items
    assert item.state is State.ARCHIVED


def test_with_an_archiver_of_ones_own_every_delivery_counts() -> None:
    [item] = judge(CONVERSATION, AT, [end(), fact(Topic.RECORDING_READY, ("mine", LEASED))], RECORDED, Roles()).items
    assert item.state is State.WAITING


def flags(*values: object) -> dict[str, Any]:
    return {"participants": [{"sessions": [{"recording": value} for value in values]}]}


@pytest.mark.parametrize(
    ("details", "answer"),
    [
        ({}, None),
        (flags(), None),
        (flags(None), None),
        (flags("yes"), None),
        (flags(False, None), False),
        (flags(False, True), True),
        ({"participants": [{"screenRecording": True, "sessions": [{"recording": False}]}]}, True),
        ({"participants": [{"sessions": [{"snippetRecording": True, "recording": False}]}]}, True),
        ({"participants": "none"}, None),
    ],
)
def test_what_a_details_record_says_of_recording(details: dict[str, Any], answer: bool | None) -> None:
    assert recorded(details) is answer


WELL: dict[str, Any] = {
    "offline": False,
    "paging_fault": "",
    "to_ms": 1000,
    "known_until_ms": 1000,
    "open_gaps": 0,
    "sensitive": True,
    "permission": "p",
    "tally": Tally(),
    "clock_offset": timedelta(0),
}


def counted(*items: Item, looking: bool = False) -> Tally:
    tally = Tally()
    tally.add(Judged(items, looking=looking))
    return tally


def one(state: State, reason: str = "", variant: str = "") -> Item:
    return Item(conversation_id=CONVERSATION, recording_id=RECORDING, ended=AT, state=state, reason=reason, variant=variant)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"offline": True, "sensitive": None}, [Caveat.OFFLINE, Caveat.PERMISSION_NOT_PROVED]),
        ({"paging_fault": "503"}, [Caveat.NOT_PAGED_TO_ITS_END]),
        ({"to_ms": 1001}, [Caveat.ANALYTICS_NOT_YET_THERE]),
        ({"open_gaps": 1}, [Caveat.GAPS_OPEN]),
        ({"sensitive": False}, [Caveat.PERMISSION_MISSING]),
        ({"clock_offset": timedelta(hours=2)}, [Caveat.CLOCK_OFF]),
        ({"clock_offset": timedelta(hours=-2)}, [Caveat.CLOCK_OFF]),
        ({"tally": counted(looking=True)}, [Caveat.STILL_LOOKING]),
        ({"tally": counted(one(State.DEAD, "FORBIDDEN"))}, [Caveat.GIVEN_UP_FORBIDDEN]),
        ({"tally": counted(one(State.DEAD, "FORBIDDEN_SENSITIVE"))}, [Caveat.GIVEN_UP_FORBIDDEN]),
        ({"tally": counted(one(State.DEAD, "DELETED_UPSTREAM"))}, []),
        ({"tally": counted(one(State.ARCHIVED, variant="whole"))}, []),
        ({"tally": counted(one(State.ARCHIVED, variant="perhaps_redacted"))}, [Caveat.VARIANT_NOT_WHOLE]),
        ({"tally": counted(one(State.ARCHIVED, variant="unknown"))}, [Caveat.VARIANT_NOT_WHOLE]),
    ],
)
def test_what_forbids_the_word_complete(change: dict[str, Any], told: list[Caveat]) -> None:
    """A permission that is missing now, or was when recordings were given up or fetched, forbids it however well the numbers look."""
    given = {**WELL, **change}
    found = caveats(**given)
    assert [code for code, _ in found] == told
    assert is_complete(given["tally"], found) is (not told)


@pytest.mark.parametrize(
    ("state", "complete"),
    [(state, state not in (State.DETECTED, State.WAITING, State.UNEXPLAINED)) for state in State],
)
def test_what_is_on_its_way_or_unexplained_is_not_complete(state: State, complete: bool) -> None:
    tally = Tally()
    tally.add(Judged(()))
    tally.states[state] += 1
    assert is_complete(tally, []) is complete


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [(10, 90)]),
        ([(0, 100)], []),
        ([(10, 90)], []),
        ([(0, 30)], [(30, 90)]),
        ([(70, 100), (30, 50)], [(10, 30), (50, 70)]),
        ([(0, 10), (90, 100)], [(10, 90)]),
        ([(20, 60), (30, 40)], [(10, 20), (60, 90)]),
    ],
)
def test_what_is_left_of_an_interval(taken: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert without((10, 90), taken) == left
