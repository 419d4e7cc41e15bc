"""What the platform deletes soon."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.details_query import parse_time
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.lanes import Lane

PAGES_MAX: Final = 40
_PATH: Final = "/api/v2/recordings/retention/query"


class RetentionQuery:
    """`GET /api/v2/recordings/retention/query`."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def within(self, days: int) -> tuple[list[tuple[str, str, datetime]], bool]:
        """The recordings that the platform archives or deletes within so many days, as (conversation, recording, deletion), those without
        a deletion left out; and whether these are all: 20,000 are read at most. Raises TransientError or PermanentError."""
        found = []
        params = {"retentionThresholdDays": str(days), "pageSize": "500"}
        for _ in range(PAGES_MAX):
            body = (await self._client.call("GET", _PATH, params=params, shape=dict, lane=Lane.RECONCILE)).body
            for entity in objects(body, "entities"):
                conversation_id, recording_id = canonical_uuid(entity.get("conversationId")), canonical_uuid(entity.get("recordingId"))
                deletion = parse_time(entity.get("deleteDate"))
                if conversation_id is not None and recording_id is not None and deletion is not None:
                    found.append((conversation_id, recording_id, deletion))
            cursor = _cursor(body)
            if not cursor or cursor == params.get("cursor"):
                return found, True
            params["cursor"] = cursor
        return found, False


def _cursor(body: dict[str, object]) -> str:
    """Where the next page begins: named by itself, or in the address of the next page. Empty at the end."""
    cursor, following = body.get("cursor"), body.get("nextUri")
    if isinstance(cursor, str) and cursor:
        return cursor
    return parse_qs(urlsplit(following).query).get("cursor", [""])[0] if isinstance(following, str) else ""
