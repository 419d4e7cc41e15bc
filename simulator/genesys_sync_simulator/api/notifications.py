"""Notification channels and their subscriptions over REST."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, empty, flag, found, get, reply, several, token
from genesys_sync_simulator.channels import Channel
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.topics import CATALOGUE, EXPANSIONS, refusal

_CHANNELS = "/api/v2/notifications/channels"
_SUBSCRIPTIONS = _CHANNELS + "/{channelId}/subscriptions"


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of notifications."""
    return [*_channel_routes(platform), *_subscription_routes(platform)]


def _channel_routes(platform: Platform) -> list[web.RouteDef]:

    async def create(request: web.Request) -> web.Response:
        channel = platform.hub.create(token(request), platform.now())
        return reply(_channel(platform, channel))

    async def listed(request: web.Request) -> web.Response:
        which = request.query.get("includechannels", "token")
        if which not in ("token", "oauthclient"):
            raise bad_request("includechannels must be token or oauthclient.", code="invalid.value")
        mine = token(request)
        entities = []
        for channel in platform.hub.living(platform.now()):
            if channel.token is mine:
                entities.append(_channel(platform, channel))
            elif which == "oauthclient" and channel.token.client.id == mine.client.id:
                entities.append({"expires": iso(channel.expires)})  # another token's channel: its id is a secret
        return reply({"entities": entities})

    async def exists(request: web.Request) -> web.Response:
        _own(platform, request)
        return empty(200)

    return [web.post(_CHANNELS, create), get(_CHANNELS, listed), web.head(_CHANNELS + "/{channelId}", exists)]


def _subscription_routes(platform: Platform) -> list[web.RouteDef]:
    async def subscriptions(request: web.Request) -> web.Response:
        channel = _own(platform, request)
        return reply({"entities": [_topic(channel, topic) for topic in channel.topics]})

    async def add(request: web.Request) -> web.Response:
        return await _subscribe(platform, request, replace=False)

    async def put(request: web.Request) -> web.Response:
        return await _subscribe(platform, request, replace=True)

    async def remove(request: web.Request) -> web.Response:
        channel = _own(platform, request)
        channel.subscribe((), replace=True)
        return empty(204)

    async def available(request: web.Request) -> web.Response:
        expand = several(request, "expand")
        if unknown := [name for name in expand if name not in EXPANSIONS]:
            raise bad_request(f"{unknown[0]} is not a value of expand.", code="invalid.value")
        flag(request, "includePreview")
        return reply({"entities": [template.available(expand) for template in CATALOGUE]})

    return [
        get(_SUBSCRIPTIONS, subscriptions),
        web.post(_SUBSCRIPTIONS, add),
        web.put(_SUBSCRIPTIONS, put),
        web.delete(_SUBSCRIPTIONS, remove),
        get("/api/v2/notifications/availabletopics", available),
    ]


def _own(platform: Platform, request: web.Request) -> Channel:
    """The channel of the path, if this token made it and it lives."""
    channel = platform.hub.find(request.match_info["channelId"], platform.now())
    mine = channel if channel is not None and channel.token is token(request) else None
    return found(mine, "not.found", "The notification channel does not exist.")


def _channel(platform: Platform, channel: Channel) -> Json:
    host = platform.base_url.replace("http", "ws", 1)
    return {"connectUri": f"{host}/channels/{channel.id}", "id": channel.id, "expires": iso(channel.expires)}


def _topic(channel: Channel, topic: str) -> Json:
    return {"id": topic, "state": "Permitted", "selfUri": f"{_CHANNELS}/{channel.id}/subscriptions/{topic}"}


async def _subscribe(platform: Platform, request: web.Request, *, replace: bool) -> web.Response:
    """All or nothing, unless `ignoreErrors` lets the good ones pass."""
    channel = _own(platform, request)
    tolerant = flag(request, "ignoreErrors")
    wanted = _wanted(await body(request))
    held = token(request).client.permissions
    entities, good = [], []
    for topic in wanted:
        refused = refusal(topic, held)
        if refused is None:
            good.append(topic)
            entities.append(_topic(channel, topic))
        elif tolerant:
            rejected: Json = {"id": topic, "state": "Rejected", "rejectionReason": refused.message}
            entities.append(rejected | ({"missingPermissions": list(refused.missing)} if refused.missing else {}))
        else:
            details = [{"errorCode": refused.code, "fieldName": "id", "entityId": str(topic)}]
            raise ApiError(refused.status, refused.code, refused.message, details=details)
    total = len(set(good) | (set() if replace else set(channel.topics)))
    if total > platform.rules.max_topics:
        sentence = f"A channel may have at most {platform.rules.max_topics} subscriptions."
        raise ApiError(400, "notification.subscription.too.many.subscriptions", sentence)
    now = platform.now()
    channel.subscribe(good, replace=replace)
    platform.hub.extend(channel, now)
    return reply({"entities": entities})


def _wanted(document: Any) -> list[Any]:
    if not isinstance(document, list) or not all(isinstance(entry, dict) and "id" in entry for entry in document):
        raise bad_request("The body must be a list of objects, each with the id of a topic.")
    return [entry["id"] for entry in document]
