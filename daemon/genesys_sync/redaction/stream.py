"""A transcript as one text, so that what goes over several segments is seen whole, and the way back to segment and word."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def lowered(text: str) -> str:
    """Lower case, position by position: the few characters whose lower case is longer stay as they are."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(lower if len(lower := c.lower()) == 1 else c for c in text)


@dataclass(frozen=True, slots=True)
class Stream:
    """The segments' texts, one a line. A line break within a segment's text is read as a space: the break is ours alone.

    text      all of it, as written
    low       the same in lower case, position by position
    starts    where each segment begins in it
    speakers  a number for each segment's speaker, equal for equal speakers
    """

    text: str
    low: str
    starts: Sequence[int]
    speakers: Sequence[int]

    @classmethod
    def of(cls, lines: Sequence[str], speakers: Sequence[int]) -> Stream:
        joined = "\n".join(lines)
        if joined.count("\n") != max(len(lines) - 1, 0):
            joined = "\n".join(line.replace("\n", " ") for line in lines)
        starts = []
        position = 0
        for line in lines:
            starts.append(position)
            position += len(line) + 1
        return cls(joined, lowered(joined), starts, speakers)

    def segment_at(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1

    def end_of(self, segment: int) -> int:
        """Where the segment's text ends, its line break not counted."""
        return self.starts[segment + 1] - 1 if segment + 1 < len(self.starts) else len(self.text)

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretch cut at the segments' ends. Blanks at a part's ends stay out of it, and so do parts of blanks alone."""
        segment = self.segment_at(start)
        while start < end:
            here = min(end, self.end_of(segment))
            part = self.text[start:here]
            low, high = start + len(part) - len(part.lstrip()), here - len(part) + len(part.rstrip())
            if high > low:
                yield low, high
            segment += 1
            if segment >= len(self.starts):
                return
            start = self.starts[segment]
