"""What the platform knows of conversations: one now, many together, and all that ended in a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from anyio.abc import TaskGroup

from genesys_sync.clock import Clock
from genesys_sync.errors import ReasonCode
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.details_jobs import DetailsJobs, JobFailed
from genesys_sync.genesys.details_query import DetailsQuery, parse_time, windows
from genesys_sync.genesys.gather import Answers, Gatherer, halving
from genesys_sync.genesys.recordings import check_id
from genesys_sync.logs import get_logger
from genesys_sync.settings import GenesysSettings

DETAILS_MAX = 50

_log = get_logger("genesys.conversations")


class ConversationService:
    """Implements `services.Conversations`."""

    def __init__(self, client: Caller, tasks: TaskGroup, settings: GenesysSettings, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._query = DetailsQuery(client)
        self._jobs = DetailsJobs(client, settings, clock=clock)
        self._jobs_after = settings.details_jobs_after
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
        """The detail records of conversations that ended from `start` to `end`, both included, each once; and of those that have ended
        nobody can read when.

        What lies further back than `details_jobs_after` is asked of asynchronous jobs, as far as the data lake reaches; the rest,
        and whatever jobs fail at, of the synchronous query. That one finds conversations by the day of their beginning, so it looks
        back `long_calls` before `start`: one that lasted longer is not found. Take an `end` some minutes in the past: analytics is
        only nearly real-time. Raises TransientError or PermanentError; what was yielded before stays true, but is not all.
        """
        seen: set[str] = set()
        async for record in self._active(start, end, long_calls):
            conversation_id = record.get("conversationId")
            if not isinstance(conversation_id, str) or conversation_id in seen:
                continue
            told = record.get("conversationEnd")
            ended = parse_time(told)
            if (ended is None and told is not None) or (ended is not None and start <= ended <= end):
                seen.add(conversation_id)
                yield record

    async def _active(self, start: datetime, end: datetime, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        """A superset of what ended in the time; records may come twice."""
        border = await self._border(start, end)
        for window_start, window_end in windows(start, border):
            try:
                async for record in self._jobs.active_between(window_start, window_end):
                    yield record
            except (JobFailed, PlatformRefused) as error:
                _log.warning("details_job_failed", reason=error.reason, instead="the synchronous query")
                async for record in self._query.active_between(window_start - long_calls, window_end):
                    yield record
        if border < end:
            async for record in self._query.active_between(border - long_calls, end):
                yield record

    async def _border(self, start: datetime, end: datetime) -> datetime:
        """Up to where jobs are asked: `start` when they are not."""
        border = min(end, self._clock.now() - self._jobs_after)
        if border <= start:
            return start
        try:
            available = await self._jobs.available_until()
        except PlatformRefused as error:
            _log.warning("details_jobs_refused", reason=error.reason, instead="the synchronous query")
            return start
        return start if available is None else max(start, min(border, available))

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
