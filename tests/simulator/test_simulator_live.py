"""Live transcription: guesses that become results, signs of life, an end, and the same words as in the stored file."""

import anyio
import pytest

pytestmark = pytest.mark.anyio

SCENARIO = {
    "calls": {"count": 1, "duration": "10s", "ring": "1s"},
    "transcripts": {"live_batch": "1s", "live_sign": "4s", "planted": {"card": 1}},
}


async def until(sim, received: list, enough) -> None:
    """Lets time go on in steps until what is received is enough."""
    with anyio.fail_after(20):
        while not enough(received):
            sim.clock.jump(0.5)
            await anyio.sleep(0.005)


async def listen(sim, received: list, enough) -> None:
    """Starts the calls and collects the live messages of the first one."""
    call = sim.platform.world.plan.calls[0]
    channel = await sim.channel(f"v2.conversations.{call.id}.transcription")
    async with sim.session.ws_connect(channel["connectUri"]) as socket, anyio.create_task_group() as group:

        async def read() -> None:
            async for message in socket:
                frame = message.json()
                if frame["topicName"].endswith(".transcription"):
                    received.append(frame["eventBody"])

        group.start_soon(read)
        await sim.play()
        await until(sim, received, enough)
        group.cancel_scope.cancel()


def ended(received: list) -> bool:
    return any(body.get("status", {}).get("status") == "SESSION_ENDED" for body in received)


async def test_results_repeat_one_utterance_until_it_is_final_and_say_what_the_file_says(play) -> None:
    async with play(SCENARIO) as sim:
        received: list = []
        await listen(sim, received, ended)
        statuses = [body["status"]["status"] for body in received if "status" in body]
        assert statuses == ["SESSION_ONGOING"] * 3 + ["SESSION_ENDED"], "at the start, at 4 s and 8 s, at the end"
        assert received[0]["transcripts"] == []
        assert "status" in received[-1]
        results = [result for body in received for result in body["transcripts"]]
        final = [result for result in results if result["isFinal"]]
        guesses = {result["utteranceId"] for result in results if not result["isFinal"]}
        assert guesses, "some utterances span a batch"
        assert guesses <= {result["utteranceId"] for result in final}
        assert len({result["utteranceId"] for result in final}) == len(final)
        for number, result in enumerate(results):
            later = [one["isFinal"] for one in results[number + 1 :] if one["utteranceId"] == result["utteranceId"]]
            assert not (result["isFinal"] and later), "nothing follows the final result"
        (call,) = sim.platform.world.plan.calls
        session = call.legs[0].customer_session_id
        assert {body["communicationId"] for body in received} == {session}
        sim.clock.jump(5)
        path = f"/api/v2/speechandtextanalytics/conversations/{call.id}/communications/{session}/transcripturl"
        stored = (await sim.call("GET", (await sim.call("GET", path)).json["url"])).json
        phrases = [phrase for part in stored["transcripts"] for phrase in part["phrases"]]
        heard = sorted(final, key=lambda result: result["alternatives"][0]["words"][0]["startTimeMs"])
        assert [result["alternatives"][0]["transcript"] for result in heard] == [phrase["text"] for phrase in phrases]
        assert [result["channel"].lower() for result in heard] == [phrase["participantPurpose"] for phrase in phrases]
        assert [[word["startTimeMs"] for word in result["alternatives"][0]["words"]] for result in heard] == [
            [word["startTimeMs"] for word in phrase["words"]] for phrase in phrases
        ]


async def test_nobody_hears_a_call_that_is_not_transcribed(play) -> None:
    never = {**SCENARIO, "transcripts": {"never": 1, "never_reasons": ["not_enabled"]}}
    for scenario in (never, {**SCENARIO, "transcripts": {"setting": "Disabled"}}):
        async with play(scenario) as sim:
            received: list = []
            await listen(sim, received, lambda _: sim.platform.played)
            assert received == []


async def test_the_topic_asks_for_its_permission(play) -> None:
    clients = [{"id": "deaf", "secret": "s", "permissions": ["conversation:communication:view"]}]
    async with play({**SCENARIO, "clients": clients}, log_in=False) as sim:
        await sim.log_in("deaf", "s")
        channel = await sim.channel()
        topic = f"v2.conversations.{sim.platform.world.plan.calls[0].id}.transcription"
        path = f"/api/v2/notifications/channels/{channel['id']}/subscriptions"
        refused = await sim.call("PUT", path, json=[{"id": topic}])
        assert (refused.status, refused.json["code"]) == (403, "notification.unauthorized.topic")
