"""Faults happen when something can be spoilt, once, and are written down; the truth log tells exactly what was served."""

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

METADATA = "/api/v2/tokens/me"


def truth(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]


async def test_a_storm_begins_with_a_request_and_lasts_its_time(play) -> None:
    async with play({"faults": {"rate_limit_for": "5s"}}) as sim:
        await sim.call("POST", "/simulator/faults/rate_limit", token="")
        sim.clock.jump(100)
        refused = await sim.call("GET", METADATA)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        sim.clock.jump(3)
        assert (await sim.call("GET", METADATA)).headers["Retry-After"] == "2"
        sim.clock.jump(2)
        assert (await sim.call("GET", METADATA)).status == 200
        assert sim.platform.faults.fired == {"rate_limit": 1}


async def test_one_request_fails_with_503(play) -> None:
    async with play() as sim:
        await sim.call("POST", "/simulator/faults/server_error_once", token="")
        failed = await sim.call("GET", METADATA)
        assert (failed.status, failed.json["code"]) == (503, "service.unavailable")
        assert (await sim.call("GET", METADATA)).status == 200


async def test_revoking_ends_every_token(play) -> None:
    async with play() as sim:
        await sim.call("POST", "/simulator/faults/revoke_token", token="")
        assert (await sim.call("GET", METADATA)).json["code"] == "bad.credentials"


async def test_a_fault_that_does_not_exist(play) -> None:
    async with play() as sim:
        assert (await sim.call("POST", "/simulator/faults/meteor", token="")).status == 404


async def test_moments_of_the_scenario_fire_at_their_time(play, tmp_path) -> None:
    scenario = {"calls": {"count": 1}, "faults": {"at": [{"kind": "server_error_once", "at": "1s"}, {"kind": "rate_limit", "at": "2s"}]}}
    async with play(scenario) as sim:
        await sim.until_end()
        assert [(await sim.call("GET", METADATA)).status for _ in range(1)] == [429]
        sim.clock.jump(2)
        assert [(await sim.call("GET", METADATA)).status for _ in range(2)] == [503, 200]
    assert [line["kind"] for line in truth(tmp_path) if line["type"] == "fault"] == ["rate_limit", "server_error_once"]


async def test_the_truth_log_tells_what_is_served(play, tmp_path) -> None:
    kinds = ("error_page", "header_only", "truncated", "silent", "deleted", "cut_once")
    async with play({"calls": {"count": 12}, "faults": dict.fromkeys(kinds, 1)}) as sim:
        await sim.until_end()
        items = [{"conversationId": call.id} for call in sim.platform.world.plan.calls]
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json={"batchDownloadRequestList": items})
        sim.clock.jump(1)
        results = (await sim.call("GET", asked.json["selfUri"])).json["results"]
        lines = truth(tmp_path)
        recordings = {line["recordingId"]: line for line in lines if line["type"] == "recording"}
        assert len(recordings) == 12
        for result in results:
            if "resultUrl" in result and recordings[result["recordingId"]]["fault"] != "cut_once":
                body = (await sim.call("GET", result["resultUrl"])).body
                line = recordings[result["recordingId"]]
                assert (len(body), hashlib.sha256(body).hexdigest()) == (line["bytes"], line["sha256"])
    assert {line["fault"]: line["good"] for line in recordings.values()} == {
        **dict.fromkeys(kinds[:5], False),
        "cut_once": True,
        None: True,
    }
    types = [line["type"] for line in lines]
    assert types[0] == "scenario_started"
    assert types[-1] == "scenario_finished"
    assert types.count("call_started") == types.count("call_ended") == 12
    assert lines[-1]["good"] == 7
    assert not any(name in json.dumps(lines) for call in sim.platform.world.plan.calls for name in (call.customer_name, call.ani))


async def test_the_same_seed_serves_the_same_bytes(play, tmp_path) -> None:
    hashes = []
    for _ in range(2):
        async with play({"seed": 77, "calls": {"count": 8}}) as sim:
            await sim.until_end()
        hashes.append({line["recordingId"]: line["sha256"] for line in truth(tmp_path) if line["type"] == "recording"})
        (tmp_path / "truth.jsonl").unlink()
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0].values())) == 8


async def test_state_and_requests_can_be_looked_at(play) -> None:
    async with play({"calls": {"count": 2}}) as sim:
        before = (await sim.call("GET", "/simulator/state", token="")).json
        assert (before["started"], before["finished"], before["callsPlanned"], before["callsCreated"]) == (False, False, 2, 0)
        await sim.until_end()
        after = (await sim.call("GET", "/simulator/state", token="")).json
        assert (after["finished"], after["callsEnded"], after["recordingsByState"]) == (True, 2, {"AVAILABLE": 2})
        await sim.call("GET", f"/api/v2/conversations/{sim.platform.world.plan.calls[0].id}/recordingmetadata")
        await sim.call("GET", "/api/v2/nothing")
        counted = (await sim.call("GET", "/simulator/requests", token="")).json
        assert counted["operations"]["GET /api/v2/conversations/{conversationId}/recordingmetadata"] == 1
        assert (counted["api"], counted["login"], counted["media"], counted["total"]) == (2, 1, 0, 3)
        assert counted["statuses"] == {"200": 2, "404": 1}
