"""Written conversations and screens as published: told on their own topics, held in the recording's body, and never with an address."""

import hashlib
import io
import json

import av
import pytest

pytestmark = pytest.mark.anyio

EACH = {"calls": {"count": 1, "duration": "2s"}, "digital": {"chats": 1, "messages": 1, "emails": 1, "screens": 1, "duration": "2s"}}
TOLD = {"transcripts": {"planted": {"card": 1.0, "email": 1.0}, "ready_after": "0s"}}
CONTENTS = {"chat": "transcript", "messaging": "messagingTranscript", "email": "emailTranscript"}
IN_METADATA = {"chat": "chat", "messaging": "message", "email": "email", "screen": "screen", "audio": "audio"}


def of_medium(sim, media: str):
    (call,) = [one for one in sim.platform.world.plan.calls if one.media == media]
    return call


def truth(tmp_path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    return [line for line in lines if line["type"] == kind]


async def single(sim, line: dict, **query: str):
    return await sim.call("GET", f"/api/v2/conversations/{line['conversationId']}/recordings/{line['recordingId']}", params=query)


async def batch(sim, conversation_id: str) -> list[dict]:
    asked = {"batchDownloadRequestList": [{"conversationId": conversation_id}]}
    job = (await sim.call("POST", "/api/v2/recording/batchrequests", json=asked)).json["id"]
    sim.clock.jump(5)
    results: list[dict] = (await sim.call("GET", f"/api/v2/recording/batchrequests/{job}")).json["results"]
    return results


async def test_the_body_holds_what_was_written_and_never_an_address(play, tmp_path) -> None:
    async with play({**EACH, **TOLD}) as sim:
        await sim.until_end()
        lines = {line["media"]: line for line in truth(tmp_path, "recording")}
        assert set(lines) == {"audio", "screen", *CONTENTS}
        planted = {one["conversationId"]: [] for one in truth(tmp_path, "planted")}
        for one in truth(tmp_path, "planted"):
            planted[one["conversationId"]].append(one)
        for media, key in CONTENTS.items():
            line = lines[media]
            for query in ({}, {"formatId": "NONE", "chatFormatId": "NONE"}, {"formatId": "WAV", "download": "true"}):
                answer = await single(sim, line, **query)
                assert answer.status == 200
                assert hashlib.sha256(answer.body).hexdigest() == line["sha256"], "the same body however it is asked for"
            assert (answer.json["media"], answer.json["mediaUris"]) == (media, None)
            assert len(answer.json[key]) >= line["parts"][0]["messages"] > 0
            written = json.dumps(answer.json[key])
            for one in planted[line["conversationId"]]:
                assert one["words"] == []
                assert any(spelling in written.replace("<b>", "") for spelling in (*one["spellings"], one["value"])), one["kind"]
        listed = (await sim.call("GET", f"/api/v2/conversations/{lines['chat']['conversationId']}/recordings")).json
        assert listed[0]["transcript"]


async def test_metadata_name_each_medium_and_only_a_screen_has_a_start(play, tmp_path) -> None:
    async with play(EACH) as sim:
        await sim.until_end()
        for line in truth(tmp_path, "recording"):
            path = f"/api/v2/conversations/{line['conversationId']}/recordingmetadata/{line['recordingId']}"
            told = (await sim.call("GET", path)).json
            assert told["media"] == IN_METADATA[line["media"]]
            assert ("startTime" in told) == (line["media"] == "screen")


async def test_batches_have_the_body_as_a_file_or_nothing(play, tmp_path) -> None:
    async with play(EACH) as sim:
        await sim.until_end()
        (line,) = [line for line in truth(tmp_path, "recording") if line["media"] == "messaging"]
        (result,) = await batch(sim, line["conversationId"])
        assert result["contentType"] == "application/json;charset=UTF-8"
        got = await sim.call("GET", result["resultUrl"])
        assert hashlib.sha256(got.body).hexdigest() == line["sha256"]
    async with play({**EACH, "digital": {**EACH["digital"], "in_batches": "unavailable"}}) as sim:
        await sim.until_end()
        (refused,) = await batch(sim, of_medium(sim, "message").id)
        assert refused["errorMsg"]
        assert "resultUrl" not in refused


async def test_a_screen_is_pictures_without_sound_and_beside_its_call(play, tmp_path) -> None:
    async with play(EACH) as sim:
        await sim.until_end()
        results = await batch(sim, of_medium(sim, "voice").id)
        assert sorted(result["contentType"].partition("/")[0] for result in results) == ["audio", "video"]
        (screen,) = [result for result in results if result["contentType"] == "video/webm"]
        with av.open(io.BytesIO((await sim.call("GET", screen["resultUrl"])).body)) as file:
            assert (len(file.streams.audio), len(file.streams.video)) == (0, 1)
        details = (await sim.call("GET", f"/api/v2/analytics/conversations/{of_medium(sim, 'voice').id}/details")).json
        assert [one["screenRecording"] for one in details["participants"] if one["purpose"] == "agent"] == [True]


@pytest.mark.parametrize(("media", "suffix"), [("chat", "chats"), ("message", "messages"), ("email", "emails")])
async def test_snapshots_go_out_on_topics_of_their_own_and_say_nothing_of_recording(play, media: str, suffix: str) -> None:
    async with play({**EACH, "calls": {"count": 0}, "digital": {f"{suffix}": 1, "duration": "2s"}}) as sim:
        own, others = sim.queue_topics(f".{suffix}"), sim.queue_topics(".calls")
        general = sim.queue_topics()
        channel = await sim.channel(*own, *others, *general)
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            await sim.until_end()
            told = [json.loads((await socket.receive()).data) for _ in range(8)]
        topics = {one["topicName"] for one in told} - {"channel.metadata"}
        assert topics & set(own)
        assert topics & set(general)
        assert not topics & set(others)
        whole = next(one["eventBody"] for one in told if one["topicName"] in general)
        sessions = [session for participant in whole["participants"] for session in participant[suffix]]
        assert sessions
        assert not any("recording" in key.lower() for session in sessions for key in session)


async def test_analytics_name_the_medium_and_flag_no_sound(play) -> None:
    async with play(EACH) as sim:
        await sim.until_end()
        for media in ("chat", "message", "email"):
            details = (await sim.call("GET", f"/api/v2/analytics/conversations/{of_medium(sim, media).id}/details")).json
            sessions = [session for one in details["participants"] for session in one["sessions"]]
            assert {(session["mediaType"], session["recording"]) for session in sessions} == {(media, False)}


async def test_a_transcript_of_what_was_written_has_neither_words_nor_durations(play, tmp_path) -> None:
    async with play({**EACH, **TOLD}) as sim:
        await sim.until_end()
        for line in truth(tmp_path, "transcript"):
            path = f"/api/v2/speechandtextanalytics/conversations/{line['conversationId']}/communications/{line['communicationId']}"
            file = (await sim.call("GET", (await sim.call("GET", f"{path}/transcripturl")).json["url"])).json
            assert file["mediaType"] == {"voice": "call"}.get(line["media"], line["media"])
            if line["media"] == "voice":
                continue
            (part,) = file["transcripts"]
            assert {"subject": "email", "messageType": "message"}.get(next(iter({"subject", "messageType"} & part.keys()), "")) in (
                line["media"],
                None,
            )
            assert len(part["phrases"]) == line["utterances"]
            assert not any({"words", "duration"} & phrase.keys() for phrase in part["phrases"])


async def test_an_email_too_large_comes_without_its_contents(play, tmp_path) -> None:
    async with play({"calls": {"count": 0}, "digital": {"emails": 1, "too_large": 1, "duration": "1s"}}) as sim:
        await sim.until_end()
        (line,) = truth(tmp_path, "recording")
        body = (await single(sim, line)).json
        assert (body["emailTranscript"], body["recordingErrorStatus"], line["good"]) == ([], "EMAIL_TRANSCRIPT_TOO_LARGE", False)


async def test_the_calls_are_the_same_with_and_without_anything_written(play) -> None:
    async with play(EACH) as sim:
        with_written = [call.id for call in sim.platform.world.plan.calls if call.media == "voice"]
    async with play({"calls": EACH["calls"]}) as sim:
        assert [call.id for call in sim.platform.world.plan.calls] == with_written


async def test_an_email_that_is_taken_up_again_ends_looks_ended_and_goes_on_under_its_id(play, tmp_path) -> None:
    digital = {"emails": 2, "taken_up": 1, "taken_up_after": "60s", "duration": "2s"}
    async with play({"calls": {"count": 0}, "digital": digital}) as sim:
        again, once = sim.platform.world.plan.calls
        first, second = again.legs
        assert second.alerted - first.ended == pytest.approx(60, abs=0.01)
        assert not once.taken_up
        details = "/api/v2/analytics/conversations/details"

        async def told() -> tuple[int, str | None, int]:
            shown = (await sim.call("GET", f"/api/v2/conversations/{again.id}")).json
            (record,) = (await sim.call("GET", details, params={"id": again.id})).json["conversations"]
            listed = (await sim.call("GET", f"/api/v2/conversations/{again.id}/recordingmetadata")).json
            return sum("endTime" not in one for one in shown["participants"]), record.get("conversationEnd"), len(listed)

        await sim.play()
        sim.clock.jump(40)
        there, ended, recordings = await told()
        assert (there, recordings) == (0, 1), "to everybody who looks it has ended"
        assert ended is not None
        sim.clock.jump(second.alerted + 0.1 - 40)
        assert (await told())[:2] == (2, None), "and now it has not"
        await sim.until_end()
        sim.clock.jump(60)
        there, finally_ended, recordings = await told()
        assert (there, recordings) == (0, 2)
        assert finally_ended > ended
        (line,) = truth(tmp_path, "call_taken_up")
        assert (line["conversationId"], line["leftAt"]) == (again.id, ended)
        assert len(truth(tmp_path, "call_ended")) == 2
