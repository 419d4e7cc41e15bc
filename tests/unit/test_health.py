"""Health: what is said of a process that works, stands still or is asked by the wrong people."""

import resource
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import anyio
import pytest
import structlog
from aiohttp import web
from anyio import to_thread
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.clock import SystemClock
from genesys_sync.errors import ConfigurationError, PortInUse
from genesys_sync.health import HealthReport, HealthServer, LoopGuard, Pulse, host_allowed, stalled
from genesys_sync.listening import CONNECTION_LIMIT, HEADER_LIMIT
from genesys_sync.metrics import Metrics
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

WELL = HealthReport(live=True, ready=True, facts={"connected": 1})


class Served:
    def __init__(self) -> None:
        self.report = WELL
        self.metrics = Metrics()
        self.port = 0

    async def get(self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers) as response,
        ):
            text = await response.text()
            parsed = await response.json() if response.content_type == "application/json" and text else text
            return response.status, parsed, response.headers


@asynccontextmanager
async def served(*pages: web.RouteDef) -> AsyncIterator[Served]:
    here = Served()
    server = HealthServer(("127.0.0.1", 0), report=lambda: here.report, metrics=here.metrics, pages=pages)
    async with anyio.create_task_group() as tasks:
        _, here.port = await tasks.start(server.run)
        yield here
        tasks.cancel_scope.cancel()


