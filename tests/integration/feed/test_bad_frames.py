"""Frames of docs/specs/bad-input.md, B01 to B11, sent by a real WebSocket server: each has its code, and nothing is lost by it."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

pytestmark = pytest.mark.anyio

Stage = Any
"""As tests/integration/feed/conftest.py makes it."""
Staged = Callable[..., Any]
QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER = "bbbbbbbb-1111-4222-8333-444444444444"
FORGED = "2026-08-01T12:00:00Z audit: deleted"


def counted(stage: Stage, kind: str) -> float:
    return float(stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", {"kind": kind}) or 0)


def event(body: str, *, topic: str = f"v2.routing.queues.{QUEUE}.conversations") -> bytes:
    return b'{"topicName":"%s","version":"2","eventBody":%s}' % (topic.encode(), body.encode())


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "frames").glob("*.frame"))


async def told(stage: Stage, code: str, data: bytes, tmp_path: Path) -> None:
    """The frame is counted under its code and kept as it was, for its owner alone; the connection goes on and the next frame counts."""
    await stage.live()
    await stage.notifications.open[0].send(data, text=True)
    await stage.until(lambda: counted(stage, code.lower()) == 1 and len(kept(tmp_path)) == 1)
    (file,) = kept(tmp_path)
    assert file.name.startswith(code)
    assert file.read_bytes() == data[: 64 << 10]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    await stage.notifications.send(stage.topic, stage.snapshot())
    await stage.until(lambda: counted(stage, "snapshot") == 1)
    assert len(stage.notifications.paths) == 1


async def closes(stage: Stage, cause: str, close_code: int) -> None:
    """The connection was closed with this code and taken up again, and what was missed meanwhile is a gap."""
    await stage.until(lambda: len(stage.notifications.paths) == 2)
    await stage.live()
    assert stage.notifications.closed == [close_code]
    assert (await stage.gaps())[-1].cause == cause


async def test_b01_bytes_that_are_not_utf8_close_with_1007_and_reconnect(staged: Staged, tmp_path: Path) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.notifications.open[0].send(b"\xff\xfe", text=True)
        await closes(stage, "frame_not_utf8", 1007)
        await stage.until(lambda: [file.read_bytes() for file in kept(tmp_path)] == [b"\xff\xfe"])
        assert counted(stage, "frame_not_utf8") == 1


@pytest.mark.parametrize("data", [b"", b'{"a":', b"\xef\xbb\xbf{}", b"{}{}"])
async def test_b02_what_is_no_json_is_counted_and_the_connection_kept(
    staged: Staged, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with staged() as stage:
        await told(stage, "FRAME_NOT_JSON", data, tmp_path)
    assert capsys.readouterr().out.count("FRAME_NOT_JSON") == 1


async def test_b02_utf_16_is_not_utf_8(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.notifications.open[0].send('{"topicName":"x"}'.encode("utf-16-le"), text=True)
        await closes(stage, "frame_not_utf8", 1007)


@pytest.mark.parametrize(("data", "got"), [(b"null", "nothing"), (b"7", "int"), (b'"x"', "str"), (b"[]", "list")])
async def test_b03_what_is_no_object_says_what_it_is(
    staged: Staged, tmp_path: Path, data: bytes, got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with staged() as stage:
        await told(stage, "FRAME_NOT_OBJECT", data, tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "FRAME_NOT_OBJECT" in line]
    assert got in line
    assert "an object" in line


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "9" * 5000])
async def test_b05_numbers_that_json_does_not_have(staged: Staged, tmp_path: Path, number: str) -> None:
    async with staged() as stage:
        await told(stage, "FRAME_BAD_NUMBER", event(f'{{"n":{number}}}'), tmp_path)


async def test_b06_a_key_that_stands_twice_is_named(staged: Staged, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with staged() as stage:
        await told(stage, "FRAME_DUPLICATE_KEY", event('{"id":"A","id":"B"}'), tmp_path)
        assert (await stage.ledger.counts(now_ms=0)).events.get("platform.unknown", 0) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "FRAME_DUPLICATE_KEY" in line]
    assert "key=id" in line


async def test_b08_a_frame_beyond_the_limit_reconnects_and_the_time_is_looked_up(
    staged: Staged, capsys: pytest.CaptureFixture[str]
) -> None:
    async with staged() as stage:
        await stage.live()
        await stage.notifications.open[0].send("x" * ((1 << 20) + 1))
        await closes(stage, "frame_too_big", 1009)
    assert "FRAME_TOO_BIG: 1,048,577 bytes" in capsys.readouterr().out, "the size to which feed.frame_limit is to be raised"


async def test_b08_nothing_is_inflated(staged: Staged) -> None:
    """Compression is not offered, so ten kilobytes stay ten kilobytes; sent as they are, they are no UTF-8."""
    bomb = zlib.compress(bytes(10 << 20), 9)
    async with staged() as stage:
        await stage.live()
        assert stage.notifications.open[0].protocol.extensions == []
        await stage.notifications.open[0].send(bomb, text=True)
        await closes(stage, "frame_not_utf8", 1007)


@pytest.mark.parametrize("body", ["null", "[]", "7"])
async def test_b09_a_known_topic_of_unknown_shape_is_recorded_and_counted(staged: Staged, tmp_path: Path, body: str) -> None:
    async with staged() as stage:
        await told(stage, "EVENT_UNKNOWN_SHAPE", event(body), tmp_path)
        await stage.until(lambda: stage.ledger.appended == 2)
        assert (await stage.ledger.counts(now_ms=0)).events == {"platform.unknown": 1, "conversation.ended": 1}


async def test_b09_a_version_and_a_state_that_nobody_knows_are_read_for_what_they_say(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()
        body = stage.snapshot() | {"newThing": {"a": 1}}
        body["participants"][0]["calls"][0]["state"] = "teleported"
        await stage.notifications.open[0].send(orjson.dumps({"topicName": stage.topic, "version": 99, "eventBody": body}).decode())
        await stage.until(lambda: stage.ledger.appended == 1)


@pytest.mark.parametrize("moment", [None, "2026-08-01T11:59:00", "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "2026-02-30T00:00:00Z"])
async def test_b10_of_a_time_that_cannot_be_the_receive_time_is_used(staged: Staged, moment: str | None) -> None:
    async with staged() as stage:
        await stage.live()
        body = stage.snapshot()
        body["participants"][0]["endTime"] = moment
        await stage.notifications.send(stage.topic, body)
        await stage.until(lambda: stage.ledger.appended == 1)
        (recorded,) = await stage.events()
        assert recorded.occurred_at == stage.clock.now()


@pytest.mark.parametrize("name", ["\r\n" + FORGED, "\x1b[31m" + FORGED, "\u2028" + FORGED, "x" * 900_000 + FORGED])
async def test_b11_a_name_forges_no_line_of_the_log(staged: Staged, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with staged() as stage:
        await stage.live()
        capsys.readouterr()
        await stage.notifications.send(f"v2.users.{QUEUE}.{name[:300]}", {"name": name})
        await stage.until(lambda: stage.ledger.appended == 1)
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if "EVENT_UNKNOWN_SHAPE" in line]
    assert "EVENT_UNKNOWN_SHAPE" in line
    assert not any(part.startswith(FORGED[:10]) and "audit" in part and "EVENT" not in part for part in shown.splitlines())


async def test_unknown_topics_are_recorded_once_for_each_kind_without_their_content(staged: Staged) -> None:
    async with staged() as stage:
        await stage.live()

        for name in ("Erika", "Max"):
            await stage.notifications.send(f"v2.users.{QUEUE}.presence", {"name": name})
        await stage.notifications.send(f"v2.users.{OTHER}.presence", {"name": "Eva"})
        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.until(lambda: stage.ledger.appended == 2)

        counts = await stage.ledger.counts(now_ms=0)
        assert counts.events == {"platform.unknown": 1, "conversation.ended": 1}
        assert stage.metrics.registry.get_sample_value("genesys_sync_feed_frames_total", {"kind": "unknown_topic"}) == 3


async def test_a_handler_that_wants_unknown_frames_gets_each(staged: Staged) -> None:
    async with staged(handlers={"mine": ["platform.*"]}) as stage:
        await stage.live()

        for name in ("Erika", "Max"):
            await stage.notifications.send(f"v2.users.{QUEUE}.presence", {"name": name})

        await stage.until(lambda: stage.ledger.appended == 2)
