"""Liveness and endings of one connection, decided without a socket."""

from __future__ import annotations

from datetime import timedelta

import pytest

from genesys_sync.errors import CredentialsRefused, PermanentError, ReasonCode, TransientError
from genesys_sync.feed.frames import (
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
)
from genesys_sync.feed.protocol import (
    Cause,
    ConnectionState,
    Ending,
    Next,
    Protocol,
    SendPing,
    close_ending,
    failure_ending,
    upgrade_ending,
)

Moves = list[tuple[ConnectionState, ConnectionState, str]]


def make(*, ping_every: float = 25, silence: float = 35, moves: Moves | None = None) -> Protocol:
    told: Moves = [] if moves is None else moves
    return Protocol(now=0.0, ping_every=ping_every, silence=silence, moved=lambda *move: told.append(move))


def test_quiet_is_answered_by_one_ping() -> None:
    protocol = make()

    assert protocol.tick(24.9) is None
    assert protocol.tick(25.0) == SendPing()
    assert protocol.tick(25.1) is None


def test_a_ping_unanswered_for_ten_seconds_ends_the_connection() -> None:
    protocol = make(silence=60)
    protocol.tick(25.0)

    assert protocol.tick(34.9) is None
    assert protocol.tick(35.0) == Ending(cause=Cause.PING_UNANSWERED)
    assert protocol.state is ConnectionState.ENDED


def test_silence_ends_the_connection_even_without_a_ping() -> None:
    protocol = make(ping_every=100)

    ending = protocol.tick(35.0)

    assert isinstance(ending, Ending)
    assert (ending.cause, ending.next) == (Cause.SILENT, Next.SAME_CHANNEL)


@pytest.mark.parametrize(
    "frame", [Pong(), Heartbeat(), TopicEvent("t", "", {}), UnknownControl("x"), BadFrame(FaultCode.FRAME_NOT_JSON, "", "")]
)
def test_every_frame_is_a_sign_of_life_and_answers_the_ping(frame: Frame) -> None:
    protocol = make()
    protocol.tick(25.0)

    assert protocol.received(frame, 30.0) is None
    assert protocol.state is ConnectionState.OPEN
    assert protocol.tick(54.9) is None
    assert protocol.tick(55.0) == SendPing()


@pytest.mark.parametrize(
    ("frame", "cause", "following"),
    [
        (NoLongerSubscribed("another_channel_subscribed"), Cause.NO_LONGER_SUBSCRIBED, Next.NEW_CHANNEL),
        (TokenRevoked("user_tokens_revoked"), Cause.TOKEN_REVOKED, Next.NEW_TOKEN),
        (BadFrame(FaultCode.FRAME_NOT_UTF8, "2 bytes", ""), Cause.FRAME_NOT_UTF8, Next.SAME_CHANNEL),
        (BadFrame(FaultCode.FRAME_TOO_BIG, "2 bytes", ""), Cause.FRAME_TOO_BIG, Next.SAME_CHANNEL),
    ],
)
def test_frames_that_end_a_connection(frame: Frame, cause: Cause, following: Next) -> None:
    ending = make().received(frame, 1.0)

    assert ending is not None
    assert (ending.cause, ending.next) == (cause, following)


@pytest.mark.parametrize("frame", [SubscriptionNotice(), SubscribeReply("404", ""), BadFrame(FaultCode.FRAME_NOT_JSON, "", "")])
def test_frames_that_do_not(frame: Frame) -> None:
    assert make().received(frame, 1.0) is None


def test_an_announced_close_is_read_on_and_told_as_announced_when_it_comes() -> None:
    protocol = make()

    assert protocol.received(SocketClosing(), 1.0) is None
    assert (protocol.closing, protocol.state) == (True, ConnectionState.OPEN)

    ending = protocol.end(close_ending(1001))
    assert (ending.cause, ending.next, ending.detail) == (Cause.SOCKET_CLOSING, Next.SAME_CHANNEL, "1001")


def test_an_announced_close_does_not_hide_a_refusal() -> None:
    protocol = make()
    protocol.received(SocketClosing(), 1.0)

    assert protocol.end(close_ending(4401)) == close_ending(4401)


