"""Transcripts as published: not there, then there, or never with its status; a file in its documented shape behind an address that ends."""

import json

import pytest

from genesys_sync_simulator.scenario import PERMISSIONS

pytestmark = pytest.mark.anyio

ANALYTICS = "/api/v2/speechandtextanalytics"
ONE = {"calls": {"count": 1, "duration": "8s", "ring": "1s"}, "recordings": {"formats": ["WAV"], "channels": [2]}}


def scenario(**transcripts) -> dict:
    return {**ONE, "transcripts": transcripts}


def address(sim, what: str = "transcripturl") -> str:
    call = sim.platform.world.plan.calls[0]
    return f"{ANALYTICS}/conversations/{call.id}/communications/{call.legs[0].customer_session_id}/{what}"


async def status_and_code(sim, path: str) -> tuple[int, str]:
    answer = await sim.call("GET", path)
    return answer.status, (answer.json or {}).get("code", "")


async def file_of(sim) -> dict:
    return (await sim.call("GET", (await sim.call("GET", address(sim))).json["url"])).json


async def test_404_until_it_is_there_then_the_address_of_a_file(play) -> None:
    async with play(scenario(ready_after="10s")) as sim:
        await sim.play()
        sim.clock.jump(15)
        assert await status_and_code(sim, address(sim)) == (404, "resource.not.found")
        sim.clock.jump(6)
        call = sim.platform.world.plan.calls[0]
        listed = (await sim.call("GET", address(sim, "transcripturls"))).json
        assert listed["conversation"]["id"] == call.id
        assert [url["recording"]["id"] for url in listed["urls"]] == [call.recordings[0].id]
        assert "X-Amz-Expires=600" in listed["urls"][0]["url"]
        whole = await sim.call("GET", listed["urls"][0]["url"])
        part = await sim.call("GET", listed["urls"][0]["url"], headers={"Range": "bytes=10-19"})
        assert (part.status, part.body) == (206, whole.body[10:20])
        refused = await sim.call("GET", listed["urls"][0]["url"], headers={"Authorization": f"Bearer {sim.bearer}"})
        assert refused.status == 400
        sim.clock.jump(602)
        assert (await sim.call("GET", listed["urls"][0]["url"])).status == 403
        nowhere = address(sim).replace(call.legs[0].customer_session_id, call.legs[0].agent_session_id)
        assert await status_and_code(sim, nowhere) == (404, "resource.not.found"), "the communication is the customer's"


async def test_the_file_is_as_published(play) -> None:
    async with play(scenario(language_changes=1, planted={"card": 1, "forms": ["words"]})) as sim:
        await sim.until_end()
        call = sim.platform.world.plan.calls[0]
        (recording,) = call.recordings
        file = await file_of(sim)
        began = round((sim.platform.world.started_at + recording.began) * 1000)
        assert (file["conversationId"], file["communicationId"], file["mediaType"]) == (call.id, recording.session_id, "call")
        assert file["startTime"] == began
        assert file["duration"] == {"milliseconds": round(recording.seconds * 1000)}
        assert len(file["transcripts"]) == 2, "the language changes"
        assert file["transcripts"][0]["language"] == "en-us" != file["transcripts"][1]["language"]
        phrases = [phrase for part in file["transcripts"] for phrase in part["phrases"]]
        assert [phrase["text"] for phrase in phrases] == [utterance.text for utterance in recording.script.utterances]
        for phrase in phrases:
            assert phrase["text"] == " ".join(word["word"] for word in phrase["words"])
            assert phrase["startTimeMs"] == began + phrase["offset"]["milliseconds"] == phrase["words"][0]["startTimeMs"]
            assert phrase["participantPurpose"] in ("internal", "external")
        purposes = [participant["participantPurpose"] for participant in file["participants"]]
        assert purposes == ["customer", "acd", "agent"]
        assert file["participants"][2]["userId"] == call.legs[0].agent.id
        assert {"sentiment", "topics", "acoustic"} == set(file["transcripts"][0]["analytics"])


