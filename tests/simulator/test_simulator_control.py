"""Recording control: every answer that is published, and what becomes of an accepted request."""

import json
from typing import Any

import anyio
import pytest

from genesys_sync_simulator.plan import make
from genesys_sync_simulator.scenario_file import load

pytestmark = pytest.mark.anyio

CALL = {"calls": {"count": 1, "duration": "60s"}, "recordings": {"available_after": "1s"}}
USER = {**CALL, "clients": [{"id": "u", "secret": "s", "user": True}]}
UNKNOWN = "0f9a1d55-6d0e-4f6c-9d38-6a7f5f3a2b11"
PARTICIPANT = "/api/v2/conversations/calls/{cid}/participants/{pid}"
SNIPPET = PARTICIPANT + "/snippet/record"
ANY_MEDIA = "/api/v2/conversations/{cid}/recordingstate"
MEDIA = ("callbacks", "emails", "messages", "cobrowsesessions", "screenshares", "socials", "videos")


def put(cid: str, media: str = "calls") -> str:
    return f"/api/v2/conversations/{media}/{cid}/recordingstate"


async def live(sim: Any, at: float = 10) -> Any:
    await sim.play()
    sim.clock.jump(at)
    return sim.platform.world.plan.calls[0]


async def state(sim: Any, cid: str) -> dict:
    return (await sim.call("GET", f"/api/v2/conversations/{cid}")).json


async def test_a_pause_is_accepted_then_seen_then_told_and_a_resume_ends_it(play, tmp_path) -> None:
    async with play({**CALL, "control": {"delay": "2s", "screen": True}}) as sim:
        channel = await sim.channel(*sim.queue_topics(), *sim.queue_topics(".calls"))
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            call = await live(sim)
            assert (await sim.call("PUT", put(call.id), json={"recordingState": "PAUSED"})).status == 202
            assert (await state(sim, call.id))["recordingState"] == "active"
            sim.clock.jump(2)
            paused = await state(sim, call.id)
            agent = paused["participants"][-1]
            assert (paused["recordingState"], paused["securePause"], agent["screenRecordingState"]) == ("paused", True, "paused")
            assert (agent["calls"][0]["recordingState"], agent["calls"][0]["securePause"]) == ("paused", True)
            with anyio.fail_after(5):
                told = json.loads((await socket.receive()).data)["eventBody"]
                while not told["securePause"]:
                    told = json.loads((await socket.receive()).data)["eventBody"]
            assert (told["id"], told["recordingState"]) == (call.id, "paused")
        sim.clock.jump(5)
        assert (await sim.call("PUT", put(call.id), json={"recordingState": "ACTIVE"})).status == 200
        sim.clock.jump(3)
        assert (await state(sim, call.id))["recordingState"] == "active"
        truth = (await sim.call("GET", f"/simulator/recording/{call.id}", token="")).json
        assert truth["pausedSeconds"] == 7
        assert [one["state"] for one in truth["stretches"]] == ["active", "paused", "active"]
        assert (await sim.call("GET", "/simulator/recording", token="")).json["conversations"] == [truth]
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [(line["operation"], line["state"]) for line in lines if line["type"] == "recording_control"] == [
        ("PUT", "paused"),
        ("PUT", "active"),
    ]


async def test_none_stops_the_recording_and_repeating_changes_nothing(play) -> None:
    async with play(CALL) as sim:
        call = await live(sim)
        for _ in range(2):
            assert (await sim.call("PUT", put(call.id), json={"recordingState": "NONE"})).status == 200
            sim.clock.jump(1)
            stopped = await state(sim, call.id)
            assert (stopped["recordingState"], stopped["securePause"]) == ("none", False)
        assert len((await sim.call("GET", f"/simulator/recording/{call.id}", token="")).json["stretches"]) == 2


async def test_a_lost_change_never_happens(play) -> None:
    async with play({**CALL, "faults": {"control_lost": 1}}) as sim:
        call = await live(sim)
        for wanted in ("active", "paused"):
            assert (await sim.call("PUT", put(call.id), json={"recordingState": "PAUSED"})).status == 202
            sim.clock.jump(2)
            assert (await state(sim, call.id))["recordingState"] == wanted


def test_the_shipped_scenario_has_live_recorded_calls_for_ten_minutes() -> None:
    calls = make(load("control")).calls
    assert [(call.began <= 1, call.ended, len(call.recordings)) for call in calls] == [(True, 600, 1)] * 4


async def test_a_call_that_is_not_recorded_stays_so(play) -> None:
    async with play({"calls": {"count": 1, "duration": "60s", "recordings_per_call": [0]}}) as sim:
        call = await live(sim)
        await sim.call("PUT", put(call.id), json={"recordingState": "ACTIVE"})
        sim.clock.jump(2)
        assert (await state(sim, call.id))["recordingState"] == "none"
        trunks = await sim.call("GET", "/api/v2/telephony/providers/edges/trunkswithrecording")
        assert trunks.json == {"enabledCount": 0, "disabledCount": 1}


