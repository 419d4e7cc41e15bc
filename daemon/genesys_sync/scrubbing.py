"""What may leave the process: text without secrets, URLs, personal data or control characters, in bounded size.

Used for every log line and every error report. It would rather hide too much: a number of seven digits and more that somebody
put in a sentence is taken for a telephone number. Numbers meant to be read are facts (`bytes=1234567`), which stay.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

VALUE_LIMIT = 2000
"""Characters of one value in a log line."""

_READ_LIMIT = 16 << 10
_LEVELS = 6
_ITEM_LIMIT = 64
_FRAME_LIMIT = 12
_CAUSE_LIMIT = 5

_SECRET_KEYS = frozenset(
    (
        *("authorization", "cookie", "set-cookie", "token", "access_token", "refresh_token"),
        *("client_secret", "secret", "password", "api_key", "dsn", "signature"),
        *("ani", "dnis", "address_from", "address_to", "address_self", "caller", "phone", "email"),
    )
)
"""Names whose value is never shown, whatever it looks like."""

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>`\\]+")
_QUERY = re.compile(r"\?[\w%.~+-]{1,64}=[^\s\"'<>`\\]*")
_CREDENTIAL = re.compile(
    r"\b(bearer\s+[\w.~+/=-]{6,}|basic\s+[A-Za-z0-9+/=_-]{16,}|whsec_[\w+/=-]+|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?)", re.IGNORECASE
)
_ASSIGNMENT = re.compile(
    r"\b((?:access_|refresh_|id_)?token|client_secret|secret|password|passwd|api[_-]?key|x-amz-[a-z-]{1,40}|signature)"
    r"([\"']?\s{0,3}[=:]\s{0,3}[\"']?)(?!SECRET_EXPOSED:)[^\s\"',;&}<]+",  # that code says what is wrong with the setting of this name
    re.IGNORECASE,
)
_MAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_DIGITS = re.compile(
    r"""
      (?P<keep>
          [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}          # UUID
        | \b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?\b   # ISO 8601
        | \b\d{4}/\d\d/\d\d/                                                                   # the folders of the archive
        | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\d.])                                       # IPv4 address
        | (?<![0-9a-fA-F])(?=[0-9]{0,63}[a-fA-F])[0-9a-fA-F]{16,64}(?![0-9a-fA-F])              # event ids, SHA-256
      )
      | (?P<number> \+?\d(?:(?:[\ .\-()\u00a0]{1,3}|\ ?/\ ?)?\d){6,63} )                        # telephone, card
    """,
    re.VERBOSE,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_secrets: tuple[str, ...] = ()


def register_secret(value: str, *, replaces: str = "") -> None:
    """From now on this exact value is shown nowhere, nor is its percent-encoded form; `replaces` is the old one, forgotten now.

    Values of fewer than six characters are not taken: hiding them would make holes in ordinary words. Calling it twice changes nothing.
    """
    global _secrets  # noqa: PLW0603 - a secret is one for the whole process, whichever part writes the line
    kept = {secret for secret in _secrets if secret not in (replaces, quote(replaces, safe=""))}
    if len(value) >= 6:
        kept |= {value, quote(value, safe="")}
    _secrets = tuple(sorted(kept, key=len, reverse=True))


def scrub(text: str) -> str:
    """The text without registered secrets, tokens, URLs beyond their host, e-mail addresses and telephone-like numbers.

    UUIDs, ISO times, archive keys, IPv4 addresses and hexadecimal ids stay. Of the platform's own API the path stays too.
    """
    for secret in _secrets:
        text = text.replace(secret, "<secret>")
    if "://" in text:
        text = _URL.sub(lambda match: _shorten(match[0]), text)
    if "?" in text:
        text = _QUERY.sub("?<query>", text)
    text = _CREDENTIAL.sub("<secret>", text)
    text = _ASSIGNMENT.sub(r"\1\2<secret>", text)
    if "@" in text:
        text = _MAIL.sub("<email>", text)
    return _DIGITS.sub(lambda match: match["keep"] or "<number>", text)


def _shorten(url: str) -> str:
    """Scheme and host; the path only of the platform's API, where it names the operation. Other paths may be secrets themselves:
    a notification channel's address, a chat system's webhook, a presigned object."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "<url>"
    if parts.scheme == "sqlite" and not parts.netloc:
        return url  # a file on this machine, like any other path
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    if parts.path.startswith(("/api/v2/", "/oauth/token")):
        return origin + parts.path
    return origin if parts.path in ("", "/") and not parts.query else f"{origin}/…"


