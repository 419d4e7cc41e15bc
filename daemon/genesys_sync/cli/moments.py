"""`--from` and `--to`: how commands are told a time."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from genesys_sync.errors import EX_USAGE, GenesysSyncError
from genesys_sync.feed.facts import EARLIEST_AGE
from genesys_sync.units import parse_duration

FORMS = "2026-08-01 (UTC), 2026-08-01T14:30 (UTC unless it has a zone), 7d or 12h (so long ago), now"

GAPS_MOST = 1_000_000
"""More open gaps than a ledger ever has: a command that compares a time with the gaps must see them all."""


class NoWindow(GenesysSyncError):
    """`--from` and `--to` leave no time between them, or one that the daemon would page for months: a request cannot be taken back."""

    exit_code = EX_USAGE


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` on, up to and without `end`. Aware, UTC, whole milliseconds."""

    start: datetime
    end: datetime

    @property
    def from_ms(self) -> int:
        return round(self.start.timestamp() * 1000)

    @property
    def to_ms(self) -> int:
        return round(self.end.timestamp() * 1000)


def add_window(parser: argparse.ArgumentParser) -> None:
    """Give the command `--from`, which is required, and `--to`."""
    parser.add_argument("--from", dest="start", metavar="T", required=True, type=_checked, help=f"the beginning: {FORMS}")
    told = "the end; a date stands for the end of its day (default: as late as analytics is taken to be filled, feed.backfill_settle ago)"
    parser.add_argument("--to", dest="end", metavar="T", type=_checked, help=told)


def window(args: argparse.Namespace, *, now: datetime, settle: timedelta) -> Window:
    """What the two options say; an end that is yet to come is taken for now, none for `settle` ago. Raises NoWindow."""
    start = moment(args.start, now=now)
    end = now - settle if args.end is None else min(moment(args.end, now=now, ending=True), now)
    if start < now - EARLIEST_AGE:
        raise NoWindow(f"--from {args.start} lies more than {EARLIEST_AGE.days // 365} years back: of what ended then nothing is believed")
    if start >= end:
        raise NoWindow(f"--from {args.start} and --to {args.end or 'as late as analytics is filled'} leave no time between them")
    return Window(_whole(start), _whole(end))


def moment(text: str, *, now: datetime, ending: bool = False) -> datetime:
    """The moment that the text names; a date is its first moment, with `ending` the first one after it. Raises ValueError."""
    text = text.strip()
    if text == "now":
        return now
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time(), UTC) + timedelta(days=int(ending))
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time: write {FORMS}") from None


def _checked(text: str) -> str:
    try:
        moment(text, now=datetime(2026, 1, 1, tzinfo=UTC), ending=True)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _whole(found: datetime) -> datetime:
    return found.replace(microsecond=found.microsecond // 1000 * 1000)
