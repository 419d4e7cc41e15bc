"""Any bytes become a frame: a known kind, or a fault with its promised code."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genesys_sync.feed.frames import (
    PING,
    BadFrame,
    FaultCode,
    Frame,
    Heartbeat,
    NoLongerSubscribed,
    Pong,
    SocketClosing,
    SubscribeReply,
    SubscriptionNotice,
    TokenRevoked,
    TopicEvent,
    UnknownControl,
    kind_of,
    parse,
)

CHANNEL = "0f6ae3f2-5f6f-4d0e-8b2a-9a5c6a3f1e10"


@pytest.mark.parametrize(
    ("tree", "frame"),
    [
        ({"topicName": "channel.metadata", "eventBody": {"message": "WebSocket Heartbeat"}}, Heartbeat()),
        ({"topicName": "channel.metadata", "eventBody": {"message": "pong"}}, Pong()),
        ({"topicName": "channel.metadata", "eventBody": {"message": "greetings"}}, UnknownControl("channel.metadata")),
        ({"topicName": "channel.metadata"}, UnknownControl("channel.metadata")),
        ({"topicName": "v2.system.socket_closing", "eventBody": {}}, SocketClosing()),
        ({"topicName": "v2.system.socket_closing"}, SocketClosing()),
        (
            {"topicName": f"v2.system.no_longer_subscribed.{CHANNEL}", "eventBody": {"reason": "another_channel_subscribed"}},
            NoLongerSubscribed("another_channel_subscribed"),
        ),
        (
            {"topicName": f"v2.system.{CHANNEL}.{CHANNEL}", "eventBody": {"systemTopicType": "no_longer_subscribed", "reason": "new_word"}},
            NoLongerSubscribed("new_word"),
        ),
        ({"topicName": f"v2.system.token_revoked.{CHANNEL}", "eventBody": None}, TokenRevoked("")),
        ({"topicName": f"v2.system.{CHANNEL}.x", "eventBody": {"systemTopicType": "token_revoked"}}, TokenRevoked("")),
        ({"topicName": "v2.subscription.updated", "eventBody": {}}, SubscriptionNotice()),
        ({"topicName": f"v2.system.{CHANNEL}.x", "eventBody": {"systemTopicType": "subscription_changed"}}, SubscriptionNotice()),
        ({"topicName": "v2.system.weather", "eventBody": {"systemTopicType": "rain"}}, UnknownControl("v2.system.weather")),
        ({"result": "200", "status": "subscribed"}, SubscribeReply("200", "subscribed")),
        ({"result": 404, "message": "no"}, SubscribeReply("404", "")),
        ({"topicName": "v2.flows.x", "version": "2", "eventBody": {"a": 1}, "metadata": {}}, TopicEvent("v2.flows.x", "2", {"a": 1})),
        ({"topicName": "v2.flows.x", "version": 99, "eventBody": {}}, TopicEvent("v2.flows.x", "99", {})),
    ],
)
def test_each_kind_of_frame_is_recognised(tree: object, frame: Frame) -> None:
    assert parse(orjson.dumps(tree)) == frame


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xfe", FaultCode.FRAME_NOT_UTF8),
        (b'{"a":"\xff"}', FaultCode.FRAME_NOT_UTF8),
        ('{"topicName":"x"}'.encode("utf-16-le"), FaultCode.FRAME_NOT_UTF8),
        ('{"topicName":"x"}'.encode("utf-16"), FaultCode.FRAME_NOT_UTF8),
        ('{"topicName":"x"}'.encode("utf-32-be"), FaultCode.FRAME_NOT_UTF8),
        (b"", FaultCode.FRAME_NOT_JSON),
        (b'{"a":', FaultCode.FRAME_NOT_JSON),
        (b"\xef\xbb\xbf{}", FaultCode.FRAME_NOT_JSON),
        (b"{}{}", FaultCode.FRAME_NOT_JSON),
        (b"[" * 5000, FaultCode.FRAME_NOT_JSON),
        (b'{"a":"\\ud800"}', FaultCode.FRAME_NOT_JSON),
        (b"null", FaultCode.FRAME_NOT_OBJECT),
        (b"7", FaultCode.FRAME_NOT_OBJECT),
        (b'"x"', FaultCode.FRAME_NOT_OBJECT),
        (b"[]", FaultCode.FRAME_NOT_OBJECT),
        (b'{"a":NaN}', FaultCode.FRAME_BAD_NUMBER),
        (b'{"a":-Infinity}', FaultCode.FRAME_BAD_NUMBER),
        (b'{"a":1e400}', FaultCode.FRAME_BAD_NUMBER),
        (b'{"a":' + b"9" * 5000 + b"}", FaultCode.FRAME_BAD_NUMBER),
        (b'{"a":-' + b"9" * 3000 + b"}", FaultCode.FRAME_BAD_NUMBER),
        (b'{"id":"A","id":"B"}', FaultCode.FRAME_DUPLICATE_KEY),
        (b'{"a":{"b" : 1,"c":[{"b":1 ,\n"b":2}]}}', FaultCode.FRAME_DUPLICATE_KEY),
        (b'{"a":"\\u003a","b":1,"b":1}', FaultCode.FRAME_DUPLICATE_KEY),
        (b"{}", FaultCode.EVENT_UNKNOWN_SHAPE),
        (b'{"topicName":7,"eventBody":{}}', FaultCode.EVENT_UNKNOWN_SHAPE),
        (b'{"topicName":"v2.flows.x"}', FaultCode.EVENT_UNKNOWN_SHAPE),
        (b'{"topicName":"v2.flows.x","eventBody":null}', FaultCode.EVENT_UNKNOWN_SHAPE),
        (b'{"topicName":"v2.flows.x","eventBody":[1]}', FaultCode.EVENT_UNKNOWN_SHAPE),
    ],
)
def test_each_fault_has_its_own_code(data: bytes, code: FaultCode) -> None:
    frame = parse(data)

    assert isinstance(frame, BadFrame)
    assert frame.code is code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(body=st.dictionaries(st.text(max_size=4), JSON, min_size=1, max_size=4), ascii_only=st.booleans(), indent=st.none() | st.just(1))
def test_a_key_that_stands_twice_is_found_wherever_and_however_it_is_written(
    body: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    sound = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    key = json.dumps(next(iter(body)), ensure_ascii=True).replace(":", "\\u003a")
    for text, twice in ((sound, False), (f'{{{key}:":\\u003A:",{sound[1:]}', True)):
        frame = parse(f'{{"topicName":"v2.x","eventBody":[{text}]}}'.encode())
        assert isinstance(frame, BadFrame)
        assert (frame.code is FaultCode.FRAME_DUPLICATE_KEY) is twice


def test_a_frame_without_a_usable_body_still_tells_its_topic() -> None:
    frame = parse(b'{"topicName":"v2.flows.x","version":"3","eventBody":[]}')

    assert frame == BadFrame(FaultCode.EVENT_UNKNOWN_SHAPE, "eventBody list", "eventBody, an object", "v2.flows.x", "3")


def test_one_byte_more_than_the_limit_is_too_big_and_is_not_read() -> None:
    data = b'{"topicName":"channel.metadata","eventBody":{"message":"pong"}}'

    assert parse(data, limit=len(data)) == Pong()
    refused = parse(data, limit=len(data) - 1)
    assert isinstance(refused, BadFrame)
    assert refused.code is FaultCode.FRAME_TOO_BIG


def test_a_fault_tells_nothing_of_what_the_frame_said() -> None:
    frame = parse(b'{"eventBody":{"ani":"+4930123456"},"x":NaN}')

    assert isinstance(frame, BadFrame)
    assert "4930" not in repr(frame)


def test_our_ping_is_what_the_platform_answers() -> None:
    assert orjson.loads(PING) == {"message": "ping"}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_frames = st.fixed_dictionaries(
    {},
    optional={
        "topicName": _json | st.sampled_from(["channel.metadata", "v2.system.socket_closing", "v2.system.x.y", "v2.flows.x"]),
        "version": _json,
        "eventBody": _json,
        "result": _json,
        "status": _json,
    },
)


@given(st.binary(max_size=200))
@example(b"\x00")
@example(b"-")
@example(b"1" * 200)
def test_no_bytes_raise(data: bytes) -> None:
    assert kind_of(parse(data))


@given(_frames)
def test_no_tree_of_values_raises(tree: dict[str, object]) -> None:
    import json

    frame = parse(json.dumps(tree).encode())

    assert kind_of(frame)
    if isinstance(frame, TopicEvent):
        assert isinstance(frame.body, dict)
