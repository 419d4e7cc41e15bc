"""Whatever is not authentic, new, and the answer to a request that we made, gets 401 with one body; and nobody's bytes raise anything.

`-m slow` plays 100,000 messages, the quick form 3,000; both from one seed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from base64 import b64decode

import anyio
import orjson
import pytest
from structlog.testing import capture_logs

from genesys_sync.standard_webhooks import parse_secret, signature

pytestmark = pytest.mark.anyio

SECRET = "whsec_YSBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyB0byBzaWdu"
KEYS = (parse_secret(SECRET),)
REFUSED = b'{"error":"refused"}'
PATH = "/callbacks/speech"


def message(key: str, *, job: str = "job_1", status: str = "completed") -> bytes:
    result = {"language": "en-US", "duration": 6.0, "text": "hello", "segments": []}
    return orjson.dumps(
        {"type": f"transcription.{status}", "data": {"id": job, "status": status, "idempotency_key": key, "result": result}}
    )


def headers_of(message_id: str, body: bytes, *, at: float | None = None, keys=KEYS) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    signed = signature(keys, message_id=message_id, timestamp=stamp, body=body)
    return {"webhook-id": message_id, "webhook-timestamp": str(stamp), "webhook-signature": signed}


def raw(
    body: bytes, headers: dict[str, str] | list[tuple[bytes, bytes]], *, start: bytes = b"POST " + PATH.encode() + b" HTTP/1.1"
) -> bytes:
    listed = list(headers.items()) if isinstance(headers, dict) else headers
    lines = [b"%b: %b" % tuple(one if isinstance(one, bytes) else one.encode("latin-1") for one in pair) for pair in listed]
    return b"\r\n".join([start, b"Host: x", *lines, b"Content-Length: %d" % len(body), b"", b""]) + body


async def sent(port: int, data: bytes) -> tuple[int, bytes]:
    """Status and body of what came back; (0, b"") when the connection was closed without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = await reader.read(1 << 16)
        while more := await reader.read(1 << 16):
            answer += more
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ", 2)[1]), body) if head.startswith(b"HTTP/") else (0, b"")


def port_of(here) -> int:
    return int(here.url.rpartition(":")[2])


async def test_the_authentic_one_is_taken_and_every_flaw_by_itself_is_refused(rig) -> None:
    async with rig(work=False) as here:
        event = await here.request()
        body, port = message(event.id), port_of(here)
        assert b64decode(SECRET.removeprefix("whsec_")) == KEYS[0]
        good = headers_of("msg_1", body)
        changed = body.replace(b"hello", b"hallo")
        stranger = (parse_secret("whsec_" + "A" * 40),)
        flaws = {
            "signature": (
                raw(body, headers_of("msg_2", body, keys=stranger)),
                raw(changed, good),
                raw(body, good | {"webhook-id": "msg_9"}),
            ),
            "timestamp": (raw(body, headers_of("m", body, at=time.time() - 301)), raw(body, headers_of("m", body, at=time.time() + 302))),
            "headers": (
                raw(body, {name: value for name, value in good.items() if name != "webhook-id"}),
                raw(body, [*((k.encode(), v.encode()) for k, v in good.items()), (b"webhook-id", b"msg_1")]),
                raw(body, good | {"webhook-timestamp": "١٢٣".encode().decode("latin-1")}),
                raw(body, good | {"webhook-signature": "v2," + "A" * 43 + "="}),
                raw(body, good | {"webhook-signature": " ".join(["v1," + "A" * 43 + "="] * 11)}),
            ),
            "body": (
                raw(b"[]", headers_of("m", b"[]")),
                raw(message(event.id, status="processing"), headers_of("m", message(event.id, status="processing"))),
            ),
            "unknown": (
                raw(message("0" * 32), headers_of("m", message("0" * 32))),
                raw(message("é" * 32), headers_of("m", message("é" * 32))),
            ),
        }
        for outcome, all_of_them in flaws.items():
            for data in all_of_them:
                assert await sent(port, data) == (401, REFUSED), (outcome, data)
            assert here.counted(outcome) == len(all_of_them)
        elsewhere = (
            raw(body, good, start=b"GET /callbacks/speech HTTP/1.1"),
            raw(body, good, start=b"POST /callbacks/asked HTTP/1.1"),  # a provider without a secret
            raw(body, good, start=b"POST / HTTP/1.1"),
            raw(body, good, start=b"POST speech HTTP/1.1"),
        )
        for data in elsewhere:
            assert await sent(port, data) == (401, REFUSED), data
        assert await here.events("transcription.answered") == []
        assert await sent(port, raw(body, good)) == (204, b"")
        (answered,) = await here.events("transcription.answered")
        assert (answered.body["request"], answered.body["answer"]["bytes"]) == (event.id, len(body))
        assert b"hello" not in orjson.dumps(answered.body)
        assert await sent(port, raw(body, good)) == (401, REFUSED)
        assert await sent(port, raw(body, headers_of("msg_1", body, at=time.time() - 5))) == (401, REFUSED)
        assert here.counted("replayed") == 2


