"""Between the ledger's rows and what everybody else works with. Pure; what cannot be written is refused here, before the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from genesys_sync.audit import AuditEntry, Numbered
from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event, Origin, delivery_id
from genesys_sync.ledger.base import Claim, DeliveryRecord, DeliveryState
from genesys_sync.routing import RoutedEvent
from genesys_sync.tallies import ActionTally, stored_by, tally_of

Row = Sequence[Any]
Parameters = Mapping[str, Any]

EVENT_COLUMNS = 10
"""day, id, topic, occurred_ms, organization_id, conversation_id, recording_id, origin, parent_id, body"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_DELIVERY_PREFIX = "dlv_"


@dataclass(frozen=True, slots=True)
class EventRows:
    """An event as it is written: the parameters of its row, handler and id of each delivery, and what it adds to what is stored."""

    event: Parameters
    deliveries: tuple[tuple[str, bytes], ...]
    stored: Parameters | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An audit entry as it is written, and what it adds to the tallies of actions."""

    entry: Parameters
    action: ActionTally | None = None


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970; what is finer is cut off."""
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def event_rows(routed: RoutedEvent) -> EventRows:
    """Raises ValueError for an event whose id is not 32 hexadecimal digits or whose body is not JSON."""
    event = routed.event
    identity = bytes.fromhex(event.id)
    if len(identity) != 16:
        raise ValueError(f"the id of a {event.topic} event must be 32 hexadecimal digits; make events with Event.of")
    return EventRows(
        {
            "day": day_number(event.day),
            "id": identity,
            "topic": event.topic,
            "occurred_ms": to_ms(event.occurred_at),
            "organization_id": event.organization_id,
            "conversation_id": event.conversation_id,
            "recording_id": event.recording_id,
            "origin": event.origin.value,
            "parent_id": event.parent_id,
            "body": _json(event.body, f"the body of a {event.topic} event"),
        },
        tuple((handler, delivery_key(event.id, handler)) for handler in dict.fromkeys(routed.handlers)),
        _stored(event),
    )


def _stored(event: Event) -> Parameters | None:
    found = stored_by(event.topic, event.body)
    return None if found is None else {"kind": found[0], "objects": found[1].objects, "bytes": found[1].bytes}


def audit_rows(entries: Sequence[AuditEntry]) -> list[AuditRow]:
    """Raises ValueError for an entry whose facts are not JSON."""
    return [
        AuditRow(
            {
                "at_ms": to_ms(entry.at),
                "actor": entry.actor,
                "action": entry.action,
                "target": entry.target,
                "outcome": entry.outcome,
                "facts": _json(entry.facts, f"the facts of an audit entry {entry.action}"),
            },
            tally_of(entry),
        )
        for entry in entries
    ]


def numbered_of(row: Row) -> Numbered:
    """From the columns of the query `audit_after`."""
    seq, at_ms, actor, action, target, outcome, facts = row
    entry = AuditEntry(at=from_ms(at_ms), actor=actor, action=action, target=target, outcome=outcome, facts=orjson.loads(facts))
    return Numbered(seq, entry)


def day_number(day: date) -> int:
    """As the ledger counts days: since 1970."""
    return (day - _FIRST_DAY).days


def day_of(number: int) -> date:
    return _FIRST_DAY + timedelta(days=number)


def delivery_key(event_id: str, handler: str) -> bytes:
    """The 16 bytes of the delivery's id."""
    return bytes.fromhex(delivery_id(event_id, handler).removeprefix(_DELIVERY_PREFIX))


def parse_delivery_id(text: str) -> bytes | None:
    """The 16 bytes of `dlv_…`; None for any other text."""
    return _sixteen_bytes(text.removeprefix(_DELIVERY_PREFIX)) if text.startswith(_DELIVERY_PREFIX) else None


def parse_event_id(text: str) -> bytes | None:
    """The 16 bytes of 32 hexadecimal digits; None for any other text."""
    return _sixteen_bytes(text)


def event_of(row: Row) -> Event:
    """The event in the first ten columns."""
    day, identity, topic, occurred_ms, organization_id, conversation_id, recording_id, origin, parent_id, body = row[:EVENT_COLUMNS]
    return Event(
        id=identity.hex(),
        topic=topic,
        occurred_at=from_ms(occurred_ms),
        day=day_of(day),
        organization_id=organization_id,
        conversation_id=conversation_id,
        recording_id=recording_id,
        origin=Origin(origin),
        parent_id=parent_id,
        body=orjson.loads(body),
    )


def claim_of(row: Row) -> Claim:
    """From the columns of the queries `ready_deliveries` and `ready_dated_deliveries`."""
    event_seq, handler, identity, attempts, snoozes, created_ms, fence, lease_until_ms, _deadline_ms = row[EVENT_COLUMNS:]
    return Claim(
        event=event_of(row),
        handler=handler,
        delivery_id=_DELIVERY_PREFIX + identity.hex(),
        attempts=attempts,
        snoozes=snoozes,
        created_ms=created_ms,
        fence=fence,
        lease_until_ms=lease_until_ms,
        event_seq=event_seq,
    )


def record_of(row: Row) -> DeliveryRecord:
    """From the columns of the queries `delivery` and `delivery_in_history`."""
    (
        handler,
        identity,
        state,
        attempts,
        snoozes,
        created_ms,
        due_ms,
        finished_ms,
        reason,
        first_error,
        last_error,
        correlation_id,
        note,
    ) = row[EVENT_COLUMNS:]
    return DeliveryRecord(
        event=event_of(row),
        handler=handler,
        delivery_id=_DELIVERY_PREFIX + identity.hex(),
        state=DeliveryState(state),
        attempts=attempts,
        snoozes=snoozes,
        created_ms=created_ms,
        due_ms=due_ms,
        finished_ms=finished_ms,
        reason=None if reason is None else ReasonCode(reason),
        first_error=first_error,
        last_error=last_error,
        correlation_id=correlation_id,
        note=note,
    )


def _json(value: Mapping[str, Any], what: str) -> bytes:
    try:
        return orjson.dumps(dict(value))
    except orjson.JSONEncodeError as error:
        raise ValueError(f"{what} holds something that is not JSON: {error}") from None


def _sixteen_bytes(text: str) -> bytes | None:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == 16 and len(text) == 32 else None
