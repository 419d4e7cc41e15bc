"""`genesys-sync check`: prove everything that can be proved before starting. Changes nothing, here or on the platform.

It tries the settings, the handlers, the folders, the OAuth client and each permission, and shows every problem. Run it as the user that
the daemon runs as.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from genesys_sync.cli.invocation import further_faults, load_proved, load_settings, placing, run_async, settings_path
from genesys_sync.cli.output import print_line
from genesys_sync.cli.status import ask_daemon
from genesys_sync.clock import SystemClock
from genesys_sync.disk import apart, free_share, lies_apart, unsafe
from genesys_sync.errors import EX_CONFIG, EX_OK, EX_TEMPFAIL, ConfigurationError, GenesysSyncError
from genesys_sync.settings import Credentials, Settings, find_credentials
from genesys_sync.signing import find_signer

if TYPE_CHECKING:
    from genesys_sync.dispatch.providers import LoadedProvider
    from genesys_sync.dispatch.registry import LoadedHandler


Place = Callable[[Sequence[str]], list[str]]
"""Adds to sentences about settings where each value stands."""


SCARCE: Final = 0.05
"""The share of a file system below which it is soon full."""


class Level(StrEnum):
    """How a proof ended; only FAIL keeps the daemon from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `exit_code` is what the command ends with if this is its first failure."""

    level: Level
    subject: str
    sentence: str
    exit_code: int = EX_OK


def ok(subject: str, sentence: str) -> Finding:
    return Finding(Level.OK, subject, sentence)


def warn(subject: str, sentence: str) -> Finding:
    return Finding(Level.WARN, subject, sentence)


def fail(subject: str, sentence: str, exit_code: int = EX_CONFIG) -> Finding:
    return Finding(Level.FAIL, subject, sentence, exit_code)


def failures(subject: str, error: GenesysSyncError, *, exit_code: int | None = None) -> list[Finding]:
    """A finding for each fault that the error tells of."""
    sentences = error.problems if isinstance(error, ConfigurationError) else (str(error),)
    return [fail(subject, sentence, error.exit_code if exit_code is None else exit_code) for sentence in sentences]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--offline", action="store_true", help="leave out what needs the platform")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when all is well (warnings included); otherwise the exit code of the first failure shown."""
    path = settings_path(args)
    try:
        settings = load_settings(args)
    except ConfigurationError:
        found = _all_faults(args)
        for finding in found:
            _show(finding)
        return _conclude(found)
    return run_async(partial(_check, settings, path, offline=args.offline, place=placing(args)))


def _all_faults(args: argparse.Namespace) -> list[Finding]:
    """With settings that cannot be used: their faults and the handlers' too, which is all that can be proved."""
    try:
        load_proved(args)
    except ConfigurationError as error:
        return failures("settings", error)
    return []


async def _check(settings: Settings, path: Path, *, offline: bool, place: Place) -> int:
    found = []
    async for finding in _findings(settings, path, offline=offline, place=place):
        _show(finding)
        found.append(finding)
    return _conclude(found)


def _show(finding: Finding) -> None:
    print_line(f"{finding.level:<4}  {finding.subject:<12} {finding.sentence}")


def _conclude(found: list[Finding]) -> int:
    failed = [finding for finding in found if finding.level is Level.FAIL]
    warned = sum(finding.level is Level.WARN for finding in found)
    print_line()
    if failed:
        print_line(f"{len(failed)} problem{'s' if len(failed) > 1 else ''} to solve before `genesys-sync run`")
        return failed[0].exit_code
    print_line(f"ready to run{f', with {warned} warning' if warned else ''}{'s' if warned > 1 else ''}")
    return EX_OK


async def _findings(settings: Settings, path: Path, *, offline: bool, place: Place) -> AsyncIterator[Finding]:
    from genesys_sync.cli.probes import check_handlers, check_platform
    from genesys_sync.console.serving import withheld

    proved = _settings(settings, path, place)
    handlers, loaded = _handlers(settings, path, place)
    providers, opened = _providers(settings, path, place)
    for finding in (*proved, *loaded, *opened):
        yield finding
    running = await ask_daemon(settings.health.address, "/livez") is not None
    yield await _ledger(settings)
    for look in (_archive, _places, _audit):
        for finding in await to_thread.run_sync(look, settings):
            yield finding
    yield _health_port(settings, running=running)
    if settings.console.enabled and (why := withheld(settings)):
        yield warn("console", f"the console is not served: {why}")
    credentials: Credentials | None = None
    try:
        credentials = find_credentials(settings.genesys)
    except ConfigurationError as error:
        for sentence in place(error.problems):
            yield fail("credentials", sentence)
    else:
        yield _credentials(credentials)
    if credentials is None or proved[0].level is Level.FAIL:
        return
    async for finding in check_handlers(settings, credentials, handlers, providers=providers, offline=offline):
        yield finding
    if not offline:
        async for finding in check_platform(settings, credentials):
            yield finding


def _settings(settings: Settings, path: Path, place: Place) -> list[Finding]:
    return [fail("settings", sentence) for sentence in place(further_faults(settings))] or [ok("settings", str(path))]


