"""The chats, messages and e-mails of a scenario, and the screens that are recorded with its calls. Pure, like `plan`: the same scenario
gives the same ids. What the scenario's calls are is the same with and without them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace

from genesys_sync_simulator.plan import CallPlan, Leg, People, Plan, RecordingPlan, call_of, moved
from genesys_sync_simulator.scenario import Scenario

_AS_RECORDED = {"chat": "chat", "message": "messaging", "email": "email"}
"""What Recording calls the medium that analytics names so."""


def with_digital(scenario: Scenario, plan: Plan) -> Plan:
    """The plan with everything that the table `digital` asks for."""
    calls = [*_with_screens(scenario, plan), *_written(scenario, plan)]
    return replace(plan, calls=tuple(calls))


def _with_screens(scenario: Scenario, plan: Plan) -> Iterator[CallPlan]:
    chance = random.Random(f"screens {scenario.seed}")
    for number, call in enumerate(plan.calls):
        yield replace(call, legs=tuple(_with_screen(chance, call, leg) for leg in call.legs)) if number < scenario.digital.screens else call


def _with_screen(chance: random.Random, call: CallPlan, leg: Leg) -> Leg:
    """The agent's screen for the time of the leg; the platform lists it together with the leg's sound."""
    like = leg.recording
    appears, settles = (call.ended + 0.2, call.ended + 0.5) if like is None else (like.appears, like.settles)
    screen = RecordingPlan(
        str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        call.id,
        leg.agent_session_id,
        "WEBM",
        0,
        chance.getrandbits(32),
        leg.connected,
        leg.ended,
        appears=appears,
        settles=settles,
        media="screen",
    )
    return replace(leg, screen=screen)


def _written(scenario: Scenario, plan: Plan) -> Iterator[CallPlan]:
    people = People(random.Random(f"digital {scenario.seed}"), plan.queues, plan.agents)
    rules = replace(scenario.calls, duration=scenario.digital.duration, recordings_per_call=(1,), head_start=0.0)
    number = 0
    for media, count in scenario.digital.written:
        for place in range(count):
            taken_up = media == "email" and place < scenario.digital.taken_up
            call = call_of(scenario, people, replace(rules, recordings_per_call=(2,)) if taken_up else rules, number)
            if taken_up:
                call = _taken_up(call, scenario.digital.taken_up_after)
            fault = "too_large" if media == "email" and place < scenario.digital.too_large else None
            yield _in_writing(replace(call, index=len(plan.calls) + number), media, fault)
            number += 1


def _taken_up(call: CallPlan, after: float) -> CallPlan:
    """The same conversation, left after its first leg and taken up again so many seconds later. Each recording comes after its own leg."""
    first, later = call.legs[0], moved(call, after)
    assert first.recording is not None
    early = round(call.ended - first.ended, 3)
    recording = replace(
        first.recording, appears=round(first.recording.appears - early, 3), settles=round(first.recording.settles - early, 3)
    )
    return replace(later, began=call.began, legs=(replace(first, recording=recording), later.legs[1]), taken_up=True)


def _in_writing(call: CallPlan, media: str, fault: str | None) -> CallPlan:
    """The same conversation, written: its recording is no file, and its customer has another address."""
    legs = tuple(
        replace(
            leg,
            recording=None
            if leg.recording is None
            else replace(leg.recording, media=_AS_RECORDED[media], format="JSON", channels=0, sample_rate=0, fault=fault),
        )
        for leg in call.legs
    )
    ani, dnis = call.ani, call.dnis
    if media == "email":
        ani, dnis = f"{call.customer_name.replace(' ', '.').lower()}@customer.example", "service@company.example"
    elif media == "chat":
        ani, dnis = "", ""
    return replace(call, legs=legs, media=media, ani=ani, dnis=dnis)
