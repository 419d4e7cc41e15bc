"""What the client may do, and what the organisation has bought."""

from __future__ import annotations

from typing import Protocol


class Entitlements(Protocol):
    """Asked of the platform, and remembered for a minute. Both raise TransientError while it cannot be asked."""

    async def lacks(self, *any_of: str) -> bool:
        """Whether the client's role is known to grant none of these permissions. False where the platform does not tell: then it decides
        when it is asked for the thing itself."""
        ...

    async def products(self) -> frozenset[str] | None:
        """The ids of the organisation's products, as the platform spells them; None where it does not tell."""
        ...
