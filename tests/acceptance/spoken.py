"""What the simulator's customers told, looked for in whatever a run left behind: in every spelling, byte by byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import re2

LEAST_TURN = 18
"""A part of a number, said in a turn of its own, that is shorter may be said by anybody."""
LEAST_SQUEEZED = 10
"""A shorter number is found by chance among so many hashes and times."""
_JOINED = re.compile(rb"[^0-9A-Za-z]+")
_PUNCTUATION = re.compile(r"[.,!?]+(?=\s|$)")
_BINARY = frozenset({".wav", ".flac", ".ogg", ".webm", ".mp3"})


class Search:
    """Knows every spelling of everything that was planted, by lines of the truth log."""

    def __init__(self, planted: Iterable[Mapping[str, Any]]) -> None:
        self._names: dict[bytes, str] = {}
        self._squeezed: dict[bytes, str] = {}
        for one in planted:
            name = f"{one['kind']} ({one['form']}) of {one['recordingId']}"
            for text in {one["value"], *one["spellings"], *(turn for turn in one["turns"] if len(turn) >= LEAST_TURN)}:
                for written in (text, json.dumps(text)[1:-1]):
                    self._names[written.lower().encode()] = name
            if len(squeezed := _squeezed(one["value"].encode())) >= LEAST_SQUEEZED:
                self._squeezed[squeezed] = name
        self._any, self._any_squeezed = _pattern(self._names), _pattern(self._squeezed)

    def found(self, data: bytes, *, text: bool = True) -> set[str]:
        """What is told in these bytes. Of `text` also what is told in the lists of words of a JSON document, and with whatever between
        the digits."""
        found = _hits(self._any, data, self._names)
        if text:
            joined = "\n".join(_told(data)).encode()
            found |= _hits(self._any, joined, self._names)
            found |= _hits(self._any_squeezed, _squeezed(data), self._squeezed) | _hits(
                self._any_squeezed, _squeezed(joined), self._squeezed
            )
        return found

    def found_below(self, folder: Path, *, but: Iterable[Path] = ()) -> dict[str, set[str]]:
        """By file, with all that tells something; names of files and folders are looked at too."""
        left_out = set(but)
        found = {}
        for path in sorted(folder.rglob("*")):
            named = self.found(str(path.relative_to(folder)).encode())
            held = self.found(path.read_bytes(), text=path.suffix not in _BINARY) if path.is_file() and path not in left_out else set()
            if named | held:
                found[str(path.relative_to(folder))] = named | held
        return found


def _pattern(needles: Iterable[bytes]) -> Any:
    options = re2.Options()
    options.encoding, options.case_sensitive, options.max_mem = re2.Options.Encoding.LATIN1, False, 256 << 20
    return re2.compile(b"|".join(re2.escape(needle) for needle in sorted(needles)) or rb"\z.", options)


def _hits(pattern: Any, data: bytes, names: Mapping[bytes, str]) -> set[str]:
    return {names[bytes(hit.group()).lower()] for hit in pattern.finditer(data)}


def _squeezed(data: bytes) -> bytes:
    return _JOINED.sub(b"", data).lower()


def _told(data: bytes) -> Iterator[str]:
    """The lists of words and of phrases of a JSON document, each read in one go, and each of its speakers without the others."""
    try:
        document = json.loads(data)
    except ValueError:
        return
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
            for key in ("word", "text"):
                said: dict[str, list[str]] = {}
                for item in one:
                    if isinstance(item, dict) and isinstance(item.get(key), str):
                        for speaker in ("", str(item.get("participantPurpose") or item.get("speaker"))):
                            said.setdefault(speaker, []).append(item[key])
                yield from (_PUNCTUATION.sub("", " ".join(words)) for words in said.values())
