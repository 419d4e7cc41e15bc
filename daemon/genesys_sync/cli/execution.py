"""One command, run: every way in which it can end becomes an exit code and sentences, here and nowhere else."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from genesys_sync import logs
from genesys_sync.cli.output import OutputFailed, print_json, written
from genesys_sync.errors import EX_SOFTWARE, ConfigurationError, GenesysSyncError
from genesys_sync.scrubbing import clean_text
from genesys_sync.settings import LogSettings

INTERRUPTED = 130
PIPE_CLOSED = 141


def execute(args: argparse.Namespace) -> int:
    """Run the command that these arguments chose, and return its exit code."""
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
