"""Calls that wait to be asked for (`calls.on_request`): none begins by itself, and the world's end waits for the last of them."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from genesys_sync_simulator.plan import make, moved
from genesys_sync_simulator.scenario import ScenarioError
from genesys_sync_simulator.scenario_file import read

pytestmark = pytest.mark.anyio

ONE_BY_ONE = {"calls": {"count": 3, "on_request": True, "duration": "1s", "recordings_per_call": [1, 2]}}


async def state(sim: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await sim.call("GET", "/simulator/state", token="")).json
    return found


async def later(sim: Any, seconds: float) -> None:
    """So much later, and whatever was due has happened."""
    sim.clock.jump(seconds)
    for _ in range(20):
        await checkpoint()


async def ask(sim: Any) -> str:
    """The id of a call that has begun."""
    answer = await sim.call("POST", "/simulator/calls", token="")
    assert answer.status == 202
    with anyio.fail_after(5):
        while sim.platform.world.call(answer.json["conversationId"], sim.platform.now()) is None:
            await later(sim, 0.1)
    return str(answer.json["conversationId"])


async def test_a_call_begins_when_it_is_asked_for_and_not_before(play, tmp_path: Path) -> None:
    async with play(ONE_BY_ONE) as sim:
        await sim.play()
        await later(sim, 60)
        idle = await state(sim)
        assert (idle["callsPlanned"], idle["callsWaiting"], idle["callsCreated"], idle["recordingsPlanned"]) == (3, 3, 0, 4)
        planned = make(sim.platform.scenario).calls
        asked_at = sim.platform.now()
        first = await ask(sim)
        call = sim.platform.world.call(first, sim.platform.now())
        assert call == moved(planned[0], round(call.began - planned[0].began, 3)), "the same call, and nothing but its times differs"
        assert asked_at <= sim.platform.world.moment(call.began) <= asked_at + 0.2
        await later(sim, 60)
        assert (await sim.call("GET", f"/api/v2/conversations/{first}")).json["endTime"]
        listed = (await sim.call("GET", f"/api/v2/conversations/{first}/recordingmetadata")).json
        assert [one["id"] for one in listed] == [call.recordings[0].id]
        assert (await sim.call("GET", f"/api/v2/conversations/{planned[1].id}")).status == 404
        rest = await state(sim)
        assert (rest["callsWaiting"], rest["callsCreated"], rest["callsEnded"], rest["finished"]) == (2, 1, 1, False)
    begun = [line for line in map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines()) if line["type"] == "call_started"]
    assert [line["conversationId"] for line in begun] == [first]


async def test_what_is_asked_for_before_the_start_begins_with_it(play) -> None:
    async with play(ONE_BY_ONE) as sim:
        asked = [(await sim.call("POST", "/simulator/calls", token="")).json["conversationId"] for _ in range(2)]
        assert (await state(sim))["callsCreated"] == 0
        await sim.play()
        await later(sim, 0.1)
        assert [call.id for call in sim.platform.world.calls(sim.platform.now())] == asked
        assert {call.began for call in sim.platform.world.plan.calls} == {0.0}


@pytest.mark.parametrize("called_off", [False, True])
async def test_the_world_ends_when_no_call_waits_and_all_is_settled(play, tmp_path: Path, called_off: bool) -> None:
    async with play(ONE_BY_ONE) as sim:
        await sim.play()
        for _ in range(1 if called_off else 3):
            await ask(sim)
        if called_off:
            answer = await sim.call("DELETE", "/simulator/calls", token="")
            assert (answer.status, answer.json) == (202, {"calledOff": 2})
        assert not (await state(sim))["finished"]
        for method in ("POST", "DELETE"):
            answer = await sim.call(method, "/simulator/calls", token="")
            assert (answer.status, answer.json["message"][:36]) == (409, "none of the 3 calls waits any more: ")
        with anyio.fail_after(10):
            while not (await state(sim))["finished"]:
                await later(sim, 10)
    last = json.loads((tmp_path / "truth.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["calls"]) == ("scenario_finished", 1 if called_off else 3)


async def test_a_scenario_whose_calls_begin_by_themselves_says_so(play) -> None:
    async with play() as sim:
        answer = await sim.call("POST", "/simulator/calls", token="")
        assert answer.status == 409
        assert answer.json["message"].endswith("calls.on_request = true lets them wait")
        assert (await state(sim))["callsWaiting"] == 0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"calls": {"end_together": True}}, "calls.end_together"),
        ({"calls": {"head_start": "1s"}}, "calls.head_start"),
        ({"calls": {"extra": [{"bytes": "2MB"}], "end_together": True}}, "calls.end_together, calls.extra"),
        ({"transcripts": {}}, "transcripts"),
    ],
)
async def test_what_needs_a_planned_begin_is_refused_beside_it(more: dict[str, Any], named: str) -> None:
    document = more | {"calls": {"on_request": True} | more.get("calls", {})}
    with pytest.raises(ScenarioError) as caught:
        read(document)
    assert caught.value.problems == (f"calls.on_request must be false with {named}: there the plan says when each call begins",)
