"""Which calls get words, personal data and a transcript, and when. Pure: the same scenario gives the same answers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from genesys_sync_simulator.plan import CallPlan, Leg, Plan
from genesys_sync_simulator.scenario import Scenario
from genesys_sync_simulator.scenario_digital import REASONS_WRITTEN
from genesys_sync_simulator.scenario_speech import PLANTED_KINDS, Span, Transcripts
from genesys_sync_simulator.speech import facts, script
from genesys_sync_simulator.speech.facts import Spoken
from genesys_sync_simulator.speech.phrases import LANGUAGES, UNSUPPORTED
from genesys_sync_simulator.speech.script import Script


@dataclass(frozen=True, slots=True)
class TranscriptPlan:
    """The transcript of one recorded leg. `ready_at` is an offset; `reason` says why there will never be one."""

    session_id: str
    recording_id: str
    call: CallPlan
    leg: Leg
    script: Script
    ready_at: float
    late: bool = False
    reason: str | None = None
    offset_times: bool = False
    with_message: bool = False
    missing_fields: float = 0.0

    @property
    def outcome(self) -> str:
        """`at_once`, `late` or `never`."""
        return "never" if self.reason is not None else "late" if self.late else "at_once"

    @property
    def chance(self) -> random.Random:
        """The same draws each time, for what the file looks like."""
        return random.Random(f"transcript {self.session_id}")


_SPOKEN, _WRITTEN = "", " written"
"""Draws of their own: what is said in the calls is the same with and without anything written."""

Transcribed = Mapping[str, TranscriptPlan]
"""By the id of the customer's session, which is the communication's id."""


def spoken(scenario: Scenario, plan: Plan) -> tuple[Plan, Transcribed]:
    """The plan with what is said or written in each recording, and the transcripts. Without a table for them there are none, and only
    what is written has words."""
    asked = scenario.transcripts
    rules = asked or Transcripts()
    legs = [(call, leg) for call in plan.calls for leg in call.legs if leg.recording is not None and not leg.recording.size]
    said, typed = [pair for pair in legs if pair[0].media == "voice"], [pair for pair in legs if pair[0].media != "voice"]
    spoilt = scenario.faults.count("offset_times")
    found: dict[str, TranscriptPlan] = {}
    for kind, pairs, reasons in ((_SPOKEN, said if asked else [], rules.never_reasons), (_WRITTEN, typed, _reasons_written(rules))):
        outcomes = _outcomes(scenario, rules, len(pairs), reasons, kind)
        told = _told(scenario, rules, len(pairs), kind)
        for number, ((call, leg), (late, reason)) in enumerate(zip(pairs, outcomes, strict=True)):
            one = _one(scenario, rules, call, leg, number, late=late, reason=reason, told=told.get(number, ()))
            if reason is None and spoilt:
                one, spoilt = replace(one, offset_times=True), spoilt - 1
            found[one.session_id] = one
    calls = tuple(_rewritten(call, found) for call in plan.calls)
    return replace(plan, calls=calls), found if asked else {}


def _reasons_written(rules: Transcripts) -> tuple[str, ...]:
    return tuple(reason for reason in rules.never_reasons if reason in REASONS_WRITTEN) or REASONS_WRITTEN


def _one(
    scenario: Scenario, rules: Transcripts, call: CallPlan, leg: Leg, number: int, *, late: bool, reason: str | None, told: tuple[str, ...]
) -> TranscriptPlan:
    assert leg.recording is not None
    chance = random.Random(f"speech {scenario.seed} {leg.recording.id}")
    recording = leg.recording
    if reason == "purged" and recording.fault is None:
        recording = replace(recording, fault="deleted")
    language = rules.languages[number % len(rules.languages)]
    others = [name for name in LANGUAGES if name != language]
    changes_to = chance.choice(others) if chance.random() < rules.language_changes else None
    forms = rules.planted.forms if call.media == "voice" else ("digits",)
    said = _script(chance, rules, recording.seconds, language, changes_to, reason, told, forms)
    span = rules.late_after if late else rules.ready_after
    return TranscriptPlan(
        session_id=leg.customer_session_id,
        recording_id=recording.id,
        call=call,
        leg=replace(leg, recording=replace(recording, script=said)),
        script=said,
        ready_at=round(call.ended + _drawn(chance, span), 3),
        late=late,
        reason=reason,
        with_message=chance.random() < rules.messages and call.media == "voice",
        missing_fields=rules.missing_fields,
    )


def _script(
    chance: random.Random,
    rules: Transcripts,
    seconds: float,
    language: str,
    changes_to: str | None,
    reason: str | None,
    told: tuple[str, ...],
    forms: tuple[str, ...],
) -> Script:
    if reason == "no_speech":
        return Script(seconds)
    facts_told: list[Spoken] = []
    for kind in told:
        value = facts.draw(chance, kind, card_valid=rules.planted.card_valid)
        facts_told.append(facts.speak(chance, value, chance.choice(forms), LANGUAGES[language]))
    said = script.write(chance, seconds, language, changes_to=changes_to, told=facts_told, brief=reason == "too_short")
    if reason == "language":
        said = replace(said, utterances=tuple(replace(one, language=UNSUPPORTED) for one in said.utterances))
    return said


def _drawn(chance: random.Random, span: Span) -> float:
    return chance.uniform(span.low, span.high)


def _outcomes(scenario: Scenario, rules: Transcripts, count: int, why: tuple[str, ...], kind: str) -> list[tuple[bool, str | None]]:
    """Late or not, and the reason for never; exactly the shares asked for, in an order that the seed decides."""
    never, late = round(count * rules.never), round(count * rules.late)
    reasons = [(False, why[number % len(why)]) for number in range(never)]
    outcomes: list[tuple[bool, str | None]] = [*reasons, *[(True, None)] * late, *[(False, None)] * max(0, count - never - late)]
    outcomes = outcomes[:count]
    random.Random(f"transcripts {scenario.seed}{kind}").shuffle(outcomes)
    return outcomes


def _told(scenario: Scenario, rules: Transcripts, legs: int, medium: str) -> dict[int, tuple[str, ...]]:
    """Which kinds of personal data are spoken in which of the recorded legs; exactly the shares asked for."""
    told: dict[int, tuple[str, ...]] = {}
    for kind in PLANTED_KINDS:
        count = round(legs * getattr(rules.planted, kind))
        for number in random.Random(f"planted {kind} {scenario.seed}{medium}").sample(range(legs), count):
            told[number] = (*told.get(number, ()), kind)
    return told


def _rewritten(call: CallPlan, found: Transcribed) -> CallPlan:
    legs = tuple(
        replace(leg, recording=found[leg.customer_session_id].leg.recording) if leg.customer_session_id in found else leg
        for leg in call.legs
    )
    return replace(call, legs=legs)
