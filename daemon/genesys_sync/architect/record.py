"""What was pushed and published, as events. The platform keeps no hash of a prompt's source, so the ledger does.

The pushes of one prompt in one language are a chain: event ids are a pure function of prompt, language and revision, so the last of them
is found by asking for ids, without an index of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from genesys_sync.architect.plan import Known
from genesys_sync.events import Event, Topic, event_id
from genesys_sync.ledger.base import Ledger
from genesys_sync.services.architect import PromptAsset, Published


async def last_push(ledger: Ledger, organization_id: str, prompt_id: str, language: str) -> Known | None:
    """The last recorded push; None before the first. A few look-ups, whatever their number."""

    async def look(revision: int) -> Event | None:
        state, nobody = f"{prompt_id}:{language}", {"conversation_id": None, "recording_id": None}
        wanted = event_id(Topic.PROMPT_TRANSCODED, organization_id=organization_id, **nobody, state=state, revision=revision)
        return next(iter(await ledger.events_about(wanted, limit=1)), None)

    low, high, found = 0, 1, None
    while (event := await look(high)) is not None:
        low, high, found = high, 2 * high, event
    while high - low > 1:
        middle = (low + high) // 2
        event = await look(middle)
        low, high, found = (middle, high, event) if event is not None else (low, middle, found)
    return None if found is None else _known(found.body, low)


def _known(body: Mapping[str, Any], revision: int) -> Known:
    return Known(
        resource_id=str(body["resourceId"]),
        sha256=str(body["source"]["sha256"]),
        form=str(body["form"]),
        seconds=body["durationSeconds"],
        format=body["format"],
        revision=revision,
        served=str(body["media"]["sha256"]),
    )


def pushed(
    asset: PromptAsset,
    *,
    at: datetime,
    organization_id: str,
    name: str,
    form: str,
    source: Mapping[str, Any],
    media: Mapping[str, Any],
    revision: int,
) -> Event:
    """That a prompt's audio was uploaded, transcoded and heard again. `source` and `media` (what the platform serves): sha256 and bytes."""
    return Event.of(
        Topic.PROMPT_TRANSCODED,
        occurred_at=at,
        organization_id=organization_id,
        state=f"{asset.prompt_id}:{asset.language}",
        revision=revision,
        body={
            "promptId": asset.prompt_id,
            "resourceId": asset.id,
            "name": name,
            "language": asset.language,
            "source": dict(source),
            "form": form,
            "durationSeconds": asset.seconds,
            "format": dict(asset.format),
            "media": dict(media),
        },
    )


def published(done: Published, *, at: datetime, organization_id: str) -> Event:
    """That a flow was published."""
    return Event.of(
        Topic.FLOW_PUBLISHED,
        occurred_at=at,
        organization_id=organization_id,
        state=f"{done.flow.id}:{done.operation_id}",
        body={
            "flowId": done.flow.id,
            "name": done.flow.name,
            "version": done.flow.published or None,
            "operationId": done.operation_id,
            "seconds": round(done.seconds, 3),
        },
    )
