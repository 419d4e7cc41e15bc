"""The platform's reports on uploads: asked for, waited for, fetched and read; all who ask at one time share one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import aiohttp
import anyio

from genesys_sync.clock import Clock
from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.events import canonical_uuid, iso
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.media import HostRule
from genesys_sync.genesys.upload_rules import rows_of
from genesys_sync.services.recordings import SecretUrl
from genesys_sync.services.uploads import Reported, Sent, UploadStatus

_LIMIT: Final = 32 << 20
_POLLS: Final = 60
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 5.0
_REACH: Final = timedelta(hours=1)
"""A report reaches back further than the first that asks, so that it serves those begun a little earlier too."""


class UploadReports:
    """`every`: seconds for which one report serves all."""

    def __init__(self, client: Caller, session: aiohttp.ClientSession, rule: HostRule, *, every: float, clock: Clock) -> None:
        self._client = client
        self._session = session
        self._rule = rule
        self._every = every
        self._clock = clock
        self._turn = anyio.Lock()
        self._rows: Mapping[str, Reported] = {}
        self._since: datetime | None = None
        self._made_at = 0.0

    async def look(self, sent: Sent, *, fresh: bool = False) -> Reported | None:
        """What the platform says of this upload; None while it is not listed. `fresh`: by a report that was asked for after the call.
        Raises TransientError or PermanentError."""
        called_at = self._clock.monotonic()
        async with self._turn:
            known = self._rows.get(sent.upload_key)
            if known is not None and known.status is not UploadStatus.PENDING:
                return known
            newest = called_at if fresh else self._clock.monotonic() - self._every
            if self._since is None or self._since > sent.since or self._made_at < newest:
                asked_at, since = self._clock.monotonic(), sent.since - _REACH
                self._rows = await self._made(since)
                self._since, self._made_at = since, asked_at
            return self._rows.get(sent.upload_key)

    async def _made(self, since: datetime) -> Mapping[str, Reported]:
        """The lines of a report made now."""
        asked = {"dateSince": iso(since)}
        # repeatable: a report more changes nothing
        reply = await self._client.call(
            "POST", "/api/v2/recording/uploads/reports", json=asked, repeatable=True, shape=dict, lane=Lane.UPLOADS
        )
        report_id = canonical_uuid(reply.body.get("id"))
        if report_id is None:
            raise TransientError("the platform made an upload report without an id", code=ReasonCode.BAD_ANSWER)
        wait = _FIRST_WAIT
        for _ in range(_POLLS):
            reply = await reply.by.call("GET", f"/api/v2/recording/uploads/reports/{report_id}", shape=dict, lane=Lane.UPLOADS)
            state, url = str(reply.body.get("state") or "").lower(), reply.body.get("signedUrl")
            if state == "completed" and isinstance(url, str):
                return rows_of(await self._fetched(SecretUrl(url)))
            if state == "failed":
                sentence = "the platform failed to make an upload report"
                raise TransientError(sentence, code=ReasonCode.NOT_READY, correlation_id=reply.correlation_id)
            await self._clock.sleep(wait)
            wait = min(wait * 1.5, _LONGEST_WAIT)
        raise TransientError("the platform does not finish an upload report", code=ReasonCode.NOT_READY)

    async def _fetched(self, url: SecretUrl) -> bytes:
        data = bytearray()
        try:
            async with self._session.get(self._rule.check(url), allow_redirects=False) as response:
                if response.status != 200:
                    raise TransientError(f"the store answered {response.status} for an upload report", code=ReasonCode.UNREACHABLE)
                while piece := await response.content.read(1 << 18):
                    data += piece
                    if len(data) > _LIMIT:
                        raise TransientError("an upload report is longer than 32 MiB", code=ReasonCode.BAD_ANSWER)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransientError(f"an upload report could not be fetched ({type(error).__name__})", code=ReasonCode.UNREACHABLE) from None
        return bytes(data)
