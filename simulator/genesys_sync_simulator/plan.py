"""The world that a scenario describes, before anybody looks at it. Pure: the same scenario gives the same plan, to the last id.

All times here are offsets in seconds from the moment at which the world starts; `world.py` puts them on the clock.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field, replace

from genesys_sync_simulator.scenario import DELAY_FAULTS, MOMENT_FAULTS, RECORDING_FAULTS, Calls, Extra, Moment, Scenario
from genesys_sync_simulator.scenario_speech import Span
from genesys_sync_simulator.speech.script import Script

_GIVEN = ("Rosa", "Tariq", "Ingrid", "Mateo", "Aisha", "Kenji", "Olga", "Samuel", "Priya", "Yusuf", "Clara", "Tomasz")
_FAMILY = ("Martinez", "Haddad", "Lindqvist", "Okafor", "Tanaka", "Novak", "Brennan", "Castellano", "Iyer", "Demir", "Weber", "Zielinski")
_QUEUES = ("Billing", "Claims", "Sales", "Support", "Retention", "Priority")


@dataclass(frozen=True, slots=True)
class Agent:
    """A user of the organisation who answers calls."""

    id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A routing queue."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """One recording: what it is, when what it holds began and ended, when the metadata list it, and when its state is settled.

    media  as Recording names it: `audio`, `screen`, `chat`, `messaging`, `email`; the last three have no file, their body holds them
    """

    id: str
    conversation_id: str
    session_id: str
    format: str
    channels: int
    clip_seed: int
    began: float
    ended: float
    appears: float
    settles: float
    parts: int = 1
    fault: str | None = None
    size: int = 0
    sample_rate: int = 8000
    script: Script | None = None
    """What is said (or written) in it; None when nobody asked for words."""
    media: str = "audio"

    @property
    def written(self) -> bool:
        return self.media not in ("audio", "screen")

    @property
    def seconds(self) -> float:
        """Length of the sound, whole milliseconds."""
        return round(self.ended - self.began, 3)

    @property
    def final_at(self) -> float:
        """When the file state stops changing by itself."""
        return self.settles + (self.settles - self.appears) if self.fault == "unknown_state" else self.settles


@dataclass(frozen=True, slots=True)
class Leg:
    """One agent's part of a call, with the customer's session for the same time. `recording` is None when the leg is not recorded,
    `screen` when the agent's screen is not."""

    agent: Agent
    queue: Queue
    participant_id: str
    agent_session_id: str
    customer_session_id: str
    alerted: float
    connected: float
    ended: float
    recording: RecordingPlan | None
    screen: RecordingPlan | None = None


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call (or chat …) of one customer: routed, answered, perhaps transferred, ended, wrapped up.

    media     as analytics names it: `voice`, `chat`, `message`, `email`
    taken_up  it ends with its first leg, and is taken up again, under the same id, with the second
    """

    index: int
    id: str
    customer_name: str
    ani: str
    dnis: str
    customer_participant_id: str
    acd_participant_id: str
    acd_session_id: str
    began: float
    ended: float
    wrapped_up: float
    legs: tuple[Leg, ...]
    media: str = "voice"
    taken_up: bool = False

    def as_at(self, offset: float) -> CallPlan:
        """All there is of it then: before it is taken up again, it looks like one that has its first part alone."""
        if not self.taken_up or offset >= self.legs[1].alerted:
            return self
        left = self.legs[0].ended
        wrapped_up = round(left + self.wrapped_up - self.ended, 3)
        return replace(self, legs=self.legs[:1], ended=left, wrapped_up=wrapped_up, taken_up=False)

    @property
    def recordings(self) -> tuple[RecordingPlan, ...]:
        return tuple(one for leg in self.legs for one in (leg.recording, leg.screen) if one is not None)

    @property
    def changes(self) -> tuple[float, ...]:
        """Moments at which a snapshot is sent, in order: begin, each alert and answer, end, wrap-up."""
        moments = {max(self.began, 0.0), self.ended, self.wrapped_up}
        if self.taken_up:
            moments |= set(self.as_at(self.began).changes)
        for leg in self.legs:
            moments |= {max(leg.alerted, 0.0), max(leg.connected, 0.0)}
        return tuple(sorted(moments))


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole world of one scenario."""

    organization_id: str
    division_id: str
    queues: tuple[Queue, ...]
    agents: tuple[Agent, ...]
    calls: tuple[CallPlan, ...]
    moments: tuple[Moment, ...]
    duplicated: frozenset[int] = field(default_factory=frozenset)
    reordered: frozenset[int] = field(default_factory=frozenset)

    @property
    def recordings(self) -> tuple[RecordingPlan, ...]:
        return tuple(recording for call in self.calls for recording in call.recordings)


