"""The command `genesys-sync`: one file for each subcommand. What is imported before one is chosen is as little as `--help` needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from genesys_sync.cli.parser import build_parser
from genesys_sync.errors import EX_USAGE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; prints every expected failure as one sentence on standard error, without a traceback."""
    _open_standard_streams()
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser(words)
    try:
        args = parser.parse_args(words)
    except SystemExit as ending:  # --help, --version and wrong usage
        return ending.code if isinstance(ending.code, int) else EX_USAGE
    args.set = [override for depth in range(3) for override in getattr(args, f"set_{depth}", [])]
    if args.command is None:
        parser.print_help(sys.stderr)
        return EX_USAGE
    from genesys_sync.cli.execution import execute

    return execute(args)


def _open_standard_streams() -> None:
    """Open whichever of the three standard streams the caller had closed, on /dev/null: otherwise the next socket or file would get its
    number, and what is printed would go there; uvloop ends the process over it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as the process lives
