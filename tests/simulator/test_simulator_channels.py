"""Channels and subscriptions over REST."""

import pytest

pytestmark = pytest.mark.anyio

CHANNELS = "/api/v2/notifications/channels"
SOMEBODY = "7fb334b0-0e9e-11e4-9191-0800200c9a66"


def topics(*names: str) -> list[dict[str, str]]:
    return [{"id": name} for name in names]


async def test_a_channel_is_made_listed_and_found(play) -> None:
    async with play() as sim:
        channel = await sim.channel()
        assert set(channel) == {"id", "connectUri", "expires"}
        assert channel["connectUri"].startswith("ws://127.0.0.1:")
        assert channel["expires"] == "2026-08-02T12:00:00.000Z"
        assert (await sim.call("GET", CHANNELS)).json["entities"] == [channel]
        assert (await sim.call("HEAD", f"{CHANNELS}/{channel['id']}")).status == 200
        assert (await sim.call("HEAD", f"{CHANNELS}/streaming-0-none")).status == 404


async def test_another_token_of_the_client_sees_that_it_is_there_but_not_its_id(play) -> None:
    async with play() as sim:
        channel = await sim.channel()
        other = await sim.log_in()
        assert (await sim.call("GET", CHANNELS, token=other)).json["entities"] == []
        hidden = (await sim.call("GET", CHANNELS + "?includechannels=oauthclient", token=other)).json["entities"]
        assert hidden == [{"expires": channel["expires"]}]
        assert (await sim.call("HEAD", f"{CHANNELS}/{channel['id']}", token=other)).status == 404
        assert (await sim.call("GET", CHANNELS + "?includechannels=all")).status == 400


async def test_post_adds_put_replaces_delete_removes(play) -> None:
    async with play() as sim:
        one, two, three = sim.queue_topics()
        path = f"{CHANNELS}/{(await sim.channel())['id']}/subscriptions"

        async def held() -> list[str]:
            return [topic["id"] for topic in (await sim.call("GET", path)).json["entities"]]

        added = await sim.call("POST", path, json=topics(one))
        assert added.json["entities"][0]["state"] == "Permitted"
        await sim.call("POST", path, json=topics(two, one))
        assert await held() == [one, two]
        await sim.call("PUT", path, json=topics(three))
        assert await held() == [three]
        deleted = await sim.call("DELETE", path)
        assert (deleted.status, deleted.body) == (204, b"")
        assert await held() == []


async def test_one_bad_topic_fails_all_unless_errors_are_ignored(play) -> None:
    scenario = {"clients": [{"id": "some", "secret": "s", "permissions": ["conversation:communication:view"]}]}
    async with play(scenario, log_in=False) as sim:
        await sim.log_in("some", "s")
        good = sim.queue_topics()[0]
        path = f"{CHANNELS}/{(await sim.channel())['id']}/subscriptions"
        denied = f"v2.analytics.conversation.{SOMEBODY}.metrics"
        refused = await sim.call("PUT", path, json=topics(good, denied))
        assert (refused.status, refused.json["code"]) == (403, "notification.unauthorized.topic")
        assert (await sim.call("GET", path)).json["entities"] == []
        tolerant = (await sim.call("PUT", path + "?ignoreErrors=true", json=topics(good, denied, "v2.nonsense"))).json["entities"]
        assert [topic["state"] for topic in tolerant] == ["Permitted", "Rejected", "Rejected"]
        assert tolerant[1]["missingPermissions"] == ["analytics:conversationDetail:view"]
        assert all("rejectionReason" in topic for topic in tolerant[1:])
        assert [topic["id"] for topic in (await sim.call("GET", path)).json["entities"]] == [good]


