"""Conversations, recording metadata and single recordings, over the life of a call."""

import pytest

from genesys_sync_simulator import audio

pytestmark = pytest.mark.anyio

NOBODY = "7fb334b0-0e9e-11e4-9191-0800200c9a66"
ONE_WAV = {"calls": {"count": 1}, "recordings": {"formats": ["WAV"], "channels": [2]}}


def conversation(sim, index: int = 0) -> str:
    return f"/api/v2/conversations/{sim.platform.world.plan.calls[index].id}"


async def test_metadata_are_empty_then_uploading_then_available(play) -> None:
    async with play(ONE_WAV) as sim:
        recording = sim.platform.world.plan.recordings[0]
        before = await sim.call("GET", conversation(sim) + "/recordingmetadata")
        assert (before.status, before.json["code"]) == (404, "conversation.not.found")
        await sim.play()
        seen = []
        for moment in (0.0, recording.appears, recording.settles):
            sim.clock.ms = round(sim.platform.world.moment(moment + 0.001) * 1000)
            seen.append((await sim.call("GET", conversation(sim) + "/recordingmetadata")).json)
        assert seen[0] == []
        assert [entry[0]["fileState"] for entry in seen[1:]] == ["UPLOADING", "AVAILABLE"]
        assert "annotations" not in seen[1][0]
        available = seen[2][0]
        assert available["media"] == "audio"
        assert available["sessionId"] == recording.session_id
        assert "startTime" not in available, "metadata give a start for screen recordings only"
        single = await sim.call("GET", f"{conversation(sim)}/recordingmetadata/{recording.id}")
        assert single.json == available
        assert single.json["region"] == "us-east-1"
        missing = await sim.call("GET", f"{conversation(sim)}/recordingmetadata/{NOBODY}")
        assert (missing.status, missing.json["code"]) == (404, "recording.recording.not.found")


async def test_the_session_of_a_recording_is_the_customers_call(play) -> None:
    async with play({"calls": {"count": 1, "recordings_per_call": [2]}}) as sim:
        await sim.until_end()
        found = (await sim.call("GET", conversation(sim))).json
        customer = next(participant for participant in found["participants"] if participant["purpose"] == "customer")
        sessions = [recording["sessionId"] for recording in (await sim.call("GET", conversation(sim) + "/recordingmetadata")).json]
        assert sessions == [media["id"] for media in customer["calls"]]
        assert found["endTime"]
        assert found["recordingState"] == "none"


async def test_conversations_that_are_not_there(play) -> None:
    async with play() as sim:
        await sim.play()
        answer = await sim.call("GET", f"/api/v2/conversations/{NOBODY}")
        assert (answer.status, answer.json["code"]) == (404, "conversation.not.found")
        answer = await sim.call("GET", "/api/v2/conversations/not-an-id/recordings")
        assert (answer.status, answer.json["code"]) == (400, "quality.query.invalid.conversation")
        assert (await sim.call("GET", "/api/v2/conversations")).json == {"entities": []}


