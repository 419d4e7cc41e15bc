"""The ledger: events, and the state of their deliveries. What it promises is in `ledger.base`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from genesys_sync.clock import Clock
from genesys_sync.errors import ConfigurationError
from genesys_sync.ledger.base import Ledger
from genesys_sync.ledger.opening import Mode, lock_of
from genesys_sync.ledger.sqlite import SqliteLedger
from genesys_sync.locks import Holder, holder_of
from genesys_sync.metrics import Metrics

__all__ = ["Holder", "Ledger", "daemon_holds", "holder", "open_ledger"]

_SQLITE = "sqlite:///"


def open_ledger(
    url: str, *, clock: Clock, metrics: Metrics | None = None, read_only: bool = False, shared: bool = False, command: str = ""
) -> AbstractAsyncContextManager[Ledger]:
    """The ledger at `sqlite:///relative/path` or `sqlite:////absolute/path`, open while the context lasts.

    By default it is opened as the daemon does: made if missing (its folder too), brought up to this release's schema, and held alone:
    a second such opening raises LedgerLocked, which names the holder's process and `command`, the command of ours that it runs.
    Beside a running daemon, or without one, and never making a ledger:

    read_only  look only; every write raises LedgerError
    shared     read and write, each commit waiting its turn with the daemon's

    Raises LedgerTooNew for a ledger of a later release, LedgerError with one sentence for everything else that is wrong with
    it, and ConfigurationError for a URL of another form. The context belongs to the event loop that enters it; leaving it
    commits what was accepted, then closes.
    """
    if read_only and shared:
        raise ValueError("read_only and shared exclude each other")
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise ConfigurationError("ledger.url: must begin with sqlite:/// and a path (sqlite:////var/lib/… for an absolute one)")
    mode = Mode.READ_ONLY if read_only else Mode.SHARED if shared else Mode.EXCLUSIVE
    return _opened(url.removeprefix(_SQLITE), mode, clock, metrics, command)


def holder(url: str) -> Holder | None:
    """Which living process holds the ledger at this URL alone: the daemon, or a command that works without one; None for nobody. Somebody
    who opens it at the very moment of the question may find it locked once."""
    return holder_of(lock_of(url.removeprefix(_SQLITE)))


def daemon_holds(url: str) -> bool:
    """Whether a living daemon holds the ledger at this URL."""
    found = holder(url)
    return found is not None and found.daemon


@asynccontextmanager
async def _opened(path: str, mode: Mode, clock: Clock, metrics: Metrics | None, command: str) -> AsyncGenerator[Ledger]:
    ledger = await SqliteLedger.open(path, mode, clock=clock, metrics=metrics, command=command)
    try:
        yield ledger
    finally:
        await ledger.close()