async def test_an_id_that_was_taken_is_known_after_a_restart(rig) -> None:
    async with rig(work=False) as here:
        event = await here.request()
        body = message(event.id)
        headers = headers_of("msg_1", body)
        assert await sent(port_of(here), raw(body, headers)) == (204, b"")
    async with rig(work=False) as here:
        assert await sent(port_of(here), raw(body, headers)) == (401, REFUSED)
        assert here.counted("replayed") == 1


async def test_copies_that_arrive_at_once_are_taken_once(rig) -> None:
    async with rig(work=False) as here:
        event = await here.request()
        body = message(event.id)
        data, found = raw(body, headers_of("msg_1", body)), []

        async def send() -> None:
            found.append((await sent(port_of(here), data))[0])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(send)
        assert sorted(found) == [204, *[401] * 19]


async def test_what_cannot_be_kept_is_asked_for_again_and_taken_then(rig, monkeypatch) -> None:
    from genesys_sync.errors import StorageFull

    async with rig(work=False) as here:
        event = await here.request()
        body = message(event.id)
        data = raw(body, headers_of("msg_1", body))
        whole = type(here.storage).write

        async def full(*_: object) -> None:
            raise StorageFull("no space")

        monkeypatch.setattr(type(here.storage), "write", full)
        assert (await sent(port_of(here), data))[0] == 503
        monkeypatch.setattr(type(here.storage), "write", whole)
        assert await sent(port_of(here), data) == (204, b"")


async def test_long_bodies_are_not_read_and_broken_ones_do_no_harm(rig) -> None:
    async with rig(work=False, body_limit=1000) as here:
        body, port = b"x" * 1001, port_of(here)
        assert await sent(port, raw(body, headers_of("m", body))) == (401, REFUSED)
        packed = raw(
            b"\x1f\x8b\x08\x00garbage",
            [*((k.encode(), v.encode()) for k, v in headers_of("m", b"").items()), (b"Content-Encoding", b"gzip")],
        )
        assert await sent(port, packed) == (401, REFUSED)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw(b"", headers_of("m", b"")).replace(b"Content-Length: 0", b"Content-Length: 900") + b"half of i")
        writer.close()
        await writer.wait_closed()
        good = message((await here.request()).id)
        assert await sent(port, raw(good, headers_of("msg_1", good))) == (204, b"")


async def test_who_dawdles_is_cut_off(rig, monkeypatch) -> None:
    monkeypatch.setattr("genesys_sync.callbacks.LONGEST", 0.2)
    async with rig(work=False) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
        writer.write(b"POST /callbacks/speech HTTP/1.1\r\nHost: x\r\n")
        with anyio.fail_after(10):
            assert await reader.read() == b""
        writer.close()


