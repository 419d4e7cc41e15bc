"""`genesys-sync audit-key`: the public key with which anybody can check the checkpoints that this installation signs."""

from __future__ import annotations

import argparse
from pathlib import Path

from genesys_sync.cli.invocation import load_settings
from genesys_sync.cli.output import print_line
from genesys_sync.errors import ConfigurationError
from genesys_sync.signing import find_signer, make_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--new", metavar="PATH", type=Path, help="make a new key in this file first, which must not exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 and the key on one line; raises ConfigurationError where there is none."""
    if args.new is not None:
        try:
            print_line(make_key(args.new).public_key)
        except OSError as error:
            raise ConfigurationError(f"--new: {args.new}: {error.strerror or type(error).__name__}") from None
        return 0
    signer = find_signer(load_settings(args).audit)
    if signer is None:
        raise ConfigurationError("audit.signing_key_file: is not set; make a key with genesys-sync audit-key --new PATH")
    print_line(signer.public_key)
    return 0
