"""What the commands share: finding the settings, running on the event loop, reading the ledger, printing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import anyio
import orjson

from genesys_sync import settings as settings_module
from genesys_sync.addresses import parse_networks
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import Clock
from genesys_sync.errors import EX_IOERR, ConfigurationError, GenesysSyncError
from genesys_sync.scrubbing import escape
from genesys_sync.settings import Settings

NOTHING_FOUND = 1
"""The command worked, and there was nothing to show or to do."""

HERE = Path("settings.toml")
SYSTEM_WIDE = Path("/etc/genesys-sync/settings.toml")

ResultT = TypeVar("ResultT")


class OutputFailed(GenesysSyncError):
    """Standard output takes nothing more, for another reason than a reader that went away."""

    exit_code = EX_IOERR


def settings_path(args: argparse.Namespace) -> Path:
    """`--settings`, else `./settings.toml` if there is one, else the system-wide file."""
    if args.settings is not None:
        return Path(args.settings)
    return HERE if HERE.exists() else SYSTEM_WIDE


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings that these arguments ask for. Raises ConfigurationError with every fault."""
    return settings_module.load(settings_path(args), overrides=args.set)


def further_faults(settings: Settings) -> list[str]:
    """What is wrong with values that are looked at only when they are used: networks, and files that settings name."""
    problems: list[str] = []
    for look in (
        lambda: parse_networks(settings.http.allow_private, "http.allow_private"),
        lambda: settings_module.find_sentry_dsn(settings.sentry),
    ):
        try:
            look()
        except ConfigurationError as error:
            problems.extend(error.problems)
    return problems


def load_proved(args: argparse.Namespace) -> Settings:
    """The settings, proved together with the handlers that they name and the OAuth client: raises ConfigurationError with the faults of
    all three at once."""
    from genesys_sync.dispatch.registry import load_handlers

    path = settings_path(args)
    problems: list[str] = []
    try:
        settings = load_settings(args)
    except ConfigurationError as error:
        problems.extend(error.problems)
        settings = settings_module.salvage(path, overrides=args.set)  # an unreadable file raises here once more, and alone
    else:
        problems.extend(further_faults(settings))
        try:
            settings_module.find_credentials(settings.genesys)
        except ConfigurationError as error:
            problems.extend(error.problems)
    try:
        load_handlers(settings, base=path.parent)
    except ConfigurationError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return settings


def run_async(function: Callable[..., Awaitable[ResultT]], *args: object) -> ResultT:
    """Run on an event loop, uvloop's where it is installed."""
    return anyio.run(function, *args, backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None})


def audit_entry(clock: Clock, action: str, target: str) -> AuditEntry:
    """That whoever runs this command did it."""
    return AuditEntry(at=clock.now(), actor=f"operator:{os.getuid()}", action=action, target=target, outcome="success")


@contextmanager
def written() -> Generator[None]:
    """Around a write to standard output: a full disk is a sentence. BrokenPipeError passes as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}; make room, or send it elsewhere") from None


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


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    with written():
        sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_line(text: str = "") -> None:
    """One line; what the ledger holds cannot colour or confuse the terminal."""
    with written():
        sys.stdout.write(escape(text) + "\n")


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their contents; numbers to the right."""
    whole = [[str(cell) for cell in row] for row in rows]
    numeric = [bool(whole) and all(row[column].isdigit() for row in whole) for column in range(len(header))]
    widths = [max(len(row[column]) for row in [list(header), *whole]) for column in range(len(header))]
    for row in [list(header), *whole]:
        cells = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True))
        print_line("  ".join(cells).rstrip())


def iso(epoch_ms: int | None) -> str | None:
    """ISO 8601, UTC, milliseconds, Z."""
    if epoch_ms is None:
        return None
    return iso_time(datetime.fromtimestamp(epoch_ms / 1000, tz=UTC))


def iso_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(moment: datetime) -> str:
    """For people: date and time of day, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def spoken(span: timedelta) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((172_800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds // {'days': 86_400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"
