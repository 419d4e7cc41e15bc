"""The socket at a channel's `connectUri`."""

from __future__ import annotations

import json
from typing import Any

import anyio
from aiohttp import WSMsgType, web

from genesys_sync_simulator.api.answers import get
from genesys_sync_simulator.channels import Channel, Close, Socket
from genesys_sync_simulator.conductor import spoil_sockets
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.topics import refusal

_LARGEST_MESSAGE = 512_000


def routes(platform: Platform) -> list[web.RouteDef]:
    """The streaming host: one address for each channel."""

    async def connect(request: web.Request) -> web.StreamResponse:
        now = platform.now()
        name = request.match_info["channelId"]
        if now < platform.faults.sockets_refused_until:
            return web.Response(status=503, text="Service Unavailable")
        channel = platform.hub.find(name, now)
        if channel is None:
            # A channel that was: its time, its token or its place is gone. One that never was: not here.
            return web.Response(status=401 if platform.hub.known(name) else 404)
        response = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_LARGEST_MESSAGE, timeout=1)
        if not response.can_prepare(request).ok:
            return web.Response(status=400, text="WebSocket upgrade expected")
        await response.prepare(request)
        socket = platform.hub.connect(channel, now)
        spoil_sockets(platform)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_send, request, response, socket)
                group.start_soon(_beat, platform, socket)
                await _receive(platform, channel, socket, response)
                group.cancel_scope.cancel()
        finally:
            platform.hub.disconnect(channel, socket)
        return response

    return [get("/channels/{channelId}", connect)]


async def _send(request: web.Request, response: web.WebSocketResponse, socket: Socket) -> None:
    """Frames go out in their order until the socket is to be closed. Closing ends `_receive`, and so the handler."""
    while True:
        item = await socket.next()
        if isinstance(item, Close):
            if item.code is not None:
                await response.close(code=item.code)
            elif request.transport is not None:
                request.transport.abort()
            return
        try:
            await response.send_str(item)
        except ConnectionError:
            return


async def _beat(platform: Platform, socket: Socket) -> None:
    while True:
        await platform.clock.sleep(platform.rules.heartbeat)
        socket.send(_control("WebSocket Heartbeat"))


async def _receive(platform: Platform, channel: Channel, socket: Socket, response: web.WebSocketResponse) -> None:
    async for message in response:
        channel.used = platform.now()
        if message.type is WSMsgType.PING and not socket.stalled:
            await response.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            socket.send(_answer(platform, channel, message.data))


def _control(message: str) -> dict[str, Any]:
    return {"topicName": "channel.metadata", "eventBody": {"message": message}}


def _answer(platform: Platform, channel: Channel, text: str) -> dict[str, Any]:
    """What the platform says to one message of the client."""
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        return {"result": "400", "status": "error", "message": "The message is not a JSON object."}
    match message.get("message"):
        case "ping":
            return _control("pong")
        case "subscribe" | "unsubscribe" as verb:
            return _subscribed(platform, channel, verb, message)
        case other:
            return _with_id(message, {"result": "400", "status": "error", "message": f"The message {other!r} is not known."})


def _subscribed(platform: Platform, channel: Channel, verb: str, message: dict[str, Any]) -> dict[str, Any]:
    topics = message.get("topics")
    if not isinstance(topics, list) or not topics or not all(isinstance(topic, str) for topic in topics):
        return _with_id(message, {"result": "400", "status": "error", "message": "topics must be a list of topic ids."})
    if verb == "unsubscribe":
        channel.unsubscribe(topics)
        return _with_id(message, {"result": "200", "status": "unsubscribed", "topics": topics})
    if platform.hub.find(channel.id, platform.now()) is None:
        return _with_id(message, {"result": "404", "message": "The notification channel does not exist."})
    for topic in topics:
        refused = refusal(topic, channel.token.client.permissions)
        if refused is not None:
            return _with_id(message, {"result": str(refused.status), "status": "failure", "message": refused.message})
    if len({*channel.topics, *topics}) > platform.rules.max_topics:
        return _with_id(message, {"result": "400", "status": "failure", "message": "Too many subscriptions."})
    channel.subscribe(topics, replace=False)
    platform.hub.extend(channel, platform.now())
    return _with_id(message, {"result": "200", "status": "subscribed", "topics": topics})


def _with_id(message: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return answer | ({"correlationId": message["correlationId"]} if "correlationId" in message else {})
