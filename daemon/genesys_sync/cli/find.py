"""`genesys-sync find ID`: the whole life of a conversation, a recording, an event or a delivery."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from genesys_sync.cli.dead_letters import as_json
from genesys_sync.cli.invocation import load_settings, run_async, whole_number
from genesys_sync.cli.output import NOTHING_FOUND, clock_time, iso, print_json, print_line
from genesys_sync.clock import SystemClock
from genesys_sync.events import Event, is_canonical_uuid
from genesys_sync.events import iso as iso_time
from genesys_sync.ledger.base import DeliveryRecord, DeliveryState
from genesys_sync.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("id", metavar="ID", help="a conversation's, recording's, event's or delivery's id")
    parser.add_argument(
        "--limit", type=whole_number(1), default=200, metavar="N", help="at most this many events and deliveries (default: 200)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the ledger knows the id, 1 when it does not."""
    return run_async(_find, load_settings(args), args)


async def _find(settings: Settings, args: argparse.Namespace) -> int:
    from genesys_sync.ledger import open_ledger

    text = args.id.strip()
    if is_canonical_uuid(text.lower()):
        text = text.lower()
    limit = args.limit
    async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
        deliveries = await ledger.find(text, limit=limit)
        events = await ledger.events_about(text, limit=limit)
    known = {event.id: event for event in events} | {delivery.event.id: delivery.event for delivery in deliveries}
    if not known:
        print(f"genesys-sync: the ledger knows nothing of {text[:100]!a}", file=sys.stderr)
        return NOTHING_FOUND
    if args.json:
        print_json(
            {
                "events": [event_as_json(event) for event in known.values()],
                "deliveries": [as_json(delivery) for delivery in deliveries],
                "keys": list(dict.fromkeys(key for event in known.values() for key in archive_keys(event.body))),
            }
        )
        return 0
    by_event: dict[str, list[DeliveryRecord]] = {}
    for delivery in deliveries:
        by_event.setdefault(delivery.event.id, []).append(delivery)
    for event in sorted(known.values(), key=lambda one: one.occurred_at):
        for line in _life(event, by_event.get(event.id, [])):
            print_line(line)
    return 0


def _life(event: Event, deliveries: list[DeliveryRecord]) -> Iterator[str]:
    """One event and what became of it, as lines."""
    subject = f"recording {event.recording_id}" if event.recording_id else f"conversation {event.conversation_id}"
    yield f"{clock_time(event.occurred_at)}  {event.topic:<24} {subject}  ({event.origin})"
    reason = event.body.get("reason")
    if reason:
        yield f"{'':<21}{reason}" + (f": {event.body['detail']}" if event.body.get("detail") else "")
    for key in archive_keys(event.body):
        yield f"{'':<21}file {key}"
    for delivery in deliveries:
        yield f"{'':<21}{delivery.handler}: {_ending(delivery)}"


def _ending(delivery: DeliveryRecord) -> str:
    counts = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    if delivery.snoozes:
        counts += f", put off {delivery.snoozes} time{'' if delivery.snoozes == 1 else 's'}"
    when = f"at {iso(delivery.finished_ms)}" if delivery.finished_ms is not None else f"due {iso(delivery.due_ms)}"
    parts = [f"{delivery.state} {when}, {counts}"]
    if delivery.state is DeliveryState.DEAD:
        parts.append(f"{delivery.reason}: {delivery.last_error} (genesys-sync dead-letters show {delivery.delivery_id})")
    elif delivery.finished_ms is None and delivery.last_error:
        parts.append(f"last error: {delivery.last_error}")
    if delivery.note:
        parts.append(delivery.note)
    return "; ".join(parts)


def archive_keys(body: Mapping[str, Any]) -> list[str]:
    """The keys in the archive that an event's body names, in its order."""
    parts = body.get("parts")
    keys = [part.get("key") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    quarantine = body.get("quarantine")
    keys += quarantine if isinstance(quarantine, list) else []
    keys.append(body.get("sidecar"))
    return [key for key in keys if isinstance(key, str)]


def event_as_json(event: Event) -> dict[str, Any]:
    """What programs read of an event."""
    return {
        "id": event.id,
        "topic": event.topic,
        "occurredAt": iso_time(event.occurred_at),
        "conversationId": event.conversation_id,
        "recordingId": event.recording_id,
        "origin": event.origin,
        "parentId": event.parent_id,
        "body": event.body,
    }
