"""`genesys-sync verify`: the archive against the ledger, the audit trail against ledger and checkpoints. It changes nothing."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from anyio import from_thread, to_thread

from genesys_sync.audit import Checkpoint, Numbered
from genesys_sync.cli.invocation import load_settings, run_async
from genesys_sync.cli.output import NOTHING_FOUND, counted, print_json, print_line
from genesys_sync.clock import SystemClock
from genesys_sync.disk import translated
from genesys_sync.errors import StorageError
from genesys_sync.events import Event, Topic
from genesys_sync.integrity.archive import ArchiveCheck, ArchiveReport, Show
from genesys_sync.integrity.diagnosis import examine
from genesys_sync.integrity.expected import Slice
from genesys_sync.integrity.signatures import believed, first_signed
from genesys_sync.integrity.trail import AuditFiles, Finding, Record, Rows, TrailReport
from genesys_sync.ledger.base import Ledger
from genesys_sync.settings import Settings
from genesys_sync.signing import PublicKeys, find_signer, parse_public_key, signature_of, trusted

FLAWED = NOTHING_FOUND
"""Something is not as it should be, or cannot be told."""

_ROOT = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_FILE_LIMIT = 64 << 20
_ROWS = 2_000
_PLAIN_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved; None for what was not asked for."""

    archive: ArchiveReport | None
    trail: TrailReport | None

    @property
    def findings(self) -> int:
        archive = sum(self.archive.counts.values()) if self.archive is not None else 0
        return archive + (self.trail is not None and self.trail.finding is not None)

    @property
    def unknown(self) -> str:
        return self.trail.unknown if self.trail is not None else ""

    @property
    def verdict(self) -> str:
        if self.findings:
            return "flawed"
        return "unknown" if self.unknown else "clean"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--slice",
        metavar="N/T",
        type=_slice,
        default=Slice(),
        help="hash part N of T of the archive (today/T: the part whose turn it is today, UTC); presence and sizes are proved for all",
    )
    parser.add_argument("--only", choices=("archive", "audit"), help="prove one of both")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE|SIZE:ROOT",
        type=_checkpoints,
        action="append",
        default=[],
        help="a checkpoint that was kept elsewhere, or a file of them, such as what a webhook received; may be given again and again",
    )
    parser.add_argument(
        "--audit-folder", metavar="PATH", type=Path, help="audit files alone, such as an auditor's copy: without settings, ledger, archive"
    )
    parser.add_argument(
        "--public-key",
        metavar="KEY",
        type=_public_key,
        action="append",
        default=[],
        help="the key that checkpoints must be signed with, as audit-key prints it; may be given again (default: that of the settings)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when all is as the ledger and the checkpoints say; 1 when something is not, or cannot be told."""
    outside = [checkpoint for given in args.checkpoint for checkpoint in given]
    if args.audit_folder is not None:
        proof = Proof(None, _alone(args.audit_folder, outside, trusted(args.public_key) if args.public_key else None))
    else:
        with _progress() as show:
            proof = run_async(_prove, load_settings(args), args, outside, show)
    if args.json:
        print_json(as_json(proof))
    else:
        _print(proof)
    return 0 if proof.verdict == "clean" else FLAWED


def _alone(folder: Path, outside: Sequence[Checkpoint], keys: PublicKeys | None) -> TrailReport:
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder}")
    given = None if keys is None else believed(outside, keys, where="that was given")
    with translated("reading the audit files"):
        report = examine(AuditFiles(folder), None, outside if given is None else given.checkpoints)
    return report if given is None else replace(report, finding=_first(given.finding, report.finding), signed=given.signed)


async def _prove(settings: Settings, args: argparse.Namespace, outside: Sequence[Checkpoint], show: Show) -> Proof:
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        trail = None if args.only == "archive" else await _prove_trail(ledger, settings, outside, args.public_key)
        archive = None
        if args.only != "audit":
            archive = await ArchiveCheck(settings.storage.root, ledger, clock=clock, part=args.slice, show=show).run()
    return Proof(archive, trail)


