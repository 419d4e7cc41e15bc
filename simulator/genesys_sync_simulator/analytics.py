"""Analytics: a call as a details record, and the query that finds it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from genesys_sync_simulator.clock import parse_iso
from genesys_sync_simulator.plan import Leg
from genesys_sync_simulator.snapshots import PROVIDERS, View

Json = dict[str, Any]

MOST_DAYS = 31
MOST_ON_A_PAGE = 100
JOB_LIFE = 86_400
"""Seconds for which a details job and its results are kept."""
ORDERS = ("asc", "desc", "unordered")
ORDER_KEYS = ("conversationStart", "conversationEnd", "segmentStart", "segmentEnd")
_FILTERS = {"conversationFilters", "segmentFilters"}
_CONVERSATION_DIMENSIONS = frozenset({"conversationId", "conversationStart", "conversationEnd", "originatingDirection", "divisionId"})
_SESSION_DIMENSIONS = frozenset(
    {
        "mediaType", "direction", "ani", "dnis", "sessionId", "recording", "purpose", "userId", "participantId", "queueId",
        "segmentType", "disconnectType", "segmentStart", "segmentEnd", "provider",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DetailsJob:
    """An asynchronous query: everything it found, when it was submitted, and how it comes to nothing, if it does."""

    found: list[Json]
    begun: float
    fault: str | None = None

    def state(self, now: float, *, takes: float) -> str:
        """The published state at a moment."""
        if now >= self.begun + JOB_LIFE:
            return "EXPIRED"
        if now < self.begun + takes:
            return "QUEUED" if now < self.begun + takes / 2 else "PENDING"
        return "FAILED" if self.fault == "details_job_failed" else "FULFILLED"


class BadQuery(Exception):
    """The query cannot be answered; the sentence says why."""


def details(view: View) -> Json:
    """One `AnalyticsConversationWithoutAttributes` as of the view's moment."""
    call = view.call
    participants = [_customer(view), _acd(view), *(_agent(view, leg) for leg in view.legs)]
    record: Json = {
        "conversationId": call.id,
        "conversationStart": view.at(call.began),
        "conversationEnd": view.at(call.ended),
        "divisionIds": [view.plan.division_id],
        "originatingDirection": "inbound",
        "participants": participants,
    }
    return {key: value for key, value in record.items() if value is not None}


def _segment(view: View, kind: str, start: float, end: float, **more: Any) -> Json | None:
    if view.at(start) is None:
        return None
    ended = view.at(end)
    segment: Json = {"segmentStart": view.at(start), "segmentType": kind, "conference": False, **more}
    if view.subject is not None:
        segment["subject"] = view.subject
    if ended is not None:
        segment |= {"segmentEnd": ended, "disconnectType": "transfer" if end < view.call.ended else "endpoint"}
    return segment


def _session(view: View, session_id: str, segments: Iterable[Json | None], *, recording: bool, metrics: list[Json]) -> Json:
    return {
        "sessionId": session_id,
        "mediaType": view.call.media,
        "direction": "inbound",
        **_addresses(view),
        "provider": PROVIDERS[view.call.media],
        "recording": recording,
        "snippetRecording": False,
        "segments": [segment for segment in segments if segment is not None],
        "metrics": metrics,
    }


def _addresses(view: View) -> Json:
    if view.call.media in ("voice", "chat"):
        return {"ani": view.call.ani, "dnis": view.call.dnis}
    return {"addressFrom": view.call.ani, "addressTo": view.call.dnis}


def _recorded(view: View, leg: Leg) -> bool:
    """The published flag is of sound: what is written says that it was not recorded, and has a recording."""
    return leg.recording is not None and not leg.recording.written and view.offset >= leg.connected


def _customer(view: View) -> Json:
    call = view.call
    sessions = []
    for number, leg in enumerate(call.legs):
        begun = call.began if number == 0 else leg.connected
        if begun > view.offset:
            continue
        waiting = _segment(view, "interact", call.began, leg.connected, queueId=leg.queue.id) if number == 0 else None
        talking = _segment(view, "interact", leg.connected, leg.ended, queueId=leg.queue.id)
        sessions.append(_session(view, leg.customer_session_id, (waiting, talking), recording=_recorded(view, leg), metrics=[]))
    return {
        "participantId": call.customer_participant_id,
        "participantName": call.customer_name,
        "purpose": "customer",
        "screenRecording": False,
        "sessions": sessions,
    }


def _acd(view: View) -> Json:
    call, first = view.call, view.call.legs[0]
    segments = [_segment(view, "interact", call.began, first.connected, queueId=first.queue.id)]
    return {
        "participantId": call.acd_participant_id,
        "participantName": first.queue.name,
        "purpose": "acd",
        "screenRecording": False,
        "sessions": [_session(view, call.acd_session_id, segments, recording=False, metrics=[])],
    }


def _agent(view: View, leg: Leg) -> Json:
    metrics: list[Json] = []
    if (ended := view.at(leg.ended)) is not None:
        metrics = [{"name": "tTalk", "value": round((leg.ended - leg.connected) * 1000), "emitDate": ended}]
    segments = [
        _segment(view, "alert", leg.alerted, leg.connected, queueId=leg.queue.id),
        _segment(view, "interact", leg.connected, leg.ended, queueId=leg.queue.id),
    ]
    return {
        "participantId": leg.participant_id,
        "participantName": leg.agent.name,
        "userId": leg.agent.id,
        "purpose": "agent",
        "screenRecording": leg.screen is not None and view.offset >= leg.connected,
        "sessions": [_session(view, leg.agent_session_id, segments, recording=_recorded(view, leg), metrics=metrics)],
    }


