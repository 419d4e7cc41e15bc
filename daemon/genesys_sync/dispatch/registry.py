"""From the `[handlers.…]` tables of the settings to handlers ready to run.

`use = "archive"` names an entry point of group `genesys_sync.handlers`; `use = "./plugins/mine.py:Mine"` names a class in a file.
Nothing is loaded that the settings do not name. All faults of all handlers are reported at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from itertools import combinations
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from genesys_sync.errors import ConfigurationError
from genesys_sync.events import Topic
from genesys_sync.faults import describe, nearest
from genesys_sync.plugin import Handler, Policy
from genesys_sync.routing import matches
from genesys_sync.scrubbing import scrub
from genesys_sync.settings import HandlerSettings, Settings

GROUP = "genesys_sync.handlers"
"""The entry point group in which packages announce their handlers."""

MadeT = TypeVar("MadeT")

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>[A-Za-z_][A-Za-z0-9_]*))?")


@dataclass(frozen=True, slots=True)
class LoadedHandler:
    """A handler as the settings ask for it.

    name    the key in the settings; part of each of its deliveries' ids
    topics  topics or globs, never empty; one that matches no topic we know may match one that another handler emits
    policy  the class's, overridden by the settings
    """

    name: str
    handler: Handler[Any]
    topics: tuple[str, ...]
    policy: Policy


def load_handlers(settings: Settings, *, base: Path) -> list[LoadedHandler]:
    """The handlers of the settings, in their order. Relative files are taken from `base`, the settings file's folder.

    Imports what is named and makes each handler, which does no I/O of its own yet. Called twice, it makes new ones.
    Raises ConfigurationError with one sentence for each fault.
    """
    loader = Loader[Handler[Any]](base, Handler, GROUP)
    loaded: list[LoadedHandler] = []
    problems: list[str] = []
    for name, wanted in settings.handlers.items():
        try:
            loaded.append(_load(name, wanted, loader))
        except ConfigurationError as error:
            problems.extend(error.problems)
    problems.extend(told_twice(loaded))
    if problems:
        raise ConfigurationError(problems)
    return loaded


def told_twice(handlers: Sequence[LoadedHandler]) -> list[str]:
    """A sentence for each two that send what both take to one endpoint. Pure."""
    found = []
    for first, second in combinations(handlers, 2):
        if not first.handler.endpoint or first.handler.endpoint != second.handler.endpoint:
            continue
        known = {*Topic, *first.topics, *second.topics}
        common = sorted(topic for topic in known if matches(topic, first.topics) and matches(topic, second.topics))
        if common:
            found.append(
                f"handlers.{second.name}.config: ENDPOINT_INVALID: sends to where handlers.{first.name} sends, and both take "
                f"{', '.join(common)}: the receiver would be told twice; give each topics of its own, or remove one"
            )
    return found


def build_handler(kind: type[Handler[Any]], name: str, config: Mapping[str, Any]) -> Handler[Any]:
    """One handler of this class with its configuration decoded as the settings file's would be: unknown keys are errors.

    Raises ConfigurationError, every sentence beginning with `handlers.NAME.config` and the key.
    """
    return made(kind, f"handlers.{name}", name, config)


def made(kind: type[MadeT], key: str, name: str, config: Mapping[str, Any]) -> MadeT:
    """An object of this class, which has a `config_type`, with its configuration decoded. Raises ConfigurationError; `key` is the path of
    its table in the settings."""
    config_type = getattr(kind, "config_type", None)
    if not (isinstance(config_type, type) and (issubclass(config_type, BaseModel) or is_dataclass(config_type))):
        raise ConfigurationError(f"{key}: {kind.__name__}.config_type must be a dataclass or a pydantic model")
    try:
        decoded = TypeAdapter(config_type).validate_python(dict(config), extra="forbid")
    except ValidationError as error:
        raise ConfigurationError(describe(error, config_type, prefix=f"{key}.config")) from None
    make: Callable[[str, Any], MadeT] = kind
    try:
        return make(name, decoded)
    except ConfigurationError as error:
        raise ConfigurationError([f"{key}.config: {problem}" for problem in error.problems]) from None
    except Exception as error:  # noqa: BLE001 - the constructor is somebody else's code: whatever it raises is a fault of this table's
        raise ConfigurationError(f"{key}: {kind.__name__} could not be made: {_told(error)}") from None


def _load(name: str, wanted: HandlerSettings, loader: Loader[Handler[Any]]) -> LoadedHandler:
    problems: list[str] = []
    if _NAME.fullmatch(name) is None:
        problems.append(f"handlers.{name}: a handler's name is 1 to 63 of a-z, 0-9 and -, and begins with a letter")
    try:
        kind = loader.find(wanted.use, f"handlers.{name}.use")
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    topics = tuple(kind.topics if wanted.topics is None else wanted.topics)
    if not topics or not all(topics):
        problems.append(f"handlers.{name}.topics: name at least one topic, such as 'media.verified' or 'recording.*'")
    handler: Handler[Any] | None = None
    try:
        handler = build_handler(kind, name, wanted.config)
    except ConfigurationError as error:
        problems.extend(error.problems)
    if handler is None or problems:
        raise ConfigurationError(problems)
    handler.policy = _policy(handler.policy, wanted)
    return LoadedHandler(name, handler, topics, handler.policy)


def _policy(policy: Policy, wanted: HandlerSettings) -> Policy:
    """The handler's policy with each field that the settings name taken from there."""
    named = {field.name: value for field in fields(Policy) if (value := getattr(wanted, field.name)) is not None}
    return replace(policy, **named)


