"""Where each key of a TOML text stands, which tomllib does not tell: for whoever has to say where a fault is. Pure.

Only the shape of the text is read here, not its values; what is no TOML is tomllib's to tell, and ends the reading.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_BASIC: Final = r'"(?:\\.|[^"\\\n])*"'
_LITERAL: Final = r"'[^'\n]*'"
_BLANK: Final = re.compile(r"[ \t]*")
_GAP: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(rf"[A-Za-z0-9_-]+|{_BASIC}|{_LITERAL}")
_SCALAR: Final = re.compile(
    rf'"""(?:\\.|[^\\])*?""""{{0,2}}|\'\'\'.*?\'\'\'\'{{0,2}}|{_BASIC}|{_LITERAL}|[^\s,#"\'\[\]{{}}][^,#\[\]{{}}\n]*', re.DOTALL
)
"""The closing quotes of a text over several lines may follow one or two of its own."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A key or table that stands twice: where its name stands again, from `start` to `end`, and where it stood `first`."""

    path: str
    start: int
    end: int
    first: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Of a text: at which character each key begins, and each value in a list, by its path from the top with dots between; and what
    stands twice."""

    offsets: dict[str, int]
    repeats: Sequence[Repeat]


def read(text: str) -> Reading:
    """As far as the text is TOML. Raises nothing."""
    reader = _Reader(text)
    with suppress(_NoTomlError, RecursionError):
        reader.document()
    return Reading({".".join(path): start for path, start in reader.found.items()}, reader.repeats)


def line_and_column(text: str, offset: int) -> str:
    """`12:5`: where this character stands; both count from 1, the column in characters."""
    return f"{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}"


_Path = tuple[str, ...]
_Name = tuple[str, int, int]
"""One part of a key, where it begins and where it ends."""


class _NoTomlError(Exception):
    """The rest of the text has another shape than TOML."""


class _Reader:
    """One walk over the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lists: dict[_Path, int] = {}
        self._closed: set[_Path] = set()
        self.found: dict[_Path, int] = {}
        self.repeats: list[Repeat] = []

    def document(self) -> None:
        table: _Path = ()
        while self._skip(_GAP) < len(self._text):
            if self._taken("[["):
                table = self._entry(self._key())
                self._expect("]]")
            elif self._taken("["):
                table = self._table(self._key())
                self._expect("]")
            else:
                self._pair(table)

    def _entry(self, names: Sequence[_Name]) -> _Path:
        """`[[a.b]]`: one more of its list."""
        path = (*self._into((), names[:-1]), names[-1][0])
        self.found.setdefault(path, names[-1][1])
        self._lists[path] = self._lists.get(path, -1) + 1
        path = (*path, str(self._lists[path]))
        self.found[path] = names[-1][1]
        return path

    def _table(self, names: Sequence[_Name]) -> _Path:
        """`[a.b]`"""
        path = (*self._into((), names[:-1]), names[-1][0])
        repeated = path in self._closed or path in self._lists
        if repeated:
            path = self._repeat(path, names)
        self.found.setdefault(path, names[-1][1])
        self._closed.add(path)
        return path

    def _pair(self, table: _Path) -> None:
        """`a.b = 1`"""
        names = self._key()
        path = (*self._into(table, names[:-1]), names[-1][0])
        self._closed.update(path[:length] for length in range(len(table) + 1, len(path)))
        if path in self.found:
            path = self._repeat(path, names)
        self.found[path] = names[-1][1]
        self._closed.add(path)
        self._expect("=")
        self._skip(_BLANK)
        self._value(path)

    def _into(self, path: _Path, names: Sequence[_Name]) -> _Path:
        """The path of the table in which a key's last part lies: of a list of tables it is the last one."""
        for name, start, _ in names:
            path = (*path, name)
            self.found.setdefault(path, start)
            if path in self._lists:
                path = (*path, str(self._lists[path]))
        return path

    def _repeat(self, path: _Path, names: Sequence[_Name]) -> _Path:
        """Noted; what follows is found under a path of its own, which is no setting's."""
        self.repeats.append(Repeat(".".join(path), names[0][1], names[-1][2], self.found[path]))
        return (f"\0{len(self.repeats)}",)

    def _value(self, path: _Path) -> None:
        if self._taken("["):
            index = 0
            while not self._closing("]"):
                self.found[*path, str(index)] = self._at
                self._value((*path, str(index)))
                index += 1
        elif self._taken("{"):
            while not self._closing("}"):
                self._pair(path)
        else:
            self._match(_SCALAR)

    def _closing(self, bracket: str) -> bool:
        """Past the comma, if one is there, and whether the end is reached."""
        self._skip(_GAP)
        if self._taken(","):
            self._skip(_GAP)
        return self._taken(bracket)

    def _key(self) -> list[_Name]:
        names = []
        while True:
            start = self._skip(_BLANK)
            name = _unquoted(self._match(_KEY))
            names.append((name, start, self._at))
            self._skip(_BLANK)
            if not self._taken("."):
                return names

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._match(pattern)
        return self._at

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _NoTomlError
        self._at = match.end()
        return match[0]

    def _taken(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _expect(self, mark: str) -> None:
        if not self._taken(mark):
            raise _NoTomlError


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _NoTomlError from None