def interval(text: Any) -> tuple[float, float]:
    """Start and end of `start/end` in epoch seconds. Raises BadQuery."""
    try:
        first, _, second = text.partition("/")
        start, end = parse_iso(first), parse_iso(second)
    except (AttributeError, ValueError):
        raise BadQuery("interval must be two ISO 8601 moments with a slash between them") from None
    if start >= end:
        raise BadQuery("interval must end after it starts")
    if end - start > MOST_DAYS * 86_400:
        raise BadQuery(f"interval must not span more than {MOST_DAYS} days")
    return start, end


def touched(record: Json, start: float, end: float, *, by_start_day: bool) -> bool:
    """Whether a record belongs to an interval: active in it and, by start day, begun on a UTC day that the interval touches."""
    begun = parse_iso(record["conversationStart"])
    if begun >= end or ("conversationEnd" in record and parse_iso(record["conversationEnd"]) < start):
        return False
    return not by_start_day or begun >= _midnight(start)


def _midnight(moment: float) -> float:
    return datetime.fromtimestamp(moment, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def matching(records: Sequence[Json], query: Mapping[str, Any], *, by_start_day: bool) -> list[Json]:
    """The records that a query asks for, ordered, of all pages. Raises BadQuery."""
    # Keys that are not published are left unread: whether the platform refuses them is not documented.
    start, end = interval(query.get("interval"))
    order, key = query.get("order", "asc"), query.get("orderBy", "conversationStart")
    if order not in ORDERS:
        raise BadQuery(f"order must be one of {', '.join(ORDERS)}")
    if key not in ORDER_KEYS:
        raise BadQuery(f"orderBy must be one of {', '.join(ORDER_KEYS)}")
    found = [record for record in records if touched(record, start, end, by_start_day=by_start_day)]
    for name in _FILTERS:
        filters = query.get(name) or []
        if not isinstance(filters, list):
            raise BadQuery(f"{name} must be a list")
        for one in filters:
            found = [record for record in found if _passes(record, one, name)]
    limit = query.get("limit", len(found))
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise BadQuery("limit must be a number from 0 on")
    if order != "unordered":
        found.sort(key=lambda record: (_sort_value(record, key), record["conversationId"]), reverse=order == "desc")
    return found[:limit]


def page(found: Sequence[Json], paging: Any) -> list[Json]:
    """One page; 25 a page unless asked otherwise. Raises BadQuery."""
    paging = {} if paging is None else paging
    size, number = (paging.get("pageSize", 25), paging.get("pageNumber", 1)) if isinstance(paging, dict) else (None, None)
    if not isinstance(size, int) or not isinstance(number, int) or not 1 <= size <= MOST_ON_A_PAGE or number < 1:
        raise BadQuery(f"paging needs a pageNumber from 1 and a pageSize from 1 to {MOST_ON_A_PAGE}")
    return list(found[(number - 1) * size : number * size])


def _sort_value(record: Json, key: str) -> str:
    return str(record.get(key) or max(_values(record, key), default=""))


def _passes(record: Json, one: Any, name: str) -> bool:
    if not isinstance(one, dict) or one.get("type") not in ("and", "or"):
        raise BadQuery(f'a filter of {name} needs a type, "and" or "or"')
    parts = [_holds(record, predicate) for predicate in one.get("predicates") or []]
    parts += [_passes(record, clause, name) for clause in one.get("clauses") or []]
    if not parts:
        raise BadQuery(f"a filter of {name} needs predicates or clauses")
    return all(parts) if one["type"] == "and" else any(parts)


def _holds(record: Json, predicate: Any) -> bool:
    if not isinstance(predicate, dict) or predicate.get("type", "dimension") != "dimension":
        raise BadQuery("the simulator knows predicates of type dimension only")
    dimension, operator = predicate.get("dimension"), predicate.get("operator", "matches")
    if dimension not in _CONVERSATION_DIMENSIONS | _SESSION_DIMENSIONS:
        raise BadQuery(f"{dimension} is not a dimension that the simulator knows")
    values = _values(record, dimension)
    if operator == "exists":
        return bool(values)
    if operator == "notExists":
        return not values
    if operator != "matches" or "value" not in predicate:
        raise BadQuery("a predicate needs the operator matches with a value, exists, or notExists")
    return str(predicate["value"]).lower() in {value.lower() for value in values}


def _values(record: Json, dimension: str) -> set[str]:
    """All values that a record has for a dimension, as text."""
    if dimension == "divisionId":
        return set(record["divisionIds"])
    found = {record.get(dimension)} if dimension in _CONVERSATION_DIMENSIONS else set()
    for participant in record["participants"]:
        for session in participant["sessions"]:
            for level in (participant, session, *session["segments"]):
                found.add(level.get(dimension))
    return {str(value).lower() if isinstance(value, bool) else str(value) for value in found if value is not None}
