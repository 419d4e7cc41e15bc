"""What a command that acts on the platform works with: the ledger beside a daemon or without one, the platform, the actions' record."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.cli.output import print_json
from genesys_sync.clock import SystemClock
from genesys_sync.dispatch.registry import LoadedHandler, load_handlers
from genesys_sync.errors import (
    EX_NOPERM,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    GenesysSyncError,
    LedgerError,
    LedgerLocked,
    PermanentError,
    ReasonCode,
    TransientError,
)
from genesys_sync.genesys import platform as genesys_platform
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Ledger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.scrubbing import clean_text, register_secret
from genesys_sync.services import ControlRefused, SpeechRefused
from genesys_sync.settings import Settings, find_credentials


@dataclass(frozen=True, slots=True)
class Workplace:
    """Everything open, for as long as the command works.

    ledger    shared with a daemon, which may start and stop meanwhile
    platform  its typed operations write their audit entries; `platform.actions` is for work of several operations
    handlers  those that the settings name, made but not running
    router    of their topics: for events that the command records
    """

    settings: Settings
    clock: SystemClock
    ledger: Ledger
    platform: genesys_platform.Platform
    handlers: list[LoadedHandler]
    router: Router


@asynccontextmanager
async def workplace(settings: Settings, *, base: Path) -> AsyncGenerator[Workplace]:
    """Open it all. `base` is the folder from which handler files are named. A ledger that is missing, or of an earlier release, is made
    or brought up to date first. Raises what opening the ledger raises, and ConfigurationError; the platform is not asked yet."""
    clock = SystemClock()
    credentials = find_credentials(settings.genesys)
    register_secret(credentials.client_secret.get_secret_value())
    handlers = load_handlers(settings, base=base)
    async with shared_ledger(settings.ledger.url, clock=clock) as ledger:

        async def record(entry: AuditEntry) -> None:
            await ledger.record_audit([entry])

        actions = AuditedActions(record, clock=clock, client_id=credentials.client_id.get_secret_value(), actor=f"operator:{os.getuid()}")
        async with genesys_platform.connect(
            settings.genesys, credentials, clock=clock, metrics=Metrics(), actions=actions, recorded=ledger.organization
        ) as platform:
            router = Router({handler.name: handler.topics for handler in handlers})
            yield Workplace(settings, clock, ledger, platform, handlers, router)


@asynccontextmanager
async def shared_ledger(url: str, *, clock: SystemClock) -> AsyncGenerator[Ledger]:
    """The ledger, to write beside a daemon or without one. Held alone it is for the moment only in which it is made or migrated, so that
    a daemon can start while the command works."""
    try:
        async with open_ledger(url, clock=clock, read_only=True):
            pass
    except LedgerError:
        await _make(url, clock)
    async with open_ledger(url, clock=clock, shared=True) as ledger:
        yield ledger


async def _make(url: str, clock: SystemClock) -> None:
    try:
        async with open_ledger(url, clock=clock):
            pass
    except LedgerLocked:
        return  # somebody else is at it: what is wrong with the ledger is told by the opening that follows


def exit_code_of(error: GenesysSyncError) -> int:
    """How a command ends that could not act: a permission is missing (77), the platform refuses or does not have it (69), else the
    error's own."""
    if isinstance(error, PermanentError) and error.exit_code == EX_SOFTWARE:
        return EX_NOPERM if error.code in (ReasonCode.FORBIDDEN, ReasonCode.UNAUTHORIZED) else EX_UNAVAILABLE
    return error.exit_code


def failure_as_json(error: GenesysSyncError) -> dict[str, Any]:
    """What programs read of an action that was refused (again is useless) or failed (again may help)."""
    told: dict[str, Any] = {"outcome": "refused" if isinstance(error, PermanentError) else "failure", "error": clean_text(str(error))}
    if isinstance(error, (PermanentError, TransientError)):
        told |= {"reason": error.code.value, "correlationId": error.correlation_id or None}
    if isinstance(error, PermanentError):
        told |= {"platformCode": error.platform_code or None, "status": error.status or None}
    return told


def report_failure(error: GenesysSyncError, *, as_json: bool) -> int:
    """One sentence on standard error, the JSON on standard output where that was asked for; the exit code."""
    check = f"refused by the check {error.check}: " if isinstance(error, (ControlRefused, SpeechRefused)) else ""
    if as_json:
        print_json(failure_as_json(error) | ({"check": error.check.value} if isinstance(error, (ControlRefused, SpeechRefused)) else {}))
    print(f"genesys-sync: {check}{clean_text(str(error))}", file=sys.stderr)
    return exit_code_of(error)
