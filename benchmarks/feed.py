"""The burst of a 10,000-agent centre: every frame ends a conversation, and all must be durable at once while a handler stands still.

python -m benchmarks.feed [--rate 1062] [--seconds 20] [--frame 6144] [--stall 60]

A server process sends the frames at a steady rate over a real socket; here run the real feed, dispatcher and SQLite ledger. A frame's
time is taken where the server sends it, so the latency from there to durable includes the socket. Prints what was sent, what is in the
ledger, the latency, processor time for each frame and the peak resident memory of this process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
from websockets.asyncio.server import ServerConnection, serve

from genesys_sync import logs
from genesys_sync.clock import SystemClock
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.errors import LedgerError
from genesys_sync.events import Topic
from genesys_sync.feed.listener import Feed
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Ledger
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Delivery, Done, Event, Handler, Outcome, Policy
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.services import SecretUrl, Services
from genesys_sync.settings import DispatchSettings, FeedSettings, LogSettings

ORGANIZATION = "00000000-0000-4000-8000-000000000001"
QUEUE = "00000000-0000-4000-8000-000000000002"
TOPIC = f"v2.routing.queues.{QUEUE}.conversations"


# --- the other side


def _frame(number: int, size: int) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    person = {"purpose": "customer", "startTime": now, "connectedTime": now, "endTime": now, "state": "terminated", "calls": []}
    body = {"id": str(uuid.UUID(int=number, version=4)), "participants": [person | {"id": str(uuid.UUID(int=number))}], "attributes": ""}
    frame = {"topicName": TOPIC, "version": "2", "eventBody": body, "metadata": {"CorrelationId": ""}}
    body["attributes"] = "x" * max(0, size - len(json.dumps(frame)))
    return json.dumps(frame)


def serve_frames(rate: int, seconds: float, size: int, port: Any, sent: Any) -> None:
    """The server process: sends `rate * seconds` frames to whoever connects first, at an even pace."""

    async def send(connection: ServerConnection) -> None:
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            ahead = begun + number / rate - time.monotonic()
            if ahead > 0:
                await anyio.sleep(ahead)
            await connection.send(_frame(number + 1, size))
            sent.value = number + 1
        await connection.wait_closed()

    async def main() -> None:
        async with serve(send, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port.value = next(iter(server.sockets)).getsockname()[1]
            await anyio.sleep_forever()

    anyio.run(main)


@dataclass(frozen=True)
class _Channel:
    id: str
    connect_uri: SecretUrl
    expires: datetime | None = None


@dataclass(frozen=True)
class _Topic:
    id: str
    permitted: bool = True
    missing_permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Queue:
    id: str
    name: str


class _Platform:
    """The few REST answers that the feed needs; the socket is real."""

    organization_id = ORGANIZATION
    clock_offset = timedelta(0)

    def __init__(self, port: int) -> None:
        self._uri = SecretUrl(f"ws://127.0.0.1:{port}/channels/bench")
        self.channels = self.conversations = self.tokens = self

    async def queues(self) -> Sequence[_Queue]:
        return [_Queue(QUEUE, "all")]

    async def create(self) -> _Channel:
        return _Channel("bench", self._uri)

    async def subscribe(self, channel_id: str, topics: Sequence[str]) -> Sequence[_Topic]:
        return [_Topic(topic) for topic in topics]

    async def mine(self) -> Sequence[_Channel]:
        return []

    async def abandon(self, channel_id: str) -> None:
        return None

    async def requirements(self) -> Mapping[str, Sequence[str]]:
        return {}

    def invalidate(self) -> None:
        return None

    def refresh(self) -> None:
        return None

    ends_at = None

    async def ended_between(self, start: datetime, end: datetime, *, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        ended: Sequence[Mapping[str, Any]] = ()
        for record in ended:
            yield record


# --- this side


class Stalls(Handler[dict[str, Any]]):
    """Stands still on each event, as a handler does whose receiver hangs."""

    config_type = dict
    topics = (Topic.CONVERSATION_ENDED,)

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        await anyio.sleep(self.config["seconds"])
        return Done()


async def _measure(args: argparse.Namespace, port: int, sent: Any, folder: Path) -> None:
    clock, metrics = SystemClock(), Metrics()
    latencies: list[float] = []
    handler = LoadedHandler("stalls", Stalls("stalls", {"seconds": args.stall}), Stalls.topics, Policy(timeout=timedelta(hours=1)))
    router = Router({"stalls": Stalls.topics})
    async with open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock=clock, metrics=metrics) as ledger:
        _time_appends(ledger, latencies)
        none: Any = None  # this handler uses no service
        services = Services(
            clock=clock, genesys=none, media=none, storage=none, scratch=none, http=none, audit=none, actions=none, log=none
        )
        dispatcher = Dispatcher(
            ledger=ledger,
            handlers=[handler],
            router=router,
            services=services,
            clock=clock,
            metrics=metrics,
            settings=DispatchSettings(drain=timedelta(milliseconds=100)),
            worker="bench",
        )
        feed = Feed(platform=_Platform(port), ledger=ledger, router=router, clock=clock, settings=FeedSettings(), metrics=metrics)  # type: ignore[arg-type]  # its members are read-only properties there
        wanted = int(args.rate * args.seconds)
        begun, processor = time.monotonic(), time.process_time()
        async with anyio.create_task_group() as tasks:
            await tasks.start(dispatcher.run)
            tasks.start_soon(feed.run)
            while len(latencies) < wanted and time.monotonic() - begun < args.seconds * 2 + 30:
                await anyio.sleep(0.2)
            spent = time.process_time() - processor
            tasks.cancel_scope.cancel()
        held = (await ledger.counts(now_ms=clock.epoch_ms())).events.get(Topic.CONVERSATION_ENDED, 0)
    _print(args, sent.value, held, sorted(latencies), spent)


def _time_appends(ledger: Ledger, latencies: list[float]) -> None:
    append = ledger.append

    async def timed(events: Sequence[RoutedEvent], *, watermark: tuple[str, int] | None = None) -> Any:
        done = await append(events, watermark=watermark)
        now = datetime.now(UTC)
        latencies.extend((now - routed.event.occurred_at).total_seconds() * 1000 for routed in events)
        return done

    ledger.append = timed  # type: ignore[method-assign]  # timed from outside: the feed keeps the ledger that it was given


def _print(args: argparse.Namespace, sent: int, held: int, latencies: Sequence[float], spent: float) -> None:
    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"frames of {args.frame} B at {args.rate}/s for {args.seconds:.0f} s, a handler standing still for {args.stall:.0f} s")
    print(f"  sent {sent}, in the ledger {held}, missing {sent - held}")
    print(f"  sent to durable: p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, worst {at(1.0):.1f} ms")
    print(f"  {1e6 * spent / max(1, held):.0f} us of processor time a frame, {100 * spent / args.seconds:.0f} % of a core")
    print(f"  peak resident memory {peak:.0f} MiB")


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1062)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--frame", type=int, default=6144)
    parser.add_argument("--stall", type=float, default=60)
    args = parser.parse_args(argv)
    context = multiprocessing.get_context("spawn")
    port, sent = context.Value("i", 0), context.Value("q", 0)
    server = context.Process(target=serve_frames, args=(args.rate, args.seconds, args.frame, port, sent), daemon=True)
    server.start()
    logs.configure(LogSettings(level="error"))
    while port.value == 0:
        time.sleep(0.05)
    with tempfile.TemporaryDirectory() as folder:
        try:
            anyio.run(_measure, args, port.value, sent, Path(folder), backend_options={"use_uvloop": True})
        except* LedgerError as errors:
            raise SystemExit(f"the ledger gave up: {errors.exceptions[0]}") from None
        finally:
            server.terminate()


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
