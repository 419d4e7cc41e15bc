"""`genesys-sync upload PATH…`: files, or everything in folders, to the platform; `upload list`: what was uploaded, page by page.

The command returns when the platform has reported on every file. It works beside a daemon and without one; killed, the same command goes
on where it was. The same content is uploaded once, unless `--again` asks for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genesys_sync import logs
from genesys_sync.cli.invocation import load_settings, run_async, settings_path, whole_number
from genesys_sync.cli.output import clock_time, print_json, print_line
from genesys_sync.errors import EX_DATAERR, EX_USAGE, PermanentError, TransientError
from genesys_sync.scrubbing import clean_text
from genesys_sync.settings import LogSettings
from genesys_sync.uploading import UploadState

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from genesys_sync.cli.upload_run import Followed

LIST: Final = "list"
PAGE: Final = 20
FILES_MOST: Final = 10_000
BARS_MOST: Final = 5

Show = Callable[[Sequence["Followed"]], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="files, or folders of files; or the word `list` (a file of that name: ./list)"
    )
    parser.add_argument("--again", action="store_true", help="upload even what was uploaded before")
    parser.add_argument("--json", action="store_true", help="as JSON, without progress")
    parser.add_argument("--limit", type=whole_number(1), metavar="N", help=f"of `list`: rows of a page (default: {PAGE})")
    parser.add_argument("--after", type=whole_number(1), metavar="NUMBER", help="of `list`: go on after this row of the page before")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the platform has every file. 65 when one could not be uploaded and why stands in the output, 64 for wrong usage."""
    if args.paths[0] == LIST:
        if len(args.paths) > 1 or args.again:
            print("genesys-sync: `upload list` takes no files and no --again; a file of that name is ./list", file=sys.stderr)
            return EX_USAGE
        from genesys_sync.cli.upload_list import show_list

        return show_list(load_settings(args), before=args.after, limit=args.limit or PAGE, as_json=args.json)
    if args.limit is not None or args.after is not None:
        print("genesys-sync: --limit and --after belong to `upload list`", file=sys.stderr)
        return EX_USAGE
    return _upload(args)


def _upload(args: argparse.Namespace) -> int:
    from genesys_sync.cli.acting import report_failure
    from genesys_sync.cli.upload_run import Work, upload

    settings = load_settings(args)
    files = collected(args.paths)
    with _shown(quiet=args.json) as show:
        say = partial(_say, quiet=args.json)
        work = Work(files, args.again, show, say)
        logs.configure(LogSettings(level="error"))  # what handlers warn of is told by this command itself
        try:
            if not all(one.over for one in files):
                run_async(partial(upload, settings, settings_path(args).parent, work))
        except (PermanentError, TransientError) as error:
            return report_failure(error, as_json=args.json)
    if args.json:
        print_json({"by": "daemon" if work.by_daemon else "command", "files": [as_json(one) for one in files]})
    else:
        for one in files:
            print_line(sentence(one))
        if len(files) > 1:
            _say(summary(files), quiet=False)
    return 0 if all(one.good for one in files) else EX_DATAERR


