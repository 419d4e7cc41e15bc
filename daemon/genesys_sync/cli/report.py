"""`genesys-sync report --from T --to T`: is it all there, and if not, what is missing and why.

Every recording of the time is in exactly one state. The platform is paged for the time and compared with the ledger, both ways. The report
says "complete" only when that is proved.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from genesys_sync.caveats import Caveat, is_complete
from genesys_sync.cli import report_transcripts
from genesys_sync.cli.invocation import load_settings, run_async, whole_number
from genesys_sync.cli.moments import Window, add_window, window
from genesys_sync.cli.output import iso, print_json, print_line, print_table, written
from genesys_sync.cli.report_progress import Show, shown
from genesys_sync.clock import SystemClock
from genesys_sync.completeness import MEANINGS, Item, Roles, State, Tally
from genesys_sync.events import iso as iso_time
from genesys_sync.settings import Settings
from genesys_sync.transcript_states import TranscriptRoles

NOT_COMPLETE = 1
SHARE = 0.5
"""Of the requests a minute that the settings grant: the daemon, with the same client, must be able to go on."""

_SHOWN = (State.UNEXPLAINED, State.DEAD, State.REJECTED)
_COLUMNS = ("endedAt", "conversationId", "recordingId", "state", "reason", "note", "variant", "deleteDate")
_VARIANTS = {"whole": "whole", "perhaps_redacted": "perhaps redacted, for want of the permission", "unknown": "not known"}


@dataclass(slots=True)
class Report:
    """One window, judged.

    permission       the one without which the platform leaves recordings out in silence
    sensitive        whether the client holds it; None when that was not proved
    organization_id  empty when the platform was not asked
    divisions        those alone in which the client finds anything; none when it is not confined, or that was not told
    near             recordings on their way that the platform deletes within `feed.retention_alert`
    """

    window: Window
    at: datetime
    permission: str
    organization_id: str = ""
    offline: bool = False
    sensitive: bool | None = None
    divisions: list[str] = field(default_factory=list)
    open_gaps: int = 0
    near: int = 0
    tally: Tally = field(default_factory=Tally)
    items: list[Item] = field(default_factory=list)
    transcripts: report_transcripts.Transcripts = field(default_factory=report_transcripts.Transcripts)
    caveats: list[tuple[Caveat, str]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return is_complete(self.tally, self.caveats) and self.transcripts.tally.settled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_window(parser)
    parser.add_argument("--offline", action="store_true", help="from the ledger alone; such a report never says complete")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON, with every recording")
    form.add_argument("--csv", action="store_true", help="as CSV, a line for each recording; lines that begin with # come first")
    parser.add_argument(
        "--limit", type=whole_number(0), default=20, metavar="N", help="show at most N recordings of each bad state (default: 20)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the report says complete, 1 when it does not."""
    settings = load_settings(args)
    asked = window(args, now=SystemClock().now(), settle=settings.feed.backfill_settle)
    with shown(SystemClock()) as told:
        report = run_async(partial(_report, settings, asked, told, offline=args.offline))
    if args.json:
        print_json(as_json(report))
    elif args.csv:
        with written():
            sys.stdout.write(as_csv(report))
    else:
        show(report, limit=args.limit)
    return 0 if report.complete else NOT_COMPLETE


async def _report(settings: Settings, asked: Window, told: Show, *, offline: bool) -> Report:
    from genesys_sync.cli.collect import Collector
    from genesys_sync.genesys import platform as genesys_platform
    from genesys_sync.ledger import open_ledger
    from genesys_sync.metrics import Metrics
    from genesys_sync.scrubbing import register_secret
    from genesys_sync.settings import find_credentials

    clock = SystemClock()
    used = {name: handler.use for name, handler in settings.handlers.items()}
    roles, transcript_roles = Roles.of(used), TranscriptRoles.of(used)
    collector = partial(Collector, clock=clock, settings=settings.feed, roles=roles, transcript_roles=transcript_roles, show=told)
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        if offline:
            return await collector(ledger=ledger, platform=None).report(asked)
        credentials = find_credentials(settings.genesys)
        register_secret(credentials.client_secret.get_secret_value())
        slower = settings.genesys.model_copy(update={"request_share": settings.genesys.request_share * SHARE})
        recorded = ledger.organization
        async with genesys_platform.connect(slower, credentials, clock=clock, metrics=Metrics(), recorded=recorded) as platform:
            return await collector(ledger=ledger, platform=platform).report(asked)


def header(report: Report) -> list[tuple[str, str]]:
    """What stands above every report: which time, who was asked, what could not be seen, and the verdict. Pure."""
    held = {True: "held", False: "MISSING: recordings with redacted parts cannot be seen", None: "not proved"}[report.sensitive]
    tally = report.tally
    return [
        ("from", iso(report.window.from_ms) or ""),
        ("to", iso(report.window.to_ms) or ""),
        ("made at", iso_time(report.at)),
        ("platform", "not asked" if report.offline else f"asked; organisation {report.organization_id}"),
        (report.permission, held),
        ("divisions", _divisions(report)),
        ("conversations", str(tally.conversations)),
        ("recordings", str(tally.recordings)),
        ("orphans", f"{tally.orphans} of them belong to no conversation" if tally.orphans else "none"),
        (
            "variants",
            ", ".join(f"{tally.variants[name]} {meaning}" for name, meaning in _VARIANTS.items() if tally.variants[name]) or "none",
        ),
        ("deleted soon", f"{report.near} on their way" if report.near else "none"),
        ("verdict", "; ".join(verdict(report))),
    ]


