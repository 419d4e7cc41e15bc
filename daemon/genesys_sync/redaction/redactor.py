"""The redactor: a transcript in, the redacted transcript out, with the spans in time and a report that shows nothing.

It is fail-closed: where anything goes wrong the whole transcript is refused (`RedactionFailed`), and the caller withholds it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from unicodedata import is_normalized, normalize

from genesys_sync.redaction.answers import find_asked_dates, find_asked_emails, find_asked_expiries, find_false_starts, find_rests
from genesys_sync.redaction.emails import find_emails
from genesys_sync.redaction.findings import MASKED, Finding, Hidden
from genesys_sync.redaction.ibans import find_asked_ibans
from genesys_sync.redaction.masks import Masks
from genesys_sync.redaction.names import NameFinder
from genesys_sync.redaction.numbers import find_numbers
from genesys_sync.redaction.results import Redaction, RedactionFailed, Report
from genesys_sync.redaction.rules import RedactionRules
from genesys_sync.redaction.stream import Stream
from genesys_sync.redaction.writing import written
from genesys_sync.transcripts.model import Segment, Transcript


class Redactor:
    """Hides what may be personal. Deterministic. Done again it shows nothing that was hidden; it may hide a little more, because what is
    asked for is judged by what still stands around it.

    `pseudonym_key`, 16 bytes or more: masks carry a pseudonym, `[CARD:kqzwmtrb]`, the same for the same value under the same key.
    `names`: finds names and places, which rules do not; see `genesys_sync.redaction.names`.
    Raises ValueError for a key that is too short. Holds no state between calls; may be shared by threads where `names` may.
    """

    def __init__(self, rules: RedactionRules | None = None, *, pseudonym_key: bytes | None = None, names: NameFinder | None = None) -> None:
        self._rules = RedactionRules() if rules is None else rules
        self._names = names
        types = self._rules.types | (frozenset() if names is None else names.types)
        self._masks = Masks(pseudonym_key)
        self._mask = re.compile(rf"\[(?:{'|'.join(sorted(types))})(?::[a-z]{{8}})?\]")

    def __repr__(self) -> str:
        return f"Redactor({len(self._rules.custom)} custom rules)"  # and never the key

    def redact(self, transcript: Transcript) -> Redaction:
        """The transcript with every finding masked in text and words; `transcript` itself is unchanged.

        Raises RedactionFailed, without a word of the text, where a rule fails: nothing of the transcript may be shown then.
        """
        try:
            return self._redact(transcript)
        except Exception as error:  # noqa: BLE001 - fail-closed whatever it is; told below by its class alone, since its message may quote the text
            failure = type(error).__name__
        raise RedactionFailed(f"redaction ended in {failure}: the transcript is withheld")

    def _redact(self, transcript: Transcript) -> Redaction:
        numbered: dict[str, int] = {}
        speakers = [
            numbered.setdefault(f"{segment.speaker.label}\0{segment.speaker.user_id}\0{segment.speaker.channel}", len(numbered))
            for segment in transcript.segments
        ]
        segments, texts, heard = transcript.segments, _texts(transcript.segments), _heard(transcript.segments)
        if not (is_normalized("NFC", "\n".join(texts)) and is_normalized("NFC", "\n".join(heard))):
            segments = tuple(_composed(segment) for segment in segments)
            texts, heard = _texts(segments), _heard(segments)
        languages = [segment.language for segment in segments]
        in_text = self._found(texts, speakers, languages)
        in_words = in_text if heard == texts else self._found(heard, speakers, languages)
        redacted, spans = written(segments, texts, heard, in_text, in_words, self._masks)
        return Redaction(
            transcript=Transcript(
                conversation_id=transcript.conversation_id,
                communication_id=transcript.communication_id,
                recording_ids=transcript.recording_ids,
                source=transcript.source,
                languages=transcript.languages,
                started_at=transcript.started_at,
                duration=transcript.duration,
                media_type=transcript.media_type,
                segments=redacted,
                redacted=True,
            ),
            spans=spans,
            report=Report.of(spans),
        )

    def _found(self, lines: Sequence[str], speakers: Sequence[int], languages: Sequence[str | None]) -> list[list[Finding]]:
        """What is found in each line, with positions in it, in order."""
        stream = Stream.of(lines, speakers)
        hidden = Hidden([Finding(m.start(), m.end(), "", MASKED, "") for m in self._mask.finditer(stream.text)])
        for rule in self._rules.custom:
            rule.find(stream, hidden)
        find_asked_emails(stream, hidden)
        find_emails(stream, hidden)
        find_asked_ibans(stream, hidden)
        find_numbers(stream, hidden, self._rules.regions)
        find_asked_dates(stream, hidden)
        find_asked_expiries(stream, hidden)
        find_rests(stream, hidden)
        find_false_starts(stream, hidden)
        found: list[list[Finding]] = [[] for _ in lines]
        for finding in hidden.findings:
            segment = stream.segment_at(finding.start)
            floor = stream.starts[segment]
            found[segment].append(replace(finding, start=finding.start - floor, end=finding.end - floor))
        if self._names is not None:
            for line, findings, language in zip(lines, found, languages, strict=True):
                here = Hidden(findings)
                for name in self._names.find(line, language):
                    if not here.overlaps(name.start, name.end):
                        here.add(name)
                findings[:] = here.findings
        return found


def _texts(segments: Sequence[Segment]) -> list[str]:
    return [segment.text for segment in segments]


def _heard(segments: Sequence[Segment]) -> list[str]:
    """What the words of each segment say; its text where it lists none."""
    return [" ".join([word.text for word in segment.words]) if segment.words else segment.text for segment in segments]


def _composed(segment: Segment) -> Segment:
    """The segment with letters and their accents written as one character: canonically the same text, in which words are found."""
    words = tuple(replace(word, text=normalize("NFC", word.text)) for word in segment.words)
    return replace(segment, text=normalize("NFC", segment.text), words=words)
