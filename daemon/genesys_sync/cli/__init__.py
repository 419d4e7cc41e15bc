"""The command `genesys-sync`: one file for each subcommand, errors turned into sentences and exit codes here and nowhere else."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from genesys_sync import logs
from genesys_sync.cli import (
    audit_key,
    backfill,
    check,
    dead_letters,
    demo,
    find,
    flows,
    prompts,
    record,
    report,
    resume,
    status,
    transcribe,
    transcription,
    upload,
    verify,
)
from genesys_sync.cli import run as run_command
from genesys_sync.cli.output import OutputFailed, print_json, written
from genesys_sync.errors import EX_SOFTWARE, EX_USAGE, ConfigurationError, GenesysSyncError
from genesys_sync.scrubbing import clean_text
from genesys_sync.settings import LogSettings

INTERRUPTED = 130
PIPE_CLOSED = 141

_COMMANDS = (
    run_command,
    check,
    demo,
    status,
    backfill,
    report,
    find,
    dead_letters,
    resume,
    record,
    upload,
    prompts,
    flows,
    transcribe,
    transcription,
    verify,
    audit_key,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; prints every expected failure as one sentence on standard error, without a traceback."""
    _open_standard_streams()
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as ending:  # --help, --version and wrong usage
        return ending.code if isinstance(ending.code, int) else EX_USAGE
    args.set = [override for depth in range(3) for override in getattr(args, f"set_{depth}", [])]
    if args.command is None:
        parser.print_help(sys.stderr)
        return EX_USAGE
    logs.configure(LogSettings(level="warning"))  # to standard error; the daemon sets its own
    try:
        code = int(args.run(args))
        with written():
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # the reader (`| head`) has seen enough
        _discard_output()
        return PIPE_CLOSED
    except OutputFailed as error:
        _discard_output()
        return _failed(error, debug=args.debug)
    except Exception as error:  # noqa: BLE001 - the root: whatever comes here was foreseen by nobody
        return _failed(error, debug=args.debug, as_json=getattr(args, "json", False))
    return code


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


def _discard_output() -> None:
    """What is still buffered has nowhere to go; the interpreter must not complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception, *, debug: bool, as_json: bool = False) -> int:
    expected = _expected(error)
    if debug:
        traceback.print_exception(error)
    if expected is None:
        logs.report_error("internal error", error)
    sentences, code = _told(error, expected)
    if as_json:
        _print_failure(sentences)
    for sentence in sentences:
        _say(sentence)
    return code


def _told(error: Exception, expected: list[GenesysSyncError] | None) -> tuple[list[str], int]:
    """The sentences, fit to be shown, and the exit code."""
    if expected is None:
        what = f"internal error: {logs.describe_exception(error)}; please report it, with the output of the same command and --debug"
        return [what], EX_SOFTWARE
    told: list[str] = []
    for problem in expected:
        if not isinstance(problem, ConfigurationError):
            told.append(clean_text(str(problem) or type(problem).__name__))
            continue
        # the key apart from what is said of it: `client_secret: unknown key` is no secret with its value
        told.extend(": ".join(clean_text(part) for part in sentence.split(": ", 1)) for sentence in problem.problems)
        count = len(problem.problems)
        told.append(f"CONFIG_INVALID: {count} fault{'' if count == 1 else 's'} in the configuration")
    return told, expected[0].exit_code


def _print_failure(sentences: Sequence[str]) -> None:
    """Whoever asked for JSON reads JSON of a failure too, where standard output takes anything; the exit code tells its kind."""
    try:
        print_json({"outcome": "failure", "error": "; ".join(sentences)})
        sys.stdout.flush()
    except (OutputFailed, OSError):
        _discard_output()


def _expected(error: BaseException) -> list[GenesysSyncError] | None:
    """The program's own errors in it (task groups wrap them); None as soon as one of them is another's."""
    if isinstance(error, GenesysSyncError):
        return [error]
    if not isinstance(error, BaseExceptionGroup):
        return None
    found: list[GenesysSyncError] = []
    for part in error.exceptions:
        inner = _expected(part)
        if inner is None:
            return None
        found.extend(inner)
    return found


def _say(sentence: str) -> None:
    print(f"genesys-sync: {sentence}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Wrong usage ends with 64 (EX_USAGE), as sysexits(3) says, instead of 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="genesys-sync",
        description="Keeps a contact centre's Genesys Cloud recordings in step with its own verified archive.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"genesys-sync {version('genesys-sync')}")
    parser.set_defaults(settings=None, debug=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in _COMMANDS:
        command.add_parser(subparsers)
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
