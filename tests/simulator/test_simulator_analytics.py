"""The details query finds what happened, in the published shape, by the published rules about intervals."""

from typing import Any

import pytest

from genesys_sync_simulator.analytics import BadQuery, interval, matching, page, touched

pytestmark = pytest.mark.anyio

QUERY = "/api/v2/analytics/conversations/details/query"
TODAY = "2026-08-01T00:00:00Z/2026-08-02T00:00:00Z"


def record(start: str, end: str | None = None) -> dict:
    ended = {"conversationEnd": f"2026-{end}:00.000Z"} if end else {}
    return {"conversationId": start, "conversationStart": f"2026-{start}:00.000Z", **ended, "divisionIds": ["d"], "participants": []}


async def test_a_sync_query_wants_a_start_on_a_day_that_the_interval_touches() -> None:
    start, end = interval("2026-08-02T06:00:00Z/2026-08-02T12:00:00Z")
    table = [
        ("before on the same day, ended within", record("08-02T05:00", "08-02T07:00"), True, True),
        ("before on the same day, ended before", record("08-02T04:00", "08-02T05:00"), False, False),
        ("the day before, ended within", record("08-01T23:00", "08-02T07:00"), False, True),
        ("within, still living", record("08-02T07:00"), True, True),
        ("after", record("08-02T12:00"), False, False),
    ]
    for name, one, sync, job in table:
        assert touched(one, start, end, by_start_day=True) is sync, name
        assert touched(one, start, end, by_start_day=False) is job, name


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"interval": "today"},
        {"interval": "2026-08-02T00:00:00Z/2026-08-01T00:00:00Z"},
        {"interval": "2026-01-01T00:00:00Z/2026-08-01T00:00:00Z"},
        {"interval": TODAY, "order": "up"},
        {"interval": TODAY, "orderBy": "name"},
        {"interval": TODAY, "segmentFilters": [{"predicates": []}]},
        {"interval": TODAY, "segmentFilters": [{"type": "or", "predicates": [{"dimension": "colour", "value": "red"}]}]},
        {
            "interval": TODAY,
            "segmentFilters": [{"type": "or", "predicates": [{"dimension": "mediaType", "operator": "like", "value": "v"}]}],
        },
    ],
)
async def test_queries_that_make_no_sense(query: dict) -> None:
    with pytest.raises(BadQuery):
        matching([record("08-01T10:00")], query, by_start_day=True)


async def test_keys_that_are_not_published_are_left_unread() -> None:
    one = record("08-01T10:00")
    assert matching([one], {"interval": TODAY, "filter": [], "evaluationFilters": []}, by_start_day=True) == [one]


@pytest.mark.parametrize("paging", [{"pageSize": 101}, {"pageSize": 0}, {"pageNumber": 0}, {"pageSize": "10"}, []])
async def test_pages_that_make_no_sense(paging) -> None:
    with pytest.raises(BadQuery):
        page([], paging)


async def test_filters_and_order() -> None:
    records = [record("08-01T10:00", "08-01T10:05"), record("08-01T09:00")]
    ended = {"type": "and", "predicates": [{"type": "dimension", "dimension": "conversationEnd", "operator": "exists"}]}
    found = matching(records, {"interval": TODAY, "conversationFilters": [ended]}, by_start_day=True)
    assert [one["conversationId"] for one in found] == ["08-01T10:00"]
    living = {"type": "and", "clauses": [{"type": "or", "predicates": [{"dimension": "conversationEnd", "operator": "notExists"}]}]}
    assert len(matching(records, {"interval": TODAY, "conversationFilters": [living]}, by_start_day=True)) == 1
    assert [one["conversationId"] for one in matching(records, {"interval": TODAY}, by_start_day=True)] == ["08-01T09:00", "08-01T10:00"]
    assert matching(records, {"interval": TODAY, "order": "desc"}, by_start_day=True)[0]["conversationId"] == "08-01T10:00"


async def test_pages_of_what_happened_today(play) -> None:
    async with play({"calls": {"count": 30, "per_second": 100}}) as sim:
        nothing = await sim.call("POST", QUERY, json={"interval": TODAY})
        assert nothing.json == {"totalHits": 0}, "an empty page has no conversations key"
        await sim.until_end()
        first = (await sim.call("POST", QUERY, json={"interval": TODAY})).json
        assert (first["totalHits"], len(first["conversations"])) == (30, 25)
        second = (await sim.call("POST", QUERY, json={"interval": TODAY, "paging": {"pageSize": 25, "pageNumber": 2}})).json
        third = (await sim.call("POST", QUERY, json={"interval": TODAY, "paging": {"pageSize": 25, "pageNumber": 3}})).json
        assert third == {"totalHits": 30}
        ids = [one["conversationId"] for one in first["conversations"] + second["conversations"]]
        assert sorted(ids) == sorted(call.id for call in sim.platform.world.plan.calls)


