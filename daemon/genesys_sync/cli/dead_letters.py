"""`genesys-sync dead-letters list|show|replay`: what was given up, why, and once more."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from genesys_sync.cli.invocation import audit_entry, load_settings, run_async, whole_number
from genesys_sync.cli.output import NOTHING_FOUND, clock_time, iso, print_json, print_line, print_table
from genesys_sync.clock import SystemClock
from genesys_sync.errors import EX_USAGE, GenesysSyncError, ReasonCode
from genesys_sync.events import iso as iso_time
from genesys_sync.ledger.base import DeliveryRecord, Ledger
from genesys_sync.settings import Settings

BATCH = 500
COUNT_LIMIT = 10_000


class NoSuchHandler(GenesysSyncError):
    """`--handler` names one that nobody knows."""

    exit_code = EX_USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, and its three actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="newest first")
    _add_filters(listing)
    listing.add_argument("--limit", type=whole_number(1), default=100, metavar="N", help="at most this many (default: 100)")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=lambda args: run_async(_list, load_settings(args), args))
    show = actions.add_parser("show", help="one of them, with its first and last error")
    show.add_argument("id", metavar="ID", help="the delivery's id (dlv_…)")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(run=lambda args: run_async(_show, load_settings(args), args))
    replay = actions.add_parser("replay", help="make them ready again, with a fresh count of attempts")
    replay.add_argument("ids", metavar="ID", nargs="*", help="deliveries' ids (dlv_…)")
    replay.add_argument("--all", action="store_true", help="all of them, or all that --handler and --reason select")
    replay.add_argument("--yes", action="store_true", help="do not ask; without a terminal nobody is asked anyway")
    _add_filters(replay)
    replay.set_defaults(run=_replay_command)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--handler", metavar="NAME", help="only this handler's")
    parser.add_argument("--reason", metavar="CODE", type=_reason, help="only those with this reason code")


def _reason(text: str) -> ReasonCode:
    try:
        return ReasonCode(text.upper())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no reason code; known: {', '.join(ReasonCode)}") from None


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    from genesys_sync.ledger import open_ledger

    async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
        found = await ledger.dead_letters(handler=args.handler, reason=args.reason, limit=args.limit)
        if not found:
            await _require_known(ledger, settings, args.handler)
    if args.json:
        print_json([as_json(record) for record in found])
    elif found:
        print_table(
            ("delivery", "handler", "topic", "reason", "attempts", "given up", "recording"),
            (
                (
                    record.delivery_id,
                    record.handler,
                    record.event.topic,
                    record.reason or "",
                    record.attempts,
                    (iso(record.finished_ms) or "")[:19].replace("T", " "),
                    record.event.recording_id or record.event.conversation_id or "",
                )
                for record in found
            ),
        )
    else:
        print_line("no dead letters")
    return 0


async def _show(settings: Settings, args: argparse.Namespace) -> int:
    from genesys_sync.ledger import open_ledger

    async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
        found = [record for record in await ledger.find(args.id) if record.delivery_id == args.id]
    if not found:
        print(f"genesys-sync: no delivery {args.id!a} in the ledger", file=sys.stderr)
        return NOTHING_FOUND
    record = found[0]
    if args.json:
        print_json(as_json(record))
        return 0
    for name, value in (
        ("delivery", record.delivery_id),
        ("handler", record.handler),
        ("state", record.state),
        ("reason", record.reason or "none"),
        ("attempts", f"{record.attempts}, put off {record.snoozes} times"),
        ("recorded", iso(record.created_ms)),
        ("given up", iso(record.finished_ms) or "not yet"),
        ("first error", record.first_error or "none"),
        ("last error", record.last_error or "none"),
        ("correlation id", record.correlation_id or "none"),
        ("note", record.note or "none"),
        ("event", f"{record.event.topic} {record.event.id}, {clock_time(record.event.occurred_at)}"),
        ("conversation", record.event.conversation_id or "none"),
        ("recording", record.event.recording_id or "none"),
    ):
        print_line(f"{name:<15} {value}")
    return 0


def _replay_command(args: argparse.Namespace) -> int:
    """Deliveries named, or all that the filters select. The number is told; before `--all` a person at a terminal is asked."""
    if bool(args.ids) == args.all:
        print("genesys-sync: name the deliveries, or say --all", file=sys.stderr)
        return EX_USAGE
    if args.ids and (args.handler or args.reason):
        print("genesys-sync: --handler and --reason go with --all", file=sys.stderr)
        return EX_USAGE
    settings = load_settings(args)
    if args.all and not args.yes and sys.stdin.isatty():
        total = run_async(_count, settings, args)
        if not total or input(f"Replay {total} dead letters? [y/N] ").strip().lower() not in ("y", "yes"):
            print_line("nothing replayed")
            return NOTHING_FOUND
    return run_async(_replay, settings, args)


async def _require_known(ledger: Ledger, settings: Settings, handler: str | None) -> None:
    """Raises NoSuchHandler for one that neither the settings nor any delivery names: that it has no dead letters says nothing."""
    known = set(settings.handlers) | set((await ledger.counts(now_ms=0)).deliveries)
    if handler is not None and handler not in known:
        raise NoSuchHandler(f"no handler is named {handler!r}; known: {', '.join(sorted(known))}")


async def _replay(settings: Settings, args: argparse.Namespace) -> int:
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    async with open_ledger(settings.ledger.url, clock=clock, shared=True) as ledger:
        if args.ids:
            replayed = await _replay_ids(ledger, clock, args.ids)
        else:
            await _require_known(ledger, settings, args.handler)
            replayed = await _replay_all(ledger, clock, args)
    if args.ids and (others := len(set(args.ids)) - replayed):
        which = "1 of the ids named is no dead letter" if others == 1 else f"{others} of the ids named are no dead letters"
        print(f"genesys-sync: {which}; genesys-sync dead-letters list shows those there are", file=sys.stderr)
    print_line(f"{replayed} {'delivery is' if replayed == 1 else 'deliveries are'} ready again")
    return 0 if replayed else NOTHING_FOUND


async def _replay_all(ledger: Ledger, clock: SystemClock, args: argparse.Namespace) -> int:
    """Each once: one that dies again while this runs is left for the next time."""
    seen: set[str] = set()
    replayed = 0
    while True:
        found = await ledger.dead_letters(handler=args.handler, reason=args.reason, limit=BATCH)
        ids = [record.delivery_id for record in found if record.delivery_id not in seen]
        if not ids:
            return replayed
        seen.update(ids)
        replayed += await _replay_ids(ledger, clock, ids)


async def _count(settings: Settings, args: argparse.Namespace) -> int:
    """How many `--all` would replay, as far as 10,000."""
    from genesys_sync.ledger import open_ledger

    async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
        await _require_known(ledger, settings, args.handler)
        return len(await ledger.dead_letters(handler=args.handler, reason=args.reason, limit=COUNT_LIMIT))


async def _replay_ids(ledger: Ledger, clock: SystemClock, ids: list[str]) -> int:
    audit = [audit_entry(clock, "delivery.replay", delivery) for delivery in ids]
    return await ledger.replay(ids, now_ms=clock.epoch_ms(), audit=audit)


def as_json(record: DeliveryRecord) -> dict[str, Any]:
    """A delivery with its event's identity, as commands show it to programs."""
    event = record.event
    return {
        "id": record.delivery_id,
        "handler": record.handler,
        "state": record.state,
        "reason": record.reason,
        "attempts": record.attempts,
        "snoozes": record.snoozes,
        "createdAt": iso(record.created_ms),
        "dueAt": iso(record.due_ms),
        "finishedAt": iso(record.finished_ms),
        "firstError": record.first_error,
        "lastError": record.last_error,
        "correlationId": record.correlation_id,
        "note": record.note,
        "event": {
            "id": event.id,
            "topic": event.topic,
            "occurredAt": iso_time(event.occurred_at),
            "conversationId": event.conversation_id,
            "recordingId": event.recording_id,
        },
    }
