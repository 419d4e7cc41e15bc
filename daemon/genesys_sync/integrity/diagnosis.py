"""From the place where a walk ended to what was done there. Looks around as far as it must; the walk itself looks at each line once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson

from genesys_sync.audit import Checkpoint, Line, Seal, canonical, chained, day_of_file, file_day, file_name
from genesys_sync.integrity.trail import AuditFiles, Finding, Place, Record, Tampering, TrailReport, Walk, walk


def examine(files: AuditFiles, record: Record | None, outside: Sequence[Checkpoint] = ()) -> TrailReport:
    """Walk, judge, and name the first bad entry. Raises OSError when a file cannot be read, LedgerError when the ledger cannot."""
    state = walk(files, record, outside)
    proved = max((one for one in state.agreed if one in outside), key=lambda one: one.size, default=None)
    report = TrailReport(state.size, state.root, len(files.names), checkpoints=len(state.agreed), proved=proved)
    finding = diagnose(state, files, record, outside)
    if finding is not None:
        return replace(report, finding=finding)
    if record is None:
        reaches = f"after entry {proved.size}" if proved else "at the end"
        unknown = (
            ""
            if proved and proved.size == state.size
            else f"neither a ledger nor a later checkpoint tells whether lines are missing {reaches}"
        )
        return replace(report, unknown=unknown)
    return replace(report, unsealed=record.rows.count_after(state.size))


def diagnose(state: Walk, files: AuditFiles, record: Record | None, outside: Sequence[Checkpoint]) -> Finding | None:
    """The first bad entry; None when chain, ledger and checkpoints agree as far as each reaches."""
    if state.differs is not None and record is not None:
        return _which_of_both(state, record, outside)
    if state.broken is not None and not _being_written(state.broken, files, record, state):
        return _Scene(state, files, record).finding()
    if state.contradicted is not None:
        return _contradicted(state, state.contradicted)
    if state.beyond is not None and record is not None:
        return _beyond(state, state.beyond, outside)
    return _short(state, files, record, outside)


def _being_written(place: Place, files: AuditFiles, record: Record | None, state: Walk) -> bool:
    """A beginning of the last file's last line, not yet sealed: the daemon is writing, or died while it wrote; it writes it again."""
    if record is None or place.whole or state.size < record.seal.size or place.file != files.names[-1]:
        return False
    row = record.rows.at(state.size + 1)
    if row is None:
        return False
    text = canonical(row)
    head = b'{"hash":"' + chained(text, state.root).hex().encode() + b'","entry":' + text + b"}"
    return head.startswith(place.text)


def _which_of_both(state: Walk, record: Record, outside: Sequence[Checkpoint]) -> Finding:
    """A line that follows, and of which the ledger tells otherwise: one of them was altered."""
    assert state.differs is not None
    seq, place = state.differs_seq, state.differs
    given = [one for one in outside if one.size >= seq]
    agreed = [one for one in given if one in state.agreed]
    contradicted = state.contradicted is not None and state.contradicted in given
    row, line = record.rows.at(seq), place.parsed
    if row is None:
        return _at(place, Tampering.LEDGER_ALTERED, seq, f"the ledger has no entry {seq}, though it has later ones: it was deleted there")
    if agreed or (not contradicted and state.at_seal == record.seal.root and record.seal.size >= seq):
        witness = f"the checkpoint of size {agreed[-1].size}" if agreed else "the ledger's own seal"
        sentence = f"entry {seq} says something else in the ledger, and {witness} agrees with the files: the ledger was altered"
        return _at(place, Tampering.LEDGER_ALTERED, seq, sentence)
    time_alone = line is not None and _only_time(line.fields, _fields(canonical(row)))
    what = "bears another time" if time_alone else "says something else"
    sentence = f"entry {seq} {what} in the ledger; the hashes were made anew from here on"
    return _at(place, Tampering.RECHAINED, seq, sentence)


def _contradicted(state: Walk, checkpoint: Checkpoint) -> Finding:
    before = max((one.size for one in state.agreed if one.size < checkpoint.size), default=0)
    sentence = (
        f"the checkpoint of size {checkpoint.size} has another root: entries between {before + 1} and {checkpoint.size} were changed "
        "and all hashes made anew, in the ledger too"
    )
    return Finding(Tampering.RECHAINED, before + 1, sentence)


def _beyond(state: Walk, place: Place, outside: Sequence[Checkpoint]) -> Finding:
    seq = place.parsed.seq if place.parsed is not None else 0
    sure = any(one.size >= seq and one in state.agreed for one in outside)
    why = "an outside checkpoint agrees with the files" if sure else "or lines were added to the files; an outside checkpoint would tell"
    return _at(place, Tampering.ROLLED_BACK, seq, f"the ledger ends before entry {seq}: it is an older copy ({why})")


