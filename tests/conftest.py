"""Shared by all tests."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_the_commands_started_here() -> None:
    """What a shell runs in the background ignores SIGINT, what `nohup` runs SIGHUP, and so would every process started from it. A signal
    that is handled here, in whatever way, is not ignored there."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
