"""From the sources to one value, or to all the faults at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from genesys_sync.disk import NETWORK, file_system, unsafe
from genesys_sync.errors import ConfigurationError
from genesys_sync.faults import describe
from genesys_sync.settings.sections import GenesysSettings, HandlerSettings, Settings
from genesys_sync.sources import attributed, gather


def load(path: Path | None, *, environ: Mapping[str, str] | None = None, overrides: Sequence[str] = ()) -> Settings:
    """The settings from the file, the environment and `key.path=value` overrides, later wins.

    Relative paths in the result are as written: they are taken from the working directory.
    Raises ConfigurationError with every fault at once, each with its place.
    """
    problems: list[str] = []
    environ = os.environ if environ is None else environ
    tree = gather(path, environ, overrides, problems)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems.extend(attributed(describe(error, Settings), path, environ, overrides))
    else:
        problems.extend(attributed(_unsafe(settings), path, environ, overrides))
    if problems:
        raise ConfigurationError(problems)
    return settings


def _unsafe(settings: Settings) -> list[str]:
    """A ledger on a network file system, unless that is allowed: there no lock keeps two machines apart."""
    ledger = settings.places["ledger.url"]
    if settings.ledger.allow_unsafe or file_system(ledger) not in NETWORK:
        return []
    instead = "name a file on a local disk, or set ledger.allow_unsafe = true, which /readyz then shows"
    return [f"ledger.url: DATA_DIR_UNSAFE: {unsafe(ledger)}; {instead}"]


def salvage(path: Path | None, *, environ: Mapping[str, str] | None = None, overrides: Sequence[str] = ()) -> Settings:
    """What `load` was given, reduced to those handlers' tables that can be read: so that a handler's own faults are told together with
    those for which `load` raised. Nothing else of the result is meant to be used."""
    tree = gather(path, os.environ if environ is None else environ, overrides, [])
    tables = tree.get("handlers")
    handlers: dict[str, HandlerSettings] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        with suppress(ValidationError):
            handlers[name] = HandlerSettings.model_validate(table)
    return Settings(genesys=GenesysSettings(region="us_east_1"), handlers=handlers)
