"""Bytes from the socket to a typed frame. Pure: any bytes give a value, never an exception.

What cannot be read becomes a `BadFrame` with the code of its fault; what can be read but is not known to us stays as it is.
A bad frame tells of sizes and kinds only, because frames carry names, addresses and numbers of people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

PING: Final = '{"message":"ping"}'
"""What we send to be answered with a pong."""

CONTROL_TOPIC: Final = "channel.metadata"
SYSTEM_PREFIX: Final = "v2.system."
_TOPIC_LIMIT: Final = 400
_DIGITS_LIMIT: Final = 4000
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


class FaultCode(StrEnum):
    """What was wrong with a frame. The texts are promised: alerts are built on them."""

    FRAME_NOT_UTF8 = "FRAME_NOT_UTF8"
    FRAME_NOT_JSON = "FRAME_NOT_JSON"
    FRAME_NOT_OBJECT = "FRAME_NOT_OBJECT"
    FRAME_BAD_NUMBER = "FRAME_BAD_NUMBER"
    FRAME_DUPLICATE_KEY = "FRAME_DUPLICATE_KEY"
    FRAME_TOO_BIG = "FRAME_TOO_BIG"
    EVENT_UNKNOWN_SHAPE = "EVENT_UNKNOWN_SHAPE"
    EVENT_TIME_INVALID = "EVENT_TIME_INVALID"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The platform's sign of life, every 30 s."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to our ping."""


@dataclass(frozen=True, slots=True)
class SocketClosing:
    """Maintenance: the platform closes this socket in about a minute; the channel and its subscriptions live on."""


@dataclass(frozen=True, slots=True)
class NoLongerSubscribed:
    """Another connection or channel has taken over. `reason` is the platform's own word, kept verbatim."""

    reason: str


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """The token that made the channel is no longer good; the channel dies with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class SubscriptionNotice:
    """The set of subscriptions was changed, as a rule by ourselves."""


@dataclass(frozen=True, slots=True)
class SubscribeReply:
    """The answer to a subscribe sent over the socket itself; `result` is a status code as text, kept verbatim."""

    result: str
    status: str


@dataclass(frozen=True, slots=True)
class UnknownControl:
    """A control frame of a kind that we do not know: a sign of life, and nothing else."""

    topic: str


@dataclass(frozen=True, slots=True)
class TopicEvent:
    """Something happened on a subscribed topic. `body` is the platform's own object; `version` is empty when it was absent."""

    topic: str
    version: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that cannot be used. `got` holds kinds and sizes, never content; `topic` is set when it could be read."""

    code: FaultCode
    got: str
    want: str
    topic: str = ""
    version: str = ""


Frame = (
    Heartbeat
    | Pong
    | SocketClosing
    | NoLongerSubscribed
    | TokenRevoked
    | SubscriptionNotice
    | SubscribeReply
    | UnknownControl
    | TopicEvent
    | BadFrame
)

_KINDS: Final[Mapping[type[Any], str]] = {
    Heartbeat: "heartbeat",
    Pong: "pong",
    SocketClosing: "socket_closing",
    NoLongerSubscribed: "no_longer_subscribed",
    TokenRevoked: "token_revoked",
    SubscriptionNotice: "subscription_notice",
    SubscribeReply: "subscribe_reply",
    UnknownControl: "unknown_control",
    TopicEvent: "event",
}


def kind_of(frame: Frame) -> str:
    """The frame's kind as a metric label; a bad frame's is its code in lower case."""
    return frame.code.lower() if isinstance(frame, BadFrame) else _KINDS[type(frame)]


def parse(data: bytes, *, limit: int = 1 << 20) -> Frame:
    """The frame that these bytes are. Never raises; more than `limit` bytes are not looked at."""
    if len(data) > limit:
        return BadFrame(FaultCode.FRAME_TOO_BIG, f"{len(data)} bytes", f"at most {limit} bytes")
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _unreadable(data)
    if not isinstance(tree, dict):
        return BadFrame(FaultCode.FRAME_NOT_OBJECT, _kind_name(tree), "an object")
    if _lost_something(data, tree) and (key := _duplicate_key(data)) is not None:
        return BadFrame(FaultCode.FRAME_DUPLICATE_KEY, f"key={key}", "each key once in an object")
    return _classify(tree)


def _lost_something(data: bytes, tree: dict[str, Any]) -> bool:
    """True when a key may stand in an object twice: of two, the fast parser keeps the last and says nothing.

    Each pair has one colon, and strings keep theirs, so a pair that was dropped is missing when the tree is written again. A colon
    that was written as an escape could make up for it: such frames are looked at closely whatever the count says.
    """
    try:
        return b"\\u003" in data or data.count(b":") != orjson.dumps(tree).count(b":")
    except orjson.JSONEncodeError:  # nested more deeply than it writes
        return True


def _duplicate_key(data: bytes) -> str | None:
    """The first key that an object holds twice; its name is shown only where it is a plain word, as the platform's are."""
    try:
        json.loads(data, object_pairs_hook=_keys_once)
    except _DuplicateKey as error:
        return str(error) if _WORD.fullmatch(str(error)) else "(not a plain word)"
    except (ValueError, RecursionError):
        return None
    return None


