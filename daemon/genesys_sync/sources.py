"""Where settings come from: a TOML file, environment variables and `key.path=value` overrides, laid over each other. Validates nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genesys_sync.errors import ConfigurationError

ENV_PREFIX = "GENESYS_SYNC_"


def gather(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """One tree of all three, later wins; what could not be placed is told in `problems`.

    Raises ConfigurationError, one sentence, for a file that cannot be read.
    """
    tree = {} if path is None else _read(path)
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            _put(tree, _keys_of_variable(name), environ[name], problems, name)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            problems.append(f"--set {override}: write key.path=value")
        else:
            _put(tree, key.strip().split("."), value.strip(), problems, f"--set {key}")
    return tree


def attributed(problems: Sequence[str], environ: Mapping[str, str], overrides: Sequence[str]) -> list[str]:
    """The sentences, each that is about a value from outside the file with the place where that value stands: nobody would look for it
    there. A sentence begins with the key's path; it is about the value of that path, or of one above it."""
    places = {".".join(_keys_of_variable(name)): name for name in sorted(environ) if name.startswith(ENV_PREFIX)}
    for override in overrides:
        key = override.partition("=")[0].strip()
        places[key] = f"--set {key}"
    told = []
    for problem in problems:
        path = problem.partition(": ")[0].split(".")
        above = (".".join(path[:length]) for length in range(len(path), 0, -1))
        place = next((places[key] for key in above if key in places), None)
        told.append(f"{problem} (from {place})" if place else problem)
    return told


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; name yours with --settings, or copy the sample settings.toml") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path}: is a folder; name the settings file in it") from None
    except PermissionError:
        raise ConfigurationError(f"{path}: may not be read by this user") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None


def _keys_of_variable(name: str) -> list[str]:
    """`GENESYS_SYNC_HANDLERS__TELL_CRM__USE` → `handlers`, `tell-crm`, `use`."""
    keys = name.removeprefix(ENV_PREFIX).lower().split("__")
    if keys[0] == "handlers" and len(keys) > 1:
        keys[1] = keys[1].replace("_", "-")
    return keys


def _put(tree: dict[str, Any], keys: Sequence[str], text: str, problems: list[str], source: str) -> None:
    """Set one value in the tree; the text is read as a TOML value where it is one, and as a string otherwise."""
    value: Any = text
    if "\n" not in text:
        with suppress(tomllib.TOMLDecodeError):
            value = tomllib.loads(f"value = {text}")["value"]
    node = tree
    for key in keys[:-1]:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            problems.append(f"{source}: {key} is a value, not a table")
            return
        node = child
    node[keys[-1]] = value
