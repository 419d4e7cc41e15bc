"""Which end of its conversation an event tells: the one that is known, or a further one. The ledger decides, so that a restart forgets
nothing, and what the socket and the back-fill tell of one end is one event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from genesys_sync.events import Event, Topic
from genesys_sync.genesys.ends import ended_again
from genesys_sync.ledger.base import Ledger


@dataclass(frozen=True, slots=True)
class Told:
    """An event on its way into the ledger. `left`: of `conversation.ended`, when the last party left, where the platform says."""

    event: Event
    left: datetime | None = None


async def numbered(ledger: Ledger, told: Sequence[Told]) -> list[Event]:
    """The events, in order; each later end of a conversation that was taken up again is a further revision. Raises LedgerError."""
    ids = {one.event.conversation_id or "" for one in told if one.event.topic == Topic.CONVERSATION_ENDED}
    return list(number(told, await ledger.ends_of(sorted(ids)) if ids else {}))


def number(told: Iterable[Told], known: Mapping[str, Sequence[Event]]) -> Iterator[Event]:
    """The same, by the ends that are known of each conversation. All of them, and so all that follows from them, bear the day of the
    first: what is told again is recognised by its day and id. Pure."""
    ends = {name: list(events) for name, events in known.items()}
    for one in told:
        event = one.event
        if event.topic == Topic.CONVERSATION_ENDED:
            before = ends.setdefault(event.conversation_id or "", [])
            if not before:
                before.append(event)
            elif ended_again(max(end.occurred_at for end in before), one.left):
                event = _further(event, before)
                before.append(event)
            else:
                event = replace(event, day=before[0].day)
        yield event


def _further(event: Event, before: Sequence[Event]) -> Event:
    revision = len(before) + 1
    return Event.of(
        event.topic,
        occurred_at=event.occurred_at,
        organization_id=event.organization_id,
        conversation_id=event.conversation_id,
        revision=revision,
        day=before[0].day,
        origin=event.origin,
        body={**event.body, "revision": revision},
    )
