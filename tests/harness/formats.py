"""What the daemon and the simulator leave behind, read as their documents describe it; nothing of either is imported.

The truth log is described in docs/reference/simulator.md, the archive's folders and sidecars in docs/handlers/archive.md and verify.md,
webhooks in docs/handlers/webhook.md, dead letters in docs/reference/commands.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(
    rf"(?P<shelf>recordings|quarantine/recordings)/\d{{4}}/\d\d/\d\d/(?P<conversation>{_UUID})/"
    rf"(?P<recording>{_UUID})(?:\.r(?P<revision>\d+))?(?P<ending>\.[A-Za-z0-9.]+)"
)
_INCOMING = ".incoming"


@dataclass(frozen=True, slots=True)
class Truth:
    """One recording as the simulator made it. `parts` are SHA-256 of its files; `good`: it can be archived in the end."""

    recording_id: str
    conversation_id: str
    parts: tuple[str, ...]
    format: str
    fault: str | None
    good: bool
    available_at: float


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One media file as it was read back from the disk. `revision` is 0 outside the quarantine."""

    key: str
    recording_id: str
    sha256: str
    size: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One sidecar; `parts` gives SHA-256 and size for each key that it names; `rejected` the reason, in the quarantine."""

    key: str
    recording_id: str
    conversation_id: str
    parts: Mapping[str, tuple[str, int]]
    rejected: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Archive:
    """Everything below the archive's folder: what it should hold, the quarantine, unfinished work, and what has no business there."""

    media: tuple[StoredFile, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    withheld_media: tuple[StoredFile, ...] = ()
    withheld: tuple[Sidecar, ...] = ()
    unfinished: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as `genesys-sync dead-letters list --json` shows it."""

    delivery_id: str
    handler: str
    topic: str
    reason: str
    attempts: int
    complete: bool
    recording_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which the daemon says that it heard nothing; epoch seconds. `closed`: it says that it has asked for what it missed."""

    begun: float
    ended: float
    cause: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Trail:
    """The sealed audit trail. `broken` says in one sentence what does not follow; empty when all does. `done` are actions and targets."""

    entries: int = 0
    broken: str = ""
    gaps: tuple[Gap, ...] = ()
    done: frozenset[tuple[str, str]] = frozenset()


NO_TRAIL = Trail()


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the receiver. `at` is the receiver's clock; `answered` the status, 0 when it was cut off before."""

    at: float
    headers: Mapping[str, str]
    body: bytes
    answered: int
    data: Mapping[str, Any] = field(default_factory=dict)
    type: str = ""

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def accepted(self) -> bool:
        return 200 <= self.answered < 300


def read_truth(path: Path, kind: str = "recording") -> list[Mapping[str, Any]]:
    """Lines of one type from a truth log; a torn last line is none."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("type") == kind:
            found.append(entry)
    return found


def truths(lines: Iterable[Mapping[str, Any]]) -> tuple[Truth, ...]:
    """Recordings from truth lines."""
    return tuple(
        Truth(
            line["recordingId"],
            line["conversationId"],
            tuple(part["sha256"] for part in line["parts"]),
            line["format"],
            line["fault"],
            line["good"],
            moment(line["availableAt"]),
        )
        for line in lines
    )


def moment(text: str) -> float:
    """Epoch seconds of an ISO 8601 time."""
    return datetime.fromisoformat(text).timestamp()


def read_archive(root: Path) -> Archive:
    """Every file below `root`, read from the disk and hashed; folders count only for what they hold."""
    shelves: dict[str, list[Any]] = {"media": [], "sidecars": [], "withheld_media": [], "withheld": [], "unfinished": [], "strays": []}
    for path in _files(root):
        key = path.relative_to(root).as_posix()
        match = _KEY.fullmatch(key)
        if key.startswith(f"{_INCOMING}/"):
            shelves["unfinished"].append(key)
        elif match is None or path.is_symlink() or (match["shelf"] == "recordings") is (match["revision"] is not None):
            shelves["strays"].append(key)
        else:
            withheld = match["shelf"] != "recordings"
            revision = int(match["revision"] or 0)
            if match["ending"] == ".json":
                sidecar = _sidecar(path, key, match, revision)
                shelves["strays" if sidecar is None else "withheld" if withheld else "sidecars"].append(sidecar or key)
            else:
                digest, size = _hashed(path)
                shelves["withheld_media" if withheld else "media"].append(StoredFile(key, match["recording"], digest, size, revision))
    return Archive(**{name: tuple(entries) for name, entries in shelves.items()})


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            yield Path(folder) / name


def _sidecar(path: Path, key: str, match: re.Match[str], revision: int) -> Sidecar | None:
    """None for a file that is no whole sidecar of the recording that its name says."""
    try:
        document = json.loads(path.read_bytes())
        if document["recordingId"] != match["recording"] or document["conversationId"] != match["conversation"]:
            return None
        parts = {part["key"]: (part["sha256"], part["bytes"]) for part in document["parts"]}
        rejected = document.get("rejected")
    except (ValueError, KeyError, TypeError):
        return None
    reason = str(rejected.get("reason")) if isinstance(rejected, dict) else rejected
    return Sidecar(key, match["recording"], match["conversation"], parts, reason, revision)


def _hashed(path: Path) -> tuple[str, int]:
    """SHA-256 and size, from the disk: what the page cache holds of the file is dropped before, where the file is clean."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def read_trail(folder: Path) -> Trail:
    """The daily files as docs/specs/audit.md describes them, with the hash of each line computed anew."""
    root, entries = bytes(32), []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
            root = hashlib.sha256(b"\0" + line[83:-1] + root).digest()
            entry = json.loads(line[83:-1])
            entries.append(entry)
            if line[9:73] != root.hex().encode() or entry["seq"] != len(entries):
                return Trail(len(entries), f"{path.name}, line {number} does not follow")
    bounds: dict[str, list[tuple[int, int, str]]] = {"gap.open": [], "gap.close": []}
    for entry in entries:
        if entry["action"] in bounds:
            facts = entry["facts"]
            bounds[entry["action"]].append((facts["fromMs"], facts["toMs"], facts["cause"]))
    closed = set(bounds["gap.close"])
    gaps = tuple(Gap(begun / 1000, ended / 1000, cause, (begun, ended, cause) in closed) for begun, ended, cause in bounds["gap.open"])
    return Trail(len(entries), "", gaps, frozenset((entry["action"], entry["target"]) for entry in entries))


def read_silences(path: Path) -> tuple[tuple[float, float], ...]:
    """Intervals of a truth log in which what was asked for reached nobody; epoch seconds."""
    return tuple((moment(line["begun"]), moment(line["ended"])) for line in read_truth(path, "unheard"))


def read_letters(text: str) -> tuple[Letter, ...]:
    """The output of `genesys-sync dead-letters list --json`."""
    return tuple(
        Letter(
            entry["id"],
            entry["handler"],
            entry["event"]["topic"],
            entry["reason"] or "",
            entry["attempts"],
            all(entry[name] for name in ("createdAt", "finishedAt", "firstError", "lastError")),
            entry["event"]["recordingId"] or "",
            entry["event"]["conversationId"] or "",
        )
        for entry in json.loads(text)
    )


def request(at: float, headers: Mapping[str, str], body: bytes, answered: int) -> Request:
    """A request as logged; what cannot be read stays without type and data."""
    try:
        document = json.loads(body)
        kind, data = str(document["type"]), dict(document["data"])
    except (ValueError, KeyError, TypeError):
        kind, data = "", {}
    return Request(at, {name.lower(): value for name, value in headers.items()}, body, answered, data, kind)


def as_line(one: Request) -> bytes:
    """A request as a line of the receiver's log."""
    entry = {"at": one.at, "headers": dict(one.headers), "body": base64.b64encode(one.body).decode(), "answered": one.answered}
    return json.dumps(entry).encode() + b"\n"


def read_requests(path: Path) -> tuple[Request, ...]:
    """The receiver's log, in order of arrival."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return tuple(request(line["at"], line["headers"], base64.b64decode(line["body"]), line["answered"]) for line in lines)
