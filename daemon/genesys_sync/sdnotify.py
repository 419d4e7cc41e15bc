"""What the service manager is told: ready, stopping, a status line, and that the watchdog is to be kept quiet.

The protocol is one datagram of `NAME=value` lines to the socket in `$NOTIFY_SOCKET` (sd_notify(3)). Without that variable, on a
terminal or in a container, everything here does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping


def notify(*, environ: Mapping[str, str] | None = None, **state: str | int) -> bool:
    """Send one datagram, such as `notify(READY=1, STATUS="live")`; calling it twice tells the same twice, which is harmless.

    False when there is no service manager, or when it does not listen: the program's work does not depend on it, so a lost
    notice is no error here (systemd itself acts when READY or WATCHDOG fail to come).
    """
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # the abstract namespace of Linux: the first byte is zero
        address = "\0" + address[1:]
    lines = (f"{name}={' '.join(str(value).splitlines())}" for name, value in state.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # a full queue must not stop the event loop
            channel.sendto("\n".join(lines).encode(), address)
    except OSError:
        return False
    return True


def watchdog_seconds(*, environ: Mapping[str, str] | None = None) -> float | None:
    """How long systemd waits between two signs of life before it restarts us; None when it does not watch this process."""
    environment = os.environ if environ is None else environ
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit()) or int(microseconds) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the process that started us
    return int(microseconds) / 1_000_000


async def feed(well: Callable[[], bool], *, sleep: Callable[[float], Awaitable[None]], environ: Mapping[str, str] | None = None) -> None:
    """Keep the watchdog quiet, three times in its interval, for as long as `well()` says so; runs until cancelled.

    Returns at once when systemd does not watch. While `well()` is false nothing is sent, and systemd restarts the process.
    """
    interval = watchdog_seconds(environ=environ)
    if interval is None:
        return
    while True:
        if well():
            notify(environ=environ, WATCHDOG=1)
        await sleep(interval / 3)
