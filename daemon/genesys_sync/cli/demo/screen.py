"""What the demo shows: progress while it plays, a table at its end, and where to look next."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from genesys_sync.cli.demo.verdict import Created, Verdict, percentile
from genesys_sync.events import Topic

_JUDGED = (Topic.MEDIA_VERIFIED, Topic.MEDIA_REJECTED, Topic.RECORDING_LOST)
"""How a recording's way can end."""

Show = Callable[[Mapping[str, Any], Mapping[str, int], int], None]
"""Shows one moment: the simulator's state, the ledger's events by topic, deliveries not finished."""


@contextmanager
def progress(out: TextIO) -> Iterator[Show]:
    """Moving bars on a terminal, one plain line every five seconds elsewhere."""
    console = Console(file=out)
    if not console.is_terminal:
        yield _plain_lines(console)
        return
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        calls = bars.add_task("calls ended", total=None)
        archived = bars.add_task("files archived", total=None)
        judged = bars.add_task("recordings judged", total=None)
        waiting = bars.add_task("deliveries waiting", total=None)
        most = 1

        def show(state: Mapping[str, Any], events: Mapping[str, int], left: int) -> None:
            nonlocal most
            most = max(most, left)
            bars.update(calls, completed=state.get("callsEnded", 0), total=state.get("callsPlanned"))
            recordings = state.get("recordingsPlanned")
            files = events.get(Topic.MEDIA_ARCHIVED, 0)  # a recording that the verifier refused is fetched once more
            bars.update(archived, completed=files, total=recordings and max(files, recordings))
            bars.update(judged, completed=sum(events.get(topic, 0) for topic in _JUDGED), total=recordings)
            bars.update(waiting, completed=left, total=most)

        yield show


def _plain_lines(console: Console) -> Show:
    begun = time.monotonic()
    last = begun - 60

    def show(state: Mapping[str, Any], events: Mapping[str, int], left: int) -> None:
        nonlocal last
        if time.monotonic() - last < 5:
            return
        last = time.monotonic()
        console.print(
            f"{last - begun:4.0f} s  calls ended {state.get('callsEnded', 0)}/{state.get('callsPlanned', '?')}"
            f"  archived {events.get(Topic.MEDIA_ARCHIVED, 0)}  verified {events.get(Topic.MEDIA_VERIFIED, 0)}  waiting {left}",
            highlight=False,
        )

    return show


def summary(
    out: TextIO,
    verdict: Verdict,
    *,
    faults: Mapping[str, int],
    waits: Sequence[float],
    api_calls: int,
    webhooks: int,
    kills: int,
    seconds: float,
    problems: Sequence[str],
) -> None:
    """The table of what was created and what became of it, the spoilt recordings with their reasons, and the verdict."""
    console = Console(file=out, width=None if out.isatty() else 110)
    table = Table(title=f"{verdict.created} recordings, {seconds:.0f} s", show_header=False)
    rows = [
        ("created", f"{verdict.created}"),
        ("archived", f"{verdict.archived}  ({', '.join(f'{name} {count}' for name, count in sorted(verdict.formats.items()))})"),
        ("verified", f"{verdict.verified}"),
        ("rejected (quarantine)", f"{verdict.rejected}"),
        ("dead letters", f"{verdict.dead}"),
        ("bytes archived", f"{verdict.size:,}"),
        ("call end to archive", _latency(waits)),
        ("API calls per recording", f"{api_calls / max(1, verdict.archived):.2f}  ({api_calls} in all)"),
        ("webhooks delivered", f"{webhooks}"),
        ("faults that happened", ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())) or "none"),
    ]
    if kills:
        rows.append(("kill -9 of the daemon", f"{kills}"))
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    spoilt = Table("planted fault", "recording", "what genesys-sync said", title="Recordings that must not pass as good")
    for fault, recording, reason in verdict.bad:
        spoilt.add_row(fault, recording, reason)
    if verdict.bad:
        console.print(spoilt)
    for problem in problems:
        console.print(f"NOT AS PROMISED: {problem}", style="red", highlight=False)
    if not problems:
        console.print(
            "Every good recording is archived once and bit-exact; every bad one is withheld for its true reason.",
            style="green",
            highlight=False,
        )


def _latency(waits: Sequence[float]) -> str:
    p50, p99 = percentile(waits, 0.50), percentile(waits, 0.99)
    return "-" if p50 is None or p99 is None else f"p50 {p50:.1f} s, p99 {p99:.1f} s"


def _command() -> str:
    """How this program is called from this shell: `make demo` uses the one in .venv, which is not on the path."""
    called = Path(sys.argv[0])
    found = shutil.which("genesys-sync")
    if called.name != "genesys-sync" or (found is not None and called.exists() and Path(found).samefile(called)):
        return "genesys-sync"
    return shlex.quote(str(called))


def where_to_look(out: TextIO, folder: Path, created: Sequence[Created]) -> None:
    """The next things to try, each a command or a place that exists now."""
    url = f"ledger.url=sqlite:///{folder / 'state' / 'ledger.db'}"
    command = f"{_command()} --set {shlex.quote(url)}"
    some = created[0].conversation_id if created else "ID"
    lines = [
        "Where to look next:",
        f"  the archive, one folder a conversation        {folder / 'archive' / 'recordings'}",
        f"  what was withheld                             {folder / 'archive' / 'quarantine'}",
        f"  what the daemon logged                        {folder / 'daemon.log'}",
        f"  what the simulator created, with SHA-256      {folder / 'truth.jsonl'}",
        f"  what was asked of the platform, and how often {folder / 'requests.json'}",
        f"  the life of one call                          {command} find {some}",
        f"  what was given up, and why                    {command} dead-letters list",
        "  the same with the daemon killed three times   make demo ARGS='--kill 3'",
        "  your own organisation                         README.md, 'Your organisation'",
    ]
    out.write("\n".join(lines) + "\n")
