"""What group commit is worth, how long an append waits at a steady rate, and what people's questions cost in a full ledger.

python -m benchmarks.ledger [--events N]

Trust the ratios more than the absolute numbers: they depend on the disk's fsync, the ratios much less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

from genesys_sync.clock import SystemClock
from genesys_sync.events import Event
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent

_START = datetime(2026, 8, 1, tzinfo=UTC)


def _event(number: int) -> RoutedEvent:
    event = Event.of(
        "recording.ready",
        occurred_at=_START + timedelta(seconds=number),
        organization_id="00000000-0000-4000-8000-000000000000",
        conversation_id=f"00000000-0000-4000-8000-{number:012x}",
        body={"media": "audio", "sessionId": None, "conversationEndedAt": "2026-08-01T12:00:00.000Z", "revision": 1},
    )
    return RoutedEvent(event, ("archive",))


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def _appends_a_second(ledger: Ledger, producers: int, each: int, first: int) -> float:
    async def produce(producer: int) -> None:
        for number in range(each):
            await ledger.append([_event(first + producer * each + number)])

    async def all_together() -> None:
        async with anyio.create_task_group() as tasks:
            for producer in range(producers):
                tasks.start_soon(produce, producer)

    return producers * each / await _seconds(all_together)


async def _waits_at(ledger: Ledger, rate: int, seconds: float, first: int) -> list[float]:
    """Milliseconds from the moment at which each append was due until it was durable."""
    waits: list[float] = []
    started = time.perf_counter()

    async def append(number: int, due: float) -> None:
        await ledger.append([_event(first + number)])
        waits.append((time.perf_counter() - due) * 1000)

    async with anyio.create_task_group() as tasks:
        for number in range(round(rate * seconds)):
            due = started + number / rate
            await anyio.sleep(max(0.0, due - time.perf_counter()))
            tasks.start_soon(append, number, due)
    return sorted(waits)


async def _work_off(ledger: Ledger, limit: int, clock: SystemClock) -> int:
    settled = 0
    while settled < limit:
        claims = await ledger.claim({"archive": 500}, worker="benchmark", now_ms=clock.epoch_ms(), lease_ms=60_000)
        if not claims:
            return settled
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(partial(ledger.settle, claim, Verdict(state=DeliveryState.DONE), now_ms=clock.epoch_ms()))
        settled += len(claims)
    return settled


async def _main(events: int) -> None:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        async with open_ledger(f"sqlite:///{folder}/ledger.db", clock=clock) as ledger:
            alone = await _appends_a_second(ledger, 1, 500, 0)
            print(f"a commit for each append      {alone:10,.0f} events/s")
            for producers in (8, 64, 500):
                together = await _appends_a_second(ledger, producers, 5_000 // producers, producers * 1_000_000)
                print(f"group commit, {producers:4} producers  {together:10,.0f} events/s   {together / alone:5.1f} times")
            waits = await _waits_at(ledger, 1_000, 5, 2_000_000_000)
            p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
            print(f"append at 1,000 a second      p50 {p50:.1f} ms   p99 {p99:.1f} ms   longest {waits[-1]:.1f} ms")

            for first in range(0, events, 1_000):
                await ledger.append([_event(3_000_000_000 + number) for number in range(first, min(first + 1_000, events))])
            seconds = await _seconds(partial(_work_off, ledger, 20_000, clock))
            print(f"claim and settle, 500 free    {20_000 / seconds:10,.0f} deliveries/s")
            held = sum((await ledger.counts(now_ms=clock.epoch_ms())).events.values())
            for name, ask in (
                ("counts", partial(ledger.counts, now_ms=clock.epoch_ms())),
                ("find by conversation", partial(ledger.find, _event(3_000_000_007).event.conversation_id or "")),
                ("find by event", partial(ledger.find, _event(3_000_000_007).event.id)),
            ):
                print(f"{name:28}  {statistics.median([await _seconds(ask) for _ in range(5)]) * 1000:10.2f} ms among {held:,} events")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="how many events fill the ledger before it is questioned")
    anyio.run(_main, parser.parse_args().events)


if __name__ == "__main__":
    main()