def _divisions(report: Report) -> str:
    if report.divisions:
        return f"{', '.join(report.divisions)} alone: what lies in others cannot be seen"
    return "not asked" if report.offline else "not told" if report.sensitive is None else "not confined"


def verdict(report: Report) -> list[str]:
    """The verdict, and what stands against the word "complete", each in a sentence of its own. Pure."""
    if report.complete:
        bounds = [f"for the divisions {', '.join(report.divisions)}: the client sees no other"] if report.divisions else []
        return ["complete: everything is accounted for", *bounds]
    tally = report.tally
    told = [sentence for _, sentence in report.caveats]
    if tally.unfinished:
        told.append(f"recordings still on their way: {tally.unfinished}")
    if tally.states[State.UNEXPLAINED]:
        told.append(f"unexplained: {tally.states[State.UNEXPLAINED]}")
    told += report_transcripts.verdict(report.transcripts)
    return ["NOT proved", *told]


def show(report: Report, *, limit: int) -> None:
    """For people: a coloured table on a terminal, a plain one elsewhere."""
    *facts, _ = header(report)
    first, *rest = verdict(report)
    for name, value in (*facts, ("verdict", first), *(("", sentence) for sentence in rest)):
        print_line(f"{name:<{len(report.permission)}}  {value}")
    print_line()
    rows = [(str(state).replace("_", " "), report.tally.states[state], MEANINGS[state]) for state in State]
    _print_states(rows)
    if report.tally.reasons:
        print_line()
        reasons = sorted(report.tally.reasons.items(), key=lambda found: (list(State).index(found[0][0]), -found[1]))
        print_table(("state", "reason", "number"), [(str(state), reason, number) for (state, reason), number in reasons])
    for state in _SHOWN:
        _list(state, [item for item in report.items if item.state is state], limit)
    report_transcripts.show(report.transcripts, limit=limit)


def _print_states(rows: Sequence[tuple[str, int, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        print_table(("state", "number", "meaning"), rows)
        return
    table = Table("state", "meaning")
    table.add_column("number", justify="right")
    good, bad = {"archived", "recovered"}, {str(state) for state in _SHOWN}
    for name, number, meaning in rows:
        style = "" if not number else "green" if name in good else "red" if name in bad else "yellow"
        table.add_row(name, meaning, str(number), style=style)
    with written():
        console.print(table)


def _list(state: State, items: Sequence[Item], limit: int) -> None:
    if not items or not limit:
        return
    print_line()
    print_line(f"{state}:")
    for item in items[:limit]:
        what = [f"recording {item.recording_id}"] if item.recording_id else []
        what += [f"conversation {item.conversation_id}"] if item.conversation_id else []
        print_line(f"  {iso_time(item.ended)}  {item.reason}  {' of '.join(what)}  {item.note}".rstrip())
    if len(items) > limit:
        print_line(f"  and {len(items) - limit} more: --json and --csv show all")


def as_json(report: Report) -> dict[str, Any]:
    """What programs read. `complete` is the verdict; `caveats` are what forbids it beside the numbers."""
    tally = report.tally
    return {
        "from": iso(report.window.from_ms),
        "to": iso(report.window.to_ms),
        "at": iso_time(report.at),
        "complete": report.complete,
        "caveats": [{"code": str(code), "sentence": sentence} for code, sentence in report.caveats],
        "offline": report.offline,
        "organizationId": report.organization_id or None,
        "permissions": {report.permission: report.sensitive},
        "divisions": report.divisions,
        "openGaps": report.open_gaps,
        "deletedSoon": report.near,
        "variants": {name: tally.variants[name] for name in _VARIANTS},
        "conversations": tally.conversations,
        "recordings": tally.recordings,
        "orphans": tally.orphans,
        "counts": {str(state): tally.states[state] for state in State},
        "reasons": [{"state": str(state), "reason": reason, "number": number} for (state, reason), number in tally.reasons.items()],
        "items": [dict(zip(_COLUMNS, _row(item), strict=True)) for item in report.items],
        "transcripts": report_transcripts.as_json(report.transcripts),
    }


def as_csv(report: Report) -> str:
    """Comment lines with the header and the sums, then a header line and a line for each recording (or conversation without any), then
    one for each transcript: those have a communicationId."""
    out = io.StringIO()
    for name, value in header(report):
        out.write(f"# {name}: {value}\n")
    for state in State:
        out.write(f"# {state}: {report.tally.states[state]}\n")
    out.writelines(report_transcripts.csv_sums(report.transcripts))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_COLUMNS, "communicationId"))
    writer.writerows((*_row(item), None) for item in report.items)
    for transcript in report.transcripts.items:
        ended, conversation, communication, *rest = report_transcripts.row(transcript)
        writer.writerow((ended, conversation, None, *rest, None, None, communication))
    return out.getvalue()


def _row(item: Item) -> tuple[str | None, ...]:
    return (
        iso_time(item.ended),
        item.conversation_id,
        item.recording_id,
        str(item.state),
        item.reason or None,
        item.note or None,
        item.variant or None,
        None if item.delete_date is None else iso_time(item.delete_date),
    )
