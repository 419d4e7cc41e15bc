"""Where settings come from: a TOML file, environment variables and `key.path=value` overrides, laid over each other. Validates nothing, and
says of what others find wrong where it stands."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genesys_sync import places
from genesys_sync.errors import ConfigurationError

ENV_PREFIX = "GENESYS_SYNC_"

_TOLD_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_APART = "genesys-sync-repeated-"
"""Begins the names under which what stands twice is read, and then left out."""


def gather(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """One tree of all three, later wins; what could not be placed is told in `problems`.

    Raises ConfigurationError, one sentence, for a file that cannot be read.
    """
    tree = {} if path is None else _read(path, problems)
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


def attributed(problems: Sequence[str], path: Path | None, environ: Mapping[str, str], overrides: Sequence[str]) -> list[str]:
    """The sentences, each with the place of the value that it is about: before it `settings.toml:12:5`, the line and column of the key;
    behind it the variable or the override that the value comes from. A sentence begins with its key's path; it is about the value of that
    path, or of the nearest one above it; where none stands anywhere, the file alone is named."""
    text = ""
    with suppress(ConfigurationError):  # whoever read the file before has told of that
        text = "" if path is None else _text(path)
    found: dict[str, int | str] = dict(places.read(text).offsets)
    outside = {".".join(_keys_of_variable(name)): name for name in sorted(environ) if name.startswith(ENV_PREFIX)}
    outside |= {(key := override.partition("=")[0].strip()): f"--set {key}" for override in overrides}
    for key, source in outside.items():
        found = {known: place for known, place in found.items() if not known.startswith(f"{key}.")}  # it replaced a whole table
        found[key] = source
        for length in range(1, key.count(".") + 1):
            found.setdefault(".".join(key.split(".")[:length]), source)  # the table is there because of it
    told = []
    for problem in problems:
        above = [key for key in found if problem.startswith((f"{key}:", f"{key}."))]
        place = found[max(above, key=len)] if above else None
        if isinstance(place, str):
            told.append(f"{problem} (from {place})")
        elif place is not None:
            told.append(f"{path}:{places.line_and_column(text, place)} {problem}")
        else:
            told.append(problem if path is None else f"{path} {problem}")
    return told


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    """What the file holds. What stands twice goes into `problems`, so that the rest can be looked at all the same."""
    text = _text(path)
    try:
        return _parsed(text)
    except tomllib.TOMLDecodeError as error:
        fault = error
    repeats = places.read(text).repeats
    for repeat in repeats:
        here = places.line_and_column(text, repeat.start)
        problems.append(
            f"{path}:{here} {repeat.path}: stands twice; first in line {places.line_and_column(text, repeat.first).split(':')[0]}"
        )
    changed = text
    for number, repeat in reversed(list(enumerate(repeats))):
        changed = f"{changed[: repeat.start]}{_APART}{number}{changed[repeat.end :]}"
    try:
        if repeats:
            return dict(_without(_parsed(changed)))
    except tomllib.TOMLDecodeError as error:
        fault = error
    said = _TOLD_PLACE.search(str(fault))
    place = f"{said['line']}:{said['column']}" if said and said["line"] else places.line_and_column(text, len(text))
    raise ConfigurationError([*problems, f"{path}:{place}: not valid TOML: {_TOLD_PLACE.sub('', str(fault))}"]) from None


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("lists or tables within each other, deeper than anybody needs (at line 1, column 1)") from None


def _without(value: Any) -> Any:
    """The value without what stands in it for the second time."""
    if isinstance(value, list):
        return [_without(one) for one in value]
    return {key: _without(one) for key, one in value.items() if not key.startswith(_APART)} if isinstance(value, dict) else value


def _text(path: Path) -> str:
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; name yours with --settings, or copy the sample settings.toml") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path}: is a folder; name the settings file in it") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise ConfigurationError(f"{path}:{places.line_and_column(before, len(before))}: is not UTF-8 text from there on") from None


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