def escape(text: str) -> str:
    """Control characters, line separators, text direction marks and lone surrogates as `\\x1b`, `\\u2028`: nothing can start a new
    line, colour a terminal or turn the text around."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "backslashreplace").decode("ascii"), text)


def clean_text(text: str, *, limit: int = VALUE_LIMIT) -> str:
    """Scrubbed, escaped and at most `limit` characters."""
    clipped = len(text) > _READ_LIMIT
    if clipped:  # at a blank, so that no half of a secret stands at the end unrecognised
        head = text[:_READ_LIMIT].rsplit(None, 1)
        text = head[0] if len(head) == 2 else ""
    shown = escape(scrub(text))
    if len(shown) > limit or clipped:
        return shown[: limit - 1] + "…"
    return shown


def clean(values: Mapping[Any, Any], *, limit: int = VALUE_LIMIT, levels: int = _LEVELS) -> dict[str, Any]:
    """The mapping as JSON values, every text in it cleaned, at most 64 items of each collection, `levels` deep."""
    cleaned: dict[str, Any] = {}
    for key, value in list(values.items())[:_ITEM_LIMIT]:
        name = clean_text(str(key), limit=200)
        if name.lower() in _SECRET_KEYS and value not in (None, ""):
            cleaned[name] = "<hidden>"
        else:
            cleaned[name] = clean_value(value, limit=limit, levels=levels - 1)
    return cleaned


def clean_value(value: object, *, limit: int = VALUE_LIMIT, levels: int = _LEVELS) -> Any:
    """The value as JSON knows it; an object that is neither text, number, time nor collection shows its type alone, because its
    own `repr` could hold anything."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Enum):
        return clean_value(value.value, limit=limit, levels=levels)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else "<number>"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return clean_text(bytes(value[:_READ_LIMIT]).decode("utf-8", "backslashreplace"), limit=limit)
    if isinstance(value, str | UUID | PurePath | Decimal | timedelta):
        return clean_text(str(value), limit=limit)
    if isinstance(value, BaseException):
        return describe_exception(value)
    return _clean_collection(value, limit, levels)


def _clean_collection(value: object, limit: int, levels: int) -> Any:
    if levels <= 0:
        return "…"
    if isinstance(value, Mapping):
        return clean(value, limit=limit, levels=levels)
    if isinstance(value, Sequence | Set):
        return [clean_value(item, limit=limit, levels=levels - 1) for item in list(value)[:_ITEM_LIMIT]]
    return f"<{type(value).__name__}>"


def describe_exception(error: BaseException, *, limit: int = VALUE_LIMIT) -> str:
    """One line: type, message and the innermost frames, then its causes; scrubbed and bounded. Shows no source and no variable."""
    parts: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and len(parts) < _CAUSE_LIMIT:
        seen.add(id(current))
        parts.append(_one_exception(current))
        if isinstance(current, BaseExceptionGroup) and current.exceptions:
            current = current.exceptions[0]
        else:
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return clean_text(" ← ".join(parts), limit=limit)


def _one_exception(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAME_LIMIT) if error.__traceback__ else []
    place = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)  # noqa: PTH119 - text only
    message = str(error)
    shown = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{shown} [{place}]" if place else shown
