"""A stand-in for what the client may do, and what the organisation has bought."""

from __future__ import annotations

from anyio.lowlevel import checkpoint


class FakeEntitlements:
    """`services.Entitlements` over what was put in. Nothing is missing until it is put into `lacking` (permissions) or `listed`."""

    def __init__(self) -> None:
        self.lacking: set[str] = set()
        self.listed: frozenset[str] | None = frozenset({"genesysCloud2"})

    async def lacks(self, *any_of: str) -> bool:
        await checkpoint()
        return self.lacking.issuperset(any_of)

    async def products(self) -> frozenset[str] | None:
        await checkpoint()
        return self.listed
