"""`genesys-sync demo`: the main job end to end against the simulator, judged by what really lies in the archive."""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from genesys_sync.cli.invocation import whole_number
from genesys_sync.errors import ConfigurationError
from genesys_sync.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--folder", type=Path, metavar="PATH", default=Path("demo"), help="where everything goes (default: ./demo; emptied first)"
    )
    parser.add_argument(
        "--scenario", metavar="NAME", default="demo", help="a scenario that ships with the simulator, or a file (default: demo)"
    )
    parser.add_argument("--seed", type=whole_number(0), metavar="N", help="another world of the same kind (default: the scenario's own)")
    parser.add_argument(
        "--kill", type=whole_number(0), default=0, metavar="N", help="kill -9 the daemon N times on the way and start it again"
    )
    parser.add_argument("--patience", type=_seconds, default=120.0, metavar="SECONDS", help="give up after this long (default: 120)")
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def run(args: argparse.Namespace) -> int:
    """0 when every promise held; 70 when one did not, each named."""
    from genesys_sync.cli.demo import stage
    from genesys_sync.cli.demo.play import Plan, play

    settings = Path(args.settings) if args.settings else Path("settings.toml")
    plan = Plan(args.folder, args.scenario, args.seed, args.kill, args.patience, settings, args.set)
    if not settings.exists():
        raise ConfigurationError(
            f"{settings}: the demo runs the sample settings; start it in the project's folder, or name them with --settings"
        )
    load(settings, overrides=args.set)
    stage.prepare(plan.folder)
    return anyio.run(play, plan)
