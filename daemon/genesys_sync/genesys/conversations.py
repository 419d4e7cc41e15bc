"""What the platform knows of conversations: one now, many together, and all that ended in a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio.abc import TaskGroup

from genesys_sync.clock import Clock
from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Client
from genesys_sync.genesys.gather import Answers, Gatherer, halving
from genesys_sync.genesys.recordings import check_id
from genesys_sync.settings import GenesysSettings

DETAILS_MAX = 50
_QUERY = "/api/v2/analytics/conversations/details/query"
_PAGE_SIZE = 100
_WINDOW = timedelta(days=1)
_WINDOW_MIN = timedelta(minutes=10)
_PAGES_MAX = 1000
"""The platform pages through 100,000 hits at most; a window with more is halved."""


class ConversationService:
    """Implements `services.Conversations`."""

    def __init__(self, client: Client, tasks: TaskGroup, settings: GenesysSettings, *, clock: Clock) -> None:
        self._client = client
        self._details: Gatherer[str, Mapping[str, Any] | None] = Gatherer(
            tasks, self._details_of_all, clock=clock, window=settings.batch_gather, limit=DETAILS_MAX
        )

    async def details(self, conversation_id: str) -> Mapping[str, Any] | None:
        """See `services.Conversations.details`."""
        check_id(conversation_id)
        return await self._details.ask(conversation_id)

    async def get(self, conversation_id: str) -> Mapping[str, Any]:
        """See `services.Conversations.get`."""
        check_id(conversation_id)
        body: Mapping[str, Any] = (await self._client.call("GET", f"/api/v2/conversations/{conversation_id}", shape=dict)).body
        return body

    async def ended_between(self, start: datetime, end: datetime, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        """The detail records of conversations that ended from `start` to `end`, both included, each once, by time of beginning.

        The query finds conversations by the day of their beginning, so it looks back `long_calls` before `start`: one that
        lasted longer is not found. Take an `end` some minutes in the past: analytics is only nearly real-time, and pages of a
        result that still grows can shift. Raises TransientError or PermanentError; what was yielded before stays true.
        """
        seen: set[str] = set()
        for window_start, window_end in windows(start - long_calls, end):
            async for record in self._window(window_start, window_end):
                conversation_id = record.get("conversationId")
                if not isinstance(conversation_id, str) or conversation_id in seen:
                    continue
                ended = parse_time(record.get("conversationEnd"))
                if ended is not None and start <= ended <= end:
                    seen.add(conversation_id)
                    yield record

    async def _window(self, start: datetime, end: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Every page of one window; a window that is too much for the platform is halved, down to minutes."""
        total = 0
        too_much: PlatformRefused | None = None
        try:
            for page in range(1, _PAGES_MAX + 1):
                reply = await self._client.call("POST", _QUERY, json=_query(start, end, page), repeatable=True, shape=dict)
                records = reply.body.get("conversations")
                for record in records if isinstance(records, list) else []:
                    if isinstance(record, dict):
                        yield record
                hits = reply.body.get("totalHits")
                total = hits if isinstance(hits, int) else total
                if not records or (total and page * _PAGE_SIZE >= total):
                    return
        except PlatformRefused as error:
            if error.status != 413 and "too.large" not in error.platform_code and "too.many" not in error.platform_code:
                raise
            too_much = error
        if end - start <= _WINDOW_MIN:
            raise too_much or TransientError("more conversations in minutes than the platform pages through", code=ReasonCode.BAD_ANSWER)
        middle = start + (end - start) / 2
        for half_start, half_end in ((start, middle), (middle, end)):
            async for record in self._window(half_start, half_end):
                yield record

    async def _details_of_all(self, conversation_ids: Sequence[str]) -> Answers[str, Mapping[str, Any] | None]:
        return await halving(self._details_of, conversation_ids)

    async def _details_of(self, conversation_ids: Sequence[str]) -> Answers[str, Mapping[str, Any] | None]:
        try:
            reply = await self._client.call(
                "GET", "/api/v2/analytics/conversations/details", params={"id": ",".join(conversation_ids)}, shape=dict
            )
        except PlatformRefused as error:
            if error.code is not ReasonCode.NOT_FOUND:
                raise
            return dict.fromkeys(conversation_ids)
        records = reply.body.get("conversations")
        found = {
            str(record.get("conversationId")).lower(): record
            for record in (records if isinstance(records, list) else [])
            if isinstance(record, dict)
        }
        return {conversation_id: found.get(conversation_id) for conversation_id in conversation_ids}


def windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time from `start` to `end` in pieces of at most a day, in order and without holes."""
    while start < end:
        upto = min(start + _WINDOW, end)
        yield start, upto
        start = upto


def _query(start: datetime, end: datetime, page: int) -> dict[str, Any]:
    return {
        "interval": f"{format_time(start)}/{format_time(end)}",
        "order": "asc",
        "orderBy": "conversationStart",
        "conversationFilters": [
            {"type": "and", "predicates": [{"type": "dimension", "dimension": "conversationEnd", "operator": "exists"}]}
        ],
        "paging": {"pageSize": _PAGE_SIZE, "pageNumber": page},
    }


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(value: object) -> datetime | None:
    """A time of the platform, aware; None for anything that is none. One without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
