"""Asks the platform to bring archived recordings back. Once for each: the platform's own `archiveDate` says whether it was asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta

from genesys_sync.plugin import PermanentError, ReasonCode, Services, TransientError, iso
from genesys_sync_handlers._times import parse_iso

_REMEMBERED = 10_000
_REFUSED_FOR = 3000.0
"""Seconds for which a refusal holds: less than an hour, so that a permission granted meanwhile is found at the next hourly look."""
_RETENTION = ("id", "conversationId", "archiveMedium", "deleteDate", "exportDate")
"""What goes back with the edit besides `archiveDate`: a retention date left out of a PUT would be a retention date taken away."""


class Restores:
    """What has been asked for, and what came of it: None when the platform agreed, else its refusal and when it may be asked again.

    Kept for the last ten thousand recordings of this process, because metadata may go on saying ARCHIVED for a while.
    """

    def __init__(self, services: Services, *, keep: timedelta) -> None:
        """`keep`: how long the platform is to keep what it restores."""
        self._services = services
        self._keep = keep
        self._asked: OrderedDict[str, tuple[PermanentError, float] | None] = OrderedDict()

    async def ask(self, conversation_id: str, recording_id: str) -> PermanentError | None:
        """Afterwards the restore has been asked for, by this call or before. Returns the refusal, None when there is none.

        Raises TransientError while the platform can neither be asked nor refuses.
        """
        now = self._services.clock.monotonic()
        if recording_id in self._asked and ((known := self._asked[recording_id]) is None or now < known[1]):
            return None if known is None else known[0]
        refusal: PermanentError | None = None
        try:
            await self._ask(conversation_id, recording_id)
        except PermanentError as error:
            refusal = error
            self._services.log.warning("restore_refused", recording_id=recording_id, reason=error.reason)
        self._asked[recording_id] = None if refusal is None else (refusal, now + _REFUSED_FOR)
        while len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
        return refusal

    async def _ask(self, conversation_id: str, recording_id: str) -> None:
        path = f"/api/v2/conversations/{conversation_id}/recordings/{recording_id}"
        recording = await self._services.genesys.request("GET", path, params={"formatId": "NONE"})
        if not isinstance(recording, Mapping):
            raise TransientError("the answer holds no recording", code=ReasonCode.BAD_ANSWER)
        now = self._services.now()
        if recording.get("fileState", "ARCHIVED") != "ARCHIVED" or ((kept := parse_iso(recording.get("archiveDate"))) and kept > now):
            return
        edit = {key: recording[key] for key in _RETENTION if recording.get(key) is not None}
        await self._services.genesys.request("PUT", path, json={**edit, "archiveDate": iso(now + self._keep)})
        self._services.audit.record("recording.restore", recording_id, until=iso(now + self._keep))
        self._services.log.info("restore_asked", recording_id=recording_id)