async def test_offsets_messages_and_missing_fields(play) -> None:
    rules = {"messages": 1, "missing_fields": 0.5, "planted": {"card": 1}}
    async with play({**scenario(**rules), "faults": {"offset_times": 1}}) as sim:
        await sim.until_end()
        (recording,) = sim.platform.world.plan.recordings
        file = await file_of(sim)
        spoken, written = file["transcripts"]
        assert max(phrase["startTimeMs"] for phrase in spoken["phrases"]) < recording.seconds * 1000
        assert "subject" in written or "messageType" in written
        assert "words" not in written["phrases"][0]
        optional = {"words", "confidence", "duration", "offset", "decoratedText"}
        assert any(optional - set(phrase) for phrase in spoken["phrases"])
        told = {spot.utterance for planted in recording.script.planted for spot in planted.spots}
        assert all("words" in phrase for phrase in spoken["phrases"] if phrase["phraseIndex"] in told)


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("not_enabled", 403, "forbidden"),
        ("forbidden", 403, "forbidden"),
        ("language", 404, "resource.not.found"),
        ("too_short", 404, "resource.not.found"),
        ("no_speech", 404, "resource.not.found"),
        ("purged", 404, "resource.not.found"),
    ],
)
async def test_what_never_comes_never_comes(play, reason: str, status: int, code: str, tmp_path) -> None:
    async with play(scenario(never=1, never_reasons=[reason], planted={"card": 1})) as sim:
        await sim.until_end()
        sim.clock.jump(100_000)
        await sim.log_in()
        answer = await sim.call("GET", address(sim), token=await sim.log_in())
        assert (answer.status, answer.json["code"]) == (status, code)
        (recording,) = sim.platform.world.plan.recordings
        assert (sim.platform.world.state(recording, sim.platform.now()) == "DELETED") is (reason == "purged")
        lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
        (told,) = [line for line in lines if line["type"] == "transcript"]
        assert (told["outcome"], told["reason"], told["readyAt"]) == ("never", reason, None)
        assert bool([line for line in lines if line["type"] == "planted"]) is (reason not in ("too_short", "no_speech"))


async def test_the_truth_log_tells_every_spelling_and_where_it_sounds(play, tmp_path) -> None:
    async with play(scenario(planted={"card": 1, "forms": ["broken"]})) as sim:
        await sim.until_end()
        text = " ".join(phrase["text"] for part in (await file_of(sim))["transcripts"] for phrase in part["phrases"])
        (told,) = [line for line in map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines()) if line["type"] == "planted"]
        assert told["value"] in told["spellings"]
        assert " ".join(told["turns"]) in told["spellings"]
        assert all(turn in text for turn in told["turns"])
        assert [word["word"] for word in told["words"]] == [word for turn in told["turns"] for word in turn.split()]


async def test_each_read_asks_for_its_permissions(play) -> None:
    needed = {
        "transcripturl": {"recording:recording:view", "speechAndTextAnalytics:data:view"},
        "transcripturls": {"recording:recording:view"},
    }
    for what, permissions in needed.items():
        lacking = {f"client{number}": permission for number, permission in enumerate(sorted(permissions))}
        clients = [
            {"id": name, "secret": "s", "permissions": [one for one in PERMISSIONS if one != gone]} for name, gone in lacking.items()
        ]
        async with play({**scenario(), "clients": clients}, log_in=False) as sim:
            for name, permission in lacking.items():
                refused = await sim.call("GET", address(sim, what), token=await sim.log_in(name, "s"))
                assert refused.status == 403
                assert permission in refused.json["message"]


async def test_analytics_of_a_conversation(play) -> None:
    extra = ["speechAndTextAnalytics:sentimentData:view", "speechAndTextAnalytics:aiSummary:view"]
    clients = [{"id": "all", "secret": "s", "permissions": [*PERMISSIONS, *extra]}]
    async with play({**scenario(), "clients": clients}, log_in=False) as sim:
        await sim.log_in("all", "s")
        call = sim.platform.world.plan.calls[0]
        path = f"{ANALYTICS}/conversations/{call.id}"
        assert await status_and_code(sim, path) == (404, "resource.not.found")
        await sim.until_end()
        metrics = (await sim.call("GET", path)).json["participantMetrics"]
        total = sum(metrics[f"{side}DurationPercentage"] for side in ("agent", "customer", "silence"))
        assert total == pytest.approx(100, abs=0.1)
        assert metrics["customerDurationPercentage"] > 10
        assert await status_and_code(sim, path + "/sentiments") == (404, "sentiment.data.not.found")
        assert await status_and_code(sim, path + "/summaries") == (404, "summaries.not.found")
        assert (await sim.call("GET", path + "/categories")).json["entities"] == []
        assert (await sim.call("GET", path + "/categories?pageSize=51")).status == 400
