"""`genesys-sync resume NAME`: let a parked handler work again.

A handler parks itself when the other side asks not to be called again. Its deliveries have waited; they are due now.
"""

from __future__ import annotations

import argparse

from genesys_sync.cli.invocation import audit_entry, load_settings, run_async
from genesys_sync.cli.output import NOTHING_FOUND, print_line
from genesys_sync.clock import SystemClock
from genesys_sync.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("handler", metavar="NAME", help="the handler's name in the settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when it was parked and is no more, 1 when it was not parked."""
    return run_async(_resume, load_settings(args), args.handler)


async def _resume(settings: Settings, handler: str) -> int:
    from genesys_sync.ledger import open_ledger

    clock = SystemClock()
    async with open_ledger(settings.ledger.url, clock=clock, shared=True) as ledger:
        now = clock.epoch_ms()
        if await ledger.resume(handler, now_ms=now, audit=[audit_entry(clock, "handler.resume", handler)]):
            print_line(f"{handler} works again")
            return 0
        parked = (await ledger.counts(now_ms=now)).parked
    print_line(f"{handler} is not parked (parked now: {', '.join(sorted(parked)) or 'none'})")
    return NOTHING_FOUND
