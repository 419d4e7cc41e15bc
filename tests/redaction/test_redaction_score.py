"""The short form of `make redaction-score`, which is not timed, and proof that the score itself can fall."""

from __future__ import annotations

import pytest
from tests.redaction.__main__ import NOISE_SEEDS, SEEDS, STRANGE_SEEDS, faults
from tests.redaction.cases import Case, case_of, cases_in
from tests.redaction.generating import Generator
from tests.redaction.noise import Noisy
from tests.redaction.scoring import score
from tests.redaction.strangers import Strangers

from genesys_sync.redaction import Redactor

HAND = cases_in("hand.txt")
HELD_OUT = cases_in("heldout.txt") + cases_in("second.txt")
UNSEEN = {f"unseen_{letter}": cases_in(f"unseen_{letter}.txt") for letter in "abcdefg"}
NOISY = [case for seed in NOISE_SEEDS for case in Noisy(seed).cases(90)]
STRANGE = [case for seed in STRANGE_SEEDS for case in Strangers(seed).cases(120)]
GENERATED = [case for seed in SEEDS for case in Generator(seed).cases(120)]


def test_the_corpus_is_as_large_as_was_asked_for() -> None:
    assert len(HAND) + len(HELD_OUT) >= 150
    assert sum(len(case.lines) for case in HAND + HELD_OUT + GENERATED) >= 400
    assert sum(not case.planted for case in HAND + HELD_OUT) >= 60, "near misses"


@pytest.mark.parametrize("cases", [HAND, HELD_OUT, GENERATED], ids=["hand", "held out", "generated"])
def test_recall_and_precision_hold(cases: list[Case]) -> None:
    result = score(Redactor(), cases)
    assert faults("corpus", result) == [], "\n".join(result.wrong)
    assert result.label_accuracy >= 0.95


@pytest.mark.parametrize("cases", [*UNSEEN.values(), NOISY, STRANGE], ids=[*UNSEEN, "noisy", "strange"])
def test_recall_and_precision_hold_on_what_another_author_wrote(cases: list[Case]) -> None:
    """Labels are not judged: whether ten digits that nobody named are a phone number is a matter of taste."""
    result = score(Redactor(), cases)
    assert faults("corpus", result) == [], "\n".join(result.wrong)


def test_a_seed_makes_the_same_cases_again() -> None:
    assert list(Generator(5).cases(30)) == list(Generator(5).cases(30))
    assert list(Noisy(5).cases(30)) == list(Noisy(5).cases(30))
    assert list(Strangers(5).cases(30)) == list(Strangers(5).cases(30))


def test_the_score_falls_where_a_value_is_shown_and_where_too_much_is_hidden() -> None:
    shown = score(Redactor(), [case_of("my favourite colour is {CARD:blue}")])
    assert len(faults("x", shown)) == 1
    hidden = score(Redactor(), [case_of("4111 1111 1111 1111")])
    assert "precision" in faults("x", hidden)[0]
    half = score(Redactor(), [case_of("{CARD:4111 1111 1111 1111 blue}")])
    assert "recall" in faults("x", half)[0]
