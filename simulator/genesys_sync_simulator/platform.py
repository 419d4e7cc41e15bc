"""The platform as one value: the world, what clients have made in it, and the clock. Every operation gets this and nothing else."""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from genesys_sync_simulator import snapshots
from genesys_sync_simulator.agenda import Agenda
from genesys_sync_simulator.analytics import DetailsJob
from genesys_sync_simulator.batch import Job
from genesys_sync_simulator.channels import Hub
from genesys_sync_simulator.clock import Clock
from genesys_sync_simulator.control import ControlRoom
from genesys_sync_simulator.digital.plan import with_digital
from genesys_sync_simulator.faults import FaultDesk
from genesys_sync_simulator.flows import FlowShelf
from genesys_sync_simulator.media import Key, MediaObject, MediaStore
from genesys_sync_simulator.oauth import Tokens
from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.plan import CallPlan, RecordingPlan, make
from genesys_sync_simulator.presign import Presigner
from genesys_sync_simulator.prompts import PromptShelf
from genesys_sync_simulator.scenario import Client, PlatformRules, Scenario
from genesys_sync_simulator.speech.plan import spoken
from genesys_sync_simulator.speech.state import SpeechState, initial
from genesys_sync_simulator.truth import TruthLog
from genesys_sync_simulator.uploads import UploadDesk
from genesys_sync_simulator.world import World

DEFAULT_CLIENT = Client("9b9c4d6e-5a43-4c55-9d0c-6f2f8a1d7e10", "simulator-secret")


@dataclass(slots=True)
class Window:
    """One client's requests in the current minute."""

    begun: float
    count: int = 0


@dataclass(slots=True)
class Platform:
    """Everything that one running simulator knows. `base_url` is set once it listens."""

    scenario: Scenario
    clock: Clock
    world: World
    tokens: Tokens
    hub: Hub
    truth: TruthLog
    faults: FaultDesk
    speech: SpeechState
    agenda: Agenda
    uploads: UploadDesk
    prompts: PromptShelf
    flows: FlowShelf
    parcels: dict[str, Parcel] = field(default_factory=dict)
    """Everything that may be put, by path."""
    control: ControlRoom = field(default_factory=ControlRoom)
    media: MediaStore = field(default_factory=MediaStore)
    presigner: Presigner = field(default_factory=Presigner)
    jobs: dict[str, Job] = field(default_factory=dict)
    details_jobs: dict[str, DetailsJob] = field(default_factory=dict)
    transcodes: dict[Key, float] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    socket_faults: list[str] = field(default_factory=list)
    base_url: str = ""
    played: bool = False
    """Every truth line of the scenario is written."""
    start_asked: anyio.Event = field(default_factory=anyio.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def rules(self) -> PlatformRules:
        return self.scenario.platform

    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.epoch_ms() / 1000

    def view(self, call: CallPlan, now: float) -> snapshots.View:
        """The call as it stands now."""
        return self.view_at(call, self.world.offset(now))

    def view_at(self, call: CallPlan, offset: float) -> snapshots.View:
        """The call as it stood at an offset."""
        assert self.world.started_at is not None
        directives, screen = self.control.of(call.id), self.scenario.control.screen
        return snapshots.View(self.world.plan, call.as_at(offset), offset, self.world.started_at, directives, screen)

    def publish(self, frames: Iterable[tuple[str, dict[str, Any]]]) -> int:
        """Sends notifications, topic and body each, to all who have them, under one trace id. Returns to how many sockets."""
        now, trace = self.now(), correlation_id()
        return sum(self.hub.publish(topic, body, trace, now) for topic, body in frames)

    async def object(self, recording: RecordingPlan, part: int = 0, kind: str | None = None) -> MediaObject:
        """A media object, made in a thread when it is not there yet."""
        return await to_thread.run_sync(self.media.get, recording, part, kind)

    def media_url(self, recording: RecordingPlan, part: int, kind: str, *, file_name: str = "") -> str:
        """A presigned address. The first one of a recording with the fault `expired_url_once` has expired already."""
        now, life = self.now(), self.rules.url_life
        if recording.fault == "expired_url_once" and self.faults.once("expired_url_once", recording.id):
            now -= life + 60
        return self.base_url + self.presigner.sign(f"/media/{Key(recording.id, part, kind).path}", now=now, life=life, file_name=file_name)


def assemble(scenario: Scenario, clock: Clock, *, truth_log: Path | None = None) -> Platform:
    """A platform that has not begun to play. Raises OSError when the truth log cannot be opened."""
    truth = TruthLog(clock, truth_log)
    faults = FaultDesk(scenario.faults, truth)
    begun = clock.epoch_ms() / 1000
    plan, transcripts = spoken(scenario, with_digital(scenario, make(scenario)))
    waiting = deque(plan.calls if scenario.calls.on_request else ())
    begins = replace(plan, calls=()) if waiting else plan
    return Platform(
        scenario=scenario,
        clock=clock,
        world=World(begins, waiting, restore_time=scenario.platform.restore_time),
        tokens=Tokens(scenario.clients or (DEFAULT_CLIENT,), scenario.platform.token_life),
        hub=Hub(scenario.platform),
        truth=truth,
        faults=faults,
        speech=initial(scenario, plan, transcripts),
        agenda=Agenda(clock),
        uploads=UploadDesk(scenario.uploads),
        prompts=PromptShelf(scenario, faults),
        flows=FlowShelf(scenario, begun + scenario.architect.tracking_time, begun),
    )


def encoded(body: Any) -> bytes:
    """A JSON body as the platform sends it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def correlation_id() -> str:
    """A fresh trace id, as the platform writes them."""
    return secrets.token_hex(16)
