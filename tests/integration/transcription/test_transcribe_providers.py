"""Transcripts on demand against the simulator's two providers: however the result comes, there is one job and one transcript."""

from __future__ import annotations

import anyio
import orjson
import pytest
from aiohttp import web
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from genesys_sync import outbound
from genesys_sync.errors import TransientError
from genesys_sync.settings import HttpSettings
from genesys_sync.transcripts import Transcript

pytestmark = pytest.mark.anyio


async def transcript(here):
    (event,) = await here.events("transcript.archived")
    return event, Transcript.from_dict(orjson.loads(await here.storage.read(event.body["transcript"]["key"])))


def heard(model: Transcript) -> list[str]:
    return sorted(word.text for segment in model.segments for word in segment.words)


async def test_the_service_that_answers_at_once(rig) -> None:
    """Words and segments of the answer become the model, whatever talks over whatever."""
    async with rig() as here:
        await here.request("whole", conversation_ended_at="2026-08-01T12:00:00.000Z")
        completed = await here.completed()
        event, model = await transcript(here)
    assert heard(model) == sorted(here.said)
    assert all([word.text for word in segment.words] == segment.text.split() for segment in model.segments)
    assert (model.source, model.languages, event.body["source"]) == ("whole", ("en-US",), "whole")
    assert (completed.body["outcome"], completed.body["provider"]) == ("completed", "whole")
    assert completed.body["latencySeconds"] < 20
    assert event.body["requestedAt"] == completed.body["requestedAt"]
    assert completed.body["afterCallSeconds"] > 86400
    assert here.desk.counts["transcriptions"] == 1


@pytest.mark.parametrize("how", ["fast", "duplicated", ""])
async def test_a_result_that_is_called_back(rig, how: str) -> None:
    """Also before the submission is answered, and also twice: the second copy is refused."""
    async with rig(**({how: 1} if how else {})) as here:
        await here.request(conversation_ended_at="2026-08-01T12:00:00.000Z")
        completed = await here.completed()
        event, model = await transcript(here)
    assert heard(model) == sorted(here.said)
    assert {segment.speaker.label for segment in model.segments} == {"internal", "external"}
    assert len(here.desk.jobs) == 1
    assert here.counted("accepted") == 1
    assert here.counted("replayed") == (1 if how == "duplicated" else 0)
    assert completed.body["latencySeconds"] < 15  # not by the ladder, whose first rung is 30 s
    assert b"accepted" not in orjson.dumps(event.body)
    assert here.files("transcriptions") in ([], [f"transcriptions/2026/08/01/{completed.body['request']}/job.json"])


@pytest.mark.parametrize("how", ["lost", "bad_signature", pytest.param("late", marks=pytest.mark.slow)])
async def test_a_result_that_is_not_called_back_is_asked_for(rig, how: str) -> None:
    async with rig(ladder=("50ms", "100ms"), **{how: 1}) as here:
        await here.request()
        await here.completed()
        await here.idle()
        _, model = await transcript(here)
        assert heard(model) == sorted(here.said)
        assert (len(here.desk.jobs), here.counted("accepted")) == (1, 0)
        told = [one.entry.action for one in await here.ledger.audit_entries(after=0, limit=100)]
        assert told.count("transcription.complete") == 1
        assert here.files("transcriptions") == []  # what the provider sent is not kept beside the transcript


async def test_a_provider_without_a_secret_is_asked_and_never_called_back(rig) -> None:
    async with rig(ladder=("50ms",)) as here:
        await here.request("asked")
        await here.completed()
        assert here.desk.counts["callbacks_sent"] == 0


async def test_both_ways_at_the_same_time_make_one_transcript(rig) -> None:
    """The callback and the question meet; the events are the same, and so are the files."""
    async with rig(ladder=("1ms",)) as here:
        await here.request()
        await here.completed()
        await here.idle()
        assert len(await here.events("transcript.archived")) == len(await here.events("transcription.completed")) == 1
        labels = {"provider": "speech", "outcome": "completed"}
        assert here.metrics.registry.get_sample_value("genesys_sync_transcription_seconds_count", labels) in (1, 2)
        event, _ = await transcript(here)
        for part in (event.body["raw"], event.body["transcript"]):
            assert await here.storage.sha256(part["key"]) == part["sha256"]


async def test_a_busy_provider_is_tried_again_under_the_same_key(rig) -> None:
    async with rig(rate_limited=1, server_error=1) as here:
        await here.request()
        assert (await here.completed()).body["outcome"] == "completed"
        assert len(here.desk.jobs) == 1


@pytest.mark.parametrize(
    ("more", "rules", "check"),
    [
        ({"locale": "xx-XX"}, {}, "locale"),
        ({"seconds": 12.0, "silent": True}, {}, "audible"),
        ({}, {"max_bytes": 1000}, "size"),
        ({}, {"max_seconds": 1}, "length"),
        ({"sound": b"RIFF, and nothing that could be heard", "seconds": None}, {}, "media"),
    ],
)
async def test_what_does_not_hold_is_refused_by_its_name_and_never_sent(rig, more, rules, check) -> None:
    async with rig(**rules) as here:
        await here.request(**more)
        completed = await here.completed()
        await here.idle()
        assert (completed.body["outcome"], completed.body["check"]) == ("refused", check)
        assert completed.body["sentence"]
        assert (len(here.desk.jobs), await here.events("transcript.archived")) == (0, [])


