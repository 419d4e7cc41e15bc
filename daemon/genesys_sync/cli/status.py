"""`genesys-sync status`: what was recorded, what waits and since when, what is parked or dead, and how the daemon is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import orjson

from genesys_sync.cli.invocation import load_settings, run_async
from genesys_sync.cli.output import iso, print_json, print_line, print_table
from genesys_sync.clock import SystemClock
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.overview import Overview
from genesys_sync.overview import as_json as overview_as_json
from genesys_sync.overview import look as read_overview
from genesys_sync.settings import Settings
from genesys_sync.units import spoken

ANSWER_LIMIT = 64 << 10
DAEMON_SECONDS = 3.0
_SERVER = b"Server: genesys-sync"


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that the command shows. `daemon` is the answer of `/readyz`, None when nobody answered."""

    ledger: str
    overview: Overview
    daemon: Mapping[str, Any] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the ledger could be read; whether the daemon runs is shown, and is no error."""
    status = run_async(_look, load_settings(args))
    if args.json:
        print_json(as_json(status))
    else:
        _show(status)
    return 0


async def _look(settings: Settings) -> Status:
    from genesys_sync.feed.intake import STREAM
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
        overview = await read_overview(ledger, stream=STREAM, now_ms=clock.epoch_ms(), costs=settings.costs)
    return Status(settings.ledger.url, overview, await ask_daemon(settings.health.address, "/readyz"))


async def ask_daemon(address: tuple[str, int], path: str) -> Mapping[str, Any] | None:
    """The JSON that a daemon of ours answers at its health listener; None when nobody does, or somebody else."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    if port == 0:
        return None
    name = f"[{host}]" if ":" in host else host
    answer = b""
    try:
        # one GET of a daemon on this machine, by hand: to import an HTTP client takes longer than all else that this command does
        with anyio.fail_after(DAEMON_SECONDS):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.send(f"GET {path} HTTP/1.0\r\nHost: {name}:{port}\r\n\r\n".encode())
                async for chunk in stream:
                    answer += chunk
                    if len(answer) > ANSWER_LIMIT:
                        return None
        head, _, body = answer.partition(b"\r\n\r\n")
        found = orjson.loads(body) if _SERVER in head.split(b"\r\n") else None
    except (anyio.BrokenResourceError, TimeoutError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def as_json(status: Status) -> dict[str, Any]:
    """What programs read; durations in seconds, times as ISO 8601."""
    daemon = None if status.daemon is None else dict(status.daemon)
    return {"ledger": status.ledger, **overview_as_json(status.overview), "daemon": daemon}


def _show(status: Status) -> None:
    overview, counts = status.overview, status.overview.counts
    for name, value in (
        ("ledger", status.ledger),
        ("daemon", _daemon(status.daemon)),
        ("heard up to", _watermark(overview)),
        ("open gaps", counts.open_gaps),
        ("backlog", f"the oldest due delivery has waited {spoken(overview.backlog)}" if overview.backlog else "nothing is due"),
        ("dead letters", overview.dead_letters),
    ):
        print_line(f"{name:<13} {value}")
    for handler, why in sorted(counts.parked.items()):
        hint = f"genesys-sync resume {handler}"
        print_line(f"parked        {handler}: {why}" + ("" if hint in why else f" ({hint})"))
    if counts.events:
        print_line()
        print_table(("event", "recorded"), sorted(counts.events.items()))
    if counts.deliveries:
        print_line()
        print_table(
            ("handler", *DeliveryState, "oldest due"),
            (
                (handler, *(states.get(state, 0) for state in DeliveryState), spoken(overview.backlog_of(handler)))
                for handler, states in sorted(counts.deliveries.items())
            ),
        )
    _show_acting(overview)


def _show_acting(overview: Overview) -> None:
    if overview.operations:
        print_line()
        print_table(
            ("action", "success", "refused", "failure", "success rate", "mean", "bytes"),
            (
                (one.operation, one.success, one.refused, one.failure, f"{one.success_rate:.1%}", f"{one.mean_seconds:.1f} s", one.bytes)
                for one in overview.operations
            ),
        )
    if overview.storage:
        print_line()
        print_table(
            ("storage class", "objects", "bytes", f"{overview.currency} a month"),
            (
                (one.storage_class, one.stored.objects, one.stored.bytes, "no price" if one.per_month is None else f"{one.per_month:.2f}")
                for one in overview.storage
            ),
        )


def _watermark(overview: Overview) -> str:
    if overview.watermark_ms is None:
        return "nothing yet"
    return f"{iso(overview.watermark_ms)}, {spoken(timedelta(milliseconds=overview.at_ms - overview.watermark_ms))} ago"


def _daemon(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "does not answer"
    reasons = answer.get("reasons")
    state = str(answer.get("state", "unknown")).replace("_", " ")
    return f"{state}: {', '.join(map(str, reasons))}" if isinstance(reasons, list) and reasons else state
