"""The socket at `connectUri`: control frames, snapshots, displacement, and all the ways in which it ends."""

import json

import aiohttp
import anyio
import pytest

from genesys_sync_simulator import snapshots

pytestmark = pytest.mark.anyio

PONG = {"topicName": "channel.metadata", "eventBody": {"message": "pong"}}
HEARTBEAT = {"topicName": "channel.metadata", "eventBody": {"message": "WebSocket Heartbeat"}}


async def ping(socket: aiohttp.ClientWebSocketResponse) -> dict:
    await socket.send_json({"message": "ping"})
    return await socket.receive_json(timeout=5)


async def until_closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[list[dict], int | None]:
    """The frames up to the end, and the close code."""
    frames = []
    async for message in socket:
        frames.append(json.loads(message.data))
    return frames, socket.close_code


async def refused(sim, uri: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await sim.session.ws_connect(uri)
    return caught.value.status


async def test_ping_pong_and_heartbeat(play) -> None:
    async with play() as sim, sim.session.ws_connect((await sim.channel())["connectUri"]) as socket:
        assert await ping(socket) == PONG
        sim.clock.jump(30)
        assert await socket.receive_json(timeout=5) == HEARTBEAT


async def test_snapshots_of_the_topics_asked_for_and_no_others(play) -> None:
    async with play({"calls": {"count": 4, "recordings_per_call": [2]}}) as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.until_end()
            frames = []
            while not all(any(_ended(f) and f["eventBody"]["id"] == call.id for f in frames) for call in sim.platform.world.plan.calls):
                frames.append(await socket.receive_json(timeout=5))
        for frame in frames:
            assert set(frame) == {"topicName", "version", "eventBody", "metadata"}
            assert frame["version"] == "2"
            assert frame["metadata"]["CorrelationId"]
            assert frame["topicName"] in sim.queue_topics()
        first = next(frame for frame in frames if frame["eventBody"]["id"] == sim.platform.world.plan.calls[0].id)
        assert first["eventBody"]["participants"][0]["calls"][0]["state"] == "connected"
        assert {frame["eventBody"]["recordingState"] for frame in frames} == {"active", "none"}


def _ended(frame: dict) -> bool:
    return all("endTime" in participant for participant in frame["eventBody"]["participants"])


async def test_a_combined_topic_brings_each_of_its_topics(play) -> None:
    async with play({"calls": {"count": 1, "queues": 1}}) as sim:
        queue = sim.platform.world.plan.queues[0].id
        channel = await sim.channel(f"v2.routing.queues.{queue}?conversations&conversations.calls")
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.play()
            names = {(await socket.receive_json(timeout=5))["topicName"] for _ in range(2)}
        assert names == {f"v2.routing.queues.{queue}.conversations", f"v2.routing.queues.{queue}.conversations.calls"}


async def test_calls_begin_with_the_first_subscription_that_has_a_socket(play) -> None:
    async with play({"start": "on-subscribe"}) as sim:
        sim.clock.jump(1)
        channel = await sim.channel(*sim.queue_topics())
        sim.clock.jump(1)
        assert (await sim.call("GET", "/simulator/state", token="")).json["started"] is False
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            sim.clock.jump(1)
            assert (await socket.receive_json(timeout=5))["topicName"] in sim.queue_topics()


async def test_a_second_socket_displaces_the_first(play) -> None:
    async with play() as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as first, sim.session.ws_connect(channel["connectUri"]) as second:
            frames, code = await until_closed(first)
            assert frames[0]["topicName"] == f"v2.system.no_longer_subscribed.{channel['id']}"
            assert frames[0]["eventBody"]["systemTopicType"] == "no_longer_subscribed"
            assert frames[0]["eventBody"]["reason"] == "another_channel_subscribed"
            assert code == 1001
            assert await ping(second) == PONG


async def test_subscribing_over_the_socket(play) -> None:
    async with play({"calls": {"count": 1, "queues": 1}}) as sim:
        channel = await sim.channel()
        topic = sim.queue_topics()[0]
        async with sim.session.ws_connect(channel["connectUri"]) as socket:

            async def say(**message: object) -> dict:
                await socket.send_json(message)
                return await socket.receive_json(timeout=5)

            assert (await say(message="subscribe", topics=["v2.nonsense"], correlationId="a")) | {"message": ""} == {
                "result": "400",
                "status": "failure",
                "message": "",
                "correlationId": "a",
            }
            good = await say(message="subscribe", topics=[topic], correlationId="b")
            assert (good["result"], good["status"], good["correlationId"]) == ("200", "subscribed", "b")
            listed = await sim.call("GET", f"/api/v2/notifications/channels/{channel['id']}/subscriptions")
            assert [entity["id"] for entity in listed.json["entities"]] == [topic]
            assert (await say(message="unsubscribe", topics=[topic]))["status"] == "unsubscribed"
            assert (await say(message="subscribe", topics=[{}]))["result"] == "400"
            assert (await say(message="dance"))["status"] == "error"
            await socket.send_str("not json")
            assert (await socket.receive_json(timeout=5))["status"] == "error"


async def test_bad_channels_are_refused_at_the_upgrade(play) -> None:
    async with play({"platform": {"channel_life": "1m"}}) as sim:
        channel = await sim.channel()
        assert await refused(sim, channel["connectUri"] + "x") == 404
        sim.clock.jump(61)
        assert await refused(sim, channel["connectUri"]) == 401
        assert (await sim.call("GET", channel["connectUri"].replace("ws", "http", 1))).status == 401


async def test_a_channel_ends_with_its_time_and_its_socket_too(play) -> None:
    async with play({"platform": {"channel_life": "1m"}}) as sim, sim.session.ws_connect((await sim.channel())["connectUri"]) as socket:
        assert await ping(socket) == PONG
        sim.clock.jump(61)
        assert (await until_closed(socket))[1] == 1001


async def test_a_revoked_token_takes_its_channels_with_it(play) -> None:
    async with play() as sim:
        channel = await sim.channel()
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.call("DELETE", "/api/v2/tokens/me")
            frames, _ = await until_closed(socket)
        assert frames[0]["topicName"] == f"v2.system.token_revoked.{channel['id']}"
        assert frames[0]["eventBody"]["reason"] == "user_tokens_revoked"
        assert await refused(sim, channel["connectUri"]) == 401


async def test_an_evicted_channel_starves_with_its_socket_open(play) -> None:
    async with play({"platform": {"max_channels": 1}, "calls": {"count": 1}}) as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.channel()
            await sim.until_end()
            sim.clock.jump(60)
            assert await socket.receive_json(timeout=5) == HEARTBEAT
            assert await ping(socket) == PONG
        assert (await sim.call("HEAD", f"/api/v2/notifications/channels/{channel['id']}")).status == 404


async def test_a_dropped_socket_is_cut_refused_for_a_while_and_its_events_are_lost(play, tmp_path) -> None:
    async with play({"faults": {"drop_socket_for": "2s"}}) as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            assert (await sim.call("POST", "/simulator/faults/drop_socket", token="")).status == 202
            message = await socket.receive(timeout=5)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
            assert socket.close_code in (None, 1006)
        assert await refused(sim, channel["connectUri"]) == 503
        await sim.until_end()
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG, "nothing of what happened meanwhile is told"
        assert (await sim.call("GET", "/simulator/state", token="")).json["eventsLost"] > 0
        lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
        [unheard] = [line for line in lines if line["type"] == "unheard"]
        assert unheard["frames"] == sim.platform.hub.lost, "one channel, so what it lost nobody heard"
        assert unheard["begun"] <= unheard["ended"] <= lines[-1]["at"]


async def test_a_socket_that_will_close_says_so_first(play) -> None:
    async with play({"platform": {"socket_closing_grace": "60s"}}) as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.call("POST", "/simulator/faults/socket_closing", token="")
            assert (await socket.receive_json(timeout=5))["topicName"] == "v2.system.socket_closing"
            assert await ping(socket) == PONG
            sim.clock.jump(61)
            assert (await until_closed(socket))[1] == 1001
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            listed = await sim.call("GET", f"/api/v2/notifications/channels/{channel['id']}/subscriptions")
            assert len(listed.json["entities"]) == 3, "subscriptions survive"


async def test_a_stalled_socket_is_open_and_dead(play) -> None:
    async with play() as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.call("POST", "/simulator/faults/silent_stall", token="")
            await sim.until_end()
            await socket.send_json({"message": "ping"})
            sim.clock.jump(60)
            await sim.call("GET", "/simulator/state", token="")
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.2)
            assert not socket.closed
            async with sim.session.ws_connect(channel["connectUri"]) as fresh:
                assert await ping(fresh) == PONG