async def _prove_trail(ledger: Ledger, settings: Settings, outside: Sequence[Checkpoint], given: list[bytes]) -> TrailReport:
    """How many are checkpointed is read before the checkpoints, these before the seal, and all before the files: what a running daemon
    adds meanwhile only goes further."""
    checkpointed = await ledger.checkpointed()
    known = [
        Checkpoint(event.body["size"], bytes.fromhex(event.body["root"]), signature=signature_of(event.body))
        for day in await ledger.event_days()
        for event in await _checkpoint_events(ledger, day)
    ]
    seal = await ledger.seal()
    keys = trusted(given) if given else _own_key(settings)
    here = None if keys is None else believed(known, keys, where="in the ledger", since=first_signed(known))
    there = None if keys is None else believed(outside, keys, where="that was given")
    if here is not None and there is not None:
        known, outside = list(here.checkpoints), there.checkpoints

    def fetch(after: int) -> list[Numbered]:
        return from_thread.run(partial(ledger.audit_entries, after=after, limit=_ROWS))

    def walk() -> TrailReport:
        with translated("reading the audit files"):
            return examine(AuditFiles(settings.audit_folder), Record(Rows(fetch), seal, known, checkpointed), outside)

    report = await to_thread.run_sync(walk)
    if here is None or there is None:
        return report
    return replace(report, finding=_first(here.finding, there.finding, report.finding), signed=here.signed + there.signed)


def _first(*findings: Finding | None) -> Finding | None:
    """The one of the first entry; of several the first given, because a checkpoint that is not believed seems to be missing as well."""
    return min((one for one in findings if one is not None), key=lambda one: one.seq, default=None)


def _own_key(settings: Settings) -> PublicKeys | None:
    """The key in the settings; None where there is none. Raises ConfigurationError where it cannot be read."""
    signer = find_signer(settings.audit)
    return None if signer is None else trusted([parse_public_key(signer.public_key)])


async def _checkpoint_events(ledger: Ledger, day: date) -> list[Event]:
    events: list[Event] = []
    while page := await ledger.events_of_day(day, [Topic.AUDIT_CHECKPOINTED], after=events[-1].id if events else ""):
        events += page
    return events


# --- arguments


def _slice(text: str) -> Slice:
    number, slash, total = text.partition("/")
    if not (slash and total.isascii() and total.isdigit() and 1 <= int(total) <= 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not N/T, such as 1/30 or today/30")
    if number == "today":
        return Slice(SystemClock().now().date().toordinal() % int(total) + 1, int(total))
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text!r} is not N/T with N from 1 to T")
    return Slice(int(number), int(total))


def _public_key(text: str) -> bytes:
    try:
        return parse_public_key(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _checkpoints(text: str) -> list[Checkpoint]:
    match = _ROOT.fullmatch(text)
    if match is not None:
        return [Checkpoint(int(match[1]), bytes.fromhex(match[2]))]
    try:
        with Path(text).open("rb") as file:
            content = file.read(_FILE_LIMIT)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither SIZE:ROOT nor a file that can be read ({error.strerror})") from None
    try:
        documents = [orjson.loads(content)]
    except orjson.JSONDecodeError:
        documents = [_loaded(line) for line in content.splitlines()]
    found = [checkpoint for document in documents for checkpoint in _found_in(document)]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} holds no checkpoint: JSON with `size` and `root` is looked for")
    return found


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _found_in(value: Any) -> Iterator[Checkpoint]:
    """Wherever it stands: alone, in a webhook's `data`, in a list of either."""
    if isinstance(value, list):
        for one in value:
            yield from _found_in(one)
    elif isinstance(value, dict):
        size, root = value.get("size"), value.get("root")
        if isinstance(size, int) and isinstance(root, str) and _ROOT.fullmatch(f"{size}:{root}"):
            yield Checkpoint(size, bytes.fromhex(root), signature=signature_of(value))
        elif isinstance(value.get("data"), dict):
            yield from _found_in(value["data"])


