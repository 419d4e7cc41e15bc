"""How far a report has come, for who waits for one of a long time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from genesys_sync.clock import Clock

PLAIN_EVERY: Final = 10.0

Show = Callable[[str], None]
"""Is told what is being done, and how far, as often as it likes to change."""


@contextmanager
def shown(clock: Clock) -> Iterator[Show]:
    """A moving line on a terminal, a plain one every ten seconds elsewhere; both on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_lines(clock)
        return
    with console.status("") as status:
        yield status.update


def plain_lines(clock: Clock) -> Show:
    """A line for what is told when ten seconds have passed since the last, or since the beginning."""
    last = clock.monotonic()

    def show(text: str) -> None:
        nonlocal last
        if clock.monotonic() - last >= PLAIN_EVERY:
            last = clock.monotonic()
            print(text, file=sys.stderr, flush=True)

    return show
