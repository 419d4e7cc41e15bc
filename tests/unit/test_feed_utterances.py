"""An utterance is told when nothing that may follow changes what is shown of it; held too long, as if it had followed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from genesys_sync.feed.utterances import IDLE, Desk, Told
from genesys_sync.redaction import CustomRule, RedactionFailed, RedactionRules, Redactor
from genesys_sync.transcripts.live import LiveMessage, Utterance
from genesys_sync.transcripts.model import Segment, Speaker, Transcript, Word

CALL = "0b0b0b0b-1111-4222-8333-444444444444"
AGENT, CUSTOMER = "internal", "external"


def said(number: int, speaker: str, text: str, *, final: bool = True, call: str = CALL, leg: str = "leg") -> LiveMessage:
    segment = Segment(index=0, speaker=Speaker(label=speaker), text=text, start=float(number), end=number + 0.9)
    one = Utterance(conversation_id=call, communication_id=leg, utterance_id=f"u{number}", segment=segment, final=final)
    return LiveMessage(conversation_id=call, communication_id=leg, utterances=(one,))


def over(call: str = CALL, leg: str = "leg") -> LiveMessage:
    return LiveMessage(conversation_id=call, communication_id=leg, ended=True)


def desk(redactor: Any = None, *, hold: float = 30, most: int = 20) -> Desk:
    return Desk(redactor or Redactor(), hold=hold, most=most)


def texts(told: list[Told]) -> dict[str, str | None]:
    return {one.utterance.utterance_id: one.text for one in told}


def conversation(desk: Desk, *lines: tuple[str, str], end: bool = True) -> dict[str, str | None]:
    told = [one for number, line in enumerate(lines) for one in desk.work([said(number, *line)], float(number))]
    told += desk.work([over()], float(len(lines))) if end else []
    assert len(told) == len({one.utterance.utterance_id for one in told}), "each once"
    return texts(told)


def test_a_number_broken_over_utterances_is_hidden_in_all_of_them() -> None:
    told = conversation(
        desk(),
        (AGENT, "may I have your card number"),
        (CUSTOMER, "sure, it is four one one one"),
        (AGENT, "okay"),
        (CUSTOMER, "one one one one"),
        (AGENT, "mhm, go on"),
        (CUSTOMER, "one one one one one one one one"),
        (AGENT, "thank you"),
    )
    assert list(told) == [f"u{number}" for number in range(7)]
    for number in (1, 3, 5):
        assert "one" not in str(told[f"u{number}"]), told


def test_what_no_number_can_go_on_into_waits_for_the_next_utterance_only() -> None:
    one = desk()
    assert one.work([said(0, AGENT, "good morning, how may I help you")], 0) == []
    told = one.work([said(1, CUSTOMER, "I would like to change my tariff, please")], 1)
    assert texts(told) == {"u0": "good morning, how may I help you"}


def test_the_last_utterance_is_told_when_its_stream_ends_and_shown_as_it_stands() -> None:
    assert conversation(desk(), (CUSTOMER, "my room is four one one")) == {"u0": "my room is four one one"}


@pytest.mark.parametrize("begun", ["it is four one one one", "my number is 4111", "it was nineteen", "my address is john dot smith"])
def test_what_was_begun_and_is_not_gone_on_with_in_time_is_told_without_its_begin(begun: str) -> None:
    one = desk(hold=10)
    before = one.work([said(0, AGENT, "and your date of birth")], 0)
    assert before + one.work([said(1, CUSTOMER, begun)], 1)
    assert one.due == 11
    assert one.work([], 10.9) == []
    (told,) = one.work([], 11)
    assert told.text is not None
    assert told.text.endswith("]"), told.text
    assert sum(told.hidden.values()) == 1
    assert math.isinf(one.due)


def test_what_goes_on_after_it_was_told_is_hidden_with_what_was_told() -> None:
    one = desk(hold=10)
    one.work([said(0, CUSTOMER, "four one one one one")], 0)
    assert one.work([], 10)[0].text == "[NUMBER]"
    (told,) = texts(one.work([said(1, CUSTOMER, "one one"), over()], 11)).values()
    assert "one" not in str(told), "seven digits together, two by themselves"


def test_more_than_may_be_held_are_not() -> None:
    one = desk(most=2)
    told = [found for number in range(6) for found in one.work([said(number, CUSTOMER, "three")], 0)]
    assert [found.utterance.utterance_id for found in told] == ["u0", "u1", "u2", "u3"]
    assert {found.text for found in told} == {"[NUMBER]"}


def test_guesses_are_collapsed_and_the_last_one_counts_where_no_result_came() -> None:
    one = desk()
    for text in ("I", "I would", "I would like"):
        assert one.work([said(0, CUSTOMER, text, final=False)], 0) == []
    assert texts(one.work([over()], 1)) == {"u0": "I would like"}
    assert one.work([said(0, CUSTOMER, "I would like to"), over()], 2) == [], "the same utterance again"


def test_streams_of_one_call_end_by_themselves() -> None:
    one = desk()
    one.work([said(0, CUSTOMER, "four one one", leg="first")], 0)
    one.work([said(1, AGENT, "four one one", leg="second")], 1)
    assert set(texts(one.work([over(leg="first")], 2))) == {"u0"}
    assert set(texts(one.work([over(leg="second")], 3))) == {"u1"}


def test_calls_know_nothing_of_each_other() -> None:
    one, other = desk(), "0c0c0c0c-1111-4222-8333-444444444444"
    one.work([said(0, CUSTOMER, "four one one"), said(0, CUSTOMER, "one one one one one", call=other)], 0)
    told = one.work([over(), over(other)], 1)
    assert [found.text for found in told] == ["four one one", "one one one one one"]


def test_at_the_end_everything_is_told_as_if_a_number_followed() -> None:
    one = desk()
    one.work([said(0, CUSTOMER, "four one one")], 0)
    assert [found.text for found in one.close()] == ["[NUMBER]"]
    assert one.close() == []


def test_a_call_that_fell_silent_is_forgotten_and_what_was_held_of_it_told() -> None:
    one = desk(hold=10 * IDLE)
    one.work([said(0, CUSTOMER, "four one one")], 0)
    assert [found.text for found in one.work([], IDLE)] == ["[NUMBER]"]


class Failing:
    """Fails for what holds a certain word."""

    def redact(self, transcript: Transcript) -> Any:
        if any("poison" in segment.text for segment in transcript.segments):
            raise RedactionFailed("it failed")
        return Redactor().redact(transcript)


def test_what_cannot_be_redacted_is_told_without_its_text_and_takes_nothing_later_along() -> None:
    one = desk(Failing())
    one.work([said(0, CUSTOMER, "hello there")], 0)
    told = one.work([said(1, CUSTOMER, "poison")], 1)
    assert [(found.utterance.utterance_id, found.text) for found in told] == [("u0", None), ("u1", None)]
    one.work([said(2, CUSTOMER, "hello again")], 2)
    assert texts(one.work([over()], 3)) == {"u2": "hello again"}


def test_rules_of_ones_own_hide_too() -> None:
    rules = RedactionRules(custom=(CustomRule(name="badge", pattern=r"\bB-\d{5}\b", type="BADGE"),))
    told = conversation(desk(Redactor(rules)), (CUSTOMER, "my badge is B-12345 okay"))
    assert told == {"u0": "my badge is [BADGE] okay"}


def test_words_beside_the_text_are_read_too() -> None:
    one = desk()
    message = said(0, CUSTOMER, "it is [inaudible] okay")
    words = tuple(Word(text=word, start=0.0, end=0.5) for word in ["it", "is", "4111", "1111", "1111", "1111", "okay"])
    utterance = message.utterances[0]
    spoken = replace(message, utterances=(replace(utterance, segment=replace(utterance.segment, words=words)),))
    (told,) = one.work([spoken, over()], 0)
    assert told.hidden


def test_what_is_held_can_be_told_at_its_worst_at_any_time_and_is_held_on() -> None:
    one, other = desk(), desk()
    lines = ((AGENT, "may I have your card number"), (CUSTOMER, "sure, it is four one one one"), (AGENT, "okay"), (CUSTOMER, "one one one"))
    for number, line in enumerate(lines):
        told = one.work([said(number, *line)], float(number))
        assert texts(other.work([said(number, *line)], float(number))) == texts(told)
        assert one.at_worst() == one.at_worst()
    worst = texts(one.at_worst())
    assert worst == texts(other.close()), "neither more nor less than a daemon tells that stops now"
    assert "u3" in worst
    assert "one" not in str(worst["u3"])
    assert list(texts(one.work([over()], 9.0))) == list(worst), "and yet each is told"
    assert one.at_worst() == []


def test_what_another_process_told_is_read_with_what_follows_and_not_told_again() -> None:
    before, after = desk(), desk()
    before.work([said(0, AGENT, "your card number please"), said(1, CUSTOMER, "it is four one one one one one one one one")], 0)
    after.take_up(before.at_worst(), 0)
    assert after.close() == []
    after.take_up(before.at_worst(), 0)
    told = after.work([said(1, CUSTOMER, "it is four one one one one one one one one"), said(2, CUSTOMER, "one one one one"), over()], 1)
    assert list(texts(told)) == ["u2"]
    assert "one" not in str(texts(told)["u2"]), "four digits, of a number that another process has seen begin"
