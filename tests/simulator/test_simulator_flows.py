"""Architect's flows: each action's success and each published refusal, operations as they are told, jobs, dependency tracking."""

import json
from typing import Any

import anyio
import pytest

pytestmark = pytest.mark.anyio

FLOWS = "/api/v2/flows"
TRACKING = "/api/v2/architect/dependencytracking"
NOWHERE = "0f9a1d55-6d0e-4f6c-9d38-6a7f5f3a2b11"
ARCHITECT = {
    "operation_time": "2s",
    "flows": [
        {"name": "Main", "uses": ["Welcome", "Bye"]},
        {"name": "Night", "uses": ["Bye"]},
        {"name": "Held", "uses": ["Welcome"], "locked_by": "Ines"},
        {"name": "Broken", "missing": ["Old_Queue"]},
        {"name": "Wrong", "outcome": "FAILURE", "message": "A menu has no choices."},
        {"name": "Gone", "deleted": True},
        {"name": "Fixed", "fixed": True, "type": "VOICESURVEY"},
    ],
}
SCENE = {"architect": ARCHITECT}


def flow_id(sim: Any, name: str) -> str:
    return next(flow.id for flow in sim.platform.flows.flows.values() if flow.name == name)


async def act(sim: Any, action: str, name: str, more: str = "") -> Any:
    return await sim.call("POST", f"{FLOWS}/actions/{action}?flow={flow_id(sim, name)}{more}")


async def test_checkout_checkin_publish_polled_and_told(play) -> None:
    async with play(SCENE) as sim:
        main = flow_id(sim, "Main")
        channel = await sim.channel(f"v2.flows.{main}")
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            out = await act(sim, "checkout", "Main")
            assert (out.status, out.json["lockedClient"]["id"]) == (200, sim.platform.tokens.clients[0].id)
            assert (await act(sim, "checkout", "Main")).status == 200
            checkin = await act(sim, "checkin", "Main")
            assert (checkin.status, checkin.json["actionStatus"], checkin.json["complete"]) == (200, "STARTED", False)
            sim.clock.jump(2)
            flow = (await sim.call("GET", f"{FLOWS}/{main}")).json
            assert (flow["checkedInVersion"]["id"], flow["currentOperation"]["actionStatus"]) == ("2.0", "SUCCESS")
            assert "lockedClient" not in flow
            publish = await act(sim, "publish", "Main", "&version=2.0")
            assert publish.status == 202
            for moment, status in ((1, "PENDING_GENERATION"), (1, "SUCCESS")):
                sim.clock.jump(moment)
                flow = (await sim.call("GET", f"{FLOWS}/{main}")).json
                assert flow["currentOperation"]["actionStatus"] == status
            assert (flow["publishedVersion"]["id"], flow["currentOperation"]["complete"]) == ("2.0", True)
            told: list[tuple[str, str]] = []
            with anyio.fail_after(5):
                while told[-1:] != [("PUBLISH", "SUCCESS")]:
                    operation = json.loads((await socket.receive()).data)["eventBody"].get("currentOperation", {})
                    told.append((operation.get("actionName"), operation.get("actionStatus")))
            assert told[-3:] == [("PUBLISH", "STARTED"), ("PUBLISH", "PENDING_GENERATION"), ("PUBLISH", "SUCCESS")]
        page = (await sim.call("GET", "/simulator/flows", token="")).json["flows"]
        assert page[0]["operations"] == ["CHECKIN SUCCESS", "PUBLISH SUCCESS"]


async def test_a_publish_that_fails_says_why(play) -> None:
    async with play(SCENE) as sim:
        assert (await act(sim, "publish", "Wrong")).status == 202
        sim.clock.jump(2)
        flow = (await sim.call("GET", f"{FLOWS}/{flow_id(sim, 'Wrong')}")).json
        operation = flow["currentOperation"]
        assert (operation["complete"], operation["actionStatus"]) == (True, "FAILURE")
        assert (operation["errorMessage"], len(operation["errorDetails"])) == ("A menu has no choices.", 1)