def test_silence_while_we_do_not_read_says_nothing() -> None:
    protocol = make()
    protocol.hold()

    assert protocol.tick(500.0) is None
    protocol.release(500.0)
    assert protocol.tick(524.0) is None
    assert protocol.tick(525.0) == SendPing()


def test_a_held_connection_is_looked_at_often_so_that_release_is_noticed() -> None:
    protocol = make()
    protocol.hold()

    assert protocol.due(10.0) == 11.0


def test_what_has_ended_stays_ended_and_is_logged_once() -> None:
    moves: Moves = []
    protocol = make(moves=moves)

    protocol.end(Ending(cause=Cause.CLOSED))
    protocol.end(Ending(cause=Cause.SILENT))
    protocol.hold()

    assert protocol.tick(1000.0) is None
    assert moves == [(ConnectionState.OPEN, ConnectionState.ENDED, "closed")]


def test_due_is_never_later_than_the_next_thing_that_happens() -> None:
    protocol = make()
    now = 0.0
    for _ in range(3):
        now = protocol.due(now)
        action = protocol.tick(now)
        if action is not None:
            break

    assert (now, action) == (25.0, SendPing())
    assert protocol.due(now) == 35.0


@pytest.mark.parametrize(
    "code", [None, 1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1010, 1011, 1012, 1013, 1014, 1015, *range(4000, 4015)]
)
def test_ordinary_closes_try_the_same_channel_again(code: int | None) -> None:
    assert close_ending(code).next is Next.SAME_CHANNEL


@pytest.mark.parametrize("code", [1008, 3000, 4401, 4403])
def test_closes_that_speak_of_rights_renew_the_token_first(code: int) -> None:
    assert close_ending(code).next is Next.NEW_TOKEN


@pytest.mark.parametrize(
    ("status", "following"),
    [
        (401, Next.NEW_TOKEN),
        (404, Next.NEW_CHANNEL),
        (410, Next.NEW_CHANNEL),
        (429, Next.SAME_CHANNEL),
        (500, Next.SAME_CHANNEL),
        (503, Next.SAME_CHANNEL),
    ],
)
def test_a_refused_upgrade_says_what_comes_next(status: int, following: Next) -> None:
    ending = upgrade_ending(status, retry_after=7.0)

    assert (ending.next, ending.wait, ending.detail) == (following, 7.0, f"status {status}")


@pytest.mark.parametrize("status", [200, 302])
def test_an_answer_that_is_no_upgrade_is_an_invalid_handshake(status: int) -> None:
    ending = upgrade_ending(status, retry_after=0.0)

    assert (ending.cause, ending.next, ending.wait) == (Cause.HANDSHAKE_INVALID, Next.SAME_CHANNEL, 0.0)
    assert ending.detail == f"WS_HANDSHAKE_INVALID: status {status}"


def test_a_forbidden_upgrade_is_tried_again_after_five_minutes() -> None:
    assert upgrade_ending(403, retry_after=7.0).wait == 300.0
    assert upgrade_ending(403, retry_after=400.0).wait == 400.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CredentialsRefused("the client is not known"), (Cause.CREDENTIALS_REFUSED, Next.SAME_CHANNEL, 0.0)),
        (TransientError("busy", delay=timedelta(seconds=9)), (Cause.REQUEST_FAILED, Next.SAME_CHANNEL, 9.0)),
        (TransientError("away"), (Cause.REQUEST_FAILED, Next.SAME_CHANNEL, 0.0)),
        (PermanentError("gone", code=ReasonCode.NOT_FOUND), (Cause.CHANNEL_GONE, Next.NEW_CHANNEL, 0.0)),
        (PermanentError("who?", code=ReasonCode.UNAUTHORIZED), (Cause.REQUEST_REFUSED, Next.NEW_TOKEN, 0.0)),
        (PermanentError("no", code=ReasonCode.FORBIDDEN), (Cause.REQUEST_REFUSED, Next.SAME_CHANNEL, 300.0)),
    ],
)
def test_failed_requests_are_all_tried_again_at_their_own_pace(
    error: TransientError | PermanentError | CredentialsRefused, expected: tuple[Cause, Next, float]
) -> None:
    ending = failure_ending(error)

    assert (ending.cause, ending.next, ending.wait) == expected
