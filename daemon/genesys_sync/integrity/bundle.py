"""Evidence of one conversation in one file, for whoever has neither our ledger nor our program: what lies in the archive, what was done
to it and by whom, and the audit lines with the checkpoints that prove them.

| in the bundle | what |
| --- | --- |
| `archive/…` | every file of the conversation that the ledger expects, at its key |
| `events.jsonl`, `deliveries.jsonl` | what was heard of it, and what each handler did |
| `audit/FIRST-LAST.jsonl` | the audit lines about it, literally, with those between them and the next checkpoint |
| `audit/segments.json` | of each such file the hash before its first line, and the checkpoint that its last line leads to |
| `audit/checkpoint-SIZE.txt`, `.sig` | what was signed of a checkpoint, and its ed25519 signature |
| `summary.json` | what was found, and what is wrong with it |
| `README.txt`, `check.py`, `SHA256SUMS` | how a stranger checks all that |
"""

from __future__ import annotations

import hashlib
import inspect
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from genesys_sync.audit import ZERO, Checkpoint, chained, day_of_file, parse_line
from genesys_sync.events import Event, iso
from genesys_sync.integrity import bundle_check
from genesys_sync.integrity.archive import Flaw, Wrong, open_object, sidecar_flaw
from genesys_sync.integrity.expected import TOPICS, Expected, expected
from genesys_sync.integrity.expected_speech import expected_speech, removed
from genesys_sync.integrity.trail import AuditFiles
from genesys_sync.signing import signed_text

_CHUNK: Final = 1 << 20
_SIDECAR_LIMIT: Final = 16 << 20
_SEQ: Final = b'"seq":'
_TARGET: Final = b',"target":"'
_END: Final = b'"}}\n'
"""How a line ends, because its keys are sorted: `"seq":214,"target":"an id"}}`."""


@dataclass(frozen=True, slots=True)
class Mention:
    """An audit line about one of the things that are asked for: its number, and the UTC day whose file holds it."""

    seq: int
    day: date


class Lines:
    """The audit files' lines, as bytes: only their ends are looked at, so that a day of millions takes seconds. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / name for name in AuditFiles(folder).names]

    def mentions(self, names: frozenset[str], *, since: date) -> Iterator[Mention]:
        """The lines whose target is one of these."""
        wanted = {name.encode() + _END for name in names}
        for file in self._files:
            day = day_of_file(file.name)
            if day is None or day < since:
                continue
            with file.open("rb") as lines:
                for line in lines:
                    if line[line.rfind(_TARGET) + len(_TARGET) :] in wanted and (seq := _seq(line)):
                        yield Mention(seq, day)

    def between(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The lines of these numbers with their newlines, as far as they are there."""
        for number, file in enumerate(self._files):
            if number + 1 < len(self._files) and 0 < _first_seq(self._files[number + 1]) <= first:
                continue
            with file.open("rb") as lines:
                for line in lines:
                    seq = _seq(line)
                    if seq > last:
                        return
                    if seq >= first:
                        yield seq, line


def _first_seq(file: Path) -> int:
    with file.open("rb") as lines:
        return _seq(lines.readline())


def _seq(line: bytes) -> int:
    """The number of a line; 0 where it has none, and so is no line of ours."""
    end = line.rfind(_TARGET)
    digits = line[line.rfind(_SEQ, 0, max(end, 0)) + len(_SEQ) : end]
    return int(digits) if digits.isdigit() and len(digits) < 19 else 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Audit lines `first` … `last` to take along; `checkpoint` covers the last one, None where none does yet."""

    first: int
    last: int
    checkpoint: Checkpoint | None

    @property
    def file(self) -> str:
        return f"audit/{self.first}-{self.last}.jsonl"


@dataclass(slots=True)
class Bundled:
    """What lies in the bundle. `objects`: key, sha256, bytes, and whether an audit line names that hash."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    lines: int = 0
    mentions: int = 0
    unproved: int = 0


def names_of(conversation_id: str, events: Iterable[Event]) -> frozenset[str]:
    """The ids by which audit entries speak of this conversation. Pure."""
    found = {conversation_id}
    for event in events:
        found.update(name for name in (event.id, event.recording_id, event.body.get("communicationId")) if isinstance(name, str))
    return frozenset(found)


