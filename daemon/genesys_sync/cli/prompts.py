"""`genesys-sync prompts plan|push FOLDER`: the prompts in a folder, and Architect's, brought to agree.

A file's place says which prompt it is: `FOLDER/<prompt>/<language>.wav` (any format that is audio). `plan` shows what would change, `push`
does it; what is bad is told of and left out. Repeated, a push does nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from genesys_sync.cli.invocation import load_settings, run_async, settings_path
from genesys_sync.cli.output import print_json, print_line, print_table
from genesys_sync.errors import EX_DATAERR, EX_OK, EX_TEMPFAIL, GenesysSyncError
from genesys_sync.scrubbing import clean_text, escape
from genesys_sync.settings import Settings

if TYPE_CHECKING:
    from genesys_sync.architect.pushing import Entry, Told
    from genesys_sync.clock import Clock

_LOOK_SECONDS: Final = 0.5
_ORDER: Final = ("new", "changed", "unchanged", "invalid")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, and its two actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, what in (("plan", "show what would change, and why"), ("push", "convert, upload, and wait until all is transcoded")):
        action = actions.add_parser(name, help=what)
        action.add_argument("folder", type=_folder, metavar="FOLDER", help="holds <prompt>/<language>.wav")
        action.add_argument(
            "--compare-audio", action="store_true", help="fetch what seems unchanged, too: shows what was replaced in Architect by its like"
        )
        action.add_argument("--json", action="store_true", help="as JSON")
        action.set_defaults(run=run, push=name == "push")


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder: name the one that holds <prompt>/<language>.wav")
    return folder


def run(args: argparse.Namespace) -> int:
    """0 when every file is, or would become, a prompt. 65 some are bad, 69 some were refused, 75 some failed and may be tried again, 77 a
    permission is missing."""
    from genesys_sync.architect.folder import read_folder
    from genesys_sync.cli.acting import report_failure

    settings, base = load_settings(args), settings_path(args).parent
    try:
        places = read_folder(args.folder)
        entries = run_async(partial(_work, settings, base, args, places))
    except GenesysSyncError as error:
        return report_failure(error, as_json=args.json)
    except KeyboardInterrupt:
        if args.push:
            print("genesys-sync: interrupted: what was pushed is recorded; push again for the rest", file=sys.stderr)
        raise
    print_json(as_json(args.folder, entries)) if args.json else _show(entries, pushed=args.push)
    return exit_code(entries)


async def _work(settings: Settings, base: Path, args: argparse.Namespace, places: Sequence[PurePath]) -> list[Entry]:
    from genesys_sync.architect.pushing import Means, Pushing, find_audio
    from genesys_sync.cli.acting import workplace

    audio = find_audio(settings.prompts)
    async with workplace(settings, base=base) as place:
        means = Means(
            prompts=place.platform.prompts,
            media=place.platform.media,
            audio=audio,
            ledger=place.ledger,
            router=place.router,
            clock=place.clock,
            organization_id=await place.platform.identify(),
            settings=settings.prompts,
            compare_audio=args.compare_audio,
        )
        async with AsyncExitStack() as stack:
            if args.push:
                await stack.enter_async_context(_one_at_a_time(settings.prompts_lock, place.clock))
            told = stack.enter_context(_progress(len(places), lines=args.push and not args.json))
            return await Pushing(means, args.folder).run(places, push=args.push, told=told)


@asynccontextmanager
async def _one_at_a_time(path: Path, clock: Clock) -> AsyncGenerator[None]:
    """Of several pushes with one ledger each waits for those before it, and then finds what they have done. Raises StorageError."""
    from genesys_sync.disk import translated
    from genesys_sync.locks import FileLock, Held

    told = False
    while True:
        try:
            with translated("making the lock of the pushes"):
                lock = FileLock(path, "prompts push")
            break
        except Held as held:
            if not told:
                print(f"genesys-sync: {held.holder} is at work; this one begins when that has ended", file=sys.stderr, flush=True)
            told = True
        await clock.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def exit_code(entries: Sequence[Entry]) -> int:
    """Of the whole: what may be tried again comes first, then what is refused, then what is bad. Pure."""
    from genesys_sync.cli.acting import exit_code_of

    outcomes = {entry.outcome: entry.error for entry in entries}
    if "failed" in outcomes:
        return EX_TEMPFAIL
    refused = outcomes.get("refused")
    if refused is not None:
        return exit_code_of(refused)
    return EX_DATAERR if "bad" in outcomes or any(entry.change == "invalid" for entry in entries) else EX_OK


def as_json(folder: Path, entries: Sequence[Entry]) -> dict[str, Any]:
    """What programs read."""
    return {"folder": str(folder), "counts": _counts(entries), "prompts": [_entry_as_json(entry) for entry in entries]}


def _counts(entries: Sequence[Entry]) -> Mapping[str, int]:
    changes = Counter(entry.change.value for entry in entries)
    outcomes = Counter(entry.outcome for entry in entries if entry.outcome)
    return {name: changes[name] for name in _ORDER} | {name: outcomes[name] for name in ("pushed", "bad", "refused", "failed")}


def _entry_as_json(entry: Entry) -> dict[str, Any]:
    from genesys_sync.cli.acting import failure_as_json

    sound = entry.sound
    return {
        "file": entry.place.as_posix(),
        "prompt": entry.name,
        "language": entry.language,
        "change": entry.change.value,
        "why": clean_text(entry.why) or None,
        "seconds": entry.seconds,
        "converted": None
        if sound is None
        else {"from": sound.was, "bytes": sound.bytes, "gain": sound.gain, "loudness": sound.loudness, "limited": sound.limited},
        "outcome": entry.outcome or None,
        "failure": None if entry.error is None else failure_as_json(entry.error),
    }


def _show(entries: Sequence[Entry], *, pushed: bool) -> None:
    shown = [entry for name in _ORDER for entry in entries if entry.change == name and not (name == "unchanged" and pushed)]
    if shown:
        rows = [(entry.outcome or entry.change.value, entry.place, told(entry)) for entry in shown]
        print_table(("outcome" if pushed else "change", "file", "what"), rows)
        print_line()
    counts = ", ".join(f"{number} {name}" for name, number in _counts(entries).items() if number)
    print_line(counts or "no prompts: each is a file FOLDER/<prompt>/<language>.wav")


def told(entry: Entry) -> str:
    """The reason, and how the file is converted, in one line. Pure."""
    if entry.error is not None:
        return clean_text(str(entry.error))
    return "; ".join(part for part in (clean_text(entry.why), _conversion(entry)) if part)


def _conversion(entry: Entry) -> str:
    sound = entry.sound
    if sound is None:
        return "" if entry.seconds is None else f"{entry.seconds:.1f} s"
    loudness = "silent" if sound.loudness is None else f"{sound.loudness:.1f} LUFS"
    loudness += " (as loud as its peak allows)" if sound.limited else ""
    return f"{sound.was}, {sound.seconds:.1f} s, {sound.gain:+.1f} dB to {loudness}, {sound.bytes} bytes"


@contextmanager
def _progress(total: int, *, lines: bool) -> Iterator[Told]:
    """A bar on a terminal; elsewhere a line for each file that is done, where `lines` are wanted. Both on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _say if lines else lambda _: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=total)
        yield lambda entry: bars.update(task, advance=1, description=escape(str(entry.place)))


def _say(entry: Entry) -> None:
    print(escape(f"{entry.outcome or entry.change.value}  {entry.place}  {told(entry)}"), file=sys.stderr, flush=True)
