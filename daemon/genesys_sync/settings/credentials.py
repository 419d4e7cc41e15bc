"""Secrets, and where they are found: never in `settings.toml`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from genesys_sync.errors import ConfigurationError
from genesys_sync.settings.sections import GenesysSettings, SentrySettings

SECRET_LIMIT = 64 << 10
"""Bytes read of a secret's file."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The OAuth client. `source` says where it was found, for messages; the values never print."""

    client_id: SecretStr
    client_secret: SecretStr
    source: str


def find_credentials(settings: GenesysSettings, *, environ: Mapping[str, str] | None = None) -> Credentials:
    """The OAuth client: systemd credentials (`client_id`, `client_secret` in `$CREDENTIALS_DIRECTORY`), then the files named in the
    settings, then `GENESYS_CLIENT_ID` and `GENESYS_CLIENT_SECRET`. Newlines at its end are taken off.

    Raises ConfigurationError when none is complete, or when a file is empty, unreadable or readable by everybody.
    """
    environment = os.environ if environ is None else environ
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / "client_secret").exists():
        folder = Path(directory)
        return _from_files(folder / "client_id", folder / "client_secret", "systemd credentials", guarded=False)
    if settings.client_id_file or settings.client_secret_file:
        if settings.client_id_file is None or settings.client_secret_file is None:
            missing = "client_id_file" if settings.client_id_file is None else "client_secret_file"
            raise ConfigurationError(f"genesys.{missing}: is required, because its sibling is set")
        return _from_files(settings.client_id_file, settings.client_secret_file, "files", guarded=True)
    client_id = environment.get("GENESYS_CLIENT_ID", "").strip()
    client_secret = environment.get("GENESYS_CLIENT_SECRET", "").strip()
    if client_id and client_secret:
        return Credentials(SecretStr(client_id), SecretStr(client_secret), "the environment")
    half = "GENESYS_CLIENT_SECRET" if client_id else "GENESYS_CLIENT_ID" if client_secret else ""
    missing = f"{half} is missing from the environment, where the other half is; " if half else ""
    raise ConfigurationError(
        f"genesys: no OAuth client: {missing}give systemd credentials client_id and client_secret, set client_id_file and "
        "client_secret_file, or export GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET"
    )


def find_further_clients(settings: GenesysSettings, *, environ: Mapping[str, str] | None = None) -> dict[str, Credentials]:
    """The OAuth clients of `genesys.clients`, by name. A file below `$CREDENTIALS_DIRECTORY` has systemd's mode.

    Raises ConfigurationError with the faults of all of them.
    """
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    problems: list[str] = []
    found = {}
    for name, client in settings.clients.items():
        guarded = not (directory and client.client_secret_file.is_relative_to(directory))
        key = f"genesys.clients.{name}"
        client_id = read_secret(client.client_id_file, f"{key}.client_id_file", problems, guarded=False)
        secret = read_secret(client.client_secret_file, f"{key}.client_secret_file", problems, guarded=guarded)
        found[name] = Credentials(SecretStr(client_id), SecretStr(secret), "files")
    if problems:
        raise ConfigurationError(problems)
    return found


def find_sentry_dsn(settings: SentrySettings, *, environ: Mapping[str, str] | None = None) -> SecretStr | None:
    """Where error reports go: the file named in the settings, then `SENTRY_DSN`; None when neither is given.

    Raises ConfigurationError for a file that is empty or cannot be read.
    """
    if settings.dsn_file is not None:
        problems: list[str] = []
        dsn = read_secret(settings.dsn_file, "sentry.dsn_file", problems, guarded=False)
        if problems:
            raise ConfigurationError(problems)
        return SecretStr(dsn)
    dsn = (os.environ if environ is None else environ).get("SENTRY_DSN", "").strip()
    return SecretStr(dsn) if dsn else None


def _from_files(id_file: Path, secret_file: Path, source: str, *, guarded: bool) -> Credentials:
    problems: list[str] = []
    client_id = read_secret(id_file, "genesys.client_id_file", problems, guarded=False)
    client_secret = read_secret(secret_file, "genesys.client_secret_file", problems, guarded=guarded)
    if problems:
        raise ConfigurationError(problems)
    return Credentials(SecretStr(client_id), SecretStr(client_secret), source)


def read_secret(path: Path, key: str, problems: list[str], *, guarded: bool) -> str:
    """The text of a secret file without the newlines at its end; faults go into `problems`. Guarded: refused when others may read it."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder has its own sentence; whoever opened a pipe would wait for ever
            problems.append(f"{key}: {path} is no file")
            return ""
        if guarded and mode & 0o077:
            problems.append(f"{key}: SECRET_EXPOSED: {path} may be read by others; chmod 600 it")
            return ""
        with path.open("rb") as file:
            text = file.read(SECRET_LIMIT).decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not text"
        problems.append(f"{key}: {path}: {reason}")
        return ""
    if not text.strip():
        problems.append(f"{key}: {path} is empty; write the secret into it")
        return ""
    return text
