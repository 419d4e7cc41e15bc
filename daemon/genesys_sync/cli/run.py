"""`genesys-sync run`: the daemon itself.

It runs until SIGTERM or SIGINT, then finishes or hands back what is running; a second signal hurries it. SIGHUP takes up changed settings;
bad ones are rejected, and the old ones stay in force.
"""

from __future__ import annotations

import argparse
from functools import partial

from genesys_sync.cli.invocation import load_proved, run_async, settings_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The daemon's exit code; 0 after an orderly stop."""
    settings = load_proved(args)
    from genesys_sync import app

    return run_async(partial(app.run, settings, base=settings_path(args).parent, reload=partial(load_proved, args)))