async def test_all_that_does_not_hold_is_told_at_once_and_asked_for_again_it_is_done_when_mended(rig) -> None:
    async with rig(max_seconds=1, max_bytes=1000) as here:
        here.genesys.entitlements.lacking = {f"recording:{kind}:view" for kind in ("recording", "recordingSegment", "snippetRecording")}
        here.genesys.entitlements.listed = frozenset()
        await here.request(silent=True, seconds=12.0)
        body = (await here.completed()).body
        assert [one["check"] for one in body["checks"]] == ["permission", "product", "size", "audible", "length"]
        assert all(one["sentence"] in body["sentence"] for one in body["checks"])
        assert "lacks recording:recording:view" in body["sentence"]
        assert len(here.desk.jobs) == 0
    async with rig() as here:
        here.genesys.entitlements.lacking = set()
        await here.request()
        assert len(await here.events("transcription.completed")) == 1, "the refusal stands: nothing is asked twice by itself"
        await here.request(revision=2)
        await here.completed(2)
        assert sorted(one.body["outcome"] for one in await here.events("transcription.completed")) == ["completed", "refused"]


async def test_a_file_of_nobodys_needs_no_permission_and_no_product(rig) -> None:
    async with rig() as here:
        here.genesys.entitlements.lacking = {f"recording:{kind}:view" for kind in ("recording", "recordingSegment", "snippetRecording")}
        here.genesys.entitlements.listed = frozenset()
        event = await here.request(conversation_id=None, recording_id=None)
        with anyio.fail_after(20):
            while not here.files(f"transcriptions/2026/08/01/{event.id}"):
                await anyio.sleep(0.01)
        with anyio.fail_after(20):
            while not here.desk.jobs:
                await anyio.sleep(0.01)


async def test_the_sides_have_the_names_that_the_archive_knows_and_nothing_else_does(rig) -> None:
    """In the archived transcript, as it is personal; in no event, log, audit entry or metric."""
    people = [("customer", "Mara Unlikely", None, "s1"), ("agent", "Jon Improbable", "a0a0a0a0-0000-4000-8000-000000000001", "s2")]
    details = {
        "participants": [
            {
                "purpose": role,
                "participantName": name,
                "userId": user,
                "sessions": [{"sessionId": session, "segments": [{"segmentStart": "2026-08-01T12:00:00.000Z"}]}],
            }
            for role, name, user, session in people
        ]
    }
    with capture_logs() as logs:
        async with rig() as here:
            key = f"recordings/2026/08/01/{CONVERSATION}/e0e0e0e0-0000-4000-8000-000000000001.json"
            await here.storage.write(key, orjson.dumps({"conversation": details, "sessionId": "s1"}))
            await here.request()
            await here.completed()
            _, model = await transcript(here)
            told = [orjson.dumps(event.body) for event in await here.ledger.events_about(CONVERSATION)]
            told += [orjson.dumps(dict(one.entry.facts)) for one in await here.ledger.audit_entries(after=0, limit=100)]
            shown = b"".join(told) + str(logs).encode() + generate_latest(here.metrics.registry)
    found = {(one.speaker.label, one.speaker.role, one.speaker.name) for one in model.segments}
    assert found == {("external", "customer", "Mara Unlikely"), ("internal", "agent", "Jon Improbable")}
    assert b"Unlikely" not in shown
    assert b"Improbable" not in shown


async def test_the_same_wish_is_one_request_and_another_locale_is_another(rig) -> None:
    async with rig() as here:
        first, again, other = await here.request(), await here.request(), await here.request(locale="en-GB")
        await here.completed(2)
        assert first.id == again.id != other.id
        assert len(here.desk.jobs) == len(await here.events("transcript.archived")) == 2


async def test_submissions_are_audited_actions_with_nothing_that_was_said(rig) -> None:
    async with rig() as here:
        await here.request()
        await here.completed()
        entries = [one.entry for one in await here.ledger.audit_entries(after=0, limit=100)]
        found = {entry.action: entry for entry in entries}
        assert found["transcription.submit"].outcome == found["transcription.complete"].outcome == "success"
        assert found["transcription.complete"].facts["latencySeconds"] < 15
        bodies = b"".join(orjson.dumps(event.body) for event in await here.ledger.events_about(CONVERSATION))
        assert not any(f'"{word}"'.encode() in bodies for word in here.said)
        tallies = await here.ledger.tallies()
        assert {one.operation for one in tallies.actions} == {"transcription.submit"}


async def test_a_refused_key_is_told_by_check_and_never_shown(rig) -> None:
    async with rig(work=False) as here:
        jobs, whole = here.providers.provider("speech"), here.providers.provider("whole")
        await jobs.check()
        await whole.check()
        jobs._headers = whole._headers = {"Authorization": "Bearer wrong-key"}
        jobs._limits = (0.0, jobs._limits[1])
        with pytest.raises(TransientError, match="401 invalid_api_key: look at its key") as told:
            await jobs.check()
        assert "wrong-key" not in str(told.value)


async def test_what_is_sent_comes_from_disk_with_its_length_and_long_answers_are_refused(rig, serve) -> None:
    got: list[tuple[str | None, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        got.append((request.headers.get("Content-Length"), await request.read()))
        return web.Response(body=b"x" * 1001)

    url = await serve(answer)
    async with rig(work=False) as here, outbound.connect(HttpSettings(allow_private=("127.0.0.1/32",))) as http:
        path = here.folder / "media"
        path.write_bytes(b"middle" * 100_000)
        reply = await http.transfer("POST", url, body=[b"head", path, b"tail"], answer_limit=1001)
        assert len(reply.body) == 1001
        assert got == [("600008", b"head" + path.read_bytes() + b"tail")]
        with pytest.raises(TransientError, match="longer than 1000 bytes"):
            await http.transfer("POST", url, body=[path], answer_limit=1000)
        with pytest.raises(FileNotFoundError):
            await http.transfer("POST", url, body=[here.folder / "gone"])


CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
