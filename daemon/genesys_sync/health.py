"""Honest health: alive means that the loop ticks and the dispatcher turns; ready means that the work is done.

Three parts. `Pulse` keeps when loop and dispatcher were last seen, and decides whether that is well. `LoopGuard` ticks, measures
how late the loop is, and has a thread that writes down where a blocked loop stands. `HealthServer` answers `/livez`, `/readyz`
and `/metrics` with states and counts only: no id, no name, no URL; and serves whatever pages it is given.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

import anyio
import orjson
from aiohttp import web
from anyio import to_thread
from anyio.abc import TaskStatus
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from genesys_sync.clock import Clock
from genesys_sync.listening import HEADER_LIMIT, PLAIN, bind
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics

TICK_SECONDS: Final = 1.0
STALL_SECONDS: Final = 5.0

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_log = get_logger("health")


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How the process is.

    live     False: a restart would help (the loop or the dispatcher stands still)
    ready    True: events really flow, or will within the tolerance, and the ledger can be written
    reasons  codes (letters, digits, `_`) for what is not well; may be given while ready
    facts    counts and states by name; text values are codes too. Whatever else is given is left out of the answer
    """

    live: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    facts: Mapping[str, int | float | str] = field(default_factory=dict)


def stalled(*, now: float, ticked: float, turned: float, tick_limit: float = STALL_SECONDS, turn_limit: float = 60.0) -> tuple[str, ...]:
    """The codes of what stands still: `loop_blocked`, `dispatcher_stuck`; empty when both were seen within their limits (seconds). Pure."""
    reasons = []
    if now - ticked > tick_limit:
        reasons.append("loop_blocked")
    if now - turned > turn_limit:
        reasons.append("dispatcher_stuck")
    return tuple(reasons)


class Pulse:
    """When the loop last ticked, counted as seen when this is made, and when the dispatcher last turned, as `turned_at` tells
    (`clock.monotonic()` of its last turn)."""

    def __init__(
        self, clock: Clock, *, turned_at: Callable[[], float], tick_limit: float = STALL_SECONDS, turn_limit: float = 60.0
    ) -> None:
        self._clock = clock
        self._turned_at = turned_at
        self._tick_limit = tick_limit
        self._turn_limit = turn_limit
        self._ticked = clock.monotonic()

    def ticked(self) -> None:
        """The event loop ran."""
        self._ticked = self._clock.monotonic()

    def reasons(self) -> tuple[str, ...]:
        """What stands still, as codes; empty when all is well."""
        return stalled(
            now=self._clock.monotonic(),
            ticked=self._ticked,
            turned=self._turned_at(),
            tick_limit=self._tick_limit,
            turn_limit=self._turn_limit,
        )

    def well(self) -> bool:
        """True while nothing stands still: only then is the watchdog fed."""
        return not self.reasons()


class LoopGuard:
    """Ticks once a second, and says where the loop stands when it does not.

    Its thread is the one exception from structured concurrency: a blocked loop cannot run the code that would notice it. The
    thread is bounded by `run` (it has ended when `run` has), touches nothing but two numbers and the log, and reports a stall once.
    """

    def __init__(self, pulse: Pulse, *, clock: Clock, metrics: Metrics, stall: float = STALL_SECONDS) -> None:
        self._pulse = pulse
        self._clock = clock
        self._metrics = metrics
        self._stall = stall
        self._seen = time.monotonic()
        self._stop = threading.Event()

    async def run(self) -> None:
        """Tick until cancelled."""
        watcher = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="loop-guard", daemon=True)
        watcher.start()
        try:
            while True:
                due = self._clock.monotonic() + TICK_SECONDS
                await self._clock.sleep(TICK_SECONDS)
                self._seen = time.monotonic()
                self._pulse.ticked()
                self._metrics.loop_lag_seconds.set(max(0.0, self._clock.monotonic() - due))
        finally:
            self._stop.set()
            watcher.join(timeout=1)

    def _watch(self, loop_thread: int) -> None:
        # real time, not the clock: what is watched is whether the clock's sleepers are woken at all
        reported = False
        while not self._stop.wait(min(0.5, self._stall / 4)):
            silent = time.monotonic() - self._seen
            if silent <= self._stall + TICK_SECONDS:
                if reported:
                    _log.warning("loop runs again")
                reported = False
            elif not reported:
                reported = True
                frame = sys._current_frames().get(loop_thread)  # noqa: SLF001 - documented; the only way to see another thread's stack
                _log.error("loop is blocked", seconds=round(silent, 1), stack=where(frame))