# --- output


@contextmanager
def _progress() -> Iterator[Show]:
    """A moving line on a terminal, a plain one every ten seconds elsewhere; both on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("days"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def show(report: ArchiveReport, _: date | None, days: int) -> None:
            bars.update(task, completed=report.days, description=_so_far(report), total=days or bars.tasks[0].total)

        yield show


def _plain_lines() -> Show:
    last = time.monotonic()

    def show(report: ArchiveReport, _: date | None, __: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_EVERY:
            last = time.monotonic()
            print(f"{_so_far(report)}, {counted(report.days, 'day')} done", file=sys.stderr, flush=True)

    return show


def _so_far(report: ArchiveReport) -> str:
    return f"{report.objects:,} objects, {report.hashed:,} read ({_size(report.bytes_hashed)}), {sum(report.counts.values())} flaws"


def _size(number: int) -> str:
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def as_json(proof: Proof) -> dict[str, Any]:
    """What programs read."""
    archive, trail = proof.archive, proof.trail
    document: dict[str, Any] = {"verdict": proof.verdict, "unknown": proof.unknown or None, "archive": None, "audit": None}
    if archive is not None:
        document["archive"] = {
            "objects": archive.objects,
            "hashed": archive.hashed,
            "bytesHashed": archive.bytes_hashed,
            "unfinished": archive.unfinished,
            "days": archive.days,
            "counts": {str(wrong): count for wrong, count in archive.counts.items()},
            "flaws": [{"key": flaw.key, "wrong": str(flaw.wrong), "sentence": flaw.sentence} for flaw in archive.flaws],
        }
    if trail is not None:
        finding = trail.finding
        document["audit"] = {
            "size": trail.size,
            "root": trail.root.hex(),
            "files": trail.files,
            "unsealed": trail.unsealed,
            "checkpoints": trail.checkpoints,
            "signed": trail.signed,
            "provedSize": trail.proved.size if trail.proved is not None else None,
            "finding": finding
            and {"kind": str(finding.kind), "seq": finding.seq, "file": finding.file, "line": finding.line, "sentence": finding.sentence},
        }
    return document


def _print(proof: Proof) -> None:
    archive, trail = proof.archive, proof.trail
    if trail is not None:
        sealed = f"{counted(trail.size, 'entry', 'entries')} in {counted(trail.files, 'file')}"
        print_line(f"audit    {sealed} follow from each other, root {trail.root.hex()}")
        if trail.unsealed:
            print_line(f"         in the ledger alone, not sealed yet: {counted(trail.unsealed, 'entry', 'entries')}")
        if trail.checkpoints:
            print_line(f"         agreeing with {counted(trail.checkpoints, 'checkpoint')}")
        if trail.signed is not None:
            print_line(f"         signed by a trusted key: {counted(trail.signed, 'checkpoint')}")
        if trail.finding is not None:
            where = f"{trail.finding.file}, line {trail.finding.line}, " if trail.finding.file else ""
            print_line(f"         {str(trail.finding.kind).upper()}: {where}entry {trail.finding.seq}: {trail.finding.sentence}")
        elif trail.proved is None and not trail.unknown:
            print_line("         no checkpoint from outside was given: files and ledger vouch for each other alone")
    if archive is not None:
        read = f"{archive.hashed} of {archive.objects} objects read ({_size(archive.bytes_hashed)})"
        print_line(
            f"archive  {read}, {counted(archive.days, 'day')}" + (f", {archive.unfinished} unfinished" if archive.unfinished else "")
        )
        for flaw in archive.flaws:
            print_line(f"         {str(flaw.wrong).upper()}: {flaw.key}: {flaw.sentence}")
        if (more := sum(archive.counts.values()) - len(archive.flaws)) > 0:
            print_line(f"         … and {more} more")
    said = {"clean": "clean", "unknown": f"UNKNOWN: {proof.unknown}", "flawed": counted(proof.findings, "finding")}
    print_line(f"verdict  {said[proof.verdict]}")
