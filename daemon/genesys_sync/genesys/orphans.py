"""Recordings that belong to no conversation: what the platform lists of them, and where their media lie."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.details_query import parse_time
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.lanes import Lane

PATH: Final = "/api/v2/orphanrecordings"
_PAGES_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Orphan:
    """One of them. `created` is None where the platform does not say; `file_state` is verbatim."""

    id: str
    created: datetime | None
    file_state: str
    media: str


async def listed(client: Caller) -> list[Orphan]:
    """All pages of the list, which ends at 500. Raises TransientError or PermanentError."""
    found: dict[str, Orphan] = {}
    for page in range(1, _PAGES_MAX + 1):
        params = {"pageSize": "25", "pageNumber": str(page)}
        body = (await client.call("GET", PATH, params=params, shape=dict, lane=Lane.RECONCILE)).body
        entities = objects(body, "entities")
        for entity in entities:
            if (orphan := canonical_uuid(entity.get("id"))) is not None:
                state, media = str(entity.get("fileState") or ""), str(entity.get("mediaType") or "")
                found[orphan] = Orphan(orphan, parse_time(entity.get("createdTime")), state[:64], media[:64].lower())
        pages = body.get("pageCount")
        if not entities or (isinstance(pages, int) and page >= pages):
            break
    return list(found.values())
