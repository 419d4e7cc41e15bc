"""Prompts in a folder: `FOLDER/<prompt>/<language>.<anything>`. What fits nowhere is told of, never guessed at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from genesys_sync.errors import PermanentError, ReasonCode

FILES_MAX: Final = 20_000
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,200}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is a prompt's audio in one language. `place` is relative to the folder; `language` is in lower case."""

    place: PurePath
    name: str
    language: str


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A file that is no prompt's, by its place alone; `why` is a sentence."""

    place: PurePath
    why: str


def read_folder(folder: Path) -> list[PurePath]:
    """Every file in it, relative to it, sorted; hidden files and folders are passed over. Raises PermanentError."""
    found = []
    try:
        for place in _files(folder):
            found.append(place.relative_to(folder))
            if len(found) > FILES_MAX:
                raise PermanentError(f"{folder}: holds more than {FILES_MAX} files; name the folder that holds the prompts alone")
    except OSError as error:
        raise PermanentError(f"{folder}: cannot be read: {error.strerror}", code=ReasonCode.STORAGE_FAILED) from None
    return sorted(found)


def _files(folder: Path) -> Iterator[Path]:
    for one in folder.iterdir():
        if one.name.startswith("."):
            continue
        if one.is_dir() and not one.is_symlink():
            yield from _files(one)
        else:
            yield one


def arrange(places: Iterable[PurePath]) -> tuple[list[Source], list[Misplaced]]:
    """Which file is which prompt in which language, by its place. Pure. Two files for one and the same are both misplaced."""
    sources: defaultdict[tuple[str, str], list[Source]] = defaultdict(list)
    misplaced = []
    for place in places:
        why = _fault(place)
        if why:
            misplaced.append(Misplaced(place, why))
            continue
        source = Source(place, place.parts[0], place.stem.lower())
        sources[source.name.lower(), source.language].append(source)
    good = []
    for several in sources.values():
        if len(several) == 1:
            good += several
            continue
        for source in several:
            others = ", ".join(str(other.place) for other in several if other is not source)
            misplaced.append(Misplaced(source.place, f"is ambiguous: {others} is the same prompt in the same language; keep one of them"))
    return sorted(good, key=lambda one: one.place), sorted(misplaced, key=lambda one: one.place)


def _fault(place: PurePath) -> str:
    """Why it is no prompt's, as a sentence; empty when it is one's."""
    if len(place.parts) == 1:
        return "lies in no prompt's folder: put it in FOLDER/<prompt>/<language>.wav"
    if len(place.parts) > 2:
        return "lies too deep: a prompt's files lie directly in its folder, FOLDER/<prompt>/<language>.wav"
    if _NAME.fullmatch(place.parts[0]) is None:
        return "lies in a folder whose name no prompt can have: 1 to 200 letters without accents, digits and underscores"
    if _LANGUAGE.fullmatch(place.stem.lower()) is None:
        return "is not named by a language: a BCP-47 tag such as en-us.wav or de.mp3"
    return ""