@pytest.mark.parametrize(
    ("scenario", "method", "path", "document", "status", "code"),
    [
        (CALL, "PUT", put("{cid}"), {"recordingState": "LOUD"}, 400, "invalid.value"),
        (CALL, "PUT", put("{cid}"), [], 400, "bad.request"),
        (CALL, "PUT", put(UNKNOWN), {"recordingState": "PAUSED"}, 404, "conversation.error.conversation.not.found"),
        *(
            (CALL, "PUT", put("{cid}", media), {"recordingState": "PAUSED"}, 404, "conversation.error.conversation.not.found")
            for media in MEDIA
        ),
        (CALL, "PUT", put("{cid}", "chats"), {"recordingState": "PAUSED"}, 404, "not.found"),
        (
            {**CALL, "control": {"participants_only": True}}, "PUT", put("{cid}"), {"recordingState": "PAUSED"}, 403,
            "conversation.error.forbidden.not.active.participant",
        ),
        (
            {**CALL, "clients": [{"id": "u", "secret": "s", "permissions": []}]}, "PUT", put("{cid}"), {"recordingState": "PAUSED"}, 403,
            "missing.permissions",
        ),
        (CALL, "PATCH", ANY_MEDIA, {"recordingState": "PAUSED"}, 400, "not.a.user"),
        (CALL, "PATCH", "/api/v2/conversations/calls/{cid}", {"recordingState": "PAUSED"}, 400, "not.a.user"),
        (CALL, "PATCH", PARTICIPANT, {"recording": True}, 400, "not.a.user"),
        (CALL, "POST", SNIPPET, {"type": "adhoc", "record": True}, 400, "not.a.user"),
        (USER, "PATCH", "/api/v2/conversations/calls/{cid}", {"recordingState": "NONE"}, 400, "invalid.value"),
        (USER, "PATCH", PARTICIPANT, {"recording": 1}, 400, "bad.request"),
        (USER, "PATCH", PARTICIPANT.replace("{pid}", UNKNOWN), {"recording": True}, 404, "conversation.error.participant.not.found"),
        (USER, "POST", SNIPPET, {"type": "x"}, 400, "bad.request"),
        (USER, "PATCH", ANY_MEDIA, {"recordingState": "PAUSED"}, 202, None),
        (USER, "PATCH", "/api/v2/conversations/calls/{cid}", {"recordingState": "PAUSED"}, 202, None),
        (USER, "PATCH", "/api/v2/conversations/calls/{cid}", {"recordingState": "ACTIVE"}, 200, None),
    ],
)  # fmt: skip
async def test_each_published_answer(play, scenario, method, path, document, status, code) -> None:
    async with play(scenario, log_in=scenario.get("clients") is None) as sim:
        if scenario.get("clients"):
            await sim.log_in("u", "s")
        call = await live(sim)
        answer = await sim.call(method, path.format(cid=call.id, pid=call.legs[0].participant_id), json=document)
        assert (answer.status, answer.json["code"] if code else None) == (status, code)
        assert code is None or answer.json["contextId"] == answer.headers["ININ-Correlation-Id"]


@pytest.mark.parametrize(
    ("scenario", "method", "path", "document", "code"),
    [
        (CALL, "PUT", put("{cid}"), {"recordingState": "PAUSED"}, "conversation.error.conversation.disconnected"),
        (USER, "PATCH", ANY_MEDIA, {"recordingState": "PAUSED"}, "conversation.error.conversation.disconnected"),
        (USER, "PATCH", "/api/v2/conversations/calls/{cid}", {"recordingState": "PAUSED"}, "conversation.error.call.disconnected"),
    ],
)  # fmt: skip
async def test_a_call_that_has_ended_is_refused(play, scenario, method, path, document, code) -> None:
    async with play(scenario, log_in=scenario is CALL) as sim:
        if scenario is USER:
            await sim.log_in("u", "s")
        call = await live(sim, at=120)
        answer = await sim.call(method, path.format(cid=call.id), json=document)
        assert (answer.status, answer.json["code"]) == (400, code)


async def test_a_user_records_ad_hoc_and_snippets(play) -> None:
    async with play({**USER, "calls": {"count": 1, "duration": "60s", "recordings_per_call": [2]}}, log_in=False) as sim:
        await sim.log_in("u", "s")
        assert (await sim.call("GET", "/api/v2/users/me")).json["name"] == "genesys-sync"
        call = await live(sim, at=2)
        participant = f"/api/v2/conversations/calls/{call.id}/participants/{call.legs[0].participant_id}"
        assert (await sim.call("PATCH", participant, json={"recording": True})).status == 202
        assert (await sim.call("POST", participant + "/snippet/record", json={"type": "snippet", "record": True})).status == 202
        sim.clock.jump(1)
        recorders = (await state(sim, call.id))["participants"][-1]["calls"][0]["recordersState"]
        assert (recorders["adhocState"], recorders["snippetState"]) == ("active", "active")
        assert (await sim.call("POST", participant + "/snippet/record", json={"type": "snippet", "record": False})).status == 200
        sim.clock.jump(50)
        refused = await sim.call("POST", participant + "/snippet/record", json={"type": "snippet", "record": True})
        assert (refused.status, refused.json["code"]) == (403, "conversation.error.forbidden.not.active.participant")


async def test_the_one_fault_of_each_kind_hits_control_too(play) -> None:
    async with play(CALL) as sim:
        call = await live(sim)
        for kind, status in (("server_error_once", 503), ("rate_limit", 429), ("revoke_token", 401)):
            await sim.call("POST", f"/simulator/faults/{kind}", token="")
            assert (await sim.call("PUT", put(call.id), json={"recordingState": "PAUSED"})).status == status
            sim.clock.jump(3)
