"""What the client may do (`authorization/subjects/me`) and what the organisation has bought (`authorization/products`)."""

from __future__ import annotations

from typing import Any, Final

from genesys_sync.clock import Clock
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.grants import holds, objects, permissions_of
from genesys_sync.genesys.lanes import Lane

SUBJECT: Final = "/api/v2/authorization/subjects/me"
PRODUCTS: Final = "/api/v2/authorization/products"
_REMEMBERED_FOR: Final = 60.0
"""Seconds: what was mended a minute ago counts."""


class EntitlementService:
    """Implements `services.Entitlements`."""

    def __init__(self, client: Caller, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._remembered: dict[str, tuple[float, Any]] = {}

    async def lacks(self, *any_of: str) -> bool:
        """See `services.Entitlements.lacks`."""
        granted = permissions_of(await self._told(SUBJECT))
        return granted is not None and not any(holds(permission, granted) for permission in any_of)

    async def products(self) -> frozenset[str] | None:
        """See `services.Entitlements.products`."""
        return products_of(await self._told(PRODUCTS))

    async def _told(self, path: str) -> Any:
        """The answer's body, asked now or within the last minute; None where the platform refuses it."""
        now = self._clock.monotonic()
        until, known = self._remembered.get(path, (0.0, None))
        if now < until:
            return known
        try:
            answer = (await self._client.call("GET", path, lane=Lane.CONTROL)).body
        except PlatformRefused:
            answer = None
        self._remembered[path] = (now + _REMEMBERED_FOR, answer)
        return answer


def products_of(answer: object) -> frozenset[str] | None:
    """The ids that `authorization/products` lists; None for what is no such listing. Pure."""
    if not isinstance(answer, dict) or not isinstance(answer.get("entities"), list):
        return None
    return frozenset(str(one["id"]) for one in objects(answer, "entities") if one.get("id"))