async def test_the_original_format_is_served_as_it_is(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        recording = sim.platform.world.plan.recordings[0]
        answer = await sim.call("GET", f"{conversation(sim)}/recordings/{recording.id}?formatId=WAV")
        assert answer.status == 200
        assert set(answer.json["mediaUris"]) == {"0"}
        media = await sim.call("GET", answer.json["mediaUris"]["0"]["mediaUri"])
        assert media.body == sim.platform.media.get(recording).source
        assert answer.json["outputSizeInBytes"] == len(media.body)
        assert answer.json["outputDurationMs"] == round(recording.seconds * 1000)
        times = answer.json["startTime"], answer.json["endTime"]
        assert times == tuple(
            sim.platform.view_at(sim.platform.world.plan.calls[0], 1e6).at(at) for at in (recording.began, recording.ended)
        )


async def test_another_format_is_202_with_an_estimate_and_then_200(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        recording = sim.platform.world.plan.recordings[0]
        path = f"{conversation(sim)}/recordings/{recording.id}"
        waiting = await sim.call("GET", path)  # formatId is WEBM unless said otherwise
        assert waiting.status == 202
        assert waiting.json["estimatedTranscodeTimeMs"] == 1000
        assert waiting.json["mediaUris"] is None
        assert (await sim.call("GET", conversation(sim) + "/recordings?formatId=WEBM")).body == b"", "the list is empty while one waits"
        sim.clock.jump(1)
        ready = await sim.call("GET", path)
        assert ready.status == 200
        media = await sim.call("GET", ready.json["mediaUris"]["0"]["mediaUri"])
        assert media.headers["Content-Type"] == "audio/webm"
        samples, rate = audio.decode(media.body)
        assert len(samples) / rate == pytest.approx(recording.seconds, abs=0.01)
        listed = await sim.call("GET", conversation(sim) + "/recordings")
        assert (listed.status, len(listed.json)) == (200, 1)


async def test_format_none_gives_no_media_and_an_unknown_one_is_refused(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        listed = await sim.call("GET", conversation(sim) + "/recordings?formatId=NONE")
        assert (listed.status, listed.json[0]["mediaUris"]) == (200, None)
        assert (await sim.call("GET", conversation(sim) + "/recordings?formatId=FLAC")).status == 400
        overridden = await sim.call("GET", conversation(sim) + "/recordings?formatId=MP3&mediaFormats=WAV")
        assert overridden.json[0]["mediaUris"]["0"]


async def test_a_download_carries_the_file_name(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        recording = sim.platform.world.plan.recordings[0]
        query = "?formatId=WAV&download=true&fileName=call%201"
        answer = await sim.call("GET", f"{conversation(sim)}/recordings/{recording.id}{query}")
        media = await sim.call("GET", answer.json["mediaUris"]["0"]["mediaUri"])
        assert media.headers["Content-Disposition"] == 'attachment; filename="call 1"'


async def test_an_archived_recording_comes_back_when_its_archive_date_is_moved(play) -> None:
    async with play({**ONE_WAV, "faults": {"archived": 1}}) as sim:
        await sim.until_end()
        path = f"{conversation(sim)}/recordings/{sim.platform.world.plan.recordings[0].id}"
        archived = (await sim.call("GET", path + "?formatId=WAV")).json
        assert (archived["fileState"], archived["archiveMedium"], archived["mediaUris"]) == ("ARCHIVED", "CLOUDARCHIVE", None)
        assert (await sim.call("PUT", path, json={"archiveDate": "yesterday"})).status == 400
        restoring = await sim.call("PUT", path, json={"archiveDate": "2027-01-01T00:00:00Z"})
        assert (restoring.json["fileState"], restoring.json["archiveDate"]) == ("RESTORING", "2027-01-01T00:00:00.000Z")
        sim.clock.jump(2)
        restored = (await sim.call("GET", path + "?formatId=WAV")).json
        assert restored["fileState"] == "RESTORED"
        assert restored["mediaUris"]["0"]
        assert restored["restoreExpirationTime"] == "2027-01-01T00:00:00.000Z"


async def test_a_deleted_recording_has_no_media_and_cannot_be_archived(play) -> None:
    async with play({**ONE_WAV, "faults": {"deleted": 1}}) as sim:
        await sim.until_end()
        path = f"{conversation(sim)}/recordings/{sim.platform.world.plan.recordings[0].id}"
        assert (await sim.call("GET", path)).json["mediaUris"] is None
        refused = await sim.call("PUT", path, json={"archiveDate": "2027-01-01T00:00:00Z"})
        assert (refused.status, refused.json["code"]) == (400, "recording.not.archivable")


async def test_what_will_soon_be_deleted(play) -> None:
    async with play({"calls": {"count": 5}}) as sim:
        await sim.until_end()
        query = "/api/v2/recordings/retention/query"
        assert (await sim.call("GET", query)).status == 400
        assert (await sim.call("GET", query + "?retentionThresholdDays=30")).json["entities"] == []
        first = (await sim.call("GET", query + "?retentionThresholdDays=366&pageSize=3")).json
        rest = (await sim.call("GET", first["nextUri"])).json
        assert len(first["entities"] + rest["entities"]) == 5
        assert "nextUri" not in rest


async def test_batches_from_request_to_results(play) -> None:
    async with play({"calls": {"count": 4, "recordings_per_call": [2]}, "faults": {"deleted": 1}}) as sim:
        await sim.until_end()
        recordings = sim.platform.world.plan.recordings
        items = [{"conversationId": one.conversation_id, "recordingId": one.id} for one in recordings]
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json={"batchDownloadRequestList": [*items, items[0]]})
        assert set(asked.json) == {"id", "selfUri"}
        running = (await sim.call("GET", asked.json["selfUri"])).json
        assert (running["status"], running["expectedResultCount"], running["resultCount"]) == ("InProgress", 9, 0)
        sim.clock.jump(0.5)
        half = (await sim.call("GET", asked.json["selfUri"])).json
        assert (half["status"], half["expectedResultCount"], half["resultCount"]) == ("InProgress", 8, 4)
        sim.clock.jump(0.5)
        done = (await sim.call("GET", asked.json["selfUri"])).json
        assert (done["status"], done["expectedResultCount"], done["resultCount"], done["errorCount"]) == ("Completed", 8, 8, 1)
        assert done["results"][:4] == half["results"], "a result stays as it was made"
        for recording, result in zip(recordings, done["results"], strict=True):
            assert result["recordingId"] == recording.id
            if recording.fault == "deleted":
                assert "resultUrl" not in result
                assert "DELETED" in result["errorMsg"]
            else:
                media = await sim.call("GET", result["resultUrl"])
                assert media.body == sim.platform.media.get(recording).source
                assert result["contentType"] == media.headers["Content-Type"]


async def test_a_batch_item_without_a_recording_id_means_all_of_the_conversation(play) -> None:
    scenario = {"calls": {"count": 1, "recordings_per_call": [3]}, "faults": {"deleted": 1}, "recordings": {"multipart": 1}}
    async with play(scenario) as sim:
        await sim.until_end()
        call = sim.platform.world.plan.calls[0]
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json={"batchDownloadRequestList": [{"conversationId": call.id}]})
        sim.clock.jump(1)
        done = (await sim.call("GET", asked.json["selfUri"])).json
        assert (done["expectedResultCount"], done["resultCount"], done["errorCount"]) == (3, 3, 0), (
            "two recordings, one of them in two parts"
        )
        assert len({result["recordingId"] for result in done["results"]}) == 2


@pytest.mark.parametrize("left_out", [False, True])
async def test_what_cannot_be_had_is_an_error_or_left_out(play, left_out: bool) -> None:
    async with play({"platform": {"batch_unavailable": "leave-out" if left_out else "error"}}) as sim:
        await sim.play()
        item = {"conversationId": NOBODY, "recordingId": NOBODY}
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json={"batchDownloadRequestList": [item]})
        sim.clock.jump(1)
        done = (await sim.call("GET", asked.json["selfUri"])).json
        assert done["status"] == "Completed"
        assert (done["expectedResultCount"], done["resultCount"], done["errorCount"]) == ((0, 0, 0) if left_out else (1, 1, 1))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "batch.download.bad.request"),
        ([], "batch.download.bad.request"),
        ({"batchDownloadRequestList": []}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": [{"recordingId": NOBODY}]}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": [{"conversationId": "../etc"}]}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": [{"conversationId": NOBODY}] * 101}, "batch.download.too.many.items"),
    ],
)
async def test_batches_that_are_refused(play, body, code: str) -> None:
    async with play() as sim:
        answer = await sim.call("POST", "/api/v2/recording/batchrequests", json=body)
        assert (answer.status, answer.json["code"]) == (400, code)


