"""What the demo's run left behind, read from outside: truth log, archive folder, webhooks received, dead letters."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from genesys_sync.cli.demo.verdict import Created, Found
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger


def created(folder: Path) -> list[Created]:
    """Every recording that the simulator says it created, from its truth log."""
    found = []
    for line in _lines(folder / "truth.jsonl"):
        if line.get("type") == "recording":
            found.append(Created(line["recordingId"], line["conversationId"], line["sha256"], line["bytes"], line["format"], line["fault"]))
    return found


def fired(folder: Path) -> Mapping[str, int]:
    """How often each planted fault really happened, from the truth log."""
    counts: dict[str, int] = defaultdict(int)
    for line in _lines(folder / "truth.jsonl"):
        if line.get("type") == "fault":
            counts[line["kind"]] += 1
    return counts


async def found(folder: Path) -> Found:
    """What became of the recordings; every archived file is read back and hashed."""
    archived: dict[str, list[str]] = defaultdict(list)
    for path in sorted((folder / "archive" / "recordings").rglob("*")):
        if path.is_file() and not _is_sidecar(path):
            archived[path.name.split(".")[0]].append(_sha256(path))
    webhooks = _lines(folder / "webhooks.jsonl")
    quarantined = {
        line["data"]["recordingId"]: line["data"]["reason"]
        for line in webhooks
        if line["type"] == "media.rejected" and all((folder / "archive" / key).is_file() for key in line["data"]["quarantine"])
    }
    async with open_ledger(f"sqlite:///{folder / 'state' / 'ledger.db'}", clock=SystemClock(), read_only=True) as ledger:
        letters = await ledger.dead_letters(limit=10_000)
    return Found(
        archived=archived,
        quarantined=quarantined,
        dead={letter.event.recording_id or letter.delivery_id: str(letter.reason) for letter in letters},
        verified={line["data"]["recordingId"] for line in webhooks if line["type"] == "media.verified"},
    )


def seconds_to_archive(folder: Path) -> list[float]:
    """From the end of the call, as the simulator logged it, to the moment at which its recording was fetched, by the sidecars."""
    ended = {line["conversationId"]: _time(line["endedAt"]) for line in _lines(folder / "truth.jsonl") if line.get("type") == "call_ended"}
    waits = []
    for path in filter(_is_sidecar, (folder / "archive" / "recordings").rglob("*")):
        sidecar = json.loads(path.read_bytes())
        if sidecar["conversationId"] in ended:
            waits.append((_time(sidecar["fetchedAt"]) - ended[sidecar["conversationId"]]).total_seconds())
    return waits


def _is_sidecar(path: Path) -> bool:
    """What was written lies there as JSON too, with one dot more in its name."""
    return path.suffix == ".json" and "." not in path.stem


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