@pytest.mark.parametrize(
    ("topic", "status", "code"),
    [
        ("v2.routing.queues.*.conversations", 400, "notification.invalid.topic"),
        ("api:recordings:created", 400, "notification.invalid.topic"),
        ("channel.metadata", 400, "notification.invalid.topic"),
        ("v2.system.socket_closing", 400, "notification.invalid.topic"),
        ("v2." + "x" * 200, 400, "notification.invalid.topic"),
        (f"v2.audits.entitytype.{SOMEBODY}.entityid.{SOMEBODY}", 400, "notification.transport.not.allowed"),
        (f"v2.users.{SOMEBODY}.recordings", 403, "notification.unauthorized.topic"),
        (f"v2.routing.queues.{SOMEBODY}?conversations&nonsense", 400, "notification.invalid.topic"),
    ],
)
async def test_topics_that_are_not_given(play, topic: str, status: int, code: str) -> None:
    async with play() as sim:
        channel = await sim.channel()
        answer = await sim.call("POST", f"{CHANNELS}/{channel['id']}/subscriptions", json=topics(topic))
        assert (answer.status, answer.json["code"], answer.json["details"][0]["errorCode"]) == (status, code, code)


async def test_a_thousand_topics_and_not_one_more(play) -> None:
    async with play() as sim:
        names = [f"v2.users.{SOMEBODY[:-4]}{number:04x}.conversations" for number in range(1001)]
        path = f"{CHANNELS}/{(await sim.channel())['id']}/subscriptions"
        assert (await sim.call("PUT", path, json=topics(*names[:1000]))).status == 200
        answer = await sim.call("POST", path, json=topics(names[1000]))
        assert (answer.status, answer.json["code"]) == (400, "notification.subscription.too.many.subscriptions")
        assert (await sim.call("PUT", path, json=topics(*names))).status == 400
        assert len((await sim.call("GET", path)).json["entities"]) == 1000


@pytest.mark.parametrize("body", [{"id": "x"}, ["x"], [{"topic": "x"}]])
async def test_a_body_that_is_no_list_of_topics(play, body) -> None:
    async with play() as sim:
        path = f"{CHANNELS}/{(await sim.channel())['id']}/subscriptions"
        assert (await sim.call("PUT", path, json=body)).status == 400


async def test_the_twenty_first_channel_costs_the_least_recently_used_without_a_socket(play) -> None:
    async with play() as sim:
        made = []
        for _ in range(20):
            made.append(await sim.channel())
            sim.clock.jump(1)
        async with sim.session.ws_connect(made[0]["connectUri"]):
            made.append(await sim.channel())
            alive = [(await sim.call("HEAD", f"{CHANNELS}/{channel['id']}")).status for channel in made]
        assert alive == [200, 404] + [200] * 19


async def test_subscribing_extends_a_channel_and_time_ends_it(play) -> None:
    async with play({"platform": {"channel_life": "1h", "token_life": "24h"}}) as sim:
        channel = await sim.channel()
        path = f"{CHANNELS}/{channel['id']}"
        sim.clock.jump(3000)
        assert (await sim.call("PUT", path + "/subscriptions", json=topics(*sim.queue_topics()))).status == 200
        sim.clock.jump(3000)
        assert (await sim.call("HEAD", path)).status == 200
        sim.clock.jump(601)
        assert (await sim.call("HEAD", path)).status == 404
        gone = await sim.call("GET", path + "/subscriptions")
        assert (gone.status, gone.json["code"]) == (404, "not.found")


async def test_available_topics_show_what_was_asked_for(play) -> None:
    async with play() as sim:
        bare = (await sim.call("GET", "/api/v2/notifications/availabletopics")).json["entities"]
        assert {"id": "v2.routing.queues.{id}.conversations.calls"} in bare
        expanded = await sim.call("GET", "/api/v2/notifications/availabletopics?expand=transports,requiresPermissions&expand=description")
        shown = {topic["id"]: topic for topic in expanded.json["entities"]}
        queue = shown["v2.routing.queues.{id}.conversations"]
        assert queue["requiresPermissions"] == ["conversation:communication:view"]
        assert queue["transports"] == ["All"]
        assert "schema" not in queue
        assert shown["v2.users.{id}.recordings"]["requiresCurrentUser"] is True
        assert "recordings" not in " ".join(topic for topic in shown if not topic.startswith("v2.users.")), "no topic announces a recording"
        assert (await sim.call("GET", "/api/v2/notifications/availabletopics?expand=wrong")).status == 400
