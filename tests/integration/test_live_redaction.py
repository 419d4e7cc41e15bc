"""What is told utterance by utterance shows no more than the whole conversation redacted at once, and next to nothing less."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from genesys_sync.feed.utterances import Desk, Told
from genesys_sync.redaction import Redactor
from genesys_sync.transcripts.live import LiveMessage, gathered, read_message
from genesys_sync_simulator.clock import SystemClock
from genesys_sync_simulator.platform import Platform, assemble
from genesys_sync_simulator.scenario_file import load
from genesys_sync_simulator.speech import live

STARTED = 1_785_585_600.0


@pytest.fixture(scope="module")
def platform() -> Platform:
    """The fifty conversations of the shipped scenario, each with personal data that are told in every form."""
    return assemble(load("speech"), SystemClock())


def messages(platform: Platform) -> Iterator[tuple[float, LiveMessage]]:
    """All that the live topics bring, in order of time."""
    rules = platform.scenario.transcripts
    assert rules is not None
    due = [
        (message.offset, number, live.body(platform.world.plan, transcript, message, STARTED))
        for number, transcript in enumerate(platform.speech.transcripts.values())
        if transcript.reason not in live.UNHEARD
        for message in live.messages(transcript, rules)
    ]
    for offset, _, body in sorted(due, key=lambda one: one[:2]):
        found = read_message(body)
        assert found is not None
        yield offset, found


def test_each_utterance_shows_what_the_redaction_of_the_whole_conversation_shows(platform: Platform) -> None:
    desk, everything = Desk(Redactor(), hold=30, most=20), list(messages(platform))
    told: list[Told] = []
    began = time.process_time()
    for now, message in everything:
        told += desk.work([message], now)
    spent = time.process_time() - began
    assert desk.close() == []
    finished = [one.utterance for one in told]
    shown = {(one.utterance.communication_id, one.utterance.utterance_id): one.text for one in told}
    assert len(shown) == len(told) > 400
    more, less = [], []
    for transcript in gathered(finished):
        ids = {segment.start: name for name, segment in _ids(finished, transcript.communication_id)}
        for segment in Redactor().redact(transcript).transcript.segments:
            text = shown[str(transcript.communication_id), ids[segment.start]]
            assert text is not None
            if _letters(text) != _letters(segment.text):
                (more if _letters(text) > _letters(segment.text) else less).append((text, segment.text))
    assert more == []
    assert len(less) <= len(told) / 100, less
    assert spent / len(told) < 0.02, "seconds of one core for one utterance; 2 ms on a quiet one"


def _ids(finished: list, communication_id: str | None) -> Iterator[tuple[str, object]]:
    return ((one.utterance_id, one.segment) for one in finished if one.communication_id == communication_id)


def _letters(text: str) -> int:
    """What is shown of it, whatever the masks are called."""
    inside, count = False, 0
    for character in text:
        inside = character == "[" or (inside and character != "]")
        count += not inside and character.isalnum()
    return count
