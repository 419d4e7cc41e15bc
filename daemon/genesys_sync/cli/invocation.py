"""What a command makes of its arguments before it begins: values, the settings that they ask for, the loop it runs on, who runs it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio

from genesys_sync import settings as settings_module
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import Clock
from genesys_sync.errors import ConfigurationError
from genesys_sync.settings import Settings
from genesys_sync.signing import find_signer
from genesys_sync.sources import attributed

HERE = Path("settings.toml")
SYSTEM_WIDE = Path("/etc/genesys-sync/settings.toml")

ResultT = TypeVar("ResultT")


def whole_number(least: int) -> Callable[[str], int]:
    """An option's value: a whole number that is not below `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return value

    return read


def settings_path(args: argparse.Namespace) -> Path:
    """`--settings`, else `./settings.toml` if there is one, else the system-wide file."""
    if args.settings is not None:
        return Path(args.settings)
    return HERE if HERE.exists() else SYSTEM_WIDE


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings that these arguments ask for. Raises ConfigurationError with every fault."""
    return settings_module.load(settings_path(args), overrides=args.set)


def further_faults(settings: Settings) -> list[str]:
    """What is wrong with values that are looked at only when they are used: files that settings name."""
    problems: list[str] = []
    for look in (
        lambda: settings_module.find_sentry_dsn(settings.sentry),
        lambda: settings_module.find_further_clients(settings.genesys),
        lambda: find_signer(settings.audit),
        lambda: settings_module.find_redactor(settings.redaction),
    ):
        try:
            look()
        except ConfigurationError as error:
            problems.extend(error.problems)
    return problems


def placing(args: argparse.Namespace) -> Callable[[Sequence[str]], list[str]]:
    """Adds to sentences about settings the place of each, with these arguments."""
    return lambda problems: attributed(problems, settings_path(args), os.environ, args.set)


def load_proved(args: argparse.Namespace) -> Settings:
    """The settings, proved together with the handlers that they name and the OAuth client: raises ConfigurationError with the faults of
    all three at once."""
    from genesys_sync.dispatch.providers import load_providers
    from genesys_sync.dispatch.registry import load_handlers

    path = settings_path(args)
    problems: list[str] = []
    place = placing(args)
    try:
        settings = load_settings(args)
    except ConfigurationError as error:
        problems.extend(error.problems)
        settings = settings_module.salvage(path, overrides=args.set)  # an unreadable file raises here once more, and alone
    else:
        problems.extend(place(further_faults(settings)))
        try:
            settings_module.find_credentials(settings.genesys)
        except ConfigurationError as error:
            problems.extend(place(error.problems))
    for load in (load_handlers, load_providers):
        try:
            load(settings, base=path.parent)
        except ConfigurationError as error:
            problems.extend(place(error.problems))
    if problems:
        raise ConfigurationError(problems)
    return settings


def run_async(function: Callable[..., Awaitable[ResultT]], *args: object) -> ResultT:
    """Run on an event loop, uvloop's where it is installed."""
    return anyio.run(function, *args, backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None})


def audit_entry(clock: Clock, action: str, target: str) -> AuditEntry:
    """That whoever runs this command did it."""
    return AuditEntry(at=clock.now(), actor=f"operator:{os.getuid()}", action=action, target=target, outcome="success")