def where(frame: FrameType | None) -> list[str]:
    """The innermost 20 frames as `file:line function`, outermost first; no source, no variables."""
    if frame is None:
        return []
    return [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in traceback.extract_stack(frame, limit=20)]


class HealthServer:
    """The listener for `/livez`, `/readyz` and `/metrics`. It answers GET and HEAD, to callers that know it by a loopback or its
    configured name; of more than 64 connections the oldest is closed.

    pages  further paths
    hosts  further names by which it may be known
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        report: Callable[[], HealthReport],
        metrics: Metrics,
        pages: Collection[web.RouteDef] = (),
        hosts: Collection[str] = (),
    ) -> None:
        self._host, self._port = address
        self._report = report
        self._metrics = metrics
        self._pages = pages
        self._hosts = hosts

    async def run(self, *, task_status: TaskStatus[tuple[str, int]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; `task_status` gets the address really bound. Raises PortInUse, or ConfigurationError for an
        address that this machine does not have."""
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_text)
        app.router.add_routes(self._pages)
        app.on_response_prepare.append(_plain_headers)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=15,
            lingering_time=0,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            shutdown_timeout=1,
        )
        await runner.setup()
        try:
            bound = await bind(runner, (self._host, self._port), setting="health.listen", refuse=_unread)
            task_status.started(bound)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(3):
                await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        header = request.headers.get("Host", "")
        if not host_allowed(header, configured=self._host) and host_of(header) not in self._hosts:
            return web.json_response({"error": "wrong host"}, status=421)
        return await handler(request)

    async def _livez(self, _request: web.Request) -> web.Response:
        report = self._report()
        return _answer(200 if report.live else 503, {"live": report.live})

    async def _readyz(self, _request: web.Request) -> web.Response:
        body = readiness(self._report())
        return _answer(200 if body["ready"] else 503, body)

    async def _metrics_text(self, _request: web.Request) -> web.Response:
        text = await to_thread.run_sync(generate_latest, self._metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def readiness(report: HealthReport) -> dict[str, Any]:
    """What `/readyz` answers: `ready`, `state` (ready, not_ready, not_live), `reasons`, and the facts. Pure."""
    ready = report.live and report.ready
    state = "ready" if ready else "not_ready" if report.live else "not_live"
    facts = {name: value for name, value in report.facts.items() if _is_code(name) and (not isinstance(value, str) or _is_code(value))}
    return {**facts, "ready": ready, "state": state, "reasons": [reason for reason in report.reasons if _is_code(reason)]}


def host_of(header: str) -> str:
    """The name or address in a Host header, without port and brackets, in small letters. Pure."""
    host = header[: header.index("]") + 1] if header.startswith("[") and "]" in header else header.partition(":")[0]
    return host.strip("[]").lower()


def is_loopback(host: str) -> bool:
    """Whether this name or address stands for this machine alone. Pure."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_allowed(header: str, *, configured: str) -> bool:
    """True for a loopback name or address and the configured host: a web page that rebinds its own name to us sends that name.
    When all addresses are listened on, any literal address will do, because rebinding needs a name. Pure."""
    host = host_of(header)
    if host == configured.lower() or is_loopback(host):
        return True
    return configured in ("0.0.0.0", "::") and _is_address(host)  # noqa: S104 - compared, not bound


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def _answer(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


async def _plain_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(PLAIN)


def _unread(status: int, error: BaseException | None) -> web.Response:
    """What is said of a request that could not be read, or not be answered; of the caller's words nothing."""
    if status == 500:
        _log.error("a request could not be answered", exc_info=error)
    what = {431: "headers too large", 500: "internal error"}.get(status, "bad request")
    return web.json_response({"error": what}, status=status, headers=PLAIN)
