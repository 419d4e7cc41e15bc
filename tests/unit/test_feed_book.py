"""How many channels may be made, and what of them a restarted process knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesys_sync.feed.book import CHANNELS_MOST, ChannelBook, Entry, digest
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

TOPICS = ("v2.a.b", "v2.c.d")


def entry(name: str, clock: FakeClock, *, life: float = 86_400, shard: int = 0) -> Entry:
    now = clock.epoch_ms()
    return Entry(
        id=name,
        shard=shard,
        made_ms=now,
        renew_ms=now + round(life * 800),
        expires_ms=now + round(life * 1000),
        uri=f"wss://streaming.example/{name}",
        topics=digest(TOPICS),
    )


async def filled(clock: FakeClock, *, life: float = 86_400) -> ChannelBook:
    book = ChannelBook(clock=clock, file=None)
    for number in range(CHANNELS_MOST):
        assert book.wait(shards=1) == 0
        await book.made(entry(f"c{number}", clock, life=life))
        await clock.advance(1)
    return book


async def test_no_more_than_ten_within_the_hour() -> None:
    clock = FakeClock()
    book = await filled(clock)

    assert book.wait(shards=1) == 3600 - CHANNELS_MOST
    assert book.wait(shards=2) == 0
    await clock.advance(3600 - CHANNELS_MOST)
    assert book.wait(shards=1) == 0


async def test_what_lives_no_longer_does_not_count() -> None:
    clock = FakeClock()
    book = await filled(clock, life=60)
    assert book.wait(shards=1) == 60 - CHANNELS_MOST

    await book.gone("c3")
    assert book.wait(shards=1) == 0


async def test_a_crash_loop_is_bounded_over_restarts(tmp_path: Path) -> None:
    clock = FakeClock()
    made = 0
    for _ in range(50):
        book = ChannelBook(clock=clock, file=tmp_path / "book")
        await book.open(reuse=False)
        if book.wait(shards=1) == 0:
            await book.made(entry(f"c{made}", clock))
            made += 1

    assert made == CHANNELS_MOST


async def test_the_channel_of_the_process_before_is_taken_up_for_the_same_topics_in_any_order(tmp_path: Path) -> None:
    clock = FakeClock()
    before = ChannelBook(clock=clock, file=tmp_path / "book")
    await before.made(entry("c", clock))

    book = ChannelBook(clock=clock, file=tmp_path / "book")
    await book.open(reuse=True)

    found = book.take_up(0, tuple(reversed(TOPICS)))
    assert found is not None
    assert found.uri == "wss://streaming.example/c"
    assert book.take_up(1, TOPICS) is None
    assert book.take_up(0, TOPICS[:1]) is None
    assert "streaming" not in repr(found)


@pytest.mark.parametrize("how", ["left", "renewal", "stale"])
async def test_a_channel_that_is_not_to_be_used_is_not_taken_up(tmp_path: Path, how: str) -> None:
    clock = FakeClock()
    before = ChannelBook(clock=clock, file=tmp_path / "book")
    await before.made(entry("c", clock, life=100))
    if how == "left":
        await before.left("c")
    if how == "renewal":
        await clock.advance(80)

    book = ChannelBook(clock=clock, file=tmp_path / "book")
    await book.open(reuse=how != "stale")

    assert book.take_up(0, TOPICS) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a":1}', b'[{"id":1}]', b'[{"id":"c","shard":"0"}]', b"\xff"])
async def test_a_book_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "book").write_bytes(content)
    book = ChannelBook(clock=FakeClock(), file=tmp_path / "book")

    await book.open(reuse=True)

    assert book.wait(shards=1) == 0
    assert book.take_up(0, TOPICS) is None


async def test_a_book_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    book = ChannelBook(clock=clock, file=tmp_path / "nowhere" / "book")

    await book.made(entry("c", clock))

    assert book.take_up(0, TOPICS) is not None


async def test_entries_of_the_future_are_passed_over(tmp_path: Path) -> None:
    clock = FakeClock()
    await clock.advance(100)
    await ChannelBook(clock=clock, file=tmp_path / "book").made(entry("c", clock))

    book = ChannelBook(clock=FakeClock(), file=tmp_path / "book")
    await book.open(reuse=True)

    assert book.take_up(0, TOPICS) is None


async def test_the_third_eviction_within_ten_minutes_bars_for_ten() -> None:
    clock = FakeClock()
    book = ChannelBook(clock=clock, file=None)
    assert not book.evicted_lately
    for _ in range(2):
        book.evicted()
        await clock.advance(200)
        assert book.wait(shards=1) == 0

    book.evicted()
    assert book.wait(shards=1) == 600
    await clock.advance(599)
    assert book.barred_for == 1
    await clock.advance(1)
    assert book.wait(shards=1) == 0
    assert not book.evicted_lately


async def test_evictions_far_apart_bar_nothing() -> None:
    clock = FakeClock()
    book = ChannelBook(clock=clock, file=None)
    for _ in range(5):
        book.evicted()
        assert book.evicted_lately
        assert book.wait(shards=1) == 0
        await clock.advance(301)
