"""What the client cannot see although it asks: sensitive recordings without the permission, and recordings without a conversation.

Neither shows in any answer to the daemon's own questions. So they are asked for by themselves, soon after the start and every hour,
and told: in the log once, in health and metrics for as long as they last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from genesys_sync.clock import Clock
from genesys_sync.errors import CredentialsRefused, PermanentError, TransientError
from genesys_sync.genesys.grants import SENSITIVE, Grants
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics

FIRST: Final = 45.0
"""Seconds after the start, for both: what is needed for the first events goes first."""
EVERY: Final = 3600.0
AGAIN: Final = 60.0
"""Seconds until the next question after one that was not answered."""
_NAMED_MAX = 50
"""Ids in one log line."""

_log = get_logger("visibility")


class Asked(Protocol):
    """What is asked of the platform; `platform.Platform` offers it."""

    @property
    def sees_sensitive(self) -> bool | None:
        """As the last `grants` told."""
        ...

    async def grants(self) -> Grants | None: ...

    async def orphans(self) -> Sequence[Orphan]: ...


class Visibility:
    """What is known of it. `sensitive`: whether sensitive recordings can be seen, None while unknown. `orphans`: how many recordings
    belong to no conversation, None while unknown or not to be read."""

    def __init__(
        self, platform: Asked, *, clock: Clock, metrics: Metrics, take: Callable[[Sequence[Orphan]], Awaitable[None]] | None = None
    ) -> None:
        """`take` is given the orphans that are new since the start, as often as they are found."""
        self._platform = platform
        self._take = take
        self._clock = clock
        self._metrics = metrics
        self._named: frozenset[str] = frozenset()
        self._refused = False
        self.sensitive: bool | None = None
        self.orphans: int | None = None

    async def run(self) -> None:
        """Ask until cancelled."""
        await self._clock.sleep(FIRST)
        while True:
            try:
                await self.look()
            except (TransientError, CredentialsRefused) as error:
                _log.debug("visibility_unknown", reason=str(error))
                await self._clock.sleep(AGAIN)
            else:
                await self._clock.sleep(EVERY)

    async def look_at_grants(self) -> None:
        """Afterwards `sensitive` is known as far as the platform tells: to be asked before anything is fetched, because what is fetched
        tells which variant it is. Raises TransientError or CredentialsRefused where the platform does not answer."""
        try:
            granted = await self._platform.grants()
        except PermanentError:
            granted = None
        self._judge(None if granted is None else self._platform.sees_sensitive)

    async def look(self) -> None:
        """Afterwards both are known as far as the platform tells. Raises TransientError or CredentialsRefused where it does not answer."""
        await self.look_at_grants()
        try:
            found = await self._platform.orphans()
        except PermanentError as error:
            self.orphans = None
            if not self._refused:
                _log.info("orphans_not_visible", reason=error.reason)
            self._refused = True
            return
        self._refused = False
        self.orphans = len(found)
        self._metrics.orphan_recordings.set(len(found))
        if new := [orphan for orphan in found if orphan.id not in self._named]:
            ids = [orphan.id for orphan in new[:_NAMED_MAX]]
            _log.warning("orphan_recordings", total=len(found), new=len(new), ids=ids, archived=self._take is not None)
            if self._take is not None:
                await self._take(new)
        self._named = frozenset(orphan.id for orphan in found)

    def _judge(self, sensitive: bool | None) -> None:  # noqa: FBT001 - one thing is judged
        if sensitive is False and self.sensitive is not False:
            _log.warning("sensitive_not_visible", permission=SENSITIVE, effect="recordings with sensitive parts are left out or redacted")
        elif sensitive and self.sensitive is False:
            _log.info("sensitive_visible", permission=SENSITIVE)
        self.sensitive = sensitive
