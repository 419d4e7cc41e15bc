"""Shared by all tests."""

import logging
import signal
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from genesys_sync import logs

_unhurried = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])  # a busy machine proves nothing
hypothesis.settings.register_profile("same", _unhurried, derandomize=True)
hypothesis.settings.register_profile("new", _unhurried)
hypothesis.settings.load_profile("same")
"""The same cases each time, so that what fails today has failed for whoever wrote it. `make test-all` draws new ones."""


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


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A test that runs a command sets the log, which is the process's: those after it want theirs."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logs.report_errors_to(None)
    root.handlers[:] = handlers
    root.setLevel(level)