async def test_a_fault_of_the_socket_waits_for_a_socket(play) -> None:
    async with play() as sim:
        channel = await sim.channel(*sim.queue_topics())
        await sim.call("POST", "/simulator/faults/socket_closing", token="")
        assert sim.platform.faults.fired.total() == 0
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert (await socket.receive_json(timeout=5))["topicName"] == "v2.system.socket_closing"
        assert sim.platform.faults.fired == {"socket_closing": 1}


async def test_duplicates_and_late_comers(play) -> None:
    scenario = {"calls": {"count": 1, "queues": 1}, "faults": {"duplicate_events": 1, "reorder_events": 1}}
    async with play(scenario) as sim:
        channel = await sim.channel(*sim.queue_topics())
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            assert await ping(socket) == PONG
            await sim.until_end()
            fired = sim.platform.faults.fired
            assert fired == {"duplicate_events": 1, "reorder_events": 1}
            await socket.send_json({"message": "ping"})
            frames = []
            with anyio.fail_after(5):
                while (frame := await socket.receive_json()) != PONG:
                    frames.append(frame["eventBody"])
            call = sim.platform.world.plan.calls[0]
            order = [snapshots.generic(sim.platform.view_at(call, offset)) for offset in call.changes]
        places = [order.index(frame) for frame in frames]
        assert sorted(set(places)) == list(range(len(order))), "nothing is lost"
        assert len(places) == len(order) + 1, "one came twice"
        assert places != sorted(places), "one came after a later one"