async def test_a_batch_belongs_to_who_asked_for_it(play) -> None:
    clients = [{"id": "one", "secret": "s"}, {"id": "two", "secret": "s"}, {"id": "blind", "secret": "s", "permissions": []}]
    async with play({"clients": clients, "calls": {"count": 1}}, log_in=False) as sim:
        await sim.log_in("one", "s")
        await sim.until_end()
        body = {"batchDownloadRequestList": [{"conversationId": sim.platform.world.plan.calls[0].id}]}
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json=body)
        stranger = await sim.call("GET", asked.json["selfUri"], token=await sim.log_in("two", "s"))
        assert (stranger.status, stranger.json["code"]) == (403, "batch.download.permission.denied")
        assert (await sim.call("GET", asked.json["selfUri"], token=await sim.log_in("one", "s"))).status == 200
        nothing = await sim.call("GET", f"/api/v2/recording/batchrequests/{NOBODY}")
        assert (nothing.status, nothing.json["code"]) == (404, "batch.download.job.not.found")
        blind = await sim.log_in("blind", "s")
        asked = await sim.call("POST", "/api/v2/recording/batchrequests", json=body, token=blind)
        sim.clock.jump(1)
        assert "permission" in (await sim.call("GET", asked.json["selfUri"], token=blind)).json["results"][0]["errorMsg"]


async def test_the_settings_tell_how_long_addresses_live(play) -> None:
    async with play({"platform": {"url_life": "10m"}}) as sim:
        settings = (await sim.call("GET", "/api/v2/recording/settings")).json
        assert (settings["recordingPlaybackUrlTtl"], settings["recordingBatchDownloadUrlTtl"]) == (10, 10)


async def test_a_restore_without_the_permission_is_refused(play) -> None:
    client = {"id": "reader", "secret": "reader-secret", "permissions": ["recording:recording:view"]}
    async with play({**ONE_WAV, "faults": {"archived": 1}, "clients": [client]}, log_in=False) as sim:
        await sim.log_in("reader", "reader-secret")
        await sim.until_end()
        path = f"{conversation(sim)}/recordings/{sim.platform.world.plan.recordings[0].id}"
        refused = await sim.call("PUT", path, json={"archiveDate": "2027-01-01T00:00:00Z"})
        assert refused.status == 403
        assert "recording:recording:editRetention" in str(refused.json)
        assert (await sim.call("GET", "/api/v2/orphanrecordings")).status == 403


async def test_orphans_are_listed_by_pages_and_found_by_id(play) -> None:
    async with play({**ONE_WAV, "recordings": {"orphans": 30}}) as sim:
        first = (await sim.call("GET", "/api/v2/orphanrecordings")).json
        second = (await sim.call("GET", "/api/v2/orphanrecordings?pageNumber=2")).json
        assert (len(first["entities"]), len(second["entities"]), first["total"], first["pageCount"]) == (25, 5, 30, 2)
        orphan = second["entities"][0]
        assert orphan["orphanStatus"] == "NO_CONVERSATION"
        assert (await sim.call("GET", f"/api/v2/orphanrecordings/{orphan['id']}")).json["id"] == orphan["id"]
        assert (await sim.call("GET", f"/api/v2/orphanrecordings/{orphan['id'][:-1]}z")).status == 404
        assert (await sim.call("GET", "/api/v2/orphanrecordings?hasConversation=true")).json["total"] == 0
