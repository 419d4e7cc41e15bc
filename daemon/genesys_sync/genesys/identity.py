"""Whose token it is."""

from __future__ import annotations

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import WHOSE, Client
from genesys_sync.genesys.lanes import Lane

TOKEN, ORGANIZATION = WHOSE


async def organization_of(client: Client) -> str:
    """The id of the client's organisation. What is known of the token names it; where that leaves it out, or is refused, the organisation
    itself is asked for. Raises TransientError or PermanentError."""
    named = await _named_by_token(client)
    if named is not None:
        return named
    reply = await client.call("GET", ORGANIZATION, shape=dict, lane=Lane.CONTROL)
    organization_id = canonical_uuid(reply.body.get("id"))
    if organization_id is None:
        raise TransientError(
            "the platform does not say whose token this is: neither tokens/me nor organizations/me holds an organisation's id",
            code=ReasonCode.BAD_ANSWER,
            correlation_id=reply.correlation_id,
        )
    return organization_id


async def _named_by_token(client: Client) -> str | None:
    try:
        reply = await client.call("GET", TOKEN, shape=dict, lane=Lane.CONTROL)
    except PlatformRefused:
        return None
    organization = reply.body.get("organization")
    return canonical_uuid(organization.get("id")) if isinstance(organization, dict) else None
