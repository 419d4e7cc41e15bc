"""Secrets that sign, from files or from the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from genesys_sync.plugin import ConfigurationError
from genesys_sync.standard_webhooks import parse_secret


def read_secrets(prefix: str, files: Sequence[Path], variable: str) -> tuple[bytes, ...]:
    """Every key, in the order given: of the environment variable where one is named, else of the files. `prefix` is the path of the
    settings that name them.

    Raises ConfigurationError with all faults; no message shows a secret.
    """
    problems: list[str] = []
    keys: list[bytes] = []
    texts = _from_environment(prefix, variable, problems) if variable else _from_files(f"{prefix}.secret_files", files, problems)
    for source, text in texts:
        try:
            keys.append(parse_secret(text))
        except ValueError as error:
            problems.append(f"{source}: ENDPOINT_INVALID: {error}")
    if problems:
        raise ConfigurationError(problems)
    return tuple(keys)


def read_key(prefix: str, file: Path | None, variable: str) -> str:
    """The key of a service: of the environment variable or of the file; empty where neither is named.

    Raises ConfigurationError; no message shows the key.
    """
    problems: list[str] = []
    found = [("", "")]
    if variable:
        key = os.environ.get(variable, "").strip()
        found = [(f"{prefix}.key_env: the environment variable {variable}", key)]
    elif file is not None:
        found = _from_files(f"{prefix}.key_file", [file], problems)
    for source, key in found:
        if source and (not key or not key.isascii() or not key.isprintable() or " " in key):
            problems.append(f"{source}: must hold a key of one word" if key else f"{source}: is not set")
    if problems:
        raise ConfigurationError(problems)
    return found[0][1]


def _from_environment(prefix: str, variable: str, problems: list[str]) -> list[tuple[str, str]]:
    source = f"{prefix}.secrets_env"
    texts = os.environ.get(variable, "").split()
    if not texts:
        problems.append(f"{source}: the environment variable {variable} is not set")
    return [(source, text) for text in texts]


def _from_files(key: str, files: Sequence[Path], problems: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in files:
        source = f"{key}: {path}"
        try:
            if _exposed(path):
                problems.append(f"{source}: SECRET_EXPOSED: may be read by others; chmod 600 it")
                continue
            found.append((source, path.read_text(encoding="utf-8").strip()))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{source}: {error.strerror if isinstance(error, OSError) else 'is not text'}")
    return found


def _exposed(path: Path) -> bool:
    """Whether others may read the file. systemd guards its credentials folder itself, and shows group bits there for its own reasons."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and path.resolve().is_relative_to(Path(folder).resolve()):
        return False
    return bool(path.stat().st_mode & 0o077)