async def test_a_body_that_trickles_is_answered_before_the_connection_is_cut_whoever_sends_it(rig, monkeypatch) -> None:
    monkeypatch.setattr("genesys_sync.callbacks.LONGEST", 5.0)
    monkeypatch.setattr("genesys_sync.callbacks.TO_ANSWER", 4.6)
    async with rig(work=False) as here:
        event = await here.request()
        body = message(event.id)
        for headers in (headers_of("msg_slow", body), headers_of("msg_slow", b"another body")):
            whole = raw(body, headers)
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
            writer.write(whole[: -len(body) // 2])
            with anyio.fail_after(4):
                answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert answer.endswith(b'{"error":"too slow"}')
        assert here.counted("slow") == 2
        assert await here.events("transcription.answered") == []
        assert await sent(port_of(here), raw(body, headers_of("msg_slow", body))) == (204, b""), "in one go the same message is taken"


class Hostile:
    """Messages that must be refused, from one seed."""

    def __init__(self, seed: int, key: str, taken: bytes) -> None:
        self._random = random.Random(seed)
        self._key, self._taken = key, taken
        self._kinds = (
            self._wrong_signature, self._old, self._changed, self._replayed, self._headers, self._headers, self._bytes, self._garbage,
            self._start, self._framing,
        )  # fmt: skip

    def next(self, number: int) -> bytes:
        return self._random.choice(self._kinds)(number)

    def _signed(self, number: int) -> tuple[bytes, dict[str, str]]:
        body = message(self._key, job=f"job_{number}")
        return body, headers_of(f"msg_{number}", body)

    def _wrong_signature(self, number: int) -> bytes:
        body, headers = self._signed(number)
        key = self._random.randbytes(self._random.choice((24, 32, 64)))
        return raw(body, headers_of(headers["webhook-id"], body, keys=(key,)))

    def _old(self, number: int) -> bytes:
        body = message(self._key)
        away = self._random.choice((-1, 1)) * self._random.uniform(310, 1e9)
        return raw(body, headers_of(f"msg_{number}", body, at=max(0.0, time.time() + away)))

    def _changed(self, number: int) -> bytes:
        body, headers = self._signed(number)
        place = self._random.randrange(len(body))
        altered = bytearray(body)
        altered[place] ^= 1 << self._random.randrange(8)
        if self._random.random() < 0.3:
            altered = bytearray(body[:place])
        return raw(bytes(altered), headers)

    def _replayed(self, number: int) -> bytes:
        return self._taken

    def _value(self) -> bytes:
        choices = (
            b"",
            b" ",
            b"v1,",
            b"v1,AAAA",
            b"-1",
            b"1e9",
            b"0x10",
            b"9" * 400,
            b"NaN",
            "١٢".encode(),
            b"\xff\xfe",
            b"a" * 8000,
            b"msg.1",
            b"v1 v1 v1,",
        )
        return self._random.choice((*choices, bytes(self._random.choice(range(33, 256)) for _ in range(self._random.randrange(1, 60)))))

    def _headers(self, number: int) -> bytes:
        body, headers = self._signed(number)
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        place = self._random.randrange(3)
        match self._random.randrange(4):
            case 0:
                del listed[place]
            case 1:
                listed[place] = (listed[place][0], self._value())
            case 2:
                listed.insert(self._random.randrange(4), (listed[place][0], self._value()))
            case _:
                listed[place] = (listed[place][0] + self._random.choice((b"x", b"-", b"_")), listed[place][1])
        return raw(body, listed)

    def _bytes(self, number: int) -> bytes:
        """Anything between the lines of a message, which is then one of these, or no HTTP at all."""
        body, headers = self._signed(number)
        data = bytearray(raw(body, headers | {"webhook-signature": "v1," + "A" * 43 + "="}))
        head = data.index(b"\r\n\r\n")
        for _ in range(self._random.randrange(1, 6)):
            data[self._random.randrange(head - 40)] = self._random.choice(range(33, 256))
        return bytes(data)

    def _garbage(self, number: int) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 300)).replace(b"\n", b"?") + b"\r\n\r\n"

    def _start(self, number: int) -> bytes:
        body, headers = self._signed(number)
        method = self._random.choice((b"GET", b"PUT", b"DELETE", b"OPTIONS", b"FOO", b"PO ST", b"\xc3", b"post"))
        target = self._random.choice(
            (
                b"/",
                b"/callbacks/",
                b"/callbacks/speech/",
                b"/callbacks/speech%00",
                b"//x/callbacks/speech",
                b"http://[",
                b"*",
                b"/" + b"a" * 9000,
            )
        )
        return raw(body, headers, start=b"%b %b HTTP/1.%d" % (method, target, self._random.randrange(2)))

    def _framing(self, number: int) -> bytes:
        body, headers = self._signed(number)
        lengths = tuple(b"Content-Length: " + length for length in (b"1", b"x", b"-5", b"+1"))
        encodings = (b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked")
        more = self._random.choice((*lengths, *encodings, b" folded: yes", b"no colon", b": empty"))
        wrong = headers | {"webhook-signature": "v1," + "A" * 43 + "="}
        return raw(body, wrong).replace(b"Host: x\r\n", b"Host: x\r\n" + more + b"\r\n", 1)


async def play(rig, count: int) -> float:
    """Plays so many hostile messages, sixteen at a time; returns how many a second."""
    async with rig(work=False) as here:
        event = await here.request()
        body, port = message(event.id), port_of(here)
        taken = raw(body, headers_of("msg_taken", body))
        assert await sent(port, taken) == (204, b"")
        hostile, answers, numbers = Hostile(20261121, event.id, taken), dict[tuple[int, bytes], int](), iter(range(count))
        began = time.monotonic()

        async def send() -> None:
            for number in numbers:
                data = hostile.next(number)
                answer = await sent(port, data)
                assert answer == (401, REFUSED), (number, answer, data[:400])
                answers[answer] = answers.get(answer, 0) + 1

        with capture_logs() as logs:
            async with anyio.create_task_group() as group:
                for _ in range(16):
                    group.start_soon(send)
        speed = count / (time.monotonic() - began)
        assert answers == {(401, REFUSED): count}
        assert {line["log_level"] for line in logs} <= {"debug"}
        assert len(await here.events("transcription.answered")) == 1
        good = message(event.id, job="another")
        assert await sent(port, raw(good, headers_of("msg_after", good))) == (204, b"")
    return speed


async def test_three_thousand_hostile_messages_are_refused_alike(rig) -> None:
    await play(rig, 3_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_hostile_messages_are_refused_alike(rig) -> None:
    speed = await play(rig, 100_000)
    sys.stderr.write(f"100,000 hostile messages: 401 with one body, no exception; {speed:.0f} a second\n")
