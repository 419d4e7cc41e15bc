"""The plan is a pure function of the scenario, and the world one of the plan and the time."""

from dataclasses import replace
from itertools import pairwise

import pytest

from genesys_sync_simulator import snapshots
from genesys_sync_simulator.plan import make
from genesys_sync_simulator.scenario_file import load, read
from genesys_sync_simulator.world import World, file_state


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    demo = load("demo")
    assert make(demo) == make(demo)
    assert {call.id for call in make(demo).calls}.isdisjoint(call.id for call in make(replace(demo, seed=2)).calls)


def test_the_demo_has_every_format_mono_and_stereo_and_each_fault_once() -> None:
    plan = make(load("demo"))
    assert (len(plan.calls), len(plan.recordings)) == (60, 100)
    assert len({(recording.format, recording.channels) for recording in plan.recordings}) == 12
    faults = [recording.fault for recording in plan.recordings if recording.fault]
    assert sorted(faults) == ["cut_once", "deleted", "error_page", "expired_url_once", "header_only", "truncated"]
    assert all(recording.format == "WAV" for recording in plan.recordings if recording.fault == "header_only")
    assert max(call.began for call in plan.calls) < 20
    assert {moment.kind for moment in plan.moments} == {"drop_socket", "rate_limit"}


def test_calls_can_end_together() -> None:
    plan = make(load("hundred"))
    assert len(plan.calls) == 100
    assert len({call.ended for call in plan.calls}) == 1
    assert min(call.began for call in plan.calls) >= 0


def test_the_legs_of_a_transferred_call_follow_each_other() -> None:
    plan = make(read({"calls": {"count": 1, "recordings_per_call": [3]}}))
    legs = plan.calls[0].legs
    assert len(legs) == 3
    assert all(before.ended == after.connected for before, after in pairwise(legs))
    assert all(leg.recording and leg.recording.session_id == leg.customer_session_id for leg in legs)


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        (None, [None, "UPLOADING", "AVAILABLE", "AVAILABLE"]),
        ("deleted", [None, "UPLOADING", "DELETED", "DELETED"]),
        ("archived", [None, "UPLOADING", "ARCHIVED", "ARCHIVED"]),
        ("error_state", [None, "UPLOADING", "ERROR", "ERROR"]),
        ("unknown_state", [None, "UPLOADING", "MIGRATING", "AVAILABLE"]),
        ("truncated", [None, "UPLOADING", "AVAILABLE", "AVAILABLE"]),
    ],
)
def test_file_states_over_time(fault: str | None, states: list[str | None]) -> None:
    recording = replace(make(read({"calls": {"count": 1}})).recordings[0], appears=10.0, settles=12.0, fault=fault)
    assert [file_state(recording, at) for at in (9.999, 10.0, 12.0, 14.0)] == states


def test_an_archived_recording_is_restored_on_request() -> None:
    recording = replace(make(read({"calls": {"count": 1}})).recordings[0], appears=1.0, settles=2.0, fault="archived")
    assert file_state(recording, 5.0, restore_asked=4.0, restore_time=2.0) == "RESTORING"
    assert file_state(recording, 6.0, restore_asked=4.0, restore_time=2.0) == "RESTORED"


def test_nothing_exists_before_the_world_has_started() -> None:
    world = World(make(read({})))
    assert world.calls(1e12) == []
    assert not world.finished(1e12)


def test_snapshots_tell_the_call_from_ringing_to_wrap_up() -> None:
    plan = make(read({"calls": {"count": 1, "recordings_per_call": [2]}}))
    call = plan.calls[0]
    views = [snapshots.View(plan, call, at, 1_785_585_600.0) for at in call.changes]
    bodies = [snapshots.generic(view) for view in views]
    assert [body["recordingState"] for body in bodies][2:4] == ["active", "active"]
    assert bodies[0]["participants"][0]["calls"][0]["state"] == "connected"
    assert all("endTime" not in participant for participant in bodies[0]["participants"])
    last = bodies[-1]["participants"]
    assert [participant["purpose"] for participant in last] == ["customer", "acd", "agent", "agent"]
    assert all("endTime" in participant for participant in last)
    assert all(media["state"] in ("terminated", "disconnected") for participant in last for media in participant["calls"])
    assert all("endTime" not in body for body in bodies), "notification bodies have no endTime of their own"
    assert last[2]["wrapup"]
    assert "wrapup" not in bodies[-2]["participants"][2]
    assert not {"ani", "dnis", "startTime"} & last[0].keys(), "published on the flat topics and by REST only"
    flat = snapshots.calls(views[-1])
    assert flat["participants"][2]["user"]["id"] == call.legs[0].agent.id
    assert flat["participants"][0]["ani"] == call.ani
    assert "calls" not in flat["participants"][0]


def test_a_conversation_read_by_rest_has_no_status_and_an_end_only_once_ended() -> None:
    plan = make(read({"calls": {"count": 1}}))
    call = plan.calls[0]
    living = snapshots.conversation(snapshots.View(plan, call, call.ended - 0.1, 0.0))
    ended = snapshots.conversation(snapshots.View(plan, call, call.ended, 0.0))
    assert "endTime" not in living
    assert ended["endTime"].endswith("Z")
    assert "status" not in ended