def _classify(tree: dict[str, Any]) -> Frame:
    topic = tree.get("topicName")
    if not isinstance(topic, str) or not topic:
        if "result" in tree:
            return SubscribeReply(_text(tree["result"]), _text(tree.get("status")))
        return BadFrame(FaultCode.EVENT_UNKNOWN_SHAPE, f"topicName {_kind_name(topic)}", "topicName, a string")
    topic = topic[:_TOPIC_LIMIT]
    body = tree.get("eventBody")
    if topic == CONTROL_TOPIC:
        return _channel_metadata(topic, body)
    if topic.startswith(SYSTEM_PREFIX) or topic == "v2.subscription.updated":
        return _system(topic, body)
    version = _text(tree.get("version"))
    if not isinstance(body, dict):
        return BadFrame(FaultCode.EVENT_UNKNOWN_SHAPE, f"eventBody {_kind_name(body)}", "eventBody, an object", topic, version)
    return TopicEvent(topic, version, body)


def _channel_metadata(topic: str, body: object) -> Frame:
    message = body.get("message") if isinstance(body, dict) else None
    if message == "pong":
        return Pong()
    if isinstance(message, str) and "heartbeat" in message.lower():
        return Heartbeat()
    return UnknownControl(topic)


def _system(topic: str, body: object) -> Frame:
    """System topics name their kind in the topic, in `systemTopicType`, or in both."""
    fields = body if isinstance(body, dict) else {}
    kind = fields.get("systemTopicType")
    reason = _text(fields.get("reason"))
    name = topic.removeprefix(SYSTEM_PREFIX).partition(".")[0]
    if name == "socket_closing":
        return SocketClosing()
    if "no_longer_subscribed" in (name, kind):
        return NoLongerSubscribed(reason)
    if "token_revoked" in (name, kind):
        return TokenRevoked(reason)
    if kind == "subscription_changed" or topic == "v2.subscription.updated":
        return SubscriptionNotice()
    return UnknownControl(topic)


def _unreadable(data: bytes) -> BadFrame:
    """Say why the strict parser refused. Runs on refused frames only, so it may be slow."""
    size = f"{len(data)} bytes"
    if b"\0" in data[:4]:  # UTF-16 and UTF-32 of an object's beginning hold one; JSON text never does
        return BadFrame(FaultCode.FRAME_NOT_UTF8, size, "UTF-8 text")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return BadFrame(FaultCode.FRAME_NOT_UTF8, size, "UTF-8 text")
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short)
    except _BadNumber as error:
        return BadFrame(FaultCode.FRAME_BAD_NUMBER, str(error), "a finite number")
    except (ValueError, RecursionError):
        pass
    return BadFrame(FaultCode.FRAME_NOT_JSON, size, "one JSON object")


class _DuplicateKey(Exception):
    """An object holds this key twice."""


def _keys_once(pairs: list[tuple[str, Any]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise _DuplicateKey(key)
        keys.add(key)


class _BadNumber(Exception):
    """A number that JSON does not have, or that no double holds."""


def _refuse_constant(name: str) -> float:
    raise _BadNumber(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _BadNumber("a number beyond the range of doubles")
    return value


def _short(digits: str) -> int:
    if len(digits) > _DIGITS_LIMIT:
        raise _BadNumber(f"an integer of {len(digits)} digits")
    _finite(digits)
    return 0


def _text(value: object) -> str:
    if isinstance(value, str):
        return value[:_TOPIC_LIMIT]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _kind_name(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
