"""The service manager's protocol, against a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from genesys_sync import sdnotify
from genesys_sync.testing import FakeClock


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """What systemd listens on, and the environment it would give us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        if request.param == "path":
            name = str(tmp_path / "notify")
            listener.bind(name)
        else:
            name = f"@genesys-sync-test-{os.getpid()}-{id(listener)}"
            listener.bind("\0" + name[1:])
        yield listener, {"NOTIFY_SOCKET": name}


def test_one_datagram_holds_all_that_is_told(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listener, environ = manager
    assert sdnotify.notify(environ=environ, READY=1, STATUS="live")
    assert listener.recv(1000) == b"READY=1\nSTATUS=live"


def test_a_status_of_several_lines_forges_no_other_state(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listener, environ = manager
    sdnotify.notify(environ=environ, STATUS="draining\nWATCHDOG=1")
    assert listener.recv(1000) == b"STATUS=draining WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "/nobody/here"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    assert not sdnotify.notify(environ=environ, READY=1)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_interval_counts_for_this_process_alone(environ: dict[str, str], seconds: float | None) -> None:
    assert sdnotify.watchdog_seconds(environ=environ) == seconds


@pytest.mark.anyio
async def test_the_watchdog_is_fed_three_times_in_its_interval_and_only_while_all_is_well(
    manager: tuple[socket.socket, dict[str, str]],
) -> None:
    listener, environ = manager
    clock, well = FakeClock(), True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: sdnotify.feed(lambda: well, sleep=clock.sleep, environ=environ | {"WATCHDOG_USEC": "30000000"}))
        await clock.advance(29)
        well = False
        await clock.advance(60)
        tasks.cancel_scope.cancel()
    listener.setblocking(False)
    received = []
    while True:
        try:
            received.append(listener.recv(1000))
        except BlockingIOError:
            break
    assert received == [b"WATCHDOG=1"] * 3


@pytest.mark.anyio
async def test_feeding_ends_at_once_when_nobody_watches() -> None:
    await sdnotify.feed(lambda: True, sleep=FakeClock().sleep, environ={})