def _short(state: Walk, files: AuditFiles, record: Record | None, outside: Sequence[Checkpoint]) -> Finding | None:
    """The lines end too early."""
    missing = state.size + 1
    last = files.names[-1] if files.names else ""
    if record is not None and state.size < record.seal.size:
        row = record.rows.at(missing)
        day = None if row is None else file_day(row, state.day)
        if day is not None and file_name(day) not in files.names:
            sentence = f"the file of {day} is missing; the ledger has sealed entries {missing} to {record.seal.size}"
            return Finding(Tampering.DAY_MISSING, missing, sentence, file_name(day), 1)
        line = sum(1 for _ in files.places_in(last)) + 1
        if any(one.size == state.size for one in record.checkpoints):
            sentence = f"the files end with entry {state.size}, where a checkpoint was made, as an older copy does; the ledger has more"
            return Finding(Tampering.ROLLED_BACK, missing, sentence, last, line)
        return Finding(Tampering.TRUNCATED, missing, f"entries {missing} to {record.seal.size} are missing at the end", last, line)
    if record is not None and (altered := _seal_altered(state, record.seal)):
        return Finding(Tampering.LEDGER_ALTERED, record.seal.size + 1, altered)
    later = max((one for one in outside if one.size > state.size), key=lambda one: one.size, default=None)
    if later is not None:
        kind = Tampering.TRUNCATED if record is None else Tampering.ROLLED_BACK
        where = "the files end" if record is None else "files and ledger both end"
        line = sum(1 for _ in files.places_in(last)) + 1 if last else 0
        return Finding(kind, missing, f"{where} with entry {state.size}, but a checkpoint was given for {later.size}", last, line)
    newest = max((one.size for one in record.checkpoints), default=0) if record is not None else 0
    if record is not None and newest < record.checkpointed:
        sentence = f"the event that carried the checkpoint of size {record.checkpointed} is gone from the ledger"
        return Finding(Tampering.LEDGER_ALTERED, record.checkpointed, sentence)
    return None


def _seal_altered(state: Walk, seal: Seal) -> str:
    """Why the ledger's own seal cannot be what it was, where files, entries and checkpoints agree; empty when nothing says so. A seal that
    is behind the files alone is none: the daemon may have been killed between the two."""
    if state.at_seal is not None and state.at_seal != seal.root:
        return f"the ledger's seal of {seal.size} entries bears another root than its own entries: the seal was altered"
    sealed = max((one.size for one in state.agreed), default=0)
    if seal.size < sealed:
        return f"the ledger's seal ends with entry {seal.size}, but a checkpoint was made of {sealed}: the seal was rolled back"
    return ""


