"""Transcription is enabled before a call, by organisation or by queue; and what else the organisation may set, search and ask again."""

import pytest

from genesys_sync_simulator.scenario import PERMISSIONS

pytestmark = pytest.mark.anyio

SETTINGS = "/api/v2/routing/settings/transcription"
ANALYTICS = "/api/v2/speechandtextanalytics"
TALK = {"calls": {"count": 3, "duration": "6s", "queues": 1}, "recordings": {"formats": ["WAV"]}}


async def available(sim) -> list[int]:
    """The status of each call's transcript at the end."""
    await sim.until_end()
    return [
        (
            await sim.call("GET", f"{ANALYTICS}/conversations/{call.id}/communications/{call.legs[0].customer_session_id}/transcripturl")
        ).status
        for call in sim.platform.world.plan.calls
    ]


async def test_without_words_in_the_scenario_transcription_is_disabled(play) -> None:
    async with play() as sim:
        assert (await sim.call("GET", SETTINGS)).json["transcription"] == "Disabled"
        assert await available(sim) == [403] * 3


async def test_the_organisations_setting_counts_for_calls_that_are_answered_after_it(play) -> None:
    async with play({**TALK, "transcripts": {"setting": "Disabled"}}) as sim:
        changed = await sim.call("PATCH", SETTINGS, json={"transcription": "EnabledGlobally"})
        assert (changed.status, changed.json["transcription"]) == (200, "EnabledGlobally")
        assert await available(sim) == [200] * 3
    async with play({**TALK, "transcripts": {"setting": "Disabled"}}) as sim:
        await sim.until_end()
        await sim.call("PUT", SETTINGS, json={"transcription": "EnabledGlobally"})
        assert await available(sim) == [403] * 3, "too late for them"


async def test_a_queue_is_enabled_by_itself(play) -> None:
    async with play({**TALK, "transcripts": {"setting": "EnabledQueueFlow"}}) as sim:
        (queue,) = (await sim.call("GET", "/api/v2/routing/queues")).json["entities"]
        assert queue["enableTranscription"] is False
        path = f"/api/v2/routing/queues/{queue['id']}"
        for body in ({"enableTranscription": True}, {**queue, "enableTranscription": "yes"}, []):
            assert (await sim.call("PUT", path, json=body)).status == 400
        changed = await sim.call("PUT", path, json={**queue, "enableTranscription": True})
        assert (changed.status, changed.json["enableTranscription"]) == (200, True)
        assert (await sim.call("GET", path)).json == changed.json
        assert await available(sim) == [200] * 3


async def test_who_has_not_bought_it_cannot_enable_it(play) -> None:
    async with play({**TALK, "transcripts": {"licensed": False, "setting": "Disabled"}}) as sim:
        refused = await sim.call("PUT", SETTINGS, json={"transcription": "EnabledGlobally"})
        assert (refused.status, refused.json["code"]) == (403, "feature.forbidden")
        products = [one["id"] for one in (await sim.call("GET", "/api/v2/authorization/products")).json["entities"]]
        assert "speechAndTextAnalytics" not in products
        assert await available(sim) == [403] * 3
    async with play() as sim:
        products = [one["id"] for one in (await sim.call("GET", "/api/v2/authorization/products")).json["entities"]]
        assert "speechAndTextAnalytics" in products


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PUT", {}),
        ("PUT", {"piiRedactionEnabled": True}),
        ("PATCH", {"transcription": "On"}),
        ("PATCH", {"transcriptionConfidenceThreshold": 0}),
        ("PATCH", {"piiRedactionEnabled": "yes"}),
        ("PATCH", []),
    ],
)
async def test_settings_that_make_no_sense_are_refused_and_change_nothing(play, method: str, body) -> None:
    async with play() as sim:
        before = (await sim.call("GET", SETTINGS)).json
        assert (await sim.call(method, SETTINGS, json=body)).status == 400
        assert (await sim.call("GET", SETTINGS)).json == before


async def test_each_operation_asks_for_its_permission(play) -> None:
    async with play({"clients": [{"id": "poor", "secret": "s", "permissions": []}]}, log_in=False) as sim:
        await sim.log_in("poor", "s")
        queue = sim.platform.world.plan.queues[0].id
        program = sim.platform.world.plan.division_id
        for method, path, permission in (
            ("GET", SETTINGS, "routing:transcriptionSettings:view"),
            ("PUT", SETTINGS, "routing:transcriptionSettings:edit"),
            ("PUT", f"/api/v2/routing/queues/{queue}", "routing:queue:edit"),
            ("GET", f"{ANALYTICS}/programs/{program}/transcriptionengines", "speechAndTextAnalytics:program:view"),
            ("PUT", f"{ANALYTICS}/programs/{program}/transcriptionengines", "speechAndTextAnalytics:program:edit"),
            ("GET", f"{ANALYTICS}/settings", "speechAndTextAnalytics:settings:view"),
            ("PATCH", f"{ANALYTICS}/settings", "speechAndTextAnalytics:settings:edit"),
            ("POST", f"{ANALYTICS}/reprocessing/jobs", "speechAndTextAnalytics:reprocessInteractions:add"),
            ("POST", f"{ANALYTICS}/transcripts/search", "recording:recording:view"),
        ):
            refused = await sim.call(method, path, json={})
            assert refused.status == 403, path
            assert permission in refused.json["message"]
        for free in ("/api/v2/authorization/products", f"{ANALYTICS}/programs/transcriptionengines/dialects"):
            assert (await sim.call("GET", free)).status == 200