def raw(port: int, request: bytes) -> bytes:
    """What a socket gets for these bytes, also when it is cut off while it still sends."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        with suppress(OSError):
            caller.sendall(request)
        with suppress(OSError):
            while chunk := caller.recv(1 << 16):
                received += chunk
    return received


async def test_ready_and_live() -> None:
    async with served() as here:
        assert (await here.get("/livez"))[:2] == (200, {"live": True})
        assert (await here.get("/readyz"))[:2] == (200, {"ready": True, "state": "ready", "reasons": [], "connected": 1})


async def test_not_ready_says_why_and_is_still_alive() -> None:
    async with served() as here:
        here.report = HealthReport(live=True, ready=False, reasons=("no_events",))
        assert (await here.get("/livez"))[0] == 200
        status, body, _ = await here.get("/readyz")
        assert (status, body) == (503, {"ready": False, "state": "not_ready", "reasons": ["no_events"]})


async def test_what_stands_still_is_neither_alive_nor_ready() -> None:
    async with served() as here:
        here.report = HealthReport(live=False, ready=True, reasons=("dispatcher_stuck",))
        assert (await here.get("/livez"))[0] == 503
        assert (await here.get("/readyz"))[:2] == (503, {"ready": False, "state": "not_live", "reasons": ["dispatcher_stuck"]})


async def test_no_id_name_or_url_gets_into_a_body() -> None:
    async with served() as here:
        here.report = HealthReport(
            live=True,
            ready=False,
            reasons=("no_events", "https://store.example/x", "5c0b1e7a-1111-2222-3333-444455556666", "anna meier"),
            facts={"state": "reconnecting", "host": "pbx.example.com", "waiting": 3, "5c0b1e7a-1111-2222-3333-444455556666": 1},
        )
        _, body, _ = await here.get("/readyz")
    assert body == {"ready": False, "state": "not_ready", "reasons": ["no_events"], "waiting": 3}


async def test_metrics_are_prometheus_text() -> None:
    async with served() as here:
        here.metrics.media_bytes.inc(7)
        status, text, headers = await here.get("/metrics")
    assert status == 200
    assert "genesys_sync_media_bytes_total 7.0" in text
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_but_get_and_head(method: str) -> None:
    async with served() as here:
        assert (await here.get("/readyz", method=method))[0] == 405


async def test_head_has_the_status_and_no_body() -> None:
    async with served() as here:
        assert (await here.get("/readyz", method="HEAD"))[:2] == (200, "")


@pytest.mark.parametrize("path", ["/", "/../etc/passwd", "/metrics/", "/console"])
async def test_other_paths_do_not_exist(path: str) -> None:
    async with served() as here:
        assert (await here.get(path))[0] == 404


async def test_a_rebound_name_gets_no_answer() -> None:
    async with served() as here:
        assert (await here.get("/readyz", headers={"Host": "evil.example"}))[0] == 421
        assert (await here.get("/readyz", headers={"Host": f"localhost:{here.port}"}))[0] == 200


@pytest.mark.parametrize(
    ("header", "configured", "allowed"),
    [
        ("127.0.0.1:8086", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:8086", "127.0.0.1", True),
        ("[::1]:8086", "::1", True),
        ("127.8.8.8", "127.0.0.1", True),
        ("metrics.internal:8086", "metrics.internal", True),
        ("metrics.internal", "127.0.0.1", False),
        ("10.0.0.5:8086", "127.0.0.1", False),
        ("10.0.0.5:8086", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[", "127.0.0.1", False),
    ],
)
async def test_whom_the_listener_answers(header: str, configured: str, allowed: bool) -> None:
    assert host_allowed(header, configured=configured) is allowed


LARGE = (
    b"X: " + b"marker" * (1 << 18) + b"\r\n",
    b"Authorization: marker" + b"a" * HEADER_LIMIT + b"\r\n",
    b"".join(b"X-%d: marker\r\n" % number for number in range(100_000)),
    b"X-unfinished: marker" + b"a" * HEADER_LIMIT,
)
UNREADABLE = (
    b"\x16\x03\x01 TLS\r\n\r\n",
    b"marker\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: marker\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nmarker y\r\n\r\n",
)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        *((b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n", b"431") for headers in LARGE),
        (b"GET /" + b"marker" * HEADER_LIMIT + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
        *((request, b"400") for request in UNREADABLE),
    ],
    ids=range(len(LARGE) + 1 + len(UNREADABLE)),
)
async def test_what_cannot_be_read_is_refused_without_an_echo_or_a_traceback(
    request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as here:
        answer = await to_thread.run_sync(raw, here.port, request_bytes)
        assert answer.split(b" ")[1] == status
        assert b"marker" not in answer
        assert b"Server: genesys-sync\r\n" in answer
        assert b"aiohttp" not in answer
        assert (await here.get("/livez"))[0] == 200
    assert "marker" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_an_error_of_a_page_is_one_sentence_for_the_caller() -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("marker")

    with structlog.testing.capture_logs() as lines:
        async with served(web.get("/page", fail)) as here:
            assert (await here.get("/page"))[:2] == (500, {"error": "internal error"})
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["a request could not be answered"]


async def test_no_component_tells_its_version() -> None:
    async with served() as here:
        _, _, headers = await here.get("/readyz")
        assert headers["Server"] == "genesys-sync"


def still_open(callers: Sequence[socket.socket]) -> int:
    """How many of the connections the server has kept."""

    def kept(caller: socket.socket) -> bool:
        try:
            return caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False

    return sum(kept(caller) for caller in callers)


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_idle_connections_cannot_lock_out_a_probe(number: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < number + 200:
        pytest.skip("this process may not open so many sockets")
    async with served() as here:
        with ExitStack() as closing, anyio.fail_after(60):
            idle = []
            for _ in range(number // 50):  # 50 in one turn of the loop
                idle += [closing.enter_context(socket.create_connection(("127.0.0.1", here.port))) for _ in range(50)]
                assert (await here.get("/livez"))[0] == 200
            while still_open(idle) > CONNECTION_LIMIT:
                await checkpoint()
            assert still_open(idle[:-CONNECTION_LIMIT]) == 0, "the oldest went first"
            assert still_open(idle) >= CONNECTION_LIMIT - 2, "no more than needed: the probes had connections too"


async def test_a_taken_port_is_one_clear_sentence() -> None:
    async with served() as here:
        other = HealthServer(("127.0.0.1", here.port), report=lambda: WELL, metrics=Metrics())
        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{here.port} is in use by another process; set health\.listen or stop it"):
            await other.run()


async def test_an_address_of_another_machine_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"health\.listen: 192\.0\.2\.1:8086"):
        await HealthServer(("192.0.2.1", 8086), report=lambda: WELL, metrics=Metrics()).run()


async def test_the_pulse_knows_what_stands_still() -> None:
    clock = FakeClock()
    turns = [clock.monotonic()]
    pulse = Pulse(clock, turned_at=lambda: turns[-1], tick_limit=5, turn_limit=60)
    assert pulse.well()
    await clock.advance(5)
    assert pulse.well()
    await clock.advance(1)
    assert pulse.reasons() == ("loop_blocked",)
    pulse.ticked()
    assert pulse.well()
    await clock.advance(55)
    pulse.ticked()
    assert pulse.reasons() == ("dispatcher_stuck",)
    turns.append(clock.monotonic())
    assert pulse.well()


@given(tick_age=st.floats(0, 100), turn_age=st.floats(0, 100))
def test_well_means_seen_within_both_limits(tick_age: float, turn_age: float) -> None:
    found = stalled(now=0.0, ticked=-tick_age, turned=-turn_age, tick_limit=5, turn_limit=60)
    assert ("loop_blocked" in found) == (tick_age > 5)
    assert ("dispatcher_stuck" in found) == (turn_age > 60)


async def test_a_blocked_loop_shows_where_it_stands() -> None:
    """Real time on purpose: the guard's thread must see a loop that runs nothing at all."""
    metrics, clock = Metrics(), SystemClock()
    with structlog.testing.capture_logs() as lines:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(LoopGuard(Pulse(clock, turned_at=clock.monotonic), clock=clock, metrics=metrics, stall=0.1).run)
            await anyio.wait_all_tasks_blocked()
            block_the_loop(until=lambda: any(line["event"] == "loop is blocked" for line in lines))
            tasks.cancel_scope.cancel()
    (blocked,) = (line for line in lines if line["event"] == "loop is blocked")
    assert blocked["log_level"] == "error"
    assert any("block_the_loop" in frame for frame in blocked["stack"])


def block_the_loop(*, until: Any) -> None:
    deadline = time.monotonic() + 10
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