async def test_publishing_that_takes_no_time_is_done_at_once(play) -> None:
    async with play({"architect": {**ARCHITECT, "operation_time": 0}}) as sim:
        answer = await act(sim, "publish", "Main")
        assert (answer.status, answer.json["actionStatus"]) == (200, "SUCCESS")


@pytest.mark.parametrize(
    ("action", "name", "more", "status", "code"),
    [
        ("checkout", "Held", "", 409, "architect.flow.locked.by.user"),
        ("checkin", "Held", "", 409, "architect.flow.locked.by.user"),
        ("publish", "Held", "", 409, "architect.flow.locked.by.user"),
        ("deactivate", "Held", "", 409, "architect.flow.locked.by.user"),
        ("checkin", "Main", "", 409, "architect.flow.not.locked.by.user"),
        ("revert", "Main", "", 409, "architect.flow.not.locked.by.user"),
        ("unlock", "Main", "", 409, "architect.flow.not.locked.by.user"),
        ("publish", "Broken", "", 409, "architect.flow.cannot.publish.missing.dependencies"),
        ("publish", "Main", "&version=9.0", 404, "architect.flow.version.missing"),
        ("publish", "Main", "&version=x", 404, "architect.flow.version.missing"),
        ("checkout", "Gone", "", 410, "architect.flow.deleted"),
        ("checkout", "Fixed", "", 405, "method.not.allowed"),
    ],
)
async def test_each_refusal(play, action, name, more, status, code) -> None:
    async with play(SCENE) as sim:
        answer = await act(sim, action, name, more)
        assert (answer.status, answer.json["code"]) == (status, code)
        if code.endswith("missing.dependencies"):
            assert answer.json["details"][0]["entityName"] == "Old_Queue"


async def test_refusals_that_name_no_flow(play) -> None:
    async with play(SCENE) as sim:
        assert (await sim.call("POST", f"{FLOWS}/actions/checkout")).status == 400
        for method, path in (("POST", f"{FLOWS}/actions/checkout?flow={NOWHERE}"), ("GET", f"{FLOWS}/{NOWHERE}")):
            answer = await sim.call(method, path)
            assert (answer.status, answer.json["code"]) == (404, "architect.flow.not.found")
        assert (await sim.call("GET", f"{FLOWS}/{flow_id(sim, 'Gone')}")).status == 410


async def test_one_operation_at_a_time(play) -> None:
    async with play(SCENE) as sim:
        await act(sim, "publish", "Main")
        for action in ("publish", "checkout", "unlock"):
            answer = await act(sim, action, "Main")
            assert (answer.status, answer.json["code"]) == (409, "architect.operation.already.in.progress")
        sim.clock.jump(2)
        assert (await act(sim, "publish", "Main")).status == 202


async def test_locks_are_reverted_and_forced(play) -> None:
    async with play(SCENE) as sim:
        await act(sim, "checkout", "Main")
        assert "lockedClient" not in (await act(sim, "revert", "Main")).json
        assert "lockedUser" not in (await act(sim, "unlock", "Held")).json
        assert (await act(sim, "checkout", "Held")).status == 200