async def test_a_record_has_the_published_fields_and_true_times(play) -> None:
    async with play({"calls": {"count": 2, "recordings_per_call": [2, 0]}}) as sim:
        await sim.until_end()
        recorded, plain = sim.platform.world.plan.calls
        voice = {"type": "or", "predicates": [{"type": "dimension", "dimension": "mediaType", "value": "voice"}]}
        answer = await sim.call("POST", QUERY, json={"interval": TODAY, "segmentFilters": [voice]})
        found = {one["conversationId"]: one for one in answer.json["conversations"]}
        assert set(found[recorded.id]) == {
            "conversationId",
            "conversationStart",
            "conversationEnd",
            "divisionIds",
            "originatingDirection",
            "participants",
        }
        customer = next(one for one in found[recorded.id]["participants"] if one["purpose"] == "customer")
        assert [session["sessionId"] for session in customer["sessions"]] == [one.session_id for one in recorded.recordings]
        talking = customer["sessions"][0]["segments"][-1]
        view = sim.platform.view_at(recorded, 1e6)
        assert (talking["segmentStart"], talking["segmentEnd"]) == (
            view.at(recorded.recordings[0].began),
            view.at(recorded.recordings[0].ended),
        )
        assert all(session["recording"] for session in customer["sessions"])
        assert not any(session["recording"] for one in found[plain.id]["participants"] for session in one["sessions"])
        assert (await sim.call("GET", f"/api/v2/analytics/conversations/{plain.id}/details")).json == found[plain.id]
        some = await sim.call("GET", f"/api/v2/analytics/conversations/details?id={plain.id},{recorded.id}")
        assert len(some.json["conversations"]) == 2
        assert (await sim.call("GET", "/api/v2/analytics/conversations/details")).status == 400
        assert (await sim.call("GET", f"/api/v2/analytics/conversations/{sim.platform.world.plan.division_id}/details")).status == 404


async def test_analytics_may_lag(play) -> None:
    async with play({"calls": {"count": 1}, "platform": {"analytics_delay": "1m"}}) as sim:
        await sim.until_end()
        assert (await sim.call("POST", QUERY, json={"interval": TODAY})).json["totalHits"] == 0
        sim.clock.jump(60)
        assert (await sim.call("POST", QUERY, json={"interval": TODAY})).json["totalHits"] == 1


async def test_a_bad_query_is_told_so(play) -> None:
    async with play() as sim:
        answer = await sim.call("POST", QUERY, json={"interval": "yesterday"})
        assert (answer.status, answer.json["code"]) == (400, "bad.request")
        assert "interval" in answer.json["message"]


async def test_a_job_is_submitted_waited_for_read_and_removed(play) -> None:
    jobs = "/api/v2/analytics/conversations/details/jobs"
    async with play({"calls": {"count": 5, "per_second": 100}}) as sim:
        await sim.until_end()
        assert (await sim.call("POST", jobs, json={"interval": TODAY, "paging": {}})).status == 400
        submitted = await sim.call("POST", jobs, json={"interval": TODAY})
        path = f"{jobs}/{submitted.json['jobId']}"
        assert submitted.status == 202
        for state in ("QUEUED", "PENDING"):
            waiting = await sim.call("GET", path)
            assert (waiting.status, waiting.json["state"]) == (202, state)
            sim.clock.jump(0.5 if state == "QUEUED" else 0)
        assert (await sim.call("GET", path + "/results")).status == 404
        sim.clock.jump(1)
        assert (await sim.call("GET", path)).json["state"] == "FULFILLED"
        first = (await sim.call("GET", path + "/results?pageSize=3")).json
        rest = (await sim.call("GET", f"{path}/results?pageSize=3&cursor={first['cursor']}")).json
        assert (len(first["conversations"]), len(rest["conversations"])) == (3, 2)
        assert "cursor" not in rest
        assert (await sim.call("GET", jobs + "/availability")).json["dataAvailabilityDate"]
        assert (await sim.call("DELETE", path)).status == 204
        assert (await sim.call("GET", path)).status == 404


async def test_a_job_knows_nothing_that_the_data_lake_has_not(play) -> None:
    jobs = "/api/v2/analytics/conversations/details/jobs"
    async with play({"calls": {"count": 5, "per_second": 100}, "platform": {"data_lake_lag": "1h"}}) as sim:
        await sim.until_end()
        assert await found_by_job(sim, jobs) == 0
        sim.clock.jump(3600)
        assert await found_by_job(sim, jobs) == 5
        assert await found_by_job(sim, jobs, limit=2) == 2
        assert (await sim.call("POST", jobs, json={"interval": TODAY, "limit": "all"})).status == 400


async def found_by_job(sim, jobs: str, **more: Any) -> int:
    submitted = await sim.call("POST", jobs, json={"interval": TODAY, **more})
    sim.clock.jump(1)
    answer = await sim.call("GET", f"{jobs}/{submitted.json['jobId']}/results")
    return len(answer.json.get("conversations", []))


async def test_jobs_fail_lose_their_results_and_expire(play) -> None:
    jobs = "/api/v2/analytics/conversations/details/jobs"
    async with play({"calls": {"count": 2}, "faults": {"details_job_failed": 1, "details_job_expired": 1}}) as sim:
        await sim.until_end()
        paths = [f"{jobs}/{(await sim.call('POST', jobs, json={'interval': TODAY})).json['jobId']}" for _ in range(3)]
        sim.clock.jump(1)
        states = [(await sim.call("GET", path)).json["state"] for path in paths]
        results = [(await sim.call("GET", path + "/results")).status for path in paths]
        assert states == ["FAILED", "FULFILLED", "FULFILLED"]
        assert results == [404, 404, 200]
        assert dict(sim.platform.faults.fired) == {"details_job_failed": 1, "details_job_expired": 1}
        sim.clock.jump(90_000)
        await sim.log_in()
        sim.bearer = await sim.log_in()
        assert (await sim.call("GET", paths[2])).json["state"] == "EXPIRED"
        assert (await sim.call("GET", paths[2] + "/results")).status == 404


async def test_pages_shift_once(play) -> None:
    async with play({"calls": {"count": 30, "per_second": 100}, "faults": {"page_shift": 1}}) as sim:
        await sim.until_end()
        totals = []
        for number in (1, 2, 2):
            answer = (await sim.call("POST", QUERY, json={"interval": TODAY, "paging": {"pageSize": 10, "pageNumber": number}})).json
            totals.append((answer["totalHits"], answer["conversations"][0]["conversationId"]))
        assert [total for total, _ in totals] == [30, 29, 30]
        assert totals[1][1] != totals[2][1]