def make(scenario: Scenario) -> Plan:
    """The plan of a scenario."""
    chance = random.Random(f"world {scenario.seed}")
    division = _id(chance)
    queues = tuple(
        Queue(_id(chance), _QUEUES[index % len(_QUEUES)] + ("" if index < len(_QUEUES) else f" {index // len(_QUEUES) + 1}"))
        for index in range(scenario.calls.queues)
    )
    agents = tuple(_agent(chance, index) for index in range(scenario.calls.agents))
    people = People(chance, queues, agents)
    calls = [call_of(scenario, people, scenario.calls, index) for index in range(scenario.calls.count)]
    calls += [_extra(scenario, people, extra, len(calls) + index) for index, extra in enumerate(scenario.calls.extra)]
    if scenario.calls.end_together and calls:
        calls = _ending_together(calls)
    calls = _with_formats(scenario, calls)
    calls = _with_faults(scenario, calls)
    frames = sum(len(call.changes) for call in calls)
    return Plan(
        organization_id=_id(random.Random(f"organisation {scenario.seed}")),
        division_id=division,
        queues=queues,
        agents=agents,
        calls=tuple(calls),
        moments=_moments(scenario, calls),
        duplicated=_picked(scenario, "duplicate_events", frames),
        reordered=_picked(scenario, "reorder_events", frames),
    )


@dataclass(frozen=True, slots=True)
class People:
    """Who may take part, and the draws that decide who does."""

    chance: random.Random
    queues: tuple[Queue, ...]
    agents: tuple[Agent, ...]

    def customer(self) -> str:
        return f"{self.chance.choice(_GIVEN)} {self.chance.choice(_FAMILY)}"

    def number(self) -> str:
        return f"tel:+1317{self.chance.randrange(10**7):07d}"


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _draw(chance: random.Random, span: Span) -> float:
    return round(chance.uniform(span.low, span.high), 3)


def _agent(chance: random.Random, index: int) -> Agent:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    return Agent(_id(chance), f"{given} {family}", f"{given}.{family}.{index}@example.com".lower())


def call_of(scenario: Scenario, people: People, rules: Calls, index: int) -> CallPlan:
    """The call of this number, by these rules."""
    chance = people.chance
    began = round(index / rules.per_second - rules.head_start, 3)
    recorded = rules.recordings_per_call[index % len(rules.recordings_per_call)]
    talk = _draw(chance, rules.duration)
    count = max(1, recorded)
    # Cuts near the even ones: transferred legs differ in length, and none is too short to hold speech.
    cuts = [0.0] + [round(talk * (i + chance.uniform(-0.15, 0.15)) / count, 3) for i in range(1, count)] + [talk]
    answered = round(began + rules.ring, 3)
    ended = round(answered + talk, 3)
    appears, settles = _availability(scenario, chance, ended)
    call_id = _id(chance)
    legs: list[Leg] = []
    for number in range(count):
        connected, leg_ended = round(answered + cuts[number], 3), round(answered + cuts[number + 1], 3)
        session = _id(chance)
        recording = RecordingPlan(
            _id(chance), call_id, session, "WAV", 1, chance.getrandbits(32), connected, leg_ended, appears=appears, settles=settles
        )
        legs.append(
            Leg(
                agent=chance.choice(people.agents),
                queue=chance.choice(people.queues),
                participant_id=_id(chance),
                agent_session_id=_id(chance),
                customer_session_id=session,
                alerted=round(began + rules.ring / 2, 3) if number == 0 else connected,
                connected=connected,
                ended=leg_ended,
                recording=recording if recorded else None,
            )
        )
    return _around(scenario, people, index, call_id, began, tuple(legs))


def _extra(scenario: Scenario, people: People, extra: Extra, index: int) -> CallPlan:
    """A call that has been going on for as long as its recording is, and ends soon after the start."""
    chance = people.chance
    frames = (extra.bytes - 44) // (2 * extra.channels)
    ended = extra.end_after
    connected = ended - round(frames / extra.sample_rate, 3)
    appears, settles = _availability(scenario, chance, ended)
    call_id, session = _id(chance), _id(chance)
    recording = RecordingPlan(
        _id(chance), call_id, session, "WAV", extra.channels, chance.getrandbits(32), connected, ended, appears, settles,
        size=extra.bytes, sample_rate=extra.sample_rate,
    )  # fmt: skip
    alerted, began = connected - scenario.calls.ring / 2, connected - scenario.calls.ring
    leg = Leg(
        people.agents[0], chance.choice(people.queues), _id(chance), _id(chance), session, alerted, connected, ended, recording,
    )  # fmt: skip
    return _around(scenario, people, index, call_id, began, (leg,))


