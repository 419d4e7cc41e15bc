"""Architect's flows: locks, versions, and operations that take their time. Nothing here waits; the clock decides what has happened."""

from __future__ import annotations

import random
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.scenario import Client, Scenario
from genesys_sync_simulator.scenario_acting import FlowRules

_NAME_IN_YAML: Final = re.compile(rb"^\s+name:\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a flow's lock: a user, or an OAuth client."""

    id: str
    name: str
    client: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Architect. It is over at `ends` (epoch seconds), well when there is no `error`."""

    id: str
    action: str
    begun: float
    ends: float
    client_id: str
    version: int
    error: str = ""

    def status(self, now: float) -> str:
        """The published `actionStatus`."""
        if now >= self.ends:
            return "FAILURE" if self.error else "SUCCESS"
        return "PENDING_GENERATION" if self.action == "PUBLISH" and now >= (self.begun + self.ends) / 2 else "STARTED"


@dataclass(slots=True, eq=False)
class Flow:
    """One flow. Versions are counted from 1; `published` is None when it is not in use."""

    id: str
    name: str
    rules: FlowRules
    description: str = ""
    checked_in: int = 1
    published: int | None = 1
    lock: Holder | None = None
    deleted: bool = False
    operations: list[Operation] = field(default_factory=list)
    settled: int = 0
    """How many of the operations have taken effect."""

    def running(self, now: float) -> Operation | None:
        """The operation that has begun and not ended."""
        return self.operations[-1] if self.operations and now < self.operations[-1].ends else None

    def settle(self, now: float) -> None:
        """Operations that are over have taken effect. Asked again, nothing changes."""
        for operation in self.operations[self.settled :]:
            if now < operation.ends:
                return
            self.settled += 1
            if not operation.error:
                self._take_effect(operation)

    def _take_effect(self, operation: Operation) -> None:
        if operation.action == "CHECKIN":
            self.checked_in, self.lock = operation.version, None
        elif operation.action == "PUBLISH":
            self.published = operation.version
            self.checked_in = max(self.checked_in, operation.version)


@dataclass(slots=True, eq=False)
class FlowJob:
    """A flow that comes as YAML."""

    id: str
    client: Client
    parcel: Parcel | None = None
    stored_at: float | None = None
    flow: Flow | None = None
    messages: list[str] = field(default_factory=list)

    def status(self, now: float, operation_time: float) -> str:
        """The published status of the job."""
        if self.stored_at is None:
            return "Registered"
        if now < self.stored_at + operation_time:
            return "Started"
        return "Failure" if self.messages else "Success"


@dataclass(slots=True)
class FlowShelf:
    """All flows by id, all jobs by id, and the state of dependency tracking."""

    scenario: Scenario
    tracking_until: float
    tracking_since: float
    flows: dict[str, Flow] = field(default_factory=dict)
    jobs: dict[str, FlowJob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(f"flows {self.scenario.seed}")
        for rules in self.scenario.architect.flows:
            flow_id, user_id = (str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
            lock = Holder(user_id, rules.locked_by, client=False) if rules.locked_by else None
            self.flows[flow_id] = Flow(flow_id, rules.name, rules, lock=lock, deleted=rules.deleted)

    def begin(self, flow: Flow, action: str, client: Client, now: float, version: int) -> Operation:
        """A new operation of this flow; whether it will fail is the scenario's choice."""
        rules = flow.rules
        error = (rules.message or "The flow has validation errors.") if action == "PUBLISH" and rules.outcome == "FAILURE" else ""
        ends = now + self.scenario.architect.operation_time
        operation = Operation(str(uuid.uuid4()), action, now, ends, client.id, version, error)
        flow.operations.append(operation)
        flow.settle(now)
        return operation

    def stored(self, job: FlowJob, now: float) -> None:
        """The job's YAML has come: the flow that it names is published as a new version, and made if it is not there."""
        job.stored_at, job.messages = now, []
        match = _NAME_IN_YAML.search(bytes(job.parcel.content)) if job.parcel is not None else None
        if match is None:
            job.messages.append("The file names no flow.")
            return
        name = match[1].decode(errors="replace")
        flow = next((one for one in self.flows.values() if one.name.lower() == name.lower() and not one.deleted), None)
        if flow is None:
            flow = Flow(str(uuid.uuid4()), name, FlowRules(name), checked_in=0, published=None)
            self.flows[flow.id] = flow
        job.flow = flow
        operation = self.begin(flow, "PUBLISH", job.client, now, flow.checked_in + 1)
        if operation.error:
            job.messages.append(operation.error)

    def listing(self, now: float) -> list[dict[str, Any]]:
        """Every flow as it stands, for the simulator's own page."""
        for flow in self.flows.values():
            flow.settle(now)
        return [
            {
                "id": flow.id,
                "name": flow.name,
                "uses": list(flow.rules.uses),
                "lockedBy": flow.lock.name if flow.lock else None,
                "checkedInVersion": flow.checked_in,
                "publishedVersion": flow.published,
                "operations": [f"{one.action} {one.status(now)}" for one in flow.operations],
            }
            for flow in self.flows.values()
        ]