def segments(found: Sequence[Mention], checkpoints: Sequence[Checkpoint]) -> list[Segment]:
    """The stretches of the trail that prove these lines: each goes on to the first checkpoint that covers it. Pure."""
    ordered = sorted(checkpoints, key=lambda one: one.size)
    stretches: list[Segment] = []
    for seq in sorted(mention.seq for mention in found):
        if stretches and stretches[-1].checkpoint is not None and seq <= stretches[-1].last:
            continue
        covering = next((one for one in ordered if one.size >= seq), None)
        stretches.append(Segment(seq, seq if covering is None else covering.size, covering))
    return stretches


class Bundle:
    """One bundle being written. Nothing of it is at its place before `finish`."""

    def __init__(self, path: Path, *, root: Path, made_at: datetime) -> None:
        """Raises FileExistsError where something is at `path` already, OSError where nothing can be written."""
        self._path = path
        self._root = root
        self._made_at = made_at
        if path.exists():
            raise FileExistsError(f"{path} exists")
        # a name of its own, for its owner alone: two that are made at once for one path do not write into each other
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
        self._partial = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._sums: dict[str, str] = {}
        self.found = Bundled()

    def close(self) -> None:
        """Leave nothing behind but what is finished."""
        for one in (self._zip, self._file):
            with suppress(OSError):  # a full disk refuses the rest once more; it is thrown away
                one.close()
        self._partial.unlink(missing_ok=True)

    def add(self, name: str, content: bytes) -> None:
        """A small file."""
        with self._zip.open(self._info(name), "w") as entry:
            entry.write(content)
        self._sums[name] = hashlib.sha256(content).hexdigest()

    def add_objects(self, events: Sequence[Event]) -> None:
        """Every file that the ledger expects of this conversation, read from the archive; what is missing or differs is a flaw."""
        gone = removed(events)
        wanted = (*expected(event for event in events if event.topic in TOPICS), *expected_speech(events))
        for one in wanted:
            if gone.isdisjoint(one.places):
                flaw = self._add_object(one)
                if flaw is not None:
                    self.found.flaws.append(flaw)

    def add_trail(self, lines: Lines, stretches: Sequence[Segment], mentions: int) -> None:
        """The audit lines, literally, and what proves them; afterwards each object says whether a line names it."""
        told: list[dict[str, Any]] = []
        named: set[str] = set()
        for stretch in stretches:
            before = self._add_lines(lines, stretch, named)
            checkpoint = stretch.checkpoint
            told.append(
                {
                    "file": stretch.file,
                    "before": before.hex(),
                    "size": None if checkpoint is None else checkpoint.size,
                    "root": None if checkpoint is None else checkpoint.root.hex(),
                    "signed": checkpoint is not None and bool(checkpoint.signature),
                }
            )
            if checkpoint is not None and checkpoint.signature:
                self.add(f"audit/checkpoint-{checkpoint.size}.txt", signed_text(checkpoint.size, checkpoint.root.hex()))
                self.add(f"audit/checkpoint-{checkpoint.size}.sig", checkpoint.signature)
        self.found.mentions = mentions
        self.found.unproved = sum(stretch.checkpoint is None for stretch in stretches)
        self.add("audit/segments.json", orjson.dumps(told, option=orjson.OPT_INDENT_2))
        for entry in self.found.objects:
            entry["audited"] = entry["sha256"] in named

    def finish(self, conversation_id: str, *, by: str) -> str:
        """Summary, instructions and sums; then the bundle is durably at its path. Returns its SHA-256."""
        summary = {
            "schema": "genesys-sync/evidence@1",
            "conversationId": conversation_id,
            "madeAt": iso(self._made_at),
            "by": by,
            "objects": self.found.objects,
            "flaws": [{"key": flaw.key, "wrong": str(flaw.wrong), "sentence": flaw.sentence} for flaw in self.found.flaws],
            "audit": {"about": self.found.mentions, "lines": self.found.lines, "withoutCheckpoint": self.found.unproved},
        }
        self.add("summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        self.add("check.py", inspect.getsource(bundle_check).encode())
        self.add("README.txt", _README.format(conversation=conversation_id, made=iso(self._made_at)).encode())
        self.add("SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sorted(self._sums.items())).encode())
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._partial.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        os.link(self._partial, self._path)  # fails where something has come to be there meanwhile, as a rename would not
        return digest

    def _add_object(self, one: Expected) -> Flaw | None:
        for place in one.places:
            try:
                file = open_object(self._root, place)
            except FileNotFoundError:
                continue
            except OSError as error:
                return Flaw(place, Wrong.UNREADABLE, error.strerror or type(error).__name__)
            with file:
                return self._copied(place, file, one)
        return Flaw(one.places[0], Wrong.MISSING, "the ledger says that it is here")

    def _copied(self, key: str, file: BinaryIO, one: Expected) -> Flaw | None:
        name, digest, size, head = f"archive/{key}", hashlib.sha256(), 0, b""
        with self._zip.open(self._info(name), "w", force_zip64=True) as entry:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                entry.write(chunk)
                size += len(chunk)
                if one.parts and len(head) < _SIDECAR_LIMIT:
                    head += chunk
        self._sums[name] = digest.hexdigest()
        self.found.objects.append({"key": key, "sha256": digest.hexdigest(), "bytes": size, "audited": False})
        if one.sha256 is not None and digest.hexdigest() != one.sha256:
            return Flaw(key, Wrong.ALTERED, f"its SHA-256 is {digest.hexdigest()}, and was {one.sha256}")
        return sidecar_flaw(key, one, head) if one.sha256 is None and one.parts else None

    def _add_lines(self, lines: Lines, stretch: Segment, named: set[str]) -> bytes:
        """Returns the hash of the line before the first."""
        before = own = ZERO
        content, expected_seq = hashlib.sha256(), stretch.first
        with self._zip.open(self._info(stretch.file), "w", force_zip64=True) as entry:
            for seq, text in lines.between(stretch.first - 1, stretch.last):
                if seq == stretch.first - 1:
                    before = own = bytes.fromhex(text[9:73].decode())
                    continue
                line = parse_line(text.rstrip(b"\n"))
                if line is None or seq != expected_seq or line.hash != chained(line.entry, own):
                    break
                own, expected_seq = line.hash, seq + 1
                entry.write(text)
                content.update(text)
                self.found.lines += 1
                named.update(_strings(line.fields["facts"]))
        self._sums[stretch.file] = content.hexdigest()
        if expected_seq != stretch.last + 1 or (stretch.checkpoint is not None and own != stretch.checkpoint.root):
            sentence = f"the audit trail does not lead from line {stretch.first} to line {stretch.last}: run genesys-sync verify"
            self.found.flaws.append(Flaw(stretch.file, Wrong.ALTERED, sentence))
        return before

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self._made_at.timetuple()[:6])
        info.external_attr = 0o600 << 16
        return info


def _strings(facts: Mapping[str, Any]) -> Iterator[str]:
    for fact in facts.values():
        yield from (one for one in (fact if isinstance(fact, list) else [fact]) if isinstance(one, str))


_README: Final = """Evidence of the conversation {conversation}
made by genesys-sync on {made}

archive/         the recordings, transcripts and sidecars as they lie in the archive
events.jsonl     what was heard of the conversation; deliveries.jsonl: what was done about it, by which handler, with which outcome
audit/           the audit trail's lines about it, and those that lead from them to the next checkpoint
summary.json     what is in here, and what was found to be wrong

1. That nothing of this bundle was altered:    sha256sum --check SHA256SUMS
2. That the audit lines lead to the checkpoints, and name the files' SHA-256:    python3 check.py
   (Python 3.11 or later, nothing else; the program is 90 lines long and is meant to be read first)
3. That the checkpoints are true, in one of two ways:
   - audit/segments.json names each checkpoint as size and root: compare them with the ones that left the recorder's machine at their
     time, such as those that a webhook received;
   - where a checkpoint is signed, with the installation's public key, which you have from its operator on another way than this bundle:

     (echo -----BEGIN PUBLIC KEY-----; echo MCowBQYDK2VwAyEAKEY-AS-audit-key-PRINTS-IT; echo -----END PUBLIC KEY-----) > key.pem
     openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in audit/checkpoint-SIZE.txt -sigfile audit/checkpoint-SIZE.sig
"""
