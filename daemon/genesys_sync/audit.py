"""Audit entries, and the chain that they are sealed into. Pure; the format is told to strangers in `docs/specs/audit.md`.

An entry says who did what to which target, with what outcome. It commits with the state change that it tells of and gets a number
there, from 1 on and without a hole. Sealed, it is one line of a daily file:

    {"hash":"<64 hexadecimal digits>","entry":{…}}

where hash_n = SHA-256(0x00 ‖ the bytes of the entry as they stand in the line ‖ hash_(n-1)), and hash_0 is 32 zero bytes. What is
hashed stands in the line literally, at a fixed place, so that nobody has to rebuild it to check it. The root of the first n entries
is hash_n: it covers all of them, and is compared by finding line n.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson

from genesys_sync.events import iso

ZERO = bytes(32)
"""What comes before the first entry's hash."""

LINE_LIMIT = 1 << 20
"""Bytes of the longest line that a reader takes."""

_LEAF = b"\x00"
_LINE = re.compile(rb'\{"hash":"([0-9a-f]{64})","entry":(\{.*\})\}', re.DOTALL)
_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl")
_ENTRY_KEYS = frozenset({"seq", "at", "actor", "action", "target", "outcome", "facts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit trail.

    action   `noun.verb`, e.g. `recording.archive`
    target   what it was done to: an id, never a URL
    outcome  `success`, `failure`, `refused`
    facts    JSON values; never a secret, a URL or personal data
    """

    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry with the number that the ledger gave it."""

    seq: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class Seal:
    """How far the entries lie in files, durably.

    size      the first `size` entries
    root      the hash of the last of them
    day       whose file holds it; None before the first
    position  bytes of that file up to the end of its line
    """

    size: int = 0
    root: bytes = ZERO
    day: date | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What somebody was told at a time: the first `size` entries have this root."""

    size: int
    root: bytes
    at: str = ""
    signature: bytes | None = field(default=None, compare=False)
    """Empty: it carries none, though it came as a document; None: it was given by hand, and whoever gave it vouches for it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read. `entry` are the literal bytes that the hash covers, `fields` what they say."""

    hash: bytes
    entry: bytes
    fields: Mapping[str, Any]

    @property
    def seq(self) -> int:
        return int(self.fields["seq"])


def canonical(numbered: Numbered) -> bytes:
    """The entry as JSON in UTF-8: keys sorted at every depth, nothing between the tokens, times in milliseconds with Z."""
    entry = numbered.entry
    value = {
        "seq": numbered.seq,
        "at": iso(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "facts": dict(entry.facts),
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def chained(entry: bytes, before: bytes) -> bytes:
    """The hash of an entry's canonical bytes that follows `before`."""
    return hashlib.sha256(_LEAF + entry + before).digest()


def line(entry: bytes, own: bytes) -> bytes:
    """The entry's line, with its newline."""
    return b'{"hash":"' + own.hex().encode() + b'","entry":' + entry + b"}\n"


def parse_line(text: bytes) -> Line | None:
    """A line without its newline; None when it is not of the form that `line` gives."""
    match = _LINE.fullmatch(text)
    if match is None or len(text) > LINE_LIMIT:
        return None
    try:
        fields = orjson.loads(match[2])
    except orjson.JSONDecodeError:
        return None
    sound = isinstance(fields, dict) and fields.keys() == _ENTRY_KEYS and isinstance(fields["seq"], int) and fields["seq"] > 0
    return Line(bytes.fromhex(match[1].decode()), match[2], fields) if sound else None


def file_day(numbered: Numbered, before: date | None) -> date:
    """Whose file takes the entry: the UTC day of its time, never one earlier than the entry before it."""
    day = numbered.entry.at.astimezone(UTC).date()
    return day if before is None else max(day, before)


def file_name(day: date) -> str:
    return f"{day:%Y-%m-%d}.jsonl"


def day_of_file(name: str) -> date | None:
    """None for a name that is not of a daily file."""
    match = _FILE.fullmatch(name)
    try:
        return None if match is None else date.fromisoformat(match[1])
    except ValueError:
        return None
