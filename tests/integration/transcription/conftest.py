"""Ledger, archive, dispatcher, the handler `transcribe`, the callback listener and the simulator's providers, over real sockets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from genesys_sync import outbound
from genesys_sync.actions import AuditedActions
from genesys_sync.callbacks import CallbackServer
from genesys_sync.clock import SystemClock
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.execution import DeliveryAudit, action_record
from genesys_sync.dispatch.providers import OpenProviders, load_providers
from genesys_sync.dispatch.registry import load_handlers
from genesys_sync.events import Event
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.services import Services, TranscriptionRequest
from genesys_sync.settings import HttpSettings, Settings
from genesys_sync.storage.local import LocalStorage
from genesys_sync.testing.fakes import FakeGenesys, FakeMedia
from genesys_sync.testing.samples import ORGANIZATION_ID
from genesys_sync_simulator.clock import SystemClock as ProvidersClock
from genesys_sync_simulator.media import MediaStore
from genesys_sync_simulator.plan import make
from genesys_sync_simulator.providers.desk import Desk
from genesys_sync_simulator.providers.server import assemble, running
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.speech.plan import spoken

KEY = "simulator-speech-key"
SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes to sign").decode()
DAY = date(2026, 8, 1)
CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
WORLD = {
    "calls": {"count": 1, "duration": ["6s", "6s"]},
    "recordings": {"formats": ["WAV"], "channels": [2]},
    "transcripts": {"planted": {"card": 1, "forms": ["words"]}},
}


@dataclass
class Rig:
    """Everything, running. `sound` is a recording that the providers understand, and lies in the archive."""

    desk: Desk
    ledger: Ledger
    storage: LocalStorage
    router: Router
    metrics: Metrics
    url: str
    sound: bytes
    said: list[str]
    folder: Path
    providers: OpenProviders
    genesys: FakeGenesys
    clock: SystemClock = field(default_factory=SystemClock)

    async def request(self, provider: str = "speech", *, sound: bytes | None = None, **more: Any) -> Event:
        """A request for a transcript of the sound, committed."""
        content = self.sound if sound is None else sound
        key = f"recordings/2026/08/01/{CONVERSATION}/{RECORDING}.wav"
        await self.storage.write(key, content)
        fields = {"locale": "en-US", "conversation_id": CONVERSATION, "recording_id": RECORDING, "seconds": 6.0, "silent": False, **more}
        one = TranscriptionRequest(
            provider=provider, key=key, sha256=hashlib.sha256(content).hexdigest(), size=len(content), content_type="audio/wav", **fields
        )
        event = one.event(ORGANIZATION_ID, at=datetime.now(UTC), day=DAY)
        await self.ledger.append(self.router.route([event]))
        return event

    async def events(self, topic: str) -> list[Event]:
        return [event for event in await self.ledger.events_about(CONVERSATION) if event.topic == topic]

    async def completed(self, number: int = 1) -> Event:
        """The end of the first of so many requests, waited for."""
        with anyio.fail_after(20):
            while len(found := await self.events("transcription.completed")) < number:
                await anyio.sleep(0.01)
        return found[0]

    async def idle(self) -> None:
        """Nothing waits or runs any more."""
        with anyio.fail_after(20):
            while any(one.state in ("ready", "leased") for one in await self.ledger.find(CONVERSATION)):
                await anyio.sleep(0.01)

    def counted(self, outcome: str, provider: str = "speech") -> float:
        labels = {"provider": provider, "outcome": outcome}
        return self.metrics.registry.get_sample_value("genesys_sync_callbacks_total", labels) or 0.0

    def files(self, under: str = "") -> list[str]:
        root = self.folder / "archive"
        return sorted(str(one.relative_to(root)) for one in (root / under).rglob("*") if one.is_file())


def settings_of(folder: Path, desk_url: str, port: int, *, ladder: list[str], secret: Path, body_limit: int) -> Settings:
    config = {"url": desk_url, "key_env": "SPEECH_KEY"}
    return Settings.model_validate(
        {
            "genesys": {"region": "us_east_1"},
            "callbacks": {"listen": f"127.0.0.1:{port}", "public_url": f"http://127.0.0.1:{port}", "body_limit": f"{body_limit}B"},
            "dispatch": {"poll": "50ms"},
            "providers": {
                "speech": {"use": "jobs", "locale": "en-US", "callback_secret_files": [str(secret)], "config": config},
                "asked": {"use": "jobs", "locale": "en-US", "config": config},
                "whole": {"use": "at-once", "locale": "en-US", "config": {**config, "model": "m"}},
            },
            "handlers": {"transcribe": {"use": "transcribe", "backoff_base": "50ms", "backoff_cap": "100ms", "config": {"ladder": ladder}}},
        }
    )


Run = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rig(tmp_path: Path, unused_port: int, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`async with rig(fast=1) as here:` with the simulator's rules for its providers; `ladder`: when jobs are asked for; `work`: whether
    the dispatcher runs."""
    monkeypatch.setenv("SPEECH_KEY", KEY)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)

    @asynccontextmanager
    async def started(
        *, ladder: tuple[str, ...] = ("30s",), work: bool = True, body_limit: int = 1 << 20, **rules: Any
    ) -> AsyncGenerator[Rig]:
        world = read({**WORLD, "providers": {"callback_secret": SECRET, "job_time": ["0s", "0s"], **rules}})
        plan, _ = spoken(world, make(world))
        recording = plan.recordings[0]
        said = [word.text for utterance in recording.script.utterances for word in utterance.words]
        clock, metrics = SystemClock(), Metrics()
        async with AsyncExitStack() as stack:
            desk = await stack.enter_async_context(running(assemble(world, ProvidersClock())))
            settings = settings_of(tmp_path, desk.base_url, unused_port, ladder=list(ladder), secret=secret, body_limit=body_limit)
            handlers, loaded = load_handlers(settings, base=tmp_path), load_providers(settings, base=tmp_path)
            router = Router({handler.name: handler.topics for handler in handlers})
            ledger = await stack.enter_async_context(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock))
            storage = LocalStorage(tmp_path / "archive", min_free=0, metrics=metrics)
            await storage.open()
            http = await stack.enter_async_context(outbound.connect(HttpSettings(allow_private=("127.0.0.1/32",))))
            speech = OpenProviders(loaded, public_url=settings.callbacks.public_url, metrics=metrics)
            audit, media = DeliveryAudit(clock), FakeMedia()
            genesys = FakeGenesys(media)
            services = Services(
                clock=clock,
                genesys=genesys,
                media=media,
                storage=storage,
                scratch=storage.scratch,
                http=http,
                audit=audit,
                actions=AuditedActions(action_record(audit, ledger), clock=clock, client_id="client", actor="app"),
                log=get_logger("test"),
                speech=speech,
            )
            await stack.enter_async_context(speech.running(services))
            server = CallbackServer.of(
                settings.callbacks, speech.called_back, ledger=ledger, storage=storage, router=router, clock=clock, metrics=metrics
            )
            assert server is not None
            async with anyio.create_task_group() as tasks:
                host, port = await tasks.start(server.run)
                if work:
                    dispatcher = Dispatcher(
                        ledger=ledger,
                        handlers=handlers,
                        router=router,
                        services=services,
                        clock=clock,
                        metrics=metrics,
                        settings=settings.dispatch,
                        worker="test",
                    )
                    await tasks.start(dispatcher.run)
                sound = MediaStore().get(recording).source
                yield Rig(desk, ledger, storage, router, metrics, f"http://{host}:{port}", sound, said, tmp_path, speech, genesys, clock)
                tasks.cancel_scope.cancel()

    return started


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