class Loader(Generic[MadeT]):
    """Finds the classes that `use` names: subclasses of `kind`, announced under the entry point group `group`. A file that is named several
    times is run once."""

    def __init__(self, base: Path, kind: type, group: str) -> None:
        self._base = base
        self._kind = kind
        self._group = group
        self._noun = kind.__name__.lower()
        self._modules: dict[Path, object] = {}

    def find(self, use: str, key: str) -> type[MadeT]:
        """The class that `use` names. Raises ConfigurationError, one sentence beginning with `key`."""
        file = _FILE.fullmatch(use)
        if file is None and use.startswith((".", "/")):
            raise ConfigurationError(f'{key}: {use!r} is not of the form "./plugins/mine.py:Mine"')
        if file is None:
            return self._checked(_imported(self._entry_point(use, key).load, use, key), use, key)
        path = (self._base / file["path"]).resolve()
        if not file["name"]:
            raise ConfigurationError(f'{key}: name the class too, as in "{use}:Mine"')
        if not path.is_file():
            raise ConfigurationError(f"{key}: there is no file {path}")
        if path not in self._modules:
            self._modules[path] = _imported(lambda: _run_file(path), use, key)
        module = self._modules[path]
        if not hasattr(module, file["name"]):
            classes = [name for name, value in vars(module).items() if self._is_one(value)]
            hint = nearest(file["name"], classes) or f" ({self._noun}s there: {', '.join(classes) or 'none'})"
            raise ConfigurationError(f"{key}: {path.name} has no class {file['name']}{hint}")
        return self._checked(getattr(module, file["name"]), use, key)

    def _entry_point(self, name: str, key: str) -> EntryPoint:
        installed = entry_points(group=self._group)
        found = list(installed.select(name=name))
        if not found:
            names = sorted(installed.names)
            there = f"(installed: {', '.join(names) or 'none'})"
            raise ConfigurationError(f"{key}: no {self._noun} {name!r} is installed{nearest(name, names)} {there}")
        if len({entry.value for entry in found}) > 1:
            sources = ", ".join(sorted(entry.value for entry in found))
            raise ConfigurationError(f"{key}: several installed packages offer a {self._noun} {name!r} ({sources}); remove all but one")
        return found[0]

    def _is_one(self, value: object) -> bool:
        return isinstance(value, type) and issubclass(value, self._kind) and value is not self._kind

    def _checked(self, value: object, use: str, key: str) -> type[MadeT]:
        if not isinstance(value, type) or not self._is_one(value):
            raise ConfigurationError(f"{key}: {use!r} is not a subclass of genesys_sync.plugin.{self._kind.__name__}")
        if inspect.isabstract(value):
            missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
            raise ConfigurationError(f"{key}: {use!r} leaves out {missing}")
        return value


def _imported(load: Callable[[], object], use: str, key: str) -> object:
    try:
        return load()
    except Exception as error:  # noqa: BLE001 - an import runs its author's code, which may raise anything
        raise ConfigurationError(f"{key}: importing {use!r} failed: {_told(error)}") from None


def _run_file(path: Path) -> object:
    """The module that this file makes. It is known to `sys.modules`, as dataclasses and pickling demand, under a name of its own."""
    name = f"genesys_sync_file_{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python source file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _told(error: Exception) -> str:
    """An exception of somebody else's in a few words: its kind, the first line of its message, and the line of a syntax error."""
    text = scrub(str(error)).splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def topics_by_handler(handlers: Sequence[LoadedHandler]) -> dict[str, tuple[str, ...]]:
    """What `routing.Router` is made from."""
    return {loaded.name: loaded.topics for loaded in handlers}
