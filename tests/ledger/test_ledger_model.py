"""Any sequence of operations, held against a small model: no delivery is lost, none is leased twice, fences only grow."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Claim, DeliveryState, Ledger, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

HANDLERS = ("archive", "verify", "webhook")
LEASE_MS = 10_000
MAX_CRASHES = 2
LIVING = (DeliveryState.READY, DeliveryState.LEASED)


@dataclass
class Expected:
    """What the model knows of one delivery."""

    state: DeliveryState
    due_ms: int
    attempts: int = 0
    snoozes: int = 0
    crashes: int = 0
    blame: int = 0
    fence: int = 0
    lease_until_ms: int = 0


def event(number: int, day: int = 1) -> Event:
    return Event.of(
        "recording.ready",
        occurred_at=datetime(2026, 8, 1, tzinfo=UTC),
        organization_id="o",
        conversation_id=f"c{number}",
        day=date(2026, 8, day),
    )


class LedgerAgainstModel(RuleBasedStateMachine):
    """`held` are all claims ever given, lost ones too: whoever held one may come back with it at any time."""

    @initialize()
    def open(self) -> None:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.portal = self.stack.enter_context(start_blocking_portal())
        self.url = f"sqlite:///{folder}/ledger.db"
        self.clock = FakeClock()
        self.model: dict[tuple[str, str], Expected] = {}
        self.held: list[Claim] = []
        self.parked: set[str] = set()
        self.events: set[str] = set()
        self.reopen()

    def reopen(self) -> None:
        self.inner = ExitStack()
        self.ledger: Ledger = self.inner.enter_context(self.portal.wrap_async_context_manager(open_ledger(self.url, clock=self.clock)))

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.inner.close()
            self.stack.close()

    @property
    def now(self) -> int:
        return self.clock.epoch_ms()

    def call(self, method: Any, *args: Any, **named: Any) -> Any:
        return self.portal.call(lambda: method(*args, **named))

    def record(self, routed: RoutedEvent) -> bool:
        if routed.event.id in self.events:
            return False
        self.events.add(routed.event.id)
        for handler in routed.handlers:
            self.model[routed.event.id, handler] = Expected(DeliveryState.READY, self.now)
        return True

    def holder(self, claim: Claim) -> Expected | None:
        """The model's delivery when this claim still holds its lease."""
        expected = self.model[claim.event.id, claim.handler]
        return expected if expected.state is DeliveryState.LEASED and expected.fence == claim.fence else None

    @rule(
        numbers=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 2)), max_size=4),
        handlers=st.lists(st.sampled_from(HANDLERS), max_size=3, unique=True),
    )
    def append(self, numbers: list[tuple[int, int]], handlers: list[str]) -> None:
        routed = [RoutedEvent(event(number, day), tuple(handlers)) for number, day in numbers]
        new = sum([self.record(one) for one in routed])
        assert self.call(self.ledger.append, routed).recorded == new

    @rule(free=st.dictionaries(st.sampled_from(HANDLERS), st.integers(0, 3)))
    def claim(self, free: dict[str, int]) -> None:
        claims = self.call(self.ledger.claim, free, worker="w", now_ms=self.now, lease_ms=LEASE_MS)
        for handler, places in free.items():
            due = sorted(
                expected.due_ms
                for (_, name), expected in self.model.items()
                if name == handler and expected.state is DeliveryState.READY and expected.due_ms <= self.now
            )
            given = [claim for claim in claims if claim.handler == handler]
            wanted = [] if handler in self.parked else due[:places]
            assert [self.model[claim.event.id, handler].due_ms for claim in given] == wanted
        for claim in claims:
            expected = self.model[claim.event.id, claim.handler]
            assert expected.state is DeliveryState.READY, "leased twice"
            assert claim.fence > expected.fence
            assert (claim.attempts, claim.snoozes) == (expected.attempts, expected.snoozes)
            expected.state, expected.fence, expected.lease_until_ms = DeliveryState.LEASED, claim.fence, self.now + LEASE_MS
        self.held += claims

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        state=st.sampled_from([DeliveryState.READY, DeliveryState.DONE, DeliveryState.SKIPPED, DeliveryState.DEAD]),
        counted=st.booleans(),
        snoozed=st.booleans(),
        delay_ms=st.integers(0, 30_000),
        park=st.booleans(),
        emitted=st.none() | st.integers(20, 30),
    )
    def settle(self, data: Any, state: DeliveryState, counted: bool, snoozed: bool, delay_ms: int, park: bool, emitted: int | None) -> None:
        claim = data.draw(st.sampled_from(self.held))
        verdict = Verdict(
            state=state,
            counted=counted,
            snoozed=snoozed,
            due_ms=self.now + delay_ms,
            reason=ReasonCode.HANDLER_FAILED if state is DeliveryState.DEAD else None,
            park="gone" if park and state is DeliveryState.READY else None,
        )
        derived = [] if emitted is None else [RoutedEvent(event(emitted), ("verify",))]
        expected = self.holder(claim)
        assert self.call(self.ledger.settle, claim, verdict, now_ms=self.now, emitted=derived) == (expected is not None)
        if expected is not None:
            expected.state = state
            expected.attempts += counted
            expected.snoozes += snoozed
            expected.crashes = expected.blame = 0
            if state is DeliveryState.READY:
                expected.due_ms = verdict.due_ms
            if verdict.park:
                self.parked.add(claim.handler)
            for one in derived:
                self.record(one)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        claims = data.draw(st.lists(st.sampled_from(self.held), max_size=3, unique_by=id))
        self.call(self.ledger.release, claims, now_ms=self.now)
        for claim in claims:
            if (expected := self.holder(claim)) is not None:
                expected.state, expected.due_ms = DeliveryState.READY, self.now

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: Any) -> None:
        claims = data.draw(st.lists(st.sampled_from(self.held), max_size=3, unique_by=id))
        renewed = self.call(self.ledger.renew, claims, now_ms=self.now, lease_ms=LEASE_MS)
        holding = [claim for claim in claims if self.holder(claim) is not None]
        assert [(claim.delivery_id, claim.fence) for claim in renewed] == [(claim.delivery_id, claim.fence) for claim in holding]
        for claim in holding:
            self.model[claim.event.id, claim.handler].lease_until_ms = self.now + LEASE_MS

    @rule(seconds=st.integers(1, 15))
    def time_passes_and_leases_expire(self, seconds: int) -> None:
        self.portal.call(self.clock.advance, seconds)
        returned = self.call(self.ledger.return_expired, now_ms=self.now, max_crashes=MAX_CRASHES, announce=lambda _: ())
        expired = {key: one for key, one in self.model.items() if one.state is DeliveryState.LEASED and one.lease_until_ms <= self.now}
        assert {(record.event.id, record.handler) for record in returned} == set(expired)
        told = {(record.event.id, record.handler): record for record in returned}
        for key, expected in expired.items():
            expected.attempts += 1
            expected.crashes += 1
            expected.blame += 1000 // len(expired)
            expected.state = DeliveryState.READY if expected.blame < 1000 * MAX_CRASHES else DeliveryState.DEAD
            if expected.state is DeliveryState.READY:
                apart = told[key].due_ms - self.now
                assert 0 < apart <= 30_000 if expected.crashes > 1 else apart >= 0
                expected.due_ms = told[key].due_ms

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        claim = data.draw(st.sampled_from(self.held))
        expected = self.model[claim.event.id, claim.handler]
        dead = expected.state is DeliveryState.DEAD
        assert self.call(self.ledger.replay, [claim.delivery_id], now_ms=self.now) == int(dead)
        if dead:
            self.model[claim.event.id, claim.handler] = Expected(DeliveryState.READY, self.now, fence=expected.fence)

    @rule(handler=st.sampled_from(HANDLERS))
    def resume(self, handler: str) -> None:
        assert self.call(self.ledger.resume, handler, now_ms=self.now) == (handler in self.parked)
        if handler in self.parked:
            self.parked.remove(handler)
            for (_, name), expected in self.model.items():
                if name == handler and expected.state is DeliveryState.READY:
                    expected.due_ms = min(expected.due_ms, self.now)

    @rule(handler=st.sampled_from(HANDLERS))
    def a_handler_is_new(self, handler: str) -> None:
        missing = [identity for identity in self.events if (identity, handler) not in self.model]
        assert self.call(self.ledger.add_deliveries, handler, ["recording.*"], since_ms=0, now_ms=self.now) == len(missing)
        for identity in missing:
            self.model[identity, handler] = Expected(DeliveryState.READY, self.now)

    @rule()
    def close_and_open(self) -> None:
        self.inner.close()
        self.reopen()

    @invariant()
    def everything_is_where_the_model_has_it(self) -> None:
        if not hasattr(self, "model"):
            return
        counts = self.call(self.ledger.counts, now_ms=self.now)
        assert sum(counts.events.values()) == len(self.events)
        assert set(counts.parked) == self.parked
        states: dict[tuple[str, DeliveryState], int] = {}
        for (_, handler), expected in self.model.items():
            states[handler, expected.state] = states.get((handler, expected.state), 0) + 1
        told = {(handler, state): number for handler, by_state in counts.deliveries.items() for state, number in by_state.items()}
        assert told == states
        due = [one.due_ms for (_, name), one in self.model.items() if one.state is DeliveryState.READY and name not in self.parked]
        assert self.call(self.ledger.next_due, HANDLERS) == min(due, default=None)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def find(self, data: Any) -> None:
        identity = data.draw(st.sampled_from(sorted(self.events)))
        for record in self.call(self.ledger.find, identity):
            expected = self.model[identity, record.handler]
            assert (record.state, record.attempts, record.snoozes) == (expected.state, expected.attempts, expected.snoozes)
            assert record.state not in LIVING or record.due_ms == expected.due_ms


TestLedgerAgainstModel = LedgerAgainstModel.TestCase
TestLedgerAgainstModel.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
