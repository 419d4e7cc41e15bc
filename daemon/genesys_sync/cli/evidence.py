"""`genesys-sync evidence CONVERSATION`: everything about one conversation in one file that a stranger can check: recordings, transcripts,
what was done to them and by whom, and the part of the audit trail that proves it. That it was made is itself an entry of the trail."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import orjson
from anyio import to_thread

from genesys_sync.audit import AuditEntry, Checkpoint
from genesys_sync.cli.dead_letters import as_json as delivery_as_json
from genesys_sync.cli.find import event_as_json
from genesys_sync.cli.invocation import load_settings, run_async
from genesys_sync.cli.output import NOTHING_FOUND, print_json, print_line
from genesys_sync.clock import SystemClock
from genesys_sync.errors import StorageError
from genesys_sync.events import Event, Topic, is_canonical_uuid
from genesys_sync.integrity.bundle import Bundle, Bundled, Lines, Mention, names_of, segments
from genesys_sync.ledger.base import DeliveryRecord, Ledger
from genesys_sync.settings import Settings
from genesys_sync.signing import signature_of

FLAWED = NOTHING_FOUND
"""Something is missing or not as the ledger says; the bundle is made all the same, and names it."""

_MOST = 100_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knows of the conversation."""

    events: Sequence[Event]
    deliveries: Sequence[DeliveryRecord]
    since: date


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle that lies at `path`."""

    path: Path
    sha256: str
    found: Bundled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("conversation", metavar="CONVERSATION", help="the conversation's id")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the file to make, which must not exist (default: evidence-CONVERSATION.zip, here)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when all of it is as the ledger says, 1 when the ledger knows nothing of the conversation or something is flawed."""
    conversation = args.conversation.strip().lower()
    if not is_canonical_uuid(conversation):
        print(
            f"genesys-sync: {args.conversation[:100]!a} is no conversation's id; it is 36 characters long, such as find prints",
            file=sys.stderr,
        )
        return NOTHING_FOUND
    made = run_async(_make, load_settings(args), conversation, args.to or Path(f"evidence-{conversation}.zip"))
    if made is None:
        print(f"genesys-sync: the ledger knows nothing of the conversation {conversation}", file=sys.stderr)
        return NOTHING_FOUND
    if args.json:
        print_json(_as_json(made))
    else:
        _print(made)
    return FLAWED if made.found.flaws else 0


async def _make(settings: Settings, conversation: str, path: Path) -> Made | None:
    from genesys_sync.cli.acting import shared_ledger
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        known = await _known(ledger, conversation)
        if known is None:
            return None
        lines = Lines(settings.audit_folder)
        about = await to_thread.run_sync(lambda: list(lines.mentions(names_of(conversation, known.events), since=known.since)))
        checkpoints = await _checkpoints(ledger, about)
    actor = f"operator:{os.getuid()}"
    async with shared_ledger(settings.ledger.url, clock=clock) as ledger:
        # before anything is handed out: who made evidence and failed has looked at it, too
        await ledger.record_audit([AuditEntry(at=clock.now(), actor=actor, action="evidence.make", target=conversation, outcome="success")])

    def write() -> Made:
        try:
            bundle = Bundle(path, root=settings.storage.root, made_at=clock.now())
        except OSError as error:
            raise StorageError(
                f"--to: {path}: {'something is there already' if path.exists() else error.strerror}; name another file"
            ) from None
        try:
            bundle.add_objects(known.events)
            bundle.add("events.jsonl", b"".join(orjson.dumps(event_as_json(one)) + b"\n" for one in known.events))
            bundle.add("deliveries.jsonl", b"".join(orjson.dumps(delivery_as_json(one)) + b"\n" for one in known.deliveries))
            bundle.add_trail(lines, segments(about, checkpoints), len(about))
            return Made(path, bundle.finish(conversation, by=actor), bundle.found)
        except OSError as error:
            raise StorageError(f"the evidence could not be written: {error.strerror or type(error).__name__}") from None
        finally:
            bundle.close()

    return await to_thread.run_sync(write)


async def _known(ledger: Ledger, conversation: str) -> _Known | None:
    events = [event for event in await ledger.events_about(conversation, limit=_MOST) if event.conversation_id == conversation]
    if not events:
        return None
    deliveries = await ledger.find(conversation, limit=_MOST)
    events.sort(key=lambda event: (event.occurred_at, event.id))
    return _Known(events, deliveries, min(event.occurred_at for event in events).date())


async def _checkpoints(ledger: Ledger, about: Sequence[Mention]) -> list[Checkpoint]:
    """Those of the days on which something was done, and of the next day that has any, for what was done last on a day."""
    days = await ledger.event_days()
    wanted = {mention.day for mention in about}
    wanted |= {following for day in wanted for following in days if day < following <= day + timedelta(days=7)}
    found: list[Checkpoint] = []
    for day in sorted(wanted & set(days)):
        after = ""
        while page := await ledger.events_of_day(day, [Topic.AUDIT_CHECKPOINTED], after=after):
            found += [Checkpoint(one.body["size"], bytes.fromhex(one.body["root"]), signature=signature_of(one.body)) for one in page]
            after = page[-1].id
    return found


def _as_json(made: Made) -> dict[str, object]:
    found = made.found
    return {
        "file": str(made.path),
        "sha256": made.sha256,
        "objects": found.objects,
        "flaws": [{"key": flaw.key, "wrong": str(flaw.wrong), "sentence": flaw.sentence} for flaw in found.flaws],
        "audit": {"about": found.mentions, "lines": found.lines, "withoutCheckpoint": found.unproved},
    }


def _print(made: Made) -> None:
    found = made.found
    size = sum(entry["bytes"] for entry in found.objects)
    print_line(
        f"archive  {len(found.objects)} files, {size} bytes, {sum(entry['audited'] for entry in found.objects)} named by the audit trail"
    )
    proved = "each led to a checkpoint" if not found.unproved else "no checkpoint covers the last of them yet: make it again in a minute"
    print_line(
        f"audit    {found.mentions} entries about the conversation, {proved}" if found.mentions else "audit    no sealed entry about it yet"
    )
    for flaw in found.flaws:
        print_line(f"         {str(flaw.wrong).upper()}: {flaw.key}: {flaw.sentence}")
    print_line(f"file     {made.path}")
    print_line(f"sha256   {made.sha256}")
