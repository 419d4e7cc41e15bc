"""The login host, the token's life, permissions, limits, and the error body: names and codes as published."""

import aiohttp
import pytest

from genesys_sync_simulator.platform import DEFAULT_CLIENT

pytestmark = pytest.mark.anyio

REFUSED = {"error": "invalid_client", "description": "authentication failed", "error_description": "authentication failed"}
GRANT = {"grant_type": "client_credentials"}
ERROR_KEYS = {"message", "code", "status", "messageWithParams", "messageParams", "contextId", "details", "errors"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(client_id, secret)}


async def test_a_token_for_credentials_in_the_header_or_in_the_body(play) -> None:
    async with play(log_in=False) as sim:
        header = await sim.call("POST", "/oauth/token", headers=basic(DEFAULT_CLIENT.id, DEFAULT_CLIENT.secret), data=GRANT)
        body = await sim.call(
            "POST", "/oauth/token", data={**GRANT, "client_id": DEFAULT_CLIENT.id, "client_secret": DEFAULT_CLIENT.secret}
        )
        for answer in (header, body):
            assert answer.status == 200
            assert set(answer.json) == {"access_token", "token_type", "expires_in"}
            assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 86_399)


async def test_wrong_credentials_and_wrong_requests(play) -> None:
    async with play(log_in=False) as sim:
        wrong = await sim.call("POST", "/oauth/token", headers=basic(DEFAULT_CLIENT.id, "wrong"), data=GRANT)
        assert (wrong.status, wrong.json) == (401, REFUSED)
        wrong = await sim.call("POST", "/oauth/token", data={**GRANT, "client_id": "nobody", "client_secret": "x"})
        assert (wrong.status, wrong.json) == (400, REFUSED)
        assert (await sim.call("POST", "/oauth/token", headers={"Authorization": "Basic !"}, data=GRANT)).json == REFUSED
        good = basic(DEFAULT_CLIENT.id, DEFAULT_CLIENT.secret)
        assert (await sim.call("POST", "/oauth/token", headers=good, data={"x": "y"})).json["error"] == "invalid_request"
        other = await sim.call("POST", "/oauth/token", headers=good, data={"grant_type": "password"})
        assert (other.status, other.json["error"]) == (400, "unsupported_grant_type")
        assert (await sim.call("POST", "/oauth/token", headers=good, json=GRANT)).status == 400


async def test_the_three_endings_of_a_token(play) -> None:
    async with play({"platform": {"token_life": "10m"}}) as sim:
        assert (await sim.call("HEAD", "/api/v2/tokens/me")).status == 200
        assert (await sim.call("GET", "/api/v2/tokens/me", token="")).json["code"] == "authentication.required"
        sim.clock.jump(600)
        expired = await sim.call("GET", "/api/v2/tokens/me")
        assert (expired.status, expired.json["code"], set(expired.json)) == (401, "bad.credentials", ERROR_KEYS)
        sim.bearer = ""
        await sim.log_in()
        assert (await sim.call("GET", "/api/v2/tokens/me")).json["OAuthClient"]["id"] == DEFAULT_CLIENT.id
        assert (await sim.call("DELETE", "/api/v2/tokens/me")).status == 200
        assert (await sim.call("HEAD", "/api/v2/tokens/me")).status == 401


async def test_who_am_i(play) -> None:
    async with play() as sim:
        subject = (await sim.call("GET", "/api/v2/authorization/subjects/me")).json
        policies = subject["grants"][0]["role"]["policies"]
        assert {"domain": "recording", "entityName": "recording", "actions": ["view", "editRetention", "upload"]} in policies
        assert subject["grants"][0]["division"]["id"] == sim.platform.world.plan.division_id
        user = await sim.call("GET", "/api/v2/users/me")
        assert (user.status, user.json["code"]) == (400, "not.a.user")
        assert (await sim.call("GET", "/api/v2/organizations/me")).json["id"] == sim.platform.world.plan.organization_id