def collected(paths: Sequence[str]) -> list[Followed]:
    """The files that these words name, each once, in their order. A folder stands for every file in it and below, hidden ones left out."""
    from genesys_sync.cli.upload_run import Followed

    found: dict[Path, Followed] = {}
    for word in paths:
        path = Path(word)
        if not path.is_dir():
            # said before anybody is asked anything; what else may be wrong with a file is found when it is read
            missing = not path.is_symlink() and not path.exists()
            found.setdefault(path, Followed(path, problem=f"{path}: no such file or folder" if missing else ""))
            continue
        inside = sorted(
            file for file in path.rglob("*") if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not inside:
            found.setdefault(path, Followed(path, problem=f"{path}: there is no file in this folder"))
        found.update((file, Followed(file)) for file in inside if file not in found)
    if len(found) > FILES_MOST:
        raise PermanentError(f"{len(found)} files are more than one command takes; name at most {FILES_MOST}, or use the watched folder")
    return list(found.values())


def sentence(one: Followed) -> str:
    """What became of one file. Pure."""
    if one.problem or one.asked is None:
        return clean_text(one.problem)
    if one.good:
        before = f" already, asked for on {clock_time(one.asked.event.occurred_at)} UTC; nothing was sent" if one.earlier else ""
        return f"{one.path}: {one.state}{before}"
    return f"{one.path}: {one.state}: {clean_text(reason_of(one))}{_advice(one)}"


def reason_of(one: Followed) -> str:
    """Why it was not uploaded; empty for one that was. Pure."""
    if one.outcome is not None and "reason" in one.outcome.body:
        return f"{one.outcome.body['reason']}: {one.outcome.body.get('detail', '')}"
    return one.record.last_error or one.record.note if one.record is not None and not one.good else ""


def _advice(one: Followed) -> str:
    if one.outcome is None and one.record is not None:
        return f"; `genesys-sync dead-letters replay {one.record.delivery_id}` tries it once more"
    return "; it was tried before; --again tries it once more" if one.earlier else ""


def as_json(one: Followed) -> dict[str, Any]:
    """What programs read of one file."""
    body = {} if one.outcome is None else one.outcome.body
    event = None if one.asked is None else one.asked.event
    return {
        "path": str(one.path),
        "state": "not asked for" if one.problem else one.state.value,
        "new": one.asked is not None and one.asked.new,
        "eventId": None if event is None else event.id,
        "bytes": None if event is None else event.body.get("bytes"),
        "sha256": None if event is None else event.body.get("sha256"),
        "uploadKey": body.get("uploadKey"),
        "status": body.get("status"),
        "reason": one.problem or reason_of(one) or None,
    }


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Show]:
    """Bars on a terminal, a line for each change elsewhere, both on standard error."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _bars(bars)


def _bars(bars: Progress) -> Show:
    """A bar for all, where there are several, and one for each of the few that are furthest: drawing a thousand ten times a second would
    take the processor from the uploads."""
    tasks: dict[Path, TaskID] = {}
    whole: list[TaskID] = []

    def show(files: Sequence[Followed]) -> None:
        if len(files) > 1:
            whole[:] = whole or [bars.add_task("")]
            asked = [(_size(one), one.over) for one in files if one.asked is not None]
            done = sum(size for size, over in asked if over)
            bars.update(whole[0], total=sum(size for size, _ in asked), completed=done, description=summary(files))
        drawn = furthest(files, BARS_MOST)
        for path in tasks.keys() - {one.path for one in drawn}:
            bars.remove_task(tasks.pop(path))
        for one in drawn:
            if one.path not in tasks:
                tasks[one.path] = bars.add_task("", total=_size(one))
            done = _size(one) if one.stored else one.sent
            bars.update(tasks[one.path], completed=done, description=f"{clean_text(one.path.name)}: {_now(one)}")

    return show


def furthest(files: Sequence[Followed], most: int) -> list[Followed]:
    """Of the files that are under way those that are sent, then those that wait for their report, then the others. Pure."""
    under_way = [one for one in files if one.asked is not None and not one.over]
    return sorted(under_way, key=lambda one: (one.sent == 0, one.stored is False, one.state is UploadState.WAITING))[:most]


def summary(files: Sequence[Followed]) -> str:
    """How far all of them are, in a few words. Pure."""
    good, bad = sum(one.good for one in files), sum(one.over and not one.good for one in files)
    return f"{good} of {len(files)} uploaded" + (f", {bad} not" if bad else "")


def _size(one: Followed) -> int:
    return 0 if one.asked is None else int(one.asked.event.body["bytes"])


def _now(one: Followed) -> str:
    return "stored, waits for the platform's report" if one.stored else one.state.value


def _plain_lines() -> Show:
    told: dict[Path, str] = {}

    def show(files: Sequence[Followed]) -> None:
        for one in files:
            if one.asked is None or one.over:
                continue
            size = _size(one) or 1
            line = f"{one.path}: {_now(one)}" + (f", {one.sent * 10 // size * 10} % sent" if one.sent else "")
            trouble = one.record.last_error if one.record is not None else ""
            line += f" ({clean_text(trouble)})" if trouble and not one.sent else ""
            if told.get(one.path) != line:
                told[one.path] = line
                _say(line, quiet=False)

    return show


def _say(sentence: str, *, quiet: bool) -> None:
    if not quiet:
        print(sentence, file=sys.stderr, flush=True)