def _around(scenario: Scenario, people: People, index: int, call_id: str, began: float, legs: tuple[Leg, ...]) -> CallPlan:
    ended = legs[-1].ended
    return CallPlan(
        index=index,
        id=call_id,
        customer_name=people.customer(),
        ani=people.number(),
        dnis=people.number(),
        customer_participant_id=_id(people.chance),
        acd_participant_id=_id(people.chance),
        acd_session_id=_id(people.chance),
        began=began,
        ended=ended,
        wrapped_up=round(ended + scenario.calls.wrapup_after, 3),
        legs=legs,
    )


def _availability(scenario: Scenario, chance: random.Random, ended: float) -> tuple[float, float]:
    appears = _draw(chance, scenario.recordings.appear_after)
    return round(ended + appears, 3), round(ended + _draw(chance, scenario.recordings.available_after), 3)


def _ending_together(calls: list[CallPlan]) -> list[CallPlan]:
    last = max(call.ended - call.began for call in calls)
    return [moved(call, round(last - call.ended, 3)) for call in calls]


def moved(call: CallPlan, by: float) -> CallPlan:
    """The same call, so many seconds later (earlier, when negative): every moment of it and of its recordings."""

    def later(moment: float) -> float:
        return round(moment + by, 3)

    def shifted(one: RecordingPlan | None) -> RecordingPlan | None:
        if one is None:
            return None
        return replace(one, began=later(one.began), ended=later(one.ended), appears=later(one.appears), settles=later(one.settles))

    legs = [
        replace(
            leg,
            alerted=later(leg.alerted),
            connected=later(leg.connected),
            ended=later(leg.ended),
            recording=shifted(leg.recording),
            screen=shifted(leg.screen),
        )
        for leg in call.legs
    ]
    return replace(
        call, began=later(call.began), ended=later(call.ended), wrapped_up=later(call.wrapped_up), legs=tuple(legs)
    )  # fmt: skip


def _with_formats(scenario: Scenario, calls: list[CallPlan]) -> list[CallPlan]:
    """Every combination of format and channel count in turn, in an order that the seed decides."""
    kinds = [(fmt, channels) for fmt in scenario.recordings.formats for channels in scenario.recordings.channels]
    random.Random(f"formats {scenario.seed}").shuffle(kinds)
    given: dict[str, RecordingPlan] = {}
    ordinary = [recording for call in calls for recording in call.recordings if not recording.size]
    for number, recording in enumerate(ordinary):
        fmt, channels = kinds[number % len(kinds)]
        rate = 48_000 if fmt in ("OGG_OPUS", "WEBM") else 8000
        given[recording.id] = replace(recording, format=fmt, channels=channels, sample_rate=rate)
    return _rewritten(calls, given)


def _with_faults(scenario: Scenario, calls: list[CallPlan]) -> list[CallPlan]:
    ordinary = [recording for call in calls for recording in call.recordings if not recording.size]
    random.Random(f"faults {scenario.seed}").shuffle(ordinary)
    waiting = iter(ordinary)
    given: dict[str, RecordingPlan] = {}
    for kind in RECORDING_FAULTS:
        for _ in range(scenario.faults.count(kind)):
            recording = replace(next(waiting), fault=kind)
            if kind == "header_only":
                recording = replace(recording, format="WAV", sample_rate=8000)
            given[recording.id] = recording
    for _ in range(scenario.recordings.multipart):
        recording = replace(next(waiting), parts=2)
        given[recording.id] = recording
    return _rewritten(calls, given)


def _rewritten(calls: list[CallPlan], given: dict[str, RecordingPlan]) -> list[CallPlan]:
    return [
        replace(
            call,
            legs=tuple(
                replace(leg, recording=given.get(leg.recording.id, leg.recording)) if leg.recording is not None else leg
                for leg in call.legs
            ),
        )
        for call in calls
    ]


def _moments(scenario: Scenario, calls: list[CallPlan]) -> tuple[Moment, ...]:
    """Those that the scenario fixes, and the counted ones spread over the time in which calls end."""
    length = max((call.ended for call in calls), default=0.0)
    chance = random.Random(f"moments {scenario.seed}")
    moments = list(scenario.faults.at)
    for kind in MOMENT_FAULTS:
        count = scenario.faults.count(kind)
        for number in range(count):
            share = (number + 1) / (count + 1) + chance.uniform(-0.2, 0.2) / (count + 1)
            moments.append(Moment(kind, round(length * share, 3)))
    return tuple(sorted(moments, key=lambda moment: (moment.at, moment.kind)))


def _picked(scenario: Scenario, kind: str, frames: int) -> frozenset[int]:
    count = min(scenario.faults.count(kind), frames)
    return frozenset(random.Random(f"{kind} {scenario.seed}").sample(range(frames), count))


def spoils(fault: str | None) -> bool:
    """Whether a recording with this fault can never be archived as good."""
    return fault is not None and fault not in DELAY_FAULTS