async def test_flows_are_deactivated_edited_listed_and_removed(play) -> None:
    async with play(SCENE) as sim:
        assert (await act(sim, "deactivate", "Main")).json["active"] is False
        main = f"{FLOWS}/{flow_id(sim, 'Main')}"
        assert (await sim.call("PUT", main, json={"description": "x"})).json["code"] == "architect.flow.not.locked.by.user"
        await act(sim, "checkout", "Main")
        assert (await sim.call("PUT", main, json={"description": "The first"})).json["description"] == "The first"
        for query, names in (
            ("", ["Broken", "Fixed", "Held", "Main", "Night", "Wrong"]),
            ("?name=main", ["Main"]),
            ("?name=*n*", ["Broken", "Main", "Night", "Wrong"]),
            ("?nameOrDescription=first", ["Main"]),
            ("?type=voicesurvey", ["Fixed"]),
            ("?deleted=true", ["Gone"]),
            ("?pageSize=2&pageNumber=2", ["Held", "Main"]),
        ):
            assert [flow["name"] for flow in (await sim.call("GET", FLOWS + query)).json["entities"]] == names
        assert (await sim.call("DELETE", main)).status == 204
        assert (await sim.call("GET", main)).status == 410


@pytest.mark.parametrize(
    ("yaml", "status", "messages"),
    [
        ("inboundCall:\n  name: Main\n", "Success", 0),
        ("inboundCall:\n  name: 'New one'\n", "Success", 0),
        ("inboundCall:\n  name: Wrong\n", "Failure", 1),
        ("nothing", "Failure", 1),
    ],
)
async def test_a_job_publishes_yaml(play, yaml, status, messages) -> None:
    async with play(SCENE) as sim:
        job = await sim.call("POST", f"{FLOWS}/jobs", json={})
        assert job.status == 202
        look = f"{FLOWS}/jobs/{job.json['id']}?expand=messages"
        assert (await sim.call("GET", look)).json["status"] == "Registered"
        assert (await sim.call("PUT", job.json["presignedUrl"], data=yaml.encode())).status == 403
        assert (await sim.call("PUT", job.json["presignedUrl"], data=yaml.encode(), headers=job.json["headers"])).status == 200
        assert (await sim.call("GET", look)).json["status"] == "Started"
        sim.clock.jump(2)
        over = (await sim.call("GET", look)).json
        assert (over["status"], len(over["messages"]), "flow" in over) == (status, messages, yaml != "nothing")


async def test_who_uses_a_prompt(play) -> None:
    async with play({"architect": {**ARCHITECT, "tracking_time": "5s"}}) as sim:
        prompt = sim.platform.prompts.named("Bye").id
        query = f"{TRACKING}/consumingresources?id={prompt}&objectType=USERPROMPT"
        partial = await sim.call("GET", query)
        assert (partial.status, [one["name"] for one in partial.json["entities"]]) == (206, ["Main"])
        assert (await sim.call("GET", f"{TRACKING}/build")).json["status"] == "BUILDINPROGRESS"
        assert (await sim.call("POST", f"{TRACKING}/build")).json["code"] == "architect.operation.already.in.progress"
        sim.clock.jump(5)
        whole = await sim.call("GET", query)
        assert (whole.status, [one["name"] for one in whole.json["entities"]]) == (200, ["Main", "Night"])
        assert (await sim.call("GET", query + "&resourceType=BOTFLOW")).json["entities"] == []
        assert (await sim.call("GET", f"{TRACKING}/consumingresources?id={prompt}")).status == 400
        assert (await sim.call("POST", f"{TRACKING}/build")).status == 202
        assert (await sim.call("GET", query)).status == 206


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"{FLOWS}/actions/{action}?flow=x") for action in ("checkout", "checkin", "publish", "revert", "unlock", "deactivate")),
        ("GET", FLOWS), ("GET", f"{FLOWS}/x"), ("DELETE", f"{FLOWS}/x"), ("POST", f"{FLOWS}/jobs"), ("GET", f"{FLOWS}/jobs/x"),
        ("GET", f"{TRACKING}/consumingresources"), ("POST", f"{TRACKING}/build"),
    ],
)  # fmt: skip
async def test_permissions(play, method, path) -> None:
    async with play({"clients": [{"id": "u", "secret": "s", "permissions": []}]}, log_in=False) as sim:
        await sim.log_in("u", "s")
        answer = await sim.call(method, path)
        assert (answer.status, answer.json["code"]) == (403, "missing.permissions")
