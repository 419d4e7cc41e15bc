"""`genesys-sync backfill --from T --to T`: ask the platform once more for everything that ended in a time.

The request is a row of the ledger before anything is asked, and each finished piece of it is noted there: whoever stops it, the daemon or
the same command goes on where it was. What the ledger knows already is not recorded again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from genesys_sync.cli.invocation import audit_entry, load_settings, run_async, settings_path
from genesys_sync.cli.moments import GAPS_MOST, Window, add_window, window
from genesys_sync.cli.output import iso, print_json, print_line
from genesys_sync.clock import Clock, SystemClock
from genesys_sync.completeness import without
from genesys_sync.errors import LedgerLocked
from genesys_sync.ledger.base import Gap, Ledger
from genesys_sync.settings import Settings

LOOK_SECONDS = 1.0
STALL_SECONDS = 15.0
STALLED = (
    "the daemon does not get on with it: `genesys-sync status` and its log say why; it goes on when it can, with this command or without"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request has come. `done` from 0 to 1; `up_to_ms`: everything before is covered."""

    done: float
    up_to_ms: int
    found: int
    recorded: int


Show = Callable[[Progress], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_window(parser)
    parser.add_argument("--json", action="store_true", help="the result as JSON, without progress")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when everything that ended in the time is in the ledger."""
    settings = load_settings(args)
    asked = window(args, now=SystemClock().now(), settle=settings.feed.backfill_settle)
    with _shown(quiet=args.json) as show:
        gaps, by_daemon = run_async(partial(_backfill, settings, settings_path(args).parent, asked, show, quiet=args.json))
    found, recorded = sum(gap.found for gap in gaps), sum(gap.recorded for gap in gaps)
    if args.json:
        print_json(as_json(asked, gaps, by_daemon=by_daemon))
    else:
        print_line(f"{iso(asked.from_ms)} to {iso(asked.to_ms)} is covered: {found} conversations seen, {recorded} of them new")
    return 0


async def _backfill(settings: Settings, base: Path, asked: Window, show: Show, *, quiet: bool) -> tuple[list[Gap], bool]:
    from genesys_sync.cli.holding import Other
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    while True:
        try:
            async with open_ledger(settings.ledger.url, clock=clock, command="backfill") as ledger:
                _say("no daemon holds the ledger: this command works itself; handlers do their part when the daemon runs", quiet=quiet)
                return await _alone(settings, base, ledger, asked, clock, show), False
        except LedgerLocked:
            pass
        async with open_ledger(settings.ledger.url, clock=clock, shared=True) as ledger:
            other = Other.of(settings.ledger.url, clock)
            if other.daemon:
                _say("a daemon holds the ledger and works this off; ending this command does not end that", quiet=quiet)
            else:
                _say(f"{other.holder} holds the ledger; this command works when that has ended", quiet=quiet)
            watched = stalled(show, clock, partial(_say, STALLED, quiet=quiet)) if other.daemon else show
            gaps = await follow(ledger, await request(ledger, asked, clock), clock, watched, gone=other.gone)
        if all(gap.closed_ms is not None for gap in gaps):
            return gaps, other.daemon
        _say("the daemon has ended" if other.daemon else "that command has ended", quiet=quiet)


async def request(ledger: Ledger, asked: Window, clock: SystemClock) -> list[int]:
    """Record the request, durably, and return the ids of the rows that it consists of. What an earlier request still covers is left to
    that, so that asking again goes on instead of beginning anew."""
    from genesys_sync.feed.backfill import OPERATOR

    bounds = (asked.from_ms, asked.to_ms)
    earlier = [
        gap for gap in await ledger.gaps(limit=GAPS_MOST) if gap.cause == OPERATOR and gap.from_ms < bounds[1] and gap.to_ms > bounds[0]
    ]
    wanted = [gap.id for gap in earlier]
    for start, end in without(bounds, ((gap.from_ms, gap.to_ms) for gap in earlier)):
        entry = audit_entry(clock, "gap.open", f"{start}-{end}")
        wanted.append(await ledger.open_gap(from_ms=start, to_ms=end, cause=OPERATOR, audit=[entry]))
    return wanted


async def _alone(settings: Settings, base: Path, ledger: Ledger, asked: Window, clock: SystemClock, show: Show) -> list[Gap]:
    """Work the request off here, with the ledger held as the daemon holds it."""
    from genesys_sync.dispatch.registry import load_handlers
    from genesys_sync.feed.backfill import Backfill
    from genesys_sync.feed.snapshots import LiveConversations
    from genesys_sync.genesys import platform as genesys_platform
    from genesys_sync.metrics import Metrics
    from genesys_sync.routing import Router
    from genesys_sync.scrubbing import register_secret
    from genesys_sync.settings import find_credentials

    credentials = find_credentials(settings.genesys)
    register_secret(credentials.client_secret.get_secret_value())
    handlers = load_handlers(settings, base=base)
    metrics = Metrics()
    recorded = ledger.organization
    async with genesys_platform.connect(settings.genesys, credentials, clock=clock, metrics=metrics, recorded=recorded) as platform:
        await platform.identify()
        wanted = await request(ledger, asked, clock)
        backfill = Backfill(
            platform=platform,
            ledger=ledger,
            router=Router({handler.name: handler.topics for handler in handlers}),
            clock=clock,
            settings=settings.feed,
            metrics=metrics,
            conversations=LiveConversations(),
        )
        async with anyio.create_task_group() as group:
            group.start_soon(backfill.work_off, wanted)
            gaps = await follow(ledger, wanted, clock, show)
    return gaps


async def follow(
    ledger: Ledger, wanted: Sequence[int], clock: SystemClock, show: Show, *, gone: Callable[[], bool] = lambda: False
) -> list[Gap]:
    """Show how far these rows have come until all are closed, or nobody is there any more who would work them off (`gone`); the rows as
    they are then."""
    while True:
        nobody = gone()
        gaps = [gap for identity in wanted if (gap := await ledger.gap(identity)) is not None]
        show(progress(gaps))
        if nobody or all(gap.closed_ms is not None for gap in gaps):
            return gaps
        await clock.sleep(LOOK_SECONDS)


def progress(gaps: Sequence[Gap]) -> Progress:
    """The sum over the rows of one request. Pure."""
    whole = sum(gap.to_ms - gap.from_ms for gap in gaps)
    rest = sum(0 if gap.closed_ms is not None else gap.to_ms - gap.rest_from_ms for gap in gaps)
    open_from = [gap.rest_from_ms for gap in gaps if gap.closed_ms is None]
    return Progress(
        done=1.0 - rest / whole if whole else 1.0,
        up_to_ms=min(open_from) if open_from else max((gap.to_ms for gap in gaps), default=0),
        found=sum(gap.found for gap in gaps),
        recorded=sum(gap.recorded for gap in gaps),
    )


def as_json(asked: Window, gaps: Sequence[Gap], *, by_daemon: bool) -> dict[str, Any]:
    """What programs read."""
    return {
        "from": iso(asked.from_ms),
        "to": iso(asked.to_ms),
        "by": "daemon" if by_daemon else "command",
        "conversationsSeen": sum(gap.found for gap in gaps),
        "conversationsNew": sum(gap.recorded for gap in gaps),
        "requests": [
            {"id": gap.id, "from": iso(gap.from_ms), "to": iso(gap.to_ms), "seen": gap.found, "new": gap.recorded} for gap in gaps
        ],
    }


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Show]:
    """A moving bar on a terminal, a line for each change elsewhere, both on standard error."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    with Bars(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("asking", total=1.0)

        def show(now: Progress) -> None:
            bars.update(task, completed=now.done, description=f"up to {iso(now.up_to_ms)}  seen {now.found}  new {now.recorded}")

        yield show


def stalled(show: Show, clock: Clock, told: Callable[[], None]) -> Show:
    """As `show`; `told` is called once when nothing has moved for STALL_SECONDS. Whoever looks on cannot see why."""
    last: Progress | None = None
    moved_at = clock.monotonic()
    silent = False

    def look(now: Progress) -> None:
        nonlocal last, moved_at, silent
        show(now)
        if now != last:
            last, moved_at = now, clock.monotonic()
        elif not silent and clock.monotonic() - moved_at >= STALL_SECONDS:
            silent = True
            told()

    return look


def _plain_lines() -> Show:
    last: Progress | None = None

    def show(now: Progress) -> None:
        nonlocal last
        if now != last:
            last = now
            print(
                f"{now.done:4.0%}  up to {iso(now.up_to_ms)}  conversations seen {now.found}, new {now.recorded}",
                file=sys.stderr,
                flush=True,
            )

    return show


def _say(sentence: str, *, quiet: bool) -> None:
    if not quiet:
        print(sentence, file=sys.stderr, flush=True)
