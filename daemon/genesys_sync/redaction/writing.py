"""Findings applied: text and words rewritten together, and the stretches of time that they take."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from genesys_sync.redaction.alignment import Alignment
from genesys_sync.redaction.findings import MASKED, Finding, Hidden
from genesys_sync.redaction.masks import Masks
from genesys_sync.redaction.results import Span
from genesys_sync.redaction.stream import lowered
from genesys_sync.transcripts.model import Segment, Word


def written(
    segments: Sequence[Segment],
    texts: Sequence[str],
    heard: Sequence[str],
    in_text: Sequence[list[Finding]],
    in_words: Sequence[list[Finding]],
    masks: Masks,
) -> tuple[tuple[Segment, ...], tuple[Span, ...]]:
    """The segments rewritten, and a span for each finding; masks that stood there stay as they are."""
    out: list[Segment] = []
    spans: list[Span] = []
    for segment, text, words, of_text, of_words in zip(segments, texts, heard, in_text, in_words, strict=True):
        if not of_text and not of_words:
            out.append(segment)
            continue
        both = (of_text, of_words) if words == text else _both(text, words, of_text, of_words)
        new, timed = ([finding for finding in findings if finding.rule != MASKED] for findings in both)
        if not new and not timed:
            out.append(segment)
            continue
        rewritten = _rewritten(text, new, masks)
        if segment.words:
            places = _word_places(segment.words)
            out.append(replace(segment, text=rewritten, words=_words(segment.words, places, timed, masks)))
            spans.extend(_timed(segment, places, finding) for finding in timed)
        else:
            out.append(replace(segment, text=rewritten))
            spans.extend(_untimed(segment, finding) for finding in new)
    return tuple(out), tuple(spans)


def _both(text: str, words: str, of_text: list[Finding], of_words: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What is found in one is found in the other; where they overlap the text's own finding gives the type."""
    alignment = Alignment(lowered(text), lowered(words))
    merged_text, merged_words = Hidden(of_text), Hidden([])
    for finding in of_text:
        stretch = alignment.rightwards(finding.start, finding.end)
        if stretch is not None:
            merged_words.add(replace(finding, start=stretch[0], end=stretch[1]))
    for finding in of_words:
        stretch = alignment.leftwards(finding.start, finding.end)
        if stretch is not None and not _covered(merged_text, *stretch):
            merged_text.add(replace(finding, start=stretch[0], end=stretch[1]))
        merged_words.add(finding)
    return merged_text.findings, merged_words.findings


def _covered(hidden: Hidden, start: int, end: int) -> bool:
    return any(finding.start <= start and end <= finding.end for finding in hidden.findings)


def _rewritten(text: str, findings: Sequence[Finding], masks: Masks) -> str:
    pieces: list[str] = []
    position = 0
    for finding in findings:
        pieces += (text[position : finding.start], masks(finding.type, finding.value))
        position = finding.end
    return "".join((*pieces, text[position:]))


def _word_places(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where each word begins and ends in their texts joined by single spaces."""
    places = []
    position = 0
    for word in words:
        places.append((position, position + len(word.text)))
        position += len(word.text) + 1
    return places


def _range(places: Sequence[tuple[int, int]], finding: Finding) -> tuple[int, int]:
    """The words, first and one past the last, that the finding touches."""
    first = bisect_right(places, finding.start, key=lambda place: place[1])
    last = bisect_left(places, finding.end, key=lambda place: place[0])
    return first, max(last, first + 1)


def _words(words: Sequence[Word], places: Sequence[tuple[int, int]], findings: Sequence[Finding], masks: Masks) -> tuple[Word, ...]:
    """The words with one in place of those that a finding covers: from its first's start to its last's end, without a confidence."""
    out: list[Word] = []
    done = 0
    open_until = 0  # position up to which the word that is being written has been read
    for finding in findings:
        first, last = _range(places, finding)
        out.extend(words[done:first])
        mask = masks(finding.type, finding.value)
        if first < done:  # begins in the word in which the one before ended
            head = out.pop()
            kept = head.text[: len(head.text) - (places[done - 1][1] - open_until)] + _between(words, places, open_until, finding.start)
            start = head.start
        else:
            kept, start = _between(words, places, places[first][0], finding.start), words[first].start
        tail = _between(words, places, finding.end, places[last - 1][1])
        ends = max(word.end for word in words[max(first, 0) : last])
        out.append(Word(text=kept + mask + tail, start=start, end=max(ends, start)))
        done, open_until = last, finding.end
    out.extend(words[done:])
    return tuple(out)


def _between(words: Sequence[Word], places: Sequence[tuple[int, int]], start: int, end: int) -> str:
    """What stands from `start` to `end` within one word."""
    if start >= end:
        return ""
    index = bisect_right(places, start, key=lambda place: place[0]) - 1
    offset = places[index][0]
    return words[index].text[start - offset : end - offset]


def _timed(segment: Segment, places: Sequence[tuple[int, int]], finding: Finding) -> Span:
    first, last = _range(places, finding)
    covered = segment.words[first:last]
    start, end = min(word.start for word in covered), max(word.end for word in covered)
    return Span(
        type=finding.type,
        rule=finding.rule,
        segment=segment.index,
        first_word=first,
        last_word=last,
        start=start,
        end=end if end > start else max(start, segment.end),  # of a word without a length its segment may know more
        speaker=segment.speaker.label,
        channel=segment.speaker.channel,
    )


def _untimed(segment: Segment, finding: Finding) -> Span:
    return Span(
        type=finding.type,
        rule=finding.rule,
        segment=segment.index,
        first_word=None,
        last_word=None,
        start=segment.start,
        end=segment.end,
        speaker=segment.speaker.label,
        channel=segment.speaker.channel,
    )
