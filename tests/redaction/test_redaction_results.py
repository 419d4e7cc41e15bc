"""What a redaction gives back: text and words together, spans in time, a report without values, pseudonyms, and refusal on any error."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable

import orjson
import pytest
from tests.redaction.cases import case_of

from genesys_sync.errors import ConfigurationError
from genesys_sync.redaction import CustomRule, RedactionFailed, RedactionRules, Redactor, RuleRefused, presidio_names
from genesys_sync.redaction.findings import Finding
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word

KEY = b"0123456789abcdef"


def one(text: str, heard: str | None = None, *, channel: int | None = 0) -> Transcript:
    """One segment from second 10; a word every half second."""
    words = [] if heard is None else heard.split()
    segment = Segment(
        index=0,
        speaker=Speaker(label="external", channel=channel),
        text=text,
        start=10.0,
        end=10.0 + len(words) / 2,
        words=tuple(Word(text=word, start=10 + i / 2, end=10.25 + i / 2, confidence=0.5) for i, word in enumerate(words)),
    )
    return Transcript(conversation_id="c", source="platform", segments=(segment,))


def test_text_and_words_are_masked_together_and_the_span_is_that_of_the_words() -> None:
    redaction = Redactor().redact(one("my card is 4111 1111 1111 1111, okay", "my card is 4111 1111 1111 1111, okay"))
    segment = redaction.transcript.segments[0]
    assert segment.text == "my card is [CARD], okay"
    assert [word.text for word in segment.words] == ["my", "card", "is", "[CARD],", "okay"]
    assert (segment.words[3].start, segment.words[3].end) == (11.5, 13.25)
    (span,) = redaction.spans
    assert (span.type, span.segment, span.first_word, span.last_word, span.start, span.end) == ("CARD", 0, 3, 7, 11.5, 13.25)
    assert (span.speaker, span.channel) == ("external", 0)
    assert redaction.transcript.redacted


@pytest.mark.parametrize(
    ("text", "heard", "shown", "words"),
    [
        (
            "Sure, it's 4111 1111 1111 1111. Okay?",
            "sure it's four one one one one one one one one one one one one one one one okay",
            "Sure, it's [CARD]. Okay?",
            "sure it's [CARD] okay",
        ),
        # found in one only: hidden in both, where it is sure to be
        ("Badge B twelve, thanks", "badge B-12 thanks", "Badge [BADGE], thanks", "badge [BADGE] thanks"),
        ("Badge B-12, thanks", "badge bee twelve thanks", "Badge [BADGE], thanks", "badge [BADGE] thanks"),
    ],
)
def test_what_reads_differently_from_what_was_heard_is_hidden_in_both(text: str, heard: str, shown: str, words: str) -> None:
    rules = RedactionRules(custom=(CustomRule(name="badge", pattern=r"\bB-\d+\b", type="BADGE"),))
    segment = Redactor(rules).redact(one(text, heard)).transcript.segments[0]
    assert segment.text == shown
    assert " ".join(word.text for word in segment.words) == words


def test_a_segment_without_words_gives_a_span_over_the_whole_of_it() -> None:
    transcript = one("call 415 555 2671", None, channel=None)
    (span,) = Redactor().redact(transcript).spans
    assert (span.first_word, span.last_word, span.start, span.end, span.channel) == (None, None, 10.0, 10.0, None)


def test_the_report_tells_type_place_and_rule_and_never_the_value() -> None:
    redaction = Redactor(pseudonym_key=KEY).redact(case_of("card 4111 1111 1111 1111 cvv 123\nagent: john@example.com").transcript())
    report = redaction.report.to_dict()
    assert report["hidden"] == {"CARD": 1, "CVV": 1, "EMAIL": 1}
    assert [(span["type"], span["segment"], span["rule"]) for span in report["spans"]] == [
        ("CARD", 0, "asked_for"),
        ("CVV", 0, "asked_for"),
        ("EMAIL", 1, "email_written"),
    ]
    written = orjson.dumps(report).decode() + repr(redaction.report) + repr(redaction.spans)
    assert not any(value in written for value in ("4111", "123", "john", "example"))


def test_a_pseudonym_is_the_same_for_a_value_however_it_is_said_and_another_under_another_key() -> None:
    written = Redactor(pseudonym_key=KEY).redact(one("card 4111 1111 1111 1111")).transcript.segments[0].text
    spoken = Redactor(pseudonym_key=KEY).redact(one("card " + "four" + " one" * 15)).transcript.segments[0].text
    other = Redactor(pseudonym_key=KEY[::-1]).redact(one("card 4111 1111 1111 1111")).transcript.segments[0].text
    assert written == spoken != other
    assert KEY.decode() not in repr(Redactor(pseudonym_key=KEY))
    with pytest.raises(ValueError, match="16 bytes"):
        Redactor(pseudonym_key=b"short")


SECRET = "my name is " + "Elena"


class Breaking:
    """A finder that fails with the text in its message, as libraries do."""

    types = frozenset({"NAME"})

    def find(self, text: str, language: str | None) -> Iterable[Finding]:
        raise RuntimeError(f"cannot read {text!r} in {language}")


def test_any_error_withholds_the_transcript_and_tells_nothing_of_its_text() -> None:
    with pytest.raises(RedactionFailed) as refusal:
        Redactor(names=Breaking()).redact(one(SECRET))
    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value.__context__)
    assert "RuntimeError" in str(refusal.value)
    assert SECRET not in told


class Names:
    types = frozenset({"NAME"})

    def find(self, text: str, language: str | None) -> Iterable[Finding]:
        at = text.find("Elena")
        return [Finding(at, at + 5, "NAME", "names", "elena")] if at >= 0 else []


def test_a_finder_of_names_adds_its_own_types() -> None:
    redactor = Redactor(names=Names())
    redaction = redactor.redact(one("I am Elena, 415 555 2671", "I am Elena, 415 555 2671"))
    assert redaction.transcript.segments[0].text == "I am [NAME], [PHONE]"
    assert redactor.redact(redaction.transcript).transcript == redaction.transcript


def test_presidio_that_is_not_there_is_told_in_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"nothing is downloaded|install genesys-sync"):
        presidio_names("no_such_model")


def badge(pattern: str, **more: object) -> CustomRule:
    return CustomRule(name="badge", pattern=pattern, type="BADGE", **more)  # type: ignore[arg-type]  # keyword passed through


def test_a_rule_of_ones_own_hides_and_asks_for_its_context() -> None:
    redactor = Redactor(RedactionRules(custom=(badge(r"\b[A-Z]{2}\d{3}\b", context=("badge",)),)))
    assert redactor.redact(one("badge ab123 and seat")).transcript.segments[0].text == "badge [BADGE] and seat"
    assert redactor.redact(one("seat ab123")).transcript.segments[0].text == "seat ab123"


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(?=a)b", "(", "a*", "x" * 1001])
def test_a_pattern_that_re2_does_not_take_or_that_matches_nothing_is_refused_with_the_rules_name(pattern: str) -> None:
    with pytest.raises(RuleRefused, match="badge"):
        badge(pattern)


def test_names_types_regions_and_contexts_are_checked() -> None:
    for bad in ({"name": "Bad Name"}, {"type": "low"}, {"context": (" ",)}):
        with pytest.raises(RuleRefused):
            CustomRule(**({"name": "a", "pattern": "b", "type": "CC"} | bad))  # type: ignore[arg-type]  # what is wrong is tried
    with pytest.raises(RuleRefused, match="named badge"):
        RedactionRules(custom=(badge("a"), badge("b")))
    with pytest.raises(RuleRefused, match="ISO 3166"):
        RedactionRules(regions=("Germany",))


def test_a_rule_may_match_over_an_older_mask_and_hides_it_too() -> None:
    rules = RedactionRules(custom=(badge(r"id \[CARD\] x\d"),))
    assert Redactor(rules).redact(one("id [CARD] x7 ok")).transcript.segments[0].text == "[BADGE] ok"


WORST = {
    "a digit a line": "4\n",
    "one long number": "4111111111111111",
    "numbers and fillers": "four um one uh double ",
    "at signs": "@",
    "dots and ats": "at a dot b ",
    "letters to spell": "g b n w b k ",
    "plus and brackets": "+(",
    "letters and a digit": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
    "commas": "1,111,",
    "dates": "1/1/1",
    "contexts": "cvv born expires 123 ",
    "answers": "expires\nmarch twenty born\nmay social 1234 ",
    "addresses": "my email is bob at gmail a at b.com sorry bob dot x ",
}


WORST_REDACTOR = Redactor(RedactionRules(custom=(badge(r"(?s)(a+)+b|a.*z|(x|x)*y|(.*)(.*)q"),)))


def worst(unit: str, size: int) -> Transcript:
    lines = (unit * (size // len(unit))).split("\n")
    segments = tuple(Segment(index=i, speaker=Speaker(label="ab"[i % 2]), text=line, start=i, end=i + 1) for i, line in enumerate(lines))
    return Transcript(conversation_id="c", source="x", segments=segments)


@pytest.mark.parametrize("unit", WORST.values(), ids=WORST.keys())
def test_the_worst_of_texts_is_redacted(unit: str) -> None:
    WORST_REDACTOR.redact(worst(unit, 30_000))


@pytest.mark.slow
@pytest.mark.parametrize("unit", WORST.values(), ids=WORST.keys())
def test_a_megabyte_of_the_worst_takes_a_multiple_and_not_the_square(unit: str) -> None:
    """Sixteen times the text, in processor time: sixteen times the work would be even, 256 times the square."""

    def work(transcript: Transcript) -> float:
        begun = time.process_time()
        WORST_REDACTOR.redact(transcript)
        return time.process_time() - begun

    small = worst(unit, 62_500)
    work(small)
    assert work(worst(unit, 1_000_000)) < max(min(work(small) for _ in range(3)), 0.005) * 64