class _Scene:
    """The first line that does not follow, and what lies around it."""

    def __init__(self, state: Walk, files: AuditFiles, record: Record | None) -> None:
        assert state.broken is not None
        self._place = state.broken
        self._files = files
        self._seq = state.size + 1
        self._root = state.root
        self._rows = record.rows if record is not None else None
        row = self._rows.at(self._seq) if self._rows is not None else None
        self._row = None if row is None else canonical(row)
        self._row_file = None if row is None else file_name(file_day(row, state.day))

    def finding(self) -> Finding:
        line = self._place.parsed
        if line is None or not self._place.whole:
            return self._unreadable()
        if line.seq == self._seq:
            return self._wrong_here(line)
        return self._other_number(line)

    def _unreadable(self) -> Finding:
        behind = (place for place in self._files.places_in(self._place.file) if place.number > self._place.number and place.whole)
        if any(place.parsed is not None and self._follows(place.parsed) for place in behind):
            return self._here(Tampering.INSERTED, "what is no line of an audit file was put before the true one of this number")
        after = self._next()
        cut = after is None if self._place.file == self._files.names[-1] else after is None or after.file != self._place.file
        if cut or not self._place.whole:
            return self._here(Tampering.TRUNCATED, "the file ends in the middle of a line")
        if after is not None and after.parsed is not None and after.parsed.seq > self._seq + 1:
            return self._here(Tampering.TRUNCATED, f"the file was cut in this line, and written on with entry {after.parsed.seq}")
        return self._here(Tampering.EDITED, "this is no line of an audit file any more")

    def _wrong_here(self, line: Line) -> Finding:
        """The number is right, and the hash does not follow, or the file is another day's."""
        if line.hash == chained(line.entry, self._root):
            return self._here(Tampering.FILES_SWAPPED, "the entry stands in the file of another day")
        after = self._next()
        following = after.parsed if after is not None else None
        if following is not None and self._follows(following):
            return self._here(Tampering.INSERTED, "a line was put before the true one of this number")
        if self._row is not None and line.entry != self._row:
            return self._here(*self._changed(line, following))
        if self._row is not None:
            return self._here(Tampering.EDITED, "the entry is as the ledger has it; its hash was changed")
        return self._here(Tampering.EDITED, "the hash does not follow from the entry and the line before")

    def _changed(self, line: Line, following: Line | None) -> tuple[Tampering, str]:
        assert self._row is not None
        true = _fields(self._row)
        if _only_time(line.fields, true):
            return Tampering.TIME_CHANGED, f"the time is {line.fields['at']} here and {true['at']} in the ledger"
        if following is not None and _unnumbered(following.fields) == _unnumbered(true):
            return Tampering.INSERTED, "a line was put here, and those after it were numbered anew"
        later = self._rows.at(self._seq + 1) if self._rows is not None else None
        if later is not None and _unnumbered(line.fields) == _unnumbered(_fields(canonical(later))):
            return Tampering.DELETED, "the entry is missing, and those after it were numbered anew"
        changed = ", ".join(sorted(key for key in true if line.fields.get(key) != true[key]))
        return Tampering.EDITED, f"the ledger says otherwise of: {changed}"

    def _other_number(self, line: Line) -> Finding:
        elsewhere = self._find(self._seq)
        swapped = elsewhere is not None and elsewhere.file != self._place.file and elsewhere.number == self._place.number == 1
        if swapped and elsewhere is not None:
            return self._here(Tampering.FILES_SWAPPED, f"the entries of this file stand in {elsewhere.file}")
        same = [place for place in self._all() if place.parsed is not None and place.parsed.seq == line.seq]
        if any(place.text == self._place.text and place != self._place for place in same):
            return self._here(Tampering.DUPLICATED, f"the line of entry {line.seq} stands in two places")
        if len(same) > 1 or not self._known(line):
            return self._here(Tampering.INSERTED, f"a line that bears the number {line.seq} was put here")
        if elsewhere is not None:
            return self._here(
                Tampering.REORDERED, f"entry {line.seq} stands where {self._seq} belongs, which stands in line {elsewhere.number}"
            )
        return self._missing(line)

    def _missing(self, line: Line) -> Finding:
        gone = f"entry {self._seq} is" if line.seq == self._seq + 1 else f"entries {self._seq} to {line.seq - 1} are"
        if self._place.number > 1:
            return self._here(Tampering.DELETED, f"{gone} missing")
        names = [name for name in self._files.names if name < self._place.file]
        if self._row_file is not None:
            if self._row_file not in self._files.names:
                day = self._row_file.removesuffix(".jsonl")
                return Finding(Tampering.DAY_MISSING, self._seq, f"the file of {day} is missing: {gone} in no file", self._row_file, 1)
            if self._row_file != self._place.file:
                end = sum(1 for _ in self._files.places_in(self._row_file)) + 1
                return Finding(Tampering.TRUNCATED, self._seq, f"{gone} missing at the end of the file", self._row_file, end)
            return self._here(Tampering.DELETED, f"{gone} missing")
        before = day_of_file(names[-1]) if names else None
        own = day_of_file(self._place.file)
        if before is None or own is None or (own - before).days > 1:
            return self._here(Tampering.DAY_MISSING, f"{gone} missing before this file")
        return self._here(Tampering.DELETED, f"{gone} missing, at the beginning of this file or at the end of the one before")

    def _known(self, line: Line) -> bool:
        """Whether a line of another place may be a true one."""
        if self._rows is not None:
            row = self._rows.at(line.seq)
            return row is not None and canonical(row) == line.entry
        return line.seq <= sum(1 for _ in self._all()) or self._find(self._seq) is None

    def _follows(self, line: Line) -> bool:
        return line.seq == self._seq and line.hash == chained(line.entry, self._root)

    def _next(self) -> Place | None:
        return next((after for place, after in pairwise(self._all()) if place == self._place), None)

    def _find(self, seq: int) -> Place | None:
        return next((place for place in self._all() if place.parsed is not None and place.parsed.seq == seq), None)

    def _all(self) -> Iterator[Place]:
        return self._files.places()

    def _here(self, kind: Tampering, sentence: str) -> Finding:
        return _at(self._place, kind, self._seq, sentence)


def _at(place: Place, kind: Tampering, seq: int, sentence: str) -> Finding:
    return Finding(kind, seq, sentence, place.file, place.number)


def _fields(entry: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(entry)
    return found


def _unnumbered(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in fields.items() if key != "seq"}


def _only_time(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["at"] != other["at"] and {**one, "at": ""} == {**other, "at": ""}
