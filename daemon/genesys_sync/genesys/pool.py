"""Several OAuth clients of one organisation share the work: the platform counts requests by client, so their budgets add up.

The first client holds the feed: token, channels, and whatever is asked in the control lane. Of the rest each request goes to the client
with the most room. A further client takes part once it is proved: known to the login host, of the same organisation, and allowed to see
all that the first one sees. One that sees less would not be refused; the platform would leave out what it may not see, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.errors import CredentialsRefused, PermanentError, ReasonCode, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller, Client, Reply
from genesys_sync.genesys.grants import lacking
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.turns import LAST
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics

PROVE_EVERY: Final = 300.0
FAILURES_MOST: Final = 3
"""Calls of one further client that may come to nothing, one after the other; each had several tries."""
_SUBJECT: Final = "/api/v2/authorization/subjects/me"
_DENIED: Final = frozenset({ReasonCode.FORBIDDEN, ReasonCode.UNAUTHORIZED})
_NAMED_MAX: Final = 5

_log = get_logger("clients")


@dataclass(slots=True)
class Member:
    """A further client, and why it takes no part: a code for health and a sentence for people; both empty while it does."""

    client: Client
    code: str = "client_unproved"
    sentence: str = "it has not been proved yet"
    failures: int = 0
    """In a row."""

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def usable(self) -> bool:
        return not self.code


class Pool:
    """A `Caller` over the first client and its further ones. `members` are these, for health and `check`."""

    def __init__(self, main: Client, further: Sequence[Client], *, clock: Clock, metrics: Metrics) -> None:
        self.members = tuple(Member(client) for client in further)
        self._main = main
        self._clock = clock
        self._metrics = metrics

    @property
    def clients(self) -> tuple[Client, ...]:
        """The first client and its further ones, whether they take part or not."""
        return (self._main, *(member.client for member in self.members))

    @property
    def clock_offset(self) -> timedelta:
        """See `Client.clock_offset`."""
        return self._main.clock_offset

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        repeatable: bool | None = None,
        shape: type | None = None,
        lane: Lane = Lane.MEDIA,
        urgency: float = LAST,
    ) -> Reply:
        """See `Client.call`. What a further client is refused is asked of the first one: its answer counts."""

        async def ask(caller: Caller) -> Reply:
            return await caller.call(method, path, params=params, json=json, repeatable=repeatable, shape=shape, lane=lane, urgency=urgency)

        member = self._roomiest(lane)
        if member is None:
            return await ask(self._main)
        try:
            reply = await ask(member.client)
        except TransientError as error:
            if error.code is not ReasonCode.UNAUTHORIZED:
                self._failed(member, error)
                raise
            self._judge(member, "client_refused", error.reason)
            _tell(member)
        except PlatformRefused as error:
            if error.code not in _DENIED:
                raise
            _log.info("client_denied", client=member.name, reason=error.reason, instead="asked by the first client")
        else:
            member.failures = 0
            return reply
        return await ask(self._main)

    async def run(self, organization_id: str) -> None:
        """Prove the further clients now and every five minutes, until cancelled: one that was mended takes part again."""
        while self.members:
            before = [member.code for member in self.members]
            await self.prove(organization_id)
            for member, code in zip(self.members, before, strict=True):
                if member.code != code:
                    _tell(member)
            await self._clock.sleep(PROVE_EVERY)

    async def prove(self, organization_id: str) -> None:
        """Afterwards each member says whether it takes part. Where the platform does not answer, it stays as it was."""
        for member in self.members:
            try:
                self._judge(member, *await self._verdict(member.client, organization_id))
            except CredentialsRefused as error:
                self._judge(member, "client_refused", str(error))
            except TransientError as error:
                if error.code is ReasonCode.UNAUTHORIZED:
                    self._judge(member, "client_refused", error.reason)
                elif not member.usable:
                    self._judge(member, "client_unproved", error.reason)
            except PermanentError as error:
                self._judge(member, "client_unproved", error.reason)

    async def _verdict(self, client: Client, organization_id: str) -> tuple[str, str]:
        await client.prove()
        organization = (await client.call("GET", "/api/v2/organizations/me", shape=dict, lane=Lane.CONTROL)).body.get("id")
        if canonical_uuid(organization) != organization_id:
            return "client_of_another_organization", "it belongs to another organisation than the first client"
        own = await client.call("GET", _SUBJECT, lane=Lane.CONTROL)
        missing = lacking(own.body, (await self._main.call("GET", _SUBJECT, lane=Lane.CONTROL)).body)
        if missing:
            named = ", ".join(missing[:_NAMED_MAX]) + (f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else "")
            return "client_lacks_permissions", f"it may not see all that the first client sees; its role lacks {named}"
        return "", ""

    def _failed(self, member: Member, error: TransientError) -> None:
        """Whoever fails again and again keeps its room, and would be given ever more of the work: left out until it is proved anew."""
        if error.code is ReasonCode.RATE_LIMITED:
            return
        member.failures += 1
        if member.usable and member.failures >= FAILURES_MOST:
            self._judge(member, "client_failing", error.reason)
            _tell(member)

    def _judge(self, member: Member, code: str, sentence: str) -> None:
        member.code, member.sentence, member.failures = code, sentence, 0
        self._metrics.api_client_usable.labels(client=member.name).set(member.usable)

    def _roomiest(self, lane: Lane) -> Member | None:
        """The further client that has more room than the first one and all others; None for the first one."""
        if lane is Lane.CONTROL:
            return None
        best, most = None, self._main.room(lane)
        for member in self.members:
            if member.usable and (room := member.client.room(lane)) > most:
                best, most = member, room
        return best


def _tell(member: Member) -> None:
    if member.usable:
        _log.info("client_takes_part", client=member.name)
    else:
        _log.warning("client_out", client=member.name, code=member.code, reason=member.sentence, effect="the others do its work")
