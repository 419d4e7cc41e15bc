"""The words of the command line. A command's own options come from its module, which is imported only when the command is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Final, NoReturn

from genesys_sync.cli.misspelt import Parser

COMMANDS: Final[Mapping[str, str]] = {
    "run": "run the daemon until it is told to stop",
    "check": "prove everything that can be proved before starting",
    "demo": "play the main job against the simulator",
    "status": "what was recorded, what waits, what is parked or dead",
    "backfill": "ask the platform again for what ended in a time",
    "report": "is everything there that the platform recorded in a time",
    "find": "the whole life of a conversation or recording",
    "dead-letters": "what was given up and why; try it again",
    "resume": "let a parked handler work again",
    "record": "pause, resume, start or stop a live conversation's recording",
    "upload": "upload recordings made elsewhere, or list what was uploaded",
    "prompts": "bring Architect's prompts to agree with a folder of audio files",
    "flows": "publish Architect's flows, and see how they stand",
    "transcribe": "have a recording or a file transcribed by a speech provider",
    "transcription": "the platform's own transcription: show it, or switch it on",
    "verify": "prove that archive and audit trail are unaltered",
    "evidence": "everything about one conversation in one file that a stranger can check",
    "audit-key": "print the public key that checkpoints are signed with",
}
"""Every command and what it does, in the order of `--help`. Each is a module of its name beside this one."""


class _Version(argparse.Action):
    """Prints the release and ends. Reading it takes as long as everything else before a command: so only for whoever asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"genesys-sync {version('genesys-sync')}")
        parser.exit()


def build_parser(asked: Collection[str]) -> argparse.ArgumentParser:
    """The parser of the command line. It knows every command, and the options of those whose names are among `asked`, such as the words
    of one call."""
    parser = Parser(
        prog="genesys-sync",
        description="Keeps a contact centre's Genesys Cloud recordings in step with its own verified archive.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the release, and exit")
    parser.set_defaults(settings=None, debug=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, what in COMMANDS.items():
        if name in asked:
            command = import_module(f"{__package__}.{name.replace('-', '_')}")
            command.add_arguments(subparsers.add_parser(name, help=what, description=command.__doc__))
        else:
            subparsers.add_parser(name, help=what)
    _add_common(parser, depth=0)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, depth: int) -> None:
    """The options that every command has, for this parser and those below it: they may stand before the command's name or after it."""
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--settings",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="the settings file (default: ./settings.toml if there is one, else /etc/genesys-sync/settings.toml)",
    )
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        dest=f"set_{depth}",  # argparse lets a command's own list replace the one before its name
        default=argparse.SUPPRESS,
        help="override one setting, such as --set feed.silence=40s; may be given again and again",
    )
    group.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    for action in parser._actions:  # noqa: SLF001 - argparse offers no other way to the parsers below
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for below in action.choices.values():
                _add_common(below, depth=depth + 1)
