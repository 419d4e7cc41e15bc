"""`POST /api/v2/speechandtextanalytics/transcripts/search`, in the queries that clients use. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from genesys_sync_simulator.clock import iso, parse_iso
from genesys_sync_simulator.speech.document import transcript_id
from genesys_sync_simulator.speech.plan import TranscriptPlan

Json = dict[str, Any]

MOST_CRITERIA = 50
MOST_PAGEABLE = 1000
_TYPES = ("transcripts", "transcripts_metadata")
_TEXTS = ("EXACT", "EXACT_PHRASE", "PHRASE", "TERM", "TERMS", "CONTAINS", "STARTS_WITH")
_BOUNDS = ("DATE_RANGE", "RANGE", "GREATER_THAN", "LESS_THAN", "GREATER_THAN_EQUAL_TO", "LESS_THAN_EQUAL_TO")


class BadSearch(Exception):
    """The search cannot be made; `code` is the published one."""

    def __init__(self, sentence: str, code: str = "bad.request") -> None:
        self.code = code
        super().__init__(sentence)


def search(ready: Sequence[TranscriptPlan], asked: Json, started_at: float) -> Json:
    """A `JsonSearchResponse` over the transcripts that are there. Raises BadSearch."""
    types, criteria = asked.get("types"), asked.get("query", [])
    if not isinstance(types, list) or not types or any(one not in _TYPES for one in types):
        raise BadSearch(f"types must list {' or '.join(_TYPES)}")
    if not isinstance(criteria, list) or not all(isinstance(one, dict) for one in criteria):
        raise BadSearch("query must be a list of criteria")
    if len(criteria) > MOST_CRITERIA:
        raise BadSearch(f"A search may have at most {MOST_CRITERIA} criteria", "too.many.search.criteria")
    size, page = asked.get("pageSize", 25), asked.get("pageNumber", 1)
    if not isinstance(size, int) or not isinstance(page, int) or not 1 <= size <= 100 or page < 1:
        raise BadSearch("pageSize must be from 1 to 100, and pageNumber from 1")
    if size * page > MOST_PAGEABLE:
        raise BadSearch(f"Only the first {MOST_PAGEABLE} results can be had", "too.many.requested.results")
    hits = [row for row in (_row(one, started_at) for one in ready) if all(_holds(row, one) for one in criteria)]
    hits.sort(key=lambda row: str(row.get(asked.get("sortBy") or "conversationStartTime", "")), reverse=asked.get("sortOrder") != "ASC")
    shown = hits[(page - 1) * size : page * size]
    return {
        "total": len(hits),
        "pageCount": ceil(len(hits) / size),
        "pageSize": size,
        "pageNumber": page,
        "types": types,
        "results": [_returned(row, asked.get("returnFields")) for row in shown],
    }


def _row(one: TranscriptPlan, started_at: float) -> Json:
    return {
        "conversationId": one.call.id,
        "communicationId": one.session_id,
        "transcriptId": transcript_id(one, 0),
        "mediaType": "call",
        "language": one.script.languages[0] if one.script.languages else "",
        "conversationStartTime": iso(started_at + one.call.began),
        "startTime": iso(started_at + one.leg.connected),
        "queueId": one.leg.queue.id,
        "agentIds": [one.leg.agent.id],
        "transcript": " ".join(utterance.text for utterance in one.script.utterances),
    }


def _returned(row: Json, fields: Any) -> Json:
    kept = {key: value for key, value in row.items() if key != "transcript"}
    return {key: kept[key] for key in fields if key in kept} if isinstance(fields, list) and fields else kept


def _holds(row: Json, criterion: Json) -> bool:
    kind, fields = criterion.get("type"), criterion.get("fields")
    if not isinstance(fields, list) or not fields:
        raise BadSearch("A criterion needs fields")
    values = [row.get(field) for field in fields]
    if kind == "REQUIRED_FIELDS":
        return all(value is not None for value in values)
    if kind in _TEXTS:
        wanted = criterion.get("values") or [criterion.get("value")]
        return any(_says(value, str(want).lower(), exact=kind == "EXACT") for value in values for want in wanted)
    if kind in _BOUNDS:
        return any(value is not None and _within(str(value), criterion) for value in values)
    raise BadSearch(f"{kind} is not a type of criterion that the simulator knows")


def _says(value: Any, want: str, *, exact: bool) -> bool:
    texts = [str(one).lower() for one in (value if isinstance(value, list) else [value]) if one is not None]
    return want in texts if exact else any(want in text for text in texts)


def _within(value: str, criterion: Json) -> bool:
    try:
        moment = parse_iso(value)
        low = parse_iso(criterion["startValue"]) if "startValue" in criterion else float("-inf")
        high = parse_iso(criterion["endValue"]) if "endValue" in criterion else float("inf")
        bound = parse_iso(criterion["value"]) if "value" in criterion else None
    except (TypeError, ValueError):
        raise BadSearch("A range is given in ISO 8601 moments") from None
    if bound is not None:
        return moment > bound if str(criterion["type"]).startswith("GREATER") else moment < bound
    return low <= moment <= high
