"""Batch download requests: one job tells where the media of up to a hundred items lie."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.events import is_canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused, clean_text
from genesys_sync.genesys.client import Caller, Client
from genesys_sync.genesys.turns import LAST
from genesys_sync.services import SecretUrl

ITEMS_MAX = 100
JOB_PATIENCE = 150.0
"""Seconds for one job: less than the three minutes of a look, so that a job that hangs is told as such and not as a timeout."""
_JOB_ID = re.compile(r"[A-Za-z0-9_\-]{1,100}")
_DENIED = re.compile(r"permission|forbidden|not authori[sz]ed|access denied", re.IGNORECASE)
_DELETED = re.compile(r"\b(?:deleted|purged)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One result of a job: a URL, or an error in the platform's words. One recording may have several results."""

    conversation_id: str
    recording_id: str
    url: SecretUrl | None
    content_type: str
    error: str


class Batches:
    """`POST /api/v2/recording/batchrequests`, then as few polls as the poll interval allows."""

    def __init__(self, client: Caller, *, clock: Clock, poll: timedelta) -> None:
        self._client = client
        self._clock = clock
        self._poll = poll.total_seconds()

    async def run(self, items: Sequence[tuple[str, str | None]], *, urgency: float = LAST) -> list[BatchResult]:
        """The results for these (conversation, recording or None for all of its recordings), at most 100, in the platform's order.
        `urgency` as for `Client.call`.

        Raises PlatformRefused when the request is refused, TransientError when the job fails, vanishes or takes too long.
        """
        listed = [{"conversationId": cid} if rid is None else {"conversationId": cid, "recordingId": rid} for cid, rid in items]
        reply = await self._client.call(
            "POST",
            "/api/v2/recording/batchrequests",
            json={"batchDownloadRequestList": listed},
            repeatable=True,  # a job asked for twice is a job too many, and nothing worse
            shape=dict,
            urgency=urgency,
        )
        job_id = reply.body.get("id")
        if not isinstance(job_id, str) or _JOB_ID.fullmatch(job_id) is None:
            raise TransientError("the batch request's answer names no job", code=ReasonCode.BAD_ANSWER, correlation_id=reply.correlation_id)
        return await self._finished(job_id, urgency, by=reply.by)

    async def _finished(self, job_id: str, urgency: float, *, by: Client) -> list[BatchResult]:
        deadline = self._clock.monotonic() + JOB_PATIENCE
        while True:
            await self._clock.sleep(self._poll)
            try:
                reply = await by.call("GET", f"/api/v2/recording/batchrequests/{job_id}", shape=dict, urgency=urgency)
            except PlatformRefused as error:
                # the job is ours and was there: its loss says nothing about the items
                raise TransientError(
                    f"the batch job was lost: {error.reason}", code=ReasonCode.BAD_ANSWER, correlation_id=error.correlation_id
                ) from None
            if reply.body.get("status") == "Completed":
                return parse_results(reply.body)
            if self._clock.monotonic() + self._poll > deadline:
                raise TransientError(
                    "the batch job did not complete in time", code=ReasonCode.NOT_READY, correlation_id=reply.correlation_id
                )


def parse_results(body: Mapping[str, Any]) -> list[BatchResult]:
    """The usable results of a job's answer; entries without ids are passed over. Raises nothing."""
    results: list[BatchResult] = []
    listed = body.get("results")
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict):
            continue
        conversation_id, recording_id = _text(item, "conversationId").lower(), _text(item, "recordingId").lower()
        if not is_canonical_uuid(conversation_id) or not is_canonical_uuid(recording_id):
            continue
        url = _text(item, "resultUrl")
        error = clean_text(_text(item, "errorMsg"))
        results.append(
            BatchResult(conversation_id, recording_id, SecretUrl(url) if url and not error else None, _text(item, "contentType"), error)
        )
    return results


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def item_error(words: str) -> TransientError | PermanentError:
    """What an item's error message means. Only what is plainly final is final."""
    if _DENIED.search(words):
        return PermanentError(f"the platform refuses this recording: {words}", code=ReasonCode.FORBIDDEN)
    if _DELETED.search(words):
        return PermanentError(f"the platform has deleted this recording: {words}", code=ReasonCode.DELETED_UPSTREAM)
    return TransientError(f"the recording cannot be downloaded yet: {words}", code=ReasonCode.NOT_READY)
