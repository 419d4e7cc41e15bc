"""The part of a report that tells of transcripts: its sums, its lists, its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genesys_sync.cli.output import print_line, print_table
from genesys_sync.events import iso as iso_time
from genesys_sync.transcript_states import TranscriptItem, TranscriptState, TranscriptTally

SHOWN: Final = (TranscriptState.UNEXPLAINED, TranscriptState.DEAD, TranscriptState.MISSING)
_MEANINGS: Final = {
    TranscriptState.DETECTED: "being looked for",
    TranscriptState.WAITING: "in the archive, being redacted",
    TranscriptState.ARCHIVED: "in the archive",
    TranscriptState.MISSING: "there is none, with a reason",
    TranscriptState.EXCLUDED: "left out by the settings",
    TranscriptState.DEAD: "given up, with a reason",
    TranscriptState.UNEXPLAINED: "platform and ledger disagree",
}
_COLUMNS: Final = ("endedAt", "conversationId", "communicationId", "state", "reason", "note")


@dataclass(slots=True)
class Transcripts:
    """The transcripts of one window, judged. `expected`: a handler fetches them; else only what is there is told of."""

    expected: bool = False
    tally: TranscriptTally = field(default_factory=TranscriptTally)
    items: list[TranscriptItem] = field(default_factory=list)

    @property
    def told(self) -> bool:
        return self.expected or bool(self.items)

    def add(self, items: Sequence[TranscriptItem]) -> None:
        self.tally.add(items)
        self.items.extend(items)


def verdict(transcripts: Transcripts) -> list[str]:
    """What stands against the word "complete", each in a sentence. Pure."""
    told = []
    if transcripts.tally.unfinished:
        told.append(f"transcripts still on their way: {transcripts.tally.unfinished}")
    if unexplained := transcripts.tally.states[TranscriptState.UNEXPLAINED]:
        told.append(f"transcripts unexplained: {unexplained}")
    return told


def show(transcripts: Transcripts, *, limit: int) -> None:
    """A table of the states, the reasons, and the first of each bad state. Nothing where nothing is to be told."""
    if not transcripts.told:
        return
    tally = transcripts.tally
    print_line()
    print_table(("transcripts", "number", "meaning"), [(str(state), tally.states[state], _MEANINGS[state]) for state in TranscriptState])
    if tally.reasons:
        print_line()
        reasons = sorted(tally.reasons.items(), key=lambda found: (list(TranscriptState).index(found[0][0]), -found[1], found[0][1]))
        print_table(("transcripts", "reason", "number"), [(str(state), reason, number) for (state, reason), number in reasons])
    for state in SHOWN:
        _list(state, [item for item in transcripts.items if item.state is state], limit)


def _list(state: TranscriptState, items: Sequence[TranscriptItem], limit: int) -> None:
    if not items or not limit:
        return
    print_line()
    print_line(f"transcripts {state}:")
    for item in items[:limit]:
        where = f"communication {item.communication_id} of " if item.communication_id else ""
        print_line(f"  {iso_time(item.ended)}  {item.reason}  {where}conversation {item.conversation_id}  {item.note}".rstrip())
    if len(items) > limit:
        print_line(f"  and {len(items) - limit} more: --json and --csv show all")


def as_json(transcripts: Transcripts) -> dict[str, Any] | None:
    """What programs read; None where no handler fetches transcripts and none are there."""
    if not transcripts.told:
        return None
    tally = transcripts.tally
    return {
        "counts": {str(state): tally.states[state] for state in TranscriptState},
        "reasons": [{"state": str(state), "reason": reason, "number": number} for (state, reason), number in tally.reasons.items()],
        "items": [dict(zip(_COLUMNS, row(item), strict=True)) for item in transcripts.items],
    }


def csv_sums(transcripts: Transcripts) -> list[str]:
    """Comment lines with the sums; none where nothing is to be told."""
    return [f"# transcripts {state}: {transcripts.tally.states[state]}\n" for state in TranscriptState] if transcripts.told else []


def row(item: TranscriptItem) -> tuple[str | None, ...]:
    """When it ended, conversation, communication, state, reason, note."""
    return (
        iso_time(item.ended),
        item.conversation_id,
        item.communication_id,
        str(item.state),
        item.reason or None,
        item.note or None,
    )
