"""What a receiver is sent: pure functions of the event (and of the files that it names), so every attempt sends the same bytes.

event       the event's own body
transcript  for an NLP pipeline: the transcript itself, as JSON
document    for a document system: which files there are of it, with their hashes, and what may be filed under
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import orjson

from genesys_sync.plugin import Event, iso
from genesys_sync_handlers._times import parse_iso

Template = Literal["event", "transcript", "document"]

_FILES = ("transcript", "raw")


def entry(event: Event, *, template: Template = "event", transcript: object = None) -> dict[str, Any]:
    """One message. `transcript` is what the file that `wanted_file` names holds."""
    identity = {
        "eventId": event.id,
        "organizationId": event.organization_id,
        "conversationId": event.conversation_id,
        "recordingId": event.recording_id,
    }
    match template:
        case "event":
            data = {**event.body, **identity}
        case "transcript":
            data = {**event.body, **identity, "latency": latency(event), "content": transcript}
        case "document":
            described = {key: value for key, value in event.body.items() if not _is_file(value) and not _are_files(value)}
            data = {**described, **identity, "latency": latency(event), "files": files(event)}
    return {"type": str(event.topic), "timestamp": iso(event.occurred_at), "data": data}


def batch(entries: Mapping[str, dict[str, Any]]) -> tuple[str, bytes]:
    """Several messages by delivery id as one: its id and its body. The same members give the same id and the same bytes; each keeps
    its own id, by which the receiver knows a repeat in whatever company it comes."""
    items = [{"id": delivery, **entries[delivery]} for delivery in sorted(entries)]
    message_id = "btc_" + hashlib.blake2b("\0".join(sorted(entries)).encode(), digest_size=16).hexdigest()
    latest = max(item["timestamp"] for item in items)
    return message_id, encode({"type": "batch", "timestamp": latest, "data": {"items": items}})


def encode(message: object) -> bytes:
    """JSON with its keys in order."""
    return orjson.dumps(message, option=orjson.OPT_SORT_KEYS)


def wanted_file(event: Event) -> tuple[str, str] | None:
    """Key and SHA-256 of the transcript that the event tells of; None when it tells of none."""
    described = event.body.get("transcript")
    if described is None or not _is_file(described):
        return None
    return str(described["key"]), str(described["sha256"])


def files(event: Event) -> list[dict[str, Any]]:
    """Every archived file that the event names, with what it says of each."""
    found = [{"kind": name, **event.body[name]} for name in _FILES if _is_file(event.body.get(name))]
    for name in ("forms", "parts"):
        if _are_files(event.body.get(name)):
            found += [{"kind": name.removesuffix("s"), **described} for described in event.body[name]]
    return found


def latency(event: Event) -> dict[str, float]:
    """Seconds until the event, from the call's end and from the request, as far as the event tells of them."""
    moments = {"fromCallEndSeconds": "conversationEndedAt", "fromRequestSeconds": "requestedAt"}
    return {name: seconds for name, key in moments.items() if (seconds := _since(event.body.get(key), event.occurred_at)) is not None}


def _since(began: object, ended: datetime) -> float | None:
    moment = parse_iso(began)
    return None if moment is None else round((ended - moment).total_seconds(), 3)


def _is_file(value: object) -> bool:
    return isinstance(value, Mapping) and "key" in value and "sha256" in value


def _are_files(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value) and all(_is_file(item) for item in value)
