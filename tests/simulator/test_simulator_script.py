"""What is said is decided by the seed, fits the call, tells personal data in every form, and can be heard where it is said."""

import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import genesys_sync_simulator
from genesys_sync_simulator import audio
from genesys_sync_simulator.clock import SystemClock
from genesys_sync_simulator.media import MediaStore
from genesys_sync_simulator.plan import make
from genesys_sync_simulator.platform import assemble
from genesys_sync_simulator.scenario import OTHER_PERMISSIONS, PERMISSIONS, ScenarioError
from genesys_sync_simulator.scenario_file import load, read
from genesys_sync_simulator.scenario_speech import PLANTED_FORMS, PLANTED_KINDS
from genesys_sync_simulator.speech import facts
from genesys_sync_simulator.speech.phrases import LANGUAGES
from genesys_sync_simulator.speech.plan import spoken
from genesys_sync_simulator.topics import CATALOGUE


@pytest.fixture(scope="module")
def speech():
    scenario = load("speech")
    return spoken(scenario, make(scenario))


def test_the_same_seed_says_the_same(speech) -> None:
    scenario = load("speech")
    assert spoken(scenario, make(scenario)) == speech


def test_the_shipped_scenario_has_all_outcomes_reasons_kinds_and_forms(speech) -> None:
    _, transcripts = speech
    assert len(transcripts) == 50
    assert sorted(one.outcome for one in transcripts.values()) == ["at_once"] * 34 + ["late"] * 10 + ["never"] * 6
    assert {one.reason for one in transcripts.values()} == {
        None,
        "not_enabled",
        "language",
        "too_short",
        "no_speech",
        "purged",
        "forbidden",
    }
    told = [planted.spoken for one in transcripts.values() for planted in one.script.planted]
    assert {(one.value.kind, one.form) for one in told if one.value.kind == "card"} == {("card", form) for form in PLANTED_FORMS}
    assert {one.value.kind for one in told} == set(PLANTED_KINDS)


def test_words_lie_within_the_call_in_order_and_nobody_talks_over_himself(speech) -> None:
    _, transcripts = speech
    for one in transcripts.values():
        for side in ("internal", "external"):
            words = [word for utterance in one.script.utterances if utterance.speaker == side for word in utterance.words]
            assert all(word.start < word.end for word in words)
            assert all(before.end <= after.start for before, after in pairwise(words))
            assert not words or words[-1].end < one.script.seconds


def test_the_spots_of_what_is_planted_hold_its_words(speech) -> None:
    _, transcripts = speech
    for one in transcripts.values():
        for planted in one.script.planted:
            found = [word.text for spot in planted.spots for word in one.script.utterances[spot.utterance].words[spot.first : spot.stop]]
            assert found == [word for turn in planted.spoken.turns for word in turn]
            assert len(planted.spots) == len(planted.spoken.turns)


def test_numbers_check_out_and_are_spoken_in_every_form() -> None:
    chance = random.Random(1)
    cards = [facts.draw(chance, "card", card_valid=0.9) for _ in range(400)]
    valid = sum(facts.luhn(card.canonical[:-1]) == int(card.canonical[-1]) for card in cards)
    assert 340 <= valid <= 385
    for _ in range(50):
        iban = facts.draw(chance, "iban", card_valid=1).canonical
        assert int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1
    value = facts.Value("phone", "2025550077", ("202-555-0077",))
    english = LANGUAGES["en-us"]
    said = {form: facts.speak(random.Random(3), value, form, english).turns for form in PLANTED_FORMS}
    assert said["digits"] == (("202", "555", "0077"),)
    assert " ".join(said["words"][0]) == "two zero two five five five zero zero seven seven"
    assert " ".join(said["doubles"][0]) == "two oh two triple five double oh double seven"
    assert len(said["broken"]) > 1
    assert [word for turn in said["broken"] for word in turn] == list(said["words"][0])
    assert set(said["fillers"][0]) - set(english.digits)
    assert [word for word in said["fillers"][0] if word in english.digits] == list(said["words"][0])


def test_each_word_sounds_at_its_time_in_its_speakers_channel_and_there_alone(speech) -> None:
    plan, _ = speech
    recording = next(one for one in plan.recordings if one.script.planted and one.format == "WAV")
    samples = audio.decode(MediaStore().get(recording).source)[0].astype(float)
    assert (samples != 0).all(), "no digital silence before anybody mutes"
    idle = np.ones(samples.shape, dtype=bool)
    for utterance in recording.script.utterances:
        side = 0 if utterance.speaker == "external" else 1
        for word in utterance.words:
            first, stop = round(word.start * 8000), round(word.end * 8000)
            idle[first:stop, side] = False
            assert np.sqrt((samples[first:stop, side] ** 2).mean()) > 1000, word
    for side in (0, 1):
        assert np.abs(samples[idle[:, side], side]).max() < 100


def test_without_the_table_nothing_is_said_and_the_sound_is_as_ever() -> None:
    scenario = load("demo")
    plan = make(scenario)
    assert spoken(scenario, plan) == (plan, {})
    assert {recording.script for recording in plan.recordings} == {None}


def test_calls_with_a_head_start_are_under_way_and_none_has_ended(speech) -> None:
    plan, _ = speech
    assert all(call.began < 0 < call.ended for call in plan.calls)
    platform = assemble(load("speech"), SystemClock())
    platform.world.started_at = 0.0
    assert len(platform.world.calls(0.0)) == 50


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"transcripts": {"late": 0.7, "never": 0.6}}, "must not come to more than 1"),
        ({"transcripts": {"late": 2}}, "transcripts.late is 2, and must be a share from 0 to 1"),
        ({"transcripts": {"languages": ["tlh"]}}, "must be one of en-us"),
        ({"transcripts": {"planted": {"crad": 1}}}, "did you mean card?"),
        ({"transcripts": {"live_batch": 0}}, "must be at least 50ms"),
        ({"calls": {"head_start": "1h"}}, "calls.head_start must be shorter"),
        ({"faults": {"offset_times": 1}}, "there is no table transcripts"),
        (
            {"clients": [{"id": "a", "secret": "b", "permissions": ["recording:recording:veiw"]}]},
            "did you mean recording:recording:view?",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(document: dict, sentence: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(document)
    assert sentence in "; ".join(caught.value.problems)


def test_every_permission_that_is_asked_for_can_be_granted() -> None:
    known = {*PERMISSIONS, *OTHER_PERMISSIONS}
    source = Path(genesys_sync_simulator.__file__).parent / "api"
    asked = {name for file in source.glob("*.py") for name in re.findall(r'"([a-zA-Z]+:[a-zA-Z]+:[a-zA-Z]+)"', file.read_text("utf-8"))}
    assert "recording:recording:view" in asked
    assert asked - known == set()
    assert {permission for topic in CATALOGUE for permission in topic.permissions} - known == set()
