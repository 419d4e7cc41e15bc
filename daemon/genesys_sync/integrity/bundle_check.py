"""Checks a bundle of evidence with nothing but Python 3.11: `python3 check.py`, in the folder into which the bundle was unpacked.

This file needs no other file of genesys-sync and is short, so that whoever must rely on what it says can read it first. It proves that

1. every file of the bundle is there, unaltered, and none was added: SHA256SUMS
2. the audit lines follow from each other and lead to the roots of the checkpoints: audit/
3. the archived files are those whose SHA-256 the audit lines name

What it cannot know is whether the checkpoints are true: compare them with those that were kept elsewhere, or check their signatures
(README.txt says how).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def check(folder: Path) -> tuple[list[str], list[str]]:
    """What is wrong, and what cannot be told: a sentence for each."""
    wrong = list(_sums(folder))
    if wrong:
        return wrong, []
    named: set[str] = set()
    doubtful = []
    for segment in json.loads((folder / "audit/segments.json").read_bytes()):
        wrong += _segment(folder, segment, named)
        if segment["root"] is None:
            doubtful.append(f"{segment['file']}: no checkpoint covers it yet")
    for entry in json.loads((folder / "summary.json").read_bytes())["objects"]:
        if entry["audited"] and entry["sha256"] not in named:
            wrong.append(f"archive/{entry['key']}: no audit line names its SHA-256")
        elif not entry["audited"]:
            doubtful.append(f"archive/{entry['key']}: made from others; no audit line names it")
    return wrong, doubtful


def _sums(folder: Path) -> Iterator[str]:
    listed = {}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        wanted, _, name = line.partition("  ")
        listed[name] = wanted
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    for name, wanted in listed.items():
        if name not in found:
            yield f"{name}: is missing"
            continue
        with (folder / name).open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != wanted:
                yield f"{name}: was altered"
    for name in sorted(found - listed.keys() - {"SHA256SUMS"}):
        yield f"{name}: was added"


def _segment(folder: Path, segment: Mapping[str, Any], named: set[str]) -> Iterator[str]:
    """A line is `{"hash":"` + 64 digits + `","entry":` + the entry + `}`. Its hash is the SHA-256 of 0x00, the entry's bytes and the hash
    before it."""
    name, own = segment["file"], bytes.fromhex(segment["before"])
    for number, line in enumerate((folder / name).read_bytes().split(b"\n")[:-1], 1):
        own = hashlib.sha256(b"\0" + line[83:-1] + own).digest()
        if line[9:73] != own.hex().encode():
            yield f"{name}, line {number}: does not follow from the line before it"
            return
        for fact in json.loads(line[83:-1])["facts"].values():
            named.update(one for one in (fact if isinstance(fact, list) else [fact]) if isinstance(one, str))
    if segment["root"] is not None and own.hex() != segment["root"]:
        yield f"{name}: does not lead to the checkpoint {segment['size']}:{segment['root']}"


def main() -> int:
    """0 when nothing is wrong, 1 otherwise."""
    wrong, doubtful = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    for sentence in wrong:
        print(f"WRONG  {sentence}")
    for sentence in doubtful:
        print(f"note   {sentence}")
    print(f"{len(wrong)} wrong" if wrong else "nothing is wrong: the files are whole, and the audit lines lead to the checkpoints")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
