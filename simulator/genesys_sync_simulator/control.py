"""Recording control as it took effect. Pure: what was accepted and a moment go in, the state of the recording comes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from genesys_sync_simulator.plan import CallPlan


@dataclass(frozen=True, slots=True)
class Directive:
    """One accepted request. Offsets in seconds from the start of the world; a lost one never takes effect."""

    operation: str
    recorder: str
    """`policy` for the recording of the whole call, else `adhoc` or `snippet` of one participant."""
    state: str
    """`active`, `paused` or `none`."""
    asked: float
    effective: float
    participant_id: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which a call's recording was in one state."""

    begin: float
    end: float
    state: str


def state_at(directives: Sequence[Directive], offset: float, *, recorder: str = "policy", participant_id: str = "") -> str | None:
    """The state that the directives have brought about, or None while there is none: the last to take effect decides."""
    state, since = None, float("-inf")
    for one in directives:
        mine = one.recorder == recorder and one.participant_id == participant_id and not one.lost
        if mine and since <= one.effective <= offset:
            state, since = one.state, one.effective
    return state


def stretches(call: CallPlan, directives: Sequence[Directive], until: float) -> Iterator[Stretch]:
    """The recorded time of the call up to `until`, in order, cut where the state changed."""
    for leg in call.legs:
        end = min(leg.ended, until)
        if leg.recording is None or leg.recording.written or leg.connected >= end:
            continue
        moments = {one.effective for one in directives if one.recorder == "policy" and leg.connected < one.effective < end}
        begin, state = leg.connected, state_at(directives, leg.connected) or "active"
        for moment in sorted(moments):
            later = state_at(directives, moment) or "active"
            if later != state:
                yield Stretch(begin, moment, state)
                begin, state = moment, later
        yield Stretch(begin, end, state)


@dataclass(slots=True)
class ControlRoom:
    """All directives, by conversation, in the order in which they were accepted."""

    _orders: dict[str, list[Directive]] = field(default_factory=lambda: defaultdict(list))

    def accept(self, conversation_id: str, directive: Directive) -> None:
        """From its moment on the conversation shows it."""
        self._orders[conversation_id].append(directive)

    def of(self, conversation_id: str) -> tuple[Directive, ...]:
        """What was accepted for this conversation."""
        return tuple(self._orders.get(conversation_id, ()))
