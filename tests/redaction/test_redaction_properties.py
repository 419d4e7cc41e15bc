"""What holds for any conversation: nothing planted survives, nothing else changes, and a second redaction shows no more."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.redaction import Redactor
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word

REDACTOR = Redactor()
KEYED = Redactor(pseudonym_key=b"0123456789abcdef")
SAID = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
ARABIC, FULL_WIDTH = ("".join(chr(zero + i) for i in range(10)) for zero in (0x660, 0xFF10))
CHATTER = (
    "well hello there", "my order number is", "room twelve please", "it was at 10:30", "one moment", "born on", "cvv", "the social",
    "yes", "march", "the fifth of may", "4 of them", "dot com", "at", "and", "double", "twenty one euros", "expires", "[CARD]", "code",
    "1999", "for two", "a.b@example.com", "john at example dot com", "",
)  # fmt: skip
MASK = re.compile(r"\[[A-Z_]+(?::[a-z]{8})?\]")


def spoken_back(text: str) -> str:
    """Every digit of a text however it is written or said, in order."""
    told = []
    for token in re.findall(r"\d|[^\W\d_]+", text.lower()):
        if token.isdecimal():
            told.append(str(int(token)))
        elif token in SAID:
            told.append(str(SAID.index(token)))
        elif token in GERMAN:
            told.append(str(GERMAN.index(token)))
    return "".join(told)


def transcript_of(lines: list[tuple[str, str]]) -> Transcript:
    segments = []
    for index, (speaker, text) in enumerate(lines):
        words = tuple(Word(text=word, start=index + i / 100, end=index + i / 100 + 0.01) for i, word in enumerate(text.split(" ")) if text)
        segments.append(Segment(index=index, speaker=Speaker(label=speaker), text=text, start=index, end=index + 1, words=words))
    return Transcript(conversation_id="c", source="test", segments=tuple(segments))


@st.composite
def dictated(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A number of seven digits or more as somebody gives it: how each digit is said, what stands between, and over which segments."""
    digits = draw(st.text("0123456789", min_size=7, max_size=19))
    pieces = []
    separator = draw(st.sampled_from([" ", " ", ", ", " - ", " um ", ""]))
    words = draw(st.sampled_from([SAID, GERMAN, "0123456789", ARABIC, FULL_WIDTH, None]))
    for digit in digits:
        table = words or draw(st.sampled_from([SAID, "0123456789"]))
        pieces.append(table[int(digit)] + (separator or ("" if len(table[0]) == 1 and words else " ")))
    cuts = sorted(draw(st.sets(st.integers(3, len(digits) - 3), max_size=3)))
    lines = []
    for start, end in zip([0, *cuts], [*cuts, len(digits)], strict=True):
        lines.append(("customer", "".join(pieces[start:end]).rstrip(" ,-").removesuffix(" um")))
        if end != len(digits) and draw(st.booleans()):
            lines.append(("agent", draw(st.sampled_from(["okay", "mm-hmm", "yes go ahead", "got it", "right, " + lines[-1][1]]))))
    return digits, lines


@given(dictated(), st.lists(st.sampled_from(["thank you for calling", "my number is", "sure here it comes", "yes"]), max_size=2))
def test_no_number_of_seven_digits_survives_in_text_or_words(case: tuple[str, list[tuple[str, str]]], before: list[str]) -> None:
    digits, lines = case
    redacted = REDACTOR.redact(transcript_of([("customer", line) for line in before] + lines)).transcript
    assert spoken_back(" ".join(segment.text for segment in redacted.segments)) == "", digits
    assert spoken_back("".join(word.text for segment in redacted.segments for word in segment.words)) == ""


conversations = st.lists(
    st.tuples(
        st.sampled_from(["agent", "customer"]),
        st.lists(st.sampled_from(CHATTER) | st.sampled_from(SAID) | st.text("0123456789-./: ", max_size=12), max_size=6).map(" ".join),
    ),
    max_size=6,
) | dictated().map(lambda case: case[1])


@given(conversations)
def test_a_second_redaction_shows_nothing_that_was_hidden_and_invents_nothing(lines: list[tuple[str, str]]) -> None:
    for redactor in (REDACTOR, KEYED):
        once = redactor.redact(transcript_of(lines))
        again = redactor.redact(once.transcript)
        for before, after in zip(once.transcript.segments, again.transcript.segments, strict=True):
            pattern = "(.+)".join(re.escape(piece) for piece in MASK.split(after.text))
            assert re.fullmatch(pattern, before.text, re.DOTALL)
            left = iter(MASK.findall(after.text))
            assert all(mask in left for mask in MASK.findall(before.text)), "what was masked stays so, in its order"


@given(conversations)
def test_what_stands_outside_of_the_spans_is_unchanged_and_words_say_what_the_text_says(lines: list[tuple[str, str]]) -> None:
    original = transcript_of(lines)
    redaction = REDACTOR.redact(original)
    assert redaction == REDACTOR.redact(original), "deterministic"
    for before, after in zip(original.segments, redaction.transcript.segments, strict=True):
        pattern = "(.+)".join(re.escape(piece) for piece in MASK.split(after.text))
        assert re.fullmatch(pattern, before.text, re.DOTALL)
        assert " ".join(word.text for word in after.words) == after.text
        assert [word for word in before.words if word in after.words] == [word for word in after.words if word in before.words]
        assert (before.start, before.end, before.speaker) == (after.start, after.end, after.speaker)


@given(st.lists(st.tuples(st.sampled_from(["agent", "customer"]), st.text(max_size=60)), max_size=4))
def test_any_text_at_all_is_redacted_without_an_error(lines: list[tuple[str, str]]) -> None:
    REDACTOR.redact(transcript_of(lines))