def _handlers(settings: Settings, path: Path, place: Place) -> tuple[list[LoadedHandler], list[Finding]]:
    from genesys_sync.dispatch.registry import load_handlers

    try:
        handlers = load_handlers(settings, base=path.parent)
    except ConfigurationError as error:
        return [], [fail("handlers", sentence) for sentence in place(error.problems)]
    names = ", ".join(handler.name for handler in handlers)
    return handlers, [ok("handlers", names) if names else warn("handlers", "none is named in the settings: nothing will be archived")]


def _providers(settings: Settings, path: Path, place: Place) -> tuple[list[LoadedProvider], list[Finding]]:
    from genesys_sync.dispatch.providers import load_providers

    try:
        providers = load_providers(settings, base=path.parent)
    except ConfigurationError as error:
        return [], [fail("providers", sentence) for sentence in place(error.problems)]
    return providers, [ok("providers", ", ".join(one.name for one in providers))] if providers else []


def _credentials(credentials: Credentials) -> Finding:
    if credentials.source == "the environment" and "INVOCATION_ID" in os.environ:
        return warn(
            "credentials", "the OAuth client comes from the environment, which other processes of this user can read: use LoadCredential="
        )
    note = "" if credentials.source == "the environment" else "; newlines at the end of its files are passed over"
    return ok("credentials", f"the OAuth client comes from {credentials.source}{note}")


async def _ledger(settings: Settings) -> Finding:
    from genesys_sync.ledger import open_ledger

    path = Path(settings.ledger.url.removeprefix("sqlite:///"))
    early = await to_thread.run_sync(_ledger_file, path)
    if early is not None:
        return early
    try:
        async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
            await ledger.gaps(limit=1)
    except GenesysSyncError as error:
        return failures("ledger", error)[0]
    return ok("ledger", str(path))


def _ledger_file(path: Path) -> Finding | None:
    """What its file alone shows; None when the ledger must be opened to know more."""
    if not path.exists():
        problem = _cannot_be_made(path.parent)
        return fail("ledger", f"ledger.url: {problem}") if problem else ok("ledger", f"{path} (will be made)")
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return fail("ledger", f"ledger.url: {path} or its folder may not be written by this user")
    return None


def _places(settings: Settings) -> list[Finding]:
    """What the file systems are not: durable, on this machine, or roomy."""
    found = []
    for key, path in settings.places.items():
        if why := unsafe(path):
            found.append(warn("disk", f"{key}: DATA_DIR_UNSAFE: {why}; /readyz will say data_dir_unsafe"))
        share = free_share(path)
        if share < SCARCE:
            found.append(warn("disk", f"{key}: DATA_DIR_UNSAFE: {share:.1%} of the file system of {path} are free; make room in time"))
    return found


def _archive(settings: Settings) -> list[Finding]:
    """The folder can be written durably, and has the room that the settings ask for."""
    root = settings.storage.root
    if not root.exists():
        problem = _cannot_be_made(root)
        return [fail("archive", f"storage.root: {problem}") if problem else ok("archive", f"{root} (will be made)")]
    try:
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"genesys-sync check")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        code = EX_TEMPFAIL if error.errno in (errno.ENOSPC, errno.EDQUOT) else EX_CONFIG
        return [fail("archive", f"storage.root: {root} cannot be written: {error.strerror or type(error).__name__}", code)]
    status = os.statvfs(root)
    free = status.f_bavail * status.f_frsize
    if free < settings.storage.min_free:
        sentence = f"DATA_DIR_UNSAFE: {free >> 20} MiB are free, and storage.min_free asks for {settings.storage.min_free >> 20} MiB"
        return [fail("archive", f"storage.root: {sentence} in {root}", EX_TEMPFAIL)]
    found = [ok("archive", f"{root}, {free >> 30} GiB free")]
    if names := apart(root):
        found.append(fail("archive", f"storage.root: DATA_DIR_UNSAFE: {lies_apart(root, names)}"))
    return found


def _audit(settings: Settings) -> list[Finding]:
    """The audit folder can be written, and the key that signs can be used."""
    folder, key = settings.audit_folder, "audit.folder" if settings.audit.folder else "the audit folder beside the ledger"
    problem = _cannot_be_made(folder) if not folder.is_dir() else _cannot_be_written(folder)
    found = [fail("audit", f"{key}: {problem}") if problem else ok("audit", f"{folder}{'' if folder.is_dir() else ' (will be made)'}")]
    try:
        signer = find_signer(settings.audit)
    except ConfigurationError:
        return found  # the settings' own finding tells of it
    return found if signer is None else [*found, ok("audit", f"checkpoints are signed; the public key is {signer.public_key}")]


def _cannot_be_written(folder: Path) -> str | None:
    """Why nothing can be put durably into this folder, or None."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.fsync(file.fileno())
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or type(error).__name__}"
    return None


def _cannot_be_made(folder: Path) -> str | None:
    """Why this folder cannot be made or written, or None. It is not made: who makes it owns it, and this may be run by another user."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return f"{there} is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{folder} cannot be {'written' if there == folder.absolute() else 'made'}: this user may not write in {there}"
    return None


def _health_port(settings: Settings, *, running: bool) -> Finding:
    host, port = settings.health.address
    if running:
        return ok("health", f"a daemon answers at {settings.health.listen} already")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        code = EX_TEMPFAIL if port and error.errno == errno.EADDRINUSE else EX_CONFIG
        return fail(
            "health", f"health.listen: {settings.health.listen}: {error.strerror or 'cannot be listened on'}; set health.listen", code
        )
    return ok("health", f"{settings.health.listen} is free")
