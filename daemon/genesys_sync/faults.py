"""What pydantic found wrong, as one sentence for each fault, beginning with the key's path. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

_UNKNOWN_KEY = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

_SECRETS = frozenset({"client_secret", "secret", "password", "token", "access_token", "api_key", "dsn"})
_EXPOSED = "SECRET_EXPOSED: a secret has no place in the settings; replace it, and give the new one in a file"

_EXPECTED: Mapping[str, str] = {
    "int_": "must be a whole number",
    "float_": "must be a number",
    "finite_number": "must be a number",
    "string_type": "must be text in quotation marks",
    "path_type": "must be a path in quotation marks",
    "bool_": "must be true or false",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "list_type": 'must be a list, such as ["a", "b"]',
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dataclass_type": "must be a table",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "too_short": "must have {min_length} or more entries",
}
"""By the beginning of pydantic's name for the kind of fault; the first that fits."""


def describe(error: ValidationError, model: type, *, prefix: str = "") -> list[str]:
    """One sentence for each fault that pydantic found in a pydantic model or dataclass; an unknown key brings the nearest known one.

    The offending value is shown except for secrets, clipped to 120 characters with control characters escaped.
    """
    return [f"{path}: {sentence}" for path, sentence in _faults(error, model, prefix)]


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'archive'?` for a word that resembles a known one, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _faults(error: ValidationError, model: type, prefix: str) -> Iterator[tuple[str, str]]:
    for fault in error.errors(include_url=False):
        location = [str(part) for part in fault["loc"]]
        path = ".".join(([prefix] if prefix else []) + location) or "settings"
        if fault["type"] in _UNKNOWN_KEY:
            known = _keys(_kind_at(model, location[:-1]))
            listed = f" (known here: {', '.join(sorted(known)) or 'none'})"
            exposed = f"{_EXPOSED}; " if location[-1].lower() in _SECRETS and fault["input"] else ""
            yield path, f"{exposed}unknown key{nearest(location[-1], known) or listed}"
        elif fault["type"] == "missing":
            yield path, "is required"
        else:
            message = fault["msg"].removeprefix("Value error, ")
            if fault["type"] != "value_error":
                message = _expectation(fault["type"], message, fault.get("ctx", {}))
                if not _is_secret(_kind_at(model, location)):
                    message += f", not {_shown(fault['input'])}"
            yield path, message


def _expectation(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What was expected, in the words of TOML instead of Python's types."""
    for prefix, expected in _EXPECTED.items():
        if kind.startswith(prefix):
            return expected.format_map(context)
    return f"{message[:1].lower()}{message[1:]}".replace("input should be", "must be", 1)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _is_secret(kind: Any) -> bool:
    return kind in {SecretStr, SecretBytes} or any(_is_secret(part) for part in get_args(kind))


def _kind_at(kind: Any, location: Sequence[str]) -> Any:
    """The annotation at this place, or None where the place is free-form."""
    for part in location:
        if isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)):
            kind = get_type_hints(kind).get(part)
        else:
            inner = [argument for argument in get_args(kind) if argument is not Ellipsis and argument is not type(None)]
            kind = inner[-1] if inner else None
    return kind


def _keys(kind: Any) -> list[str]:
    """The keys that a table of this kind takes; a free-form table has none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if isinstance(kind, type) and is_dataclass(kind):
        return [field.name for field in fields(kind) if field.init]
    return []
