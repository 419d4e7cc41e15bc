"""The demo, played: simulator, receiver and daemon as processes, until every recording is settled; then the archive is judged."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from aiohttp import ClientSession, ClientTimeout
from anyio.abc import Process

from genesys_sync.cli.demo import evidence, screen, stage
from genesys_sync.cli.demo.verdict import judge
from genesys_sync.clock import SystemClock
from genesys_sync.errors import EX_SOFTWARE, GenesysSyncError, LedgerError
from genesys_sync.events import Topic
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState

FASTER_THAN_LIFE = (
    "feed.queue_refresh=10s",
    "feed.ping_every=3s",
    "feed.silence=8s",
    "feed.backoff_base=200ms",
    "feed.backoff_cap=2s",
    "feed.backfill_overlap=1m",
    "feed.backfill_settle=3s",
    "feed.reconcile_every=15s",
    "genesys.batch_gather=1s",
    "genesys.batch_poll=1100ms",
    "dispatch.lease=10s",
    "dispatch.poll=500ms",
    'handlers.discover.config.ladder=["2s", "4s", "6s"]',
    "handlers.discover.config.confirm_after=6s",
    "handlers.discover.backoff_cap=2s",
    "handlers.archive.config.refetch_delay=1s",
    "handlers.archive.backoff_base=200ms",
    "handlers.archive.backoff_cap=2s",
)
"""The waits of a contact centre, shortened to the simulator's calls of a few seconds; everything else is as in the sample settings."""
_STARTED_BY_THEN = 10.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play, where, how long to wait for it, and how often to kill the daemon on the way."""

    folder: Path
    scenario: str
    seed: int | None
    kills: int
    patience: float
    settings: Path
    overrides: Sequence[str]


async def play(plan: Plan) -> int:
    """0 when every promise held; 70 when one did not, each named on the screen."""
    started = time.monotonic()
    async with stage.receiver(plan.folder) as receiver, stage.simulator(plan.folder, scenario=plan.scenario, seed=plan.seed) as platform:
        overrides = _overrides(plan, platform, receiver)
        daemons = [await stage.daemon(plan.folder, platform, settings=plan.settings, overrides=overrides)]
        try:
            async with ClientSession(timeout=ClientTimeout(total=5)) as session:
                with screen.progress(sys.stdout) as show:
                    finished = await _watch(plan, platform, session, daemons, overrides, show)
                requests = await stage.ask(session, platform, "requests") or {}
                stage.keep(plan.folder / "requests.json", requests)
        finally:
            with anyio.CancelScope(shield=True):
                status = await stage.end(daemons[-1], patience=30)
    created = evidence.created(plan.folder)
    verdict = judge(created, await evidence.found(plan.folder))
    problems = list(verdict.problems)
    if not finished:
        problems.insert(0, f"not everything was settled after {plan.patience:.0f} s (longer: --patience)")
    if status != 0:
        problems.append(f"the daemon ended with status {status} instead of 0")
    if receiver.refused:
        problems.append(f"{receiver.refused} webhooks carried a wrong signature")
    screen.summary(
        sys.stdout,
        verdict,
        faults=evidence.fired(plan.folder),
        waits=evidence.seconds_to_archive(plan.folder),
        api_calls=int(requests.get("api", 0)),
        webhooks=len(receiver.accepted),
        kills=plan.kills,
        seconds=time.monotonic() - started,
        problems=problems,
    )
    screen.where_to_look(sys.stdout, plan.folder, created)
    return EX_SOFTWARE if problems else 0


def _overrides(plan: Plan, platform: stage.Platform, receiver: stage.Receiver) -> Sequence[str]:
    """The demo's own waits, then what `--set` asks for, then what must be as it is: addresses, and everything in the demo's folder."""
    folder = plan.folder
    return (
        *FASTER_THAN_LIFE,
        *plan.overrides,
        f'genesys.api_url="{platform.api_url}"',
        f'genesys.login_url="{platform.login_url}"',
        'genesys.media_hosts=["127.0.0.1"]',
        f'ledger.url="sqlite:///{folder / "state" / "ledger.db"}"',
        f'storage.root="{folder / "archive"}"',
        "storage.min_free=64MiB",
        'health.listen="127.0.0.1:0"',
        'http.allow_private=["127.0.0.0/8"]',
        'handlers.tell-demo.use="webhook"',
        f'handlers.tell-demo.config.url="{receiver.url}"',
        "handlers.tell-demo.config.allow_http=true",
        f'handlers.tell-demo.config.secret_files=["{receiver.secret_file}"]',
    )


async def _watch(
    plan: Plan, platform: stage.Platform, session: ClientSession, daemons: list[Process], overrides: Sequence[str], show: screen.Show
) -> bool:
    """Until every recording is settled (True) or patience runs out (False). A daemon that is killed on the way is followed by
    another at the end of `daemons`."""
    begun = time.monotonic()
    kills = sorted(random.uniform(4, 24) for _ in range(plan.kills))
    spoken_before, born = 0, begun
    while (elapsed := time.monotonic() - begun) < plan.patience:
        if daemons[-1].returncode is not None:
            raise GenesysSyncError(f"the daemon ended by itself: {stage.last_words(plan.folder / 'daemon.log')}")
        state = await stage.ask(session, platform, "state") or {}
        events, waiting = await _ledger_counts(plan.folder)
        show(state, events, waiting)
        known = events.get(Topic.CONVERSATION_ENDED, 0)
        settled = state.get("finished") and not kills and waiting == 0 and known >= state["callsEnded"]
        # one that is still starting cannot be asked to end in order; what it logs may be turned off
        if settled and (stage.runs(plan.folder, since=spoken_before) or time.monotonic() - born > _STARTED_BY_THEN):
            return True
        if kills and elapsed > kills[0]:
            kills.pop(0)
            daemons[-1].kill()
            await daemons[-1].wait()
            spoken_before, born = stage.log_size(plan.folder), time.monotonic()
            daemons.append(await stage.daemon(plan.folder, platform, settings=plan.settings, overrides=overrides))
        await anyio.sleep(0.5)
    return False


async def _ledger_counts(folder: Path) -> tuple[Mapping[str, int], int]:
    """Events by topic, and how many deliveries are not finished; nothing while the daemon has not made its ledger yet."""
    clock = SystemClock()
    try:
        async with open_ledger(f"sqlite:///{folder / 'state' / 'ledger.db'}", clock=clock, read_only=True) as ledger:
            counts = await ledger.counts(now_ms=clock.epoch_ms())
    except LedgerError:
        return {}, 0
    hot = (DeliveryState.READY, DeliveryState.LEASED)
    return counts.events, sum(states.get(state, 0) for states in counts.deliveries.values() for state in hot)