async def test_limits_are_told_and_kept(play) -> None:
    async with play({"platform": {"rate_limit_per_minute": 3}}) as sim:
        listed = await sim.call("GET", "/api/v2/organizations/limits/namespaces/platform.api")
        limits = {entity["key"]: entity["value"] for entity in listed.json["entities"]}
        assert limits["client.credentials.token.rate.per.minute"] == 3
        assert listed.headers["inin-ratelimit-count"] == "1"
        assert listed.headers["inin-ratelimit-allowed"] == "3"
        assert listed.headers["inin-ratelimit-reset"] == "60"
        assert listed.headers["ININ-Correlation-Id"]
        second = await sim.log_in()  # a second token of the same client does not help
        for _ in range(2):
            assert (await sim.call("HEAD", "/api/v2/tokens/me", token=second)).status == 200
        sim.clock.jump(20)
        refused = await sim.call("GET", "/api/v2/tokens/me")
        assert (refused.status, refused.json["code"]) == (429, "too.many.requests")
        assert refused.headers["Retry-After"] == "40"
        assert refused.json["limit"] == {"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 3}
        assert refused.json["contextId"] == refused.headers["ININ-Correlation-Id"]
        sim.clock.jump(40)
        assert (await sim.call("HEAD", "/api/v2/tokens/me")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "code", "named"),
    [
        ("GET", "/api/v2/routing/queues", "missing.permissions", "routing:queue:view"),
        ("GET", "/api/v2/conversations/7fb334b0-0e9e-11e4-9191-0800200c9a66", "missing.permissions", "conversation:communication:view"),
        (
            "GET",
            "/api/v2/conversations/7fb334b0-0e9e-11e4-9191-0800200c9a66/recordingmetadata",
            "missing.any.permissions",
            "recording:recording:view, recording:recordingSegment:view, recording:snippetRecording:view, recording:screenRecording:view",
        ),
        (
            "GET",
            "/api/v2/conversations/7fb334b0-0e9e-11e4-9191-0800200c9a66/recordings",
            "recording.recording.permission.check.failed",
            "recording:recording:view, recording:recordingSegment:view, recording:snippetRecording:view, recording:screenRecording:view",
        ),
        (
            "POST",
            "/api/v2/analytics/conversations/details/query",
            "missing.any.permissions",
            "analytics:conversationDetail:view, analytics:agentConversationDetail:view",
        ),
    ],
)
async def test_a_refusal_names_the_permission(play, method: str, path: str, code: str, named: str) -> None:
    async with play({"clients": [{"id": "poor", "secret": "s", "permissions": []}]}, log_in=False) as sim:
        await sim.log_in("poor", "s")
        answer = await sim.call(method, path, **({"json": {}} if method == "POST" else {}))
        assert (answer.status, answer.json["code"]) == (403, code)
        assert answer.json["messageParams"] == {"permissions": named}
        assert named in answer.json["message"]
        assert "{permissions}" in answer.json["messageWithParams"]


async def test_what_is_not_there_or_not_so(play) -> None:
    async with play() as sim:
        nowhere = await sim.call("GET", "/api/v2/media/assets")
        assert (nowhere.status, nowhere.json["code"]) == (404, "not.found")
        method = await sim.call("DELETE", "/api/v2/routing/queues")
        assert (method.status, method.json["code"], method.headers["Allow"]) == (405, "method.not.allowed", "GET")
        batch = "/api/v2/recording/batchrequests"
        large = await sim.call("POST", batch, data=b" " * 600_000, headers={"Content-Type": "application/json"})
        assert (large.status, large.json["status"]) == (413, 413)
        form = await sim.call("POST", batch, data={"a": "b"})
        assert (form.status, form.json["code"]) == (415, "unsupported.media.type")
        assert (await sim.call("POST", batch, data=b"{", headers={"Content-Type": "application/json"})).status == 400
        assert (await sim.call("GET", "/api/v2/organizations/limits/namespaces/nothing")).status == 404


async def test_queues_are_paged(play) -> None:
    async with play({"calls": {"queues": 7}}) as sim:
        first = (await sim.call("GET", "/api/v2/routing/queues?pageSize=3")).json
        assert (first["total"], first["pageCount"], first["pageNumber"], len(first["entities"])) == (7, 3, 1, 3)
        assert "previousUri" not in first
        seen, page = [], first
        while True:
            seen += [queue["id"] for queue in page["entities"]]
            if "nextUri" not in page:
                break
            page = (await sim.call("GET", page["nextUri"])).json
        assert sorted(seen) == sorted(queue.id for queue in sim.platform.world.plan.queues)
        assert (await sim.call("GET", "/api/v2/routing/queues?pageSize=501")).status == 400
        assert (await sim.call("GET", f"/api/v2/routing/queues/{seen[0]}")).json["id"] == seen[0]
        assert (await sim.call("GET", "/api/v2/routing/queues?name=claims")).json["entities"][0]["name"] == "Claims"
