"""Cases of the scored corpus: conversations in which what must be hidden is marked `{TYPE:value}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from genesys_sync.transcripts import Segment, Speaker, Transcript, Word

CORPUS = Path(__file__).parent / "corpus"
_MARK = re.compile(r"\{([A-Z_]+):([^}]*)\}")
_LINE = re.compile(r"(agent|customer): (.*)")


@dataclass(frozen=True, slots=True)
class Planted:
    """What must be hidden: [start, end) of a segment's text."""

    segment: int
    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation: (speaker, text) for each segment, and what is planted in it."""

    lines: tuple[tuple[str, str], ...]
    planted: tuple[Planted, ...]

    def transcript(self) -> Transcript:
        """Words are the text's own, half a second each."""
        segments = []
        clock = 0.0
        for index, (speaker, text) in enumerate(self.lines):
            words = []
            for word in text.split(" "):
                words.append(Word(text=word, start=clock, end=clock + 0.4))
                clock += 0.5
            channel = 0 if speaker == "customer" else 1
            segments.append(
                Segment(
                    index=index,
                    speaker=Speaker(label=speaker, channel=channel),
                    text=text,
                    start=words[0].start,
                    end=words[-1].end,
                    words=tuple(words),
                )
            )
        return Transcript(conversation_id="c", source="corpus", segments=tuple(segments))


def case_of(marked: str) -> Case:
    """The case that `marked` writes down: one segment a line."""
    lines: list[tuple[str, str]] = []
    planted: list[Planted] = []
    for index, line in enumerate(marked.splitlines()):
        match = _LINE.fullmatch(line)
        speaker, rest = (match[1], match[2]) if match else ("customer", line)
        text = ""
        position = 0
        for mark in _MARK.finditer(rest):
            text += rest[position : mark.start()]
            planted.append(Planted(index, len(text), len(text) + len(mark[2]), mark[1]))
            text += mark[2]
            position = mark.end()
        lines.append((speaker, text + rest[position:]))
    return Case(tuple(lines), tuple(planted))


def cases_in(name: str) -> list[Case]:
    """The cases written by hand in one file of the corpus."""
    text = "\n".join(line for line in (CORPUS / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [case_of(block) for block in re.split(r"\n\s*\n", text.strip())]
