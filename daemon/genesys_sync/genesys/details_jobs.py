"""Conversations of long ago, by asynchronous details jobs: submitted, waited for, read by cursor, removed.

A job is made of the platform's data lake, which is loaded with hours of delay: nothing later than `available_until` may be asked of it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller, Client
from genesys_sync.genesys.details_query import details_query, parse_time
from genesys_sync.genesys.lanes import Lane
from genesys_sync.logs import get_logger
from genesys_sync.settings import GenesysSettings

_JOBS: Final = "/api/v2/analytics/conversations/details/jobs"
_PAGE_SIZE: Final = "1000"
_PAGES_MAX: Final = 10_000
_SUBMISSIONS: Final = 3
_PATIENCE: Final = 900.0
"""Seconds for one job; then another is submitted."""
_ENDED_BADLY: Final = frozenset({"FAILED", "CANCELLED", "EXPIRED"})
_JOB_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

_log = get_logger("genesys.details_jobs")


class JobFailed(TransientError):
    """No job came to its end, one after the other. The synchronous query may still answer."""


class _JobLost(Exception):
    """This job ended badly, or the platform knows it no longer; the word says which."""


class DetailsJobs:
    """The asynchronous details query."""

    def __init__(self, client: Caller, settings: GenesysSettings, *, clock: Clock) -> None:
        self._client = client
        self._poll = settings.details_job_poll.total_seconds()
        self._clock = clock

    async def available_until(self) -> datetime | None:
        """Up to where jobs know everything; None where the platform does not say. Raises TransientError or PermanentError."""
        return parse_time(
            (await self._client.call("GET", f"{_JOBS}/availability", shape=dict, lane=Lane.RECONCILE)).body.get("dataAvailabilityDate")
        )

    async def active_between(self, start: datetime, end: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """The details records of all conversations with any activity in the interval, in no promised order; some may come twice.

        What was yielded is true even where this raises: JobFailed after three jobs that ended badly, TransientError or
        PermanentError for the requests themselves.
        """
        lost = ""
        for _ in range(_SUBMISSIONS):
            job_id, owner = await self._submit(start, end)
            try:
                await self._fulfilled(job_id, owner)
                async for record in self._results(job_id, owner):
                    yield record
            except _JobLost as error:
                lost = str(error)
                _log.warning("details_job_lost", state=lost)
            else:
                return
            finally:
                await self._remove(job_id, owner)
        raise JobFailed(f"{_SUBMISSIONS} details jobs in a row did not come to their end ({lost})", code=ReasonCode.BAD_ANSWER)

    async def _submit(self, start: datetime, end: datetime) -> tuple[str, Client]:
        """The job and the client that it belongs to. A job asked for twice is a job too many, and no harm."""
        reply = await self._client.call("POST", _JOBS, json=details_query(start, end), repeatable=True, shape=dict, lane=Lane.RECONCILE)
        job_id = reply.body.get("jobId")
        if not isinstance(job_id, str) or _JOB_ID.fullmatch(job_id) is None:
            raise TransientError("a details job was taken without an id", code=ReasonCode.BAD_ANSWER, correlation_id=reply.correlation_id)
        return job_id, reply.by

    async def _fulfilled(self, job_id: str, owner: Client) -> None:
        deadline = self._clock.monotonic() + _PATIENCE
        while True:
            state = (await self._asked(owner, f"{_JOBS}/{job_id}")).get("state")
            if state == "FULFILLED":
                return
            if state in _ENDED_BADLY:
                raise _JobLost(str(state))
            if self._clock.monotonic() >= deadline:
                raise _JobLost("not fulfilled in time")
            await self._clock.sleep(self._poll)

    async def _results(self, job_id: str, owner: Client) -> AsyncIterator[Mapping[str, Any]]:
        """Page after page until one has no cursor. A cursor that comes again would never end."""
        parameters = {"pageSize": _PAGE_SIZE}
        used: set[str] = set()
        for _ in range(_PAGES_MAX):
            body = await self._asked(owner, f"{_JOBS}/{job_id}/results", parameters)
            records = body.get("conversations")
            for record in records if isinstance(records, list) else []:
                if isinstance(record, dict):
                    yield record
            cursor = body.get("cursor")
            if cursor is None or cursor == "":
                return
            if not isinstance(cursor, str) or cursor in used:
                raise _JobLost("its cursor leads nowhere")
            used.add(cursor)
            parameters["cursor"] = cursor
        raise _JobLost("too many pages")

    async def _asked(self, owner: Client, path: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            body: Mapping[str, Any] = (await owner.call("GET", path, params=params, shape=dict, lane=Lane.RECONCILE)).body
        except PlatformRefused as error:
            if error.code is ReasonCode.NOT_FOUND:
                raise _JobLost("gone") from None
            raise
        return body

    async def _remove(self, job_id: str, owner: Client) -> None:
        """Jobs are few at one time, so a finished one is given back; the platform drops it by itself should this fail."""
        try:
            await owner.call("DELETE", f"{_JOBS}/{job_id}", lane=Lane.RECONCILE)
        except (TransientError, PermanentError) as error:
            _log.debug("details_job_not_removed", reason=error.reason)
