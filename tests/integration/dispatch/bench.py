"""The dispatcher's bench: a real ledger, a clock that the test moves, and handlers that do what the test says."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.registry import LoadedHandler, topics_by_handler
from genesys_sync.events import Event
from genesys_sync.ledger.base import DeliveryState, Ledger
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Delivery, Done, Handler, Outcome, Policy, Services
from genesys_sync.routing import Router
from genesys_sync.settings import DispatchSettings
from genesys_sync.testing import FakeClock, make_event

Does = Callable[[Event, Delivery], Awaitable[Outcome]]
SETTINGS = DispatchSettings(max_crashes=3)
LEASE_MS = 60_000


class Scripted(Handler[None]):
    """Does what the test gives it, and remembers who opened and closed it."""

    config_type = type(None)

    def __init__(self, name: str, does: Does, *, opening: Exception | None = None) -> None:
        super().__init__(name, None)
        self.does = does
        self.opening = opening
        self.life: list[str] = []

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        if self.opening is not None:
            raise self.opening
        self.life.append("opened")
        try:
            yield
        finally:
            self.life.append("closed")

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        self.life.append("handled")
        return await self.does(event, delivery)


@dataclass
class Bench:
    """A ledger, a clock, and dispatchers made over them."""

    clock: FakeClock
    ledger: Ledger
    services: Services
    metrics: Metrics = field(default_factory=Metrics)

    def loaded(self, name: str, does: Does, topics=("a.happened",), *, opening=None, **policy) -> LoadedHandler:
        return LoadedHandler(name, Scripted(name, does, opening=opening), tuple(topics), Policy(**policy))

    def dispatcher(self, *handlers: LoadedHandler) -> Dispatcher:
        return Dispatcher(
            ledger=self.ledger,
            handlers=handlers,
            router=Router(topics_by_handler(handlers)),
            services=self.services,
            clock=self.clock,
            metrics=self.metrics,
            settings=SETTINGS,
            worker="test:1",
            random=lambda: 1.0,
        )

    @asynccontextmanager
    async def working(self, *handlers: LoadedHandler) -> AsyncGenerator[Dispatcher]:
        """A dispatcher at work; drained at the end."""
        dispatcher = self.dispatcher(*handlers)
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            yield dispatcher
            await dispatcher.drain()

    async def record(self, *handlers: LoadedHandler, number: int = 1, topic: str = "a.happened") -> list[Event]:
        events = [make_event(topic, state=str(n)) for n in range(number)]
        await self.ledger.append(Router(topics_by_handler(handlers)).route(events))
        return events

    async def until(self, fact: Callable[[], Awaitable[bool]], *, step: float = 0.0) -> None:
        """Wait for a fact; with a step, time passes meanwhile, but never faster than the ledger writes: a ping has its turn after
        everything that was submitted before it."""
        with anyio.fail_after(60):
            while not await fact():
                await self.clock.advance(0)
                await self.ledger.ping()
                await self.clock.advance(step)

    async def states(self, handler: str) -> dict[DeliveryState, int]:
        counts = await self.ledger.counts(now_ms=self.clock.epoch_ms())
        return {state: number for state, number in counts.deliveries.get(handler, {}).items() if number}

    async def until_states(self, handler: str, states: dict[DeliveryState, int], *, step: float = 0.0) -> None:
        async def reached() -> bool:
            return await self.states(handler) == states

        await self.until(reached, step=step)

    def outcomes(self, handler: str, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("genesys_sync_deliveries_total", {"handler": handler, "outcome": outcome}) or 0.0


async def done(event: Event, delivery: Delivery) -> Outcome:
    return Done()


async def forever(event: Event, delivery: Delivery) -> Outcome:
    await anyio.sleep_forever()
    raise AssertionError