async def test_engines_of_a_program_and_settings_of_analytics(play) -> None:
    async with play() as sim:
        engines = (await sim.call("GET", f"{ANALYTICS}/programs/transcriptionengines/dialects")).json["entities"]
        assert "en-US" in next(one["dialects"] for one in engines if one["engine"] == "Genesys")
        (program,) = (await sim.call("GET", f"{ANALYTICS}/programs")).json["entities"]
        path = f"{ANALYTICS}/programs/{program['id']}/transcriptionengines"
        wanted = [{"engine": "GenesysExtended", "dialects": ["nl-NL"]}]
        assert (await sim.call("PUT", path, json={"transcriptionEngines": wanted})).status == 200
        assert (await sim.call("GET", path)).json["transcriptionEngines"] == wanted
        for wrong in ([], [{"engine": "Genesys", "dialects": ["xx-XX"]}], [{"engine": "Other", "dialects": ["en-US"]}]):
            assert (await sim.call("PUT", path, json={"transcriptionEngines": wrong})).status == 400
        settings = f"{ANALYTICS}/settings"
        patched = (await sim.call("PATCH", settings, json={"textAnalyticsEnabled": True})).json
        assert (patched["textAnalyticsEnabled"], patched["expectedDialects"]) == (True, ["en-US"])
        put = (await sim.call("PUT", settings, json={"expectedDialects": ["de-DE"]})).json
        assert (put["textAnalyticsEnabled"], put["expectedDialects"]) == (False, ["de-DE"])
        assert (await sim.call("PUT", settings, json={"expectedDialects": ["xx"]})).status == 400


async def test_transcripts_are_found_by_what_was_said(play) -> None:
    async with play({**TALK, "transcripts": {"planted": {"card": 1}}}) as sim:
        search = f"{ANALYTICS}/transcripts/search"
        phrase = {"type": "PHRASE", "fields": ["transcript"], "value": "card number"}
        assert (await sim.call("POST", search, json={"types": ["transcripts"], "query": [phrase]})).json["total"] == 0
        await sim.until_end()
        answer = (await sim.call("POST", search, json={"types": ["transcripts"], "query": [phrase], "pageSize": 2})).json
        assert (answer["total"], answer["pageCount"], len(answer["results"])) == (3, 2, 2)
        call = sim.platform.world.plan.calls[1]
        exact = {"type": "EXACT", "fields": ["conversationId"], "value": call.id}
        one = (await sim.call("POST", search, json={"types": ["transcripts"], "query": [exact], "returnFields": ["communicationId"]})).json
        assert one["results"] == [{"communicationId": call.legs[0].customer_session_id}]
        past = {"type": "DATE_RANGE", "fields": ["startTime"], "startValue": "2020-01-01T00:00:00Z", "endValue": "2020-01-02T00:00:00Z"}
        assert (await sim.call("POST", search, json={"types": ["transcripts"], "query": [past]})).json["total"] == 0
        many = await sim.call("POST", search, json={"types": ["transcripts"], "query": [phrase] * 51})
        assert (many.status, many.json["code"]) == (400, "too.many.search.criteria")
        far = await sim.call("POST", search, json={"types": ["transcripts"], "pageSize": 100, "pageNumber": 11})
        assert (far.status, far.json["code"]) == (400, "too.many.requested.results")
        assert (await sim.call("POST", search, json={"query": []})).status == 400


async def test_reprocessing_counts_what_is_there_and_transcribes_nothing(play) -> None:
    extra = [f"speechAndTextAnalytics:reprocessInteractions:{action}" for action in ("add", "view", "delete")]
    clients = [{"id": "all", "secret": "s", "permissions": [*PERMISSIONS, *extra]}]
    document = {**TALK, "transcripts": {"never": 0.34, "never_reasons": ["language"]}, "clients": clients}
    async with play(document, log_in=False) as sim:
        await sim.log_in("all", "s")
        before = await available(sim)
        jobs = f"{ANALYTICS}/reprocessing/jobs"
        span = {"dateStart": "2026-08-01T00:00:00Z", "dateEnd": "2026-08-02T00:00:00Z"}
        assert (await sim.call("POST", jobs, json={"name": "again", **span, "dateEnd": "soon"})).status == 400
        job = (await sim.call("POST", jobs, json={"name": "again", **span})).json
        assert (job["jobStatus"], job["totalInteractionsCount"]) == ("Queued", 2)
        sim.clock.jump(3)
        done = (await sim.call("GET", job["selfUri"])).json
        assert (done["jobStatus"], done["processedInteractionsCount"]) == ("Completed", 2)
        assert sorted(before) == sorted(await available(sim)) == [200, 200, 404]
        assert (await sim.call("DELETE", job["selfUri"])).status == 204
        assert (await sim.call("GET", job["selfUri"])).status == 404
