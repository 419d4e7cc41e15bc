"""What is asked for and given word by word, turn by turn, is hidden; what merely follows is not."""

import pytest

from genesys_sync.redaction import Redactor
from genesys_sync.transcripts import Segment, Speaker, Transcript


def redacted(*lines: str) -> list[str]:
    """Turns of the two sides in turn, the agent first; redacted once, and once more without any change."""
    speakers = (Speaker(label="internal"), Speaker(label="external"))
    segments = [Segment(index=i, speaker=speakers[i % 2], text=text, start=float(i), end=i + 0.9) for i, text in enumerate(lines)]
    once = Redactor().redact(Transcript(conversation_id="one", source="platform", segments=tuple(segments))).transcript
    assert Redactor().redact(once).transcript == once
    return [segment.text for segment in once.segments]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            ["Your date of birth?", "My date of birth is september.", "Mhm.", "Fifth nineteen.", "Okay.", "Eighty six."],
            "Your date of birth? My date of birth is [DATE_OF_BIRTH]. Mhm. [DATE_OF_BIRTH]. Okay. [DATE_OF_BIRTH].",
        ),
        (
            ["Your date of birth?", "march sixteenth nineteen let me see sixty six", "Thanks.", "I have two children."],
            "Your date of birth? [DATE_OF_BIRTH] let me see [DATE_OF_BIRTH] Thanks. I have two children.",
        ),
        (
            [
                "Your email address?",
                "My email address is clara dot weber seven.",
                "Go ahead.",
                "five at mail dot",
                "Got it.",
                "Example dot net.",
            ],
            "Your email address? My email address is [EMAIL]. Go ahead. [EMAIL] Got it. [EMAIL].",
        ),
        (
            ["Your email?", "it is clara so dot weber at mail uh dot example dot um net thank you"],
            "Your email? it is [EMAIL] thank you",
        ),
        (
            [
                "Your card number?",
                "three seven nine nine uh zero nine seven uh seven five three eight hold on five eight three hold on nine",
            ],
            None,
        ),
    ],
)
def test_an_answer_is_hidden_over_its_turns_and_asides(said: list[str], left: str | None) -> None:
    found = " ".join(redacted(*said))
    if left is not None:
        assert found == left
    assert not {"nine", "three", "september", "clara", "weber"} & set(found.lower().replace(".", " ").split())


@pytest.mark.parametrize(
    "said",
    [
        ["What is your date of birth?", "I would rather not tell.", "We can look at that in march.", "In march then."],
        ["Did you get our email?", "I did, two days ago.", "It was sent at noon.", "Yes, at noon."],
        ["Is it a birthday present?", "Yes.", "For how many?", "For the two of us, by friday."],
    ],
)
def test_what_merely_follows_stays(said: list[str]) -> None:
    assert redacted(*said) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("it's 5785 sorry 8163 8142 3", "it's [PHONE] sorry [PHONE]"),
        ("um sixty four twenty one let me flip it over sixty two two five two five two five six", None),
        ("there are 12 of us and it is 212 555 0187", "there are 12 of us and it is [PHONE]"),
    ],
)
def test_digits_that_are_taken_back_before_a_number_go_with_it(said: str, shown: str | None) -> None:
    got = redacted("what is your phone number", said)[1]
    if shown is None:
        assert "sixty four" not in got
    else:
        assert got == shown
