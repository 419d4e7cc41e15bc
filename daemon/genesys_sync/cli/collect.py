"""What a report of completeness is made of: the platform paged for the time, then the ledger, conversation by conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio

from genesys_sync.caveats import caveats
from genesys_sync.cli.moments import GAPS_MOST, Window
from genesys_sync.cli.output import counted
from genesys_sync.cli.report import Report
from genesys_sync.cli.report_progress import Show
from genesys_sync.clock import Clock
from genesys_sync.completeness import UNFINISHED, Judged, PlatformSays, Roles, judge, recorded
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.events import Topic
from genesys_sync.genesys.details_query import parse_time
from genesys_sync.genesys.ends import ended_again, left_at
from genesys_sync.genesys.grants import SENSITIVE, confined_to, sees_sensitive
from genesys_sync.genesys.platform import Platform
from genesys_sync.ledger.base import Fact, Gap, Ledger
from genesys_sync.reckoning import AT_ONCE, ended_between, orphans_between
from genesys_sync.settings import FeedSettings
from genesys_sync.transcript_states import TranscriptRoles, judge_transcripts
from genesys_sync.transcripts import communications
from genesys_sync.units import milliseconds

_PAGINGS: Final = 3
_PAUSE: Final = 5.0


@dataclass(slots=True)
class _Platform:
    """What the platform said: by conversation its end in ms and what it told of it. `fault` is why it was not all."""

    ended: dict[str, tuple[int, PlatformSays]] = field(default_factory=dict)
    fault: str = ""


class Collector:
    """Makes one report. `platform` is None for a report of the ledger alone."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        platform: Platform | None,
        clock: Clock,
        settings: FeedSettings,
        roles: Roles,
        transcript_roles: TranscriptRoles | None = None,
        show: Show = lambda _: None,
    ) -> None:
        self._show = show
        self._ledger = ledger
        self._platform = platform
        self._clock = clock
        self._settings = settings
        self._roles = roles
        self._transcript_roles = transcript_roles or TranscriptRoles()
        self._said = _Platform()

    async def report(self, window: Window) -> Report:
        """Everything of the window, each conversation in the window in which it ended: by the ledger, or, where that does not know it,
        by the platform. Raises CredentialsRefused, TransientError or PermanentError when the platform does not say who we are, and
        LedgerError; what else the platform refuses is a caveat of the report."""
        report = Report(window, self._clock.now(), permission=SENSITIVE, offline=self._platform is None)
        report.transcripts.expected = bool(self._transcript_roles.fetch)
        known_until = self._clock.epoch_ms() - milliseconds(self._settings.backfill_settle)
        if self._platform is not None:
            report.organization_id = await self._platform.identify()
            subject = await self._subject(self._platform)
            report.sensitive, report.divisions = sees_sensitive(subject), confined_to(subject)
            await self._page(self._platform, window)
        here: set[str] = set()
        async for ended in ended_between(self._ledger, window.from_ms, window.to_ms):
            here |= ended.keys()
            self._show(f"comparing: {counted(report.tally.conversations, 'conversation')} judged")
            await self._judge_here(report, ended)
        there = sorted(self._said.ended.keys() - here)
        for first in range(0, len(there), AT_ONCE):
            self._show(f"comparing: {counted(report.tally.conversations, 'conversation')} judged")
            await self._judge_there(report, there[first : first + AT_ONCE])
        async for item in orphans_between(self._ledger, window.start, window.end, self._roles):
            report.tally.add_orphan(item)
            report.items.append(item)
        soon = report.at + self._settings.retention_alert
        report.near = sum(item.delete_date is not None and item.delete_date <= soon for item in report.items if item.state in UNFINISHED)
        report.open_gaps = sum(within(gap, window) for gap in await self._ledger.gaps(limit=GAPS_MOST))
        offset = self._platform.clock_offset if self._platform is not None else timedelta(0)
        report.caveats = caveats(
            offline=report.offline,
            paging_fault=self._said.fault,
            to_ms=window.to_ms,
            known_until_ms=known_until + round(offset.total_seconds() * 1000),
            open_gaps=report.open_gaps,
            sensitive=report.sensitive,
            permission=SENSITIVE,
            tally=report.tally,
            clock_offset=offset,
        )
        return report

    async def _subject(self, platform: Platform) -> object:
        """What tells of the client's roles; None where that is refused."""
        try:
            answer: object = await platform.request("GET", "/api/v2/authorization/subjects/me")
            return answer
        except (TransientError, PermanentError):
            return None

    async def _page(self, platform: Platform, window: Window) -> None:
        """Again from the beginning when it breaks off: what was seen until then stays true."""
        for left in reversed(range(_PAGINGS)):
            ended = platform.conversations.ended_between(window.start, window.end, self._settings.backfill_long_calls)
            try:
                async for record in ended:
                    self._take(record, window)
                    self._show(f"asking the platform: {counted(len(self._said.ended), 'conversation')} seen")
            except TransientError as error:
                self._said.fault = error.reason
                if left:
                    await self._clock.sleep(error.delay.total_seconds() if error.delay is not None else _PAUSE)
            except PermanentError as error:
                self._said.fault = error.reason
                return
            else:
                self._said.fault = ""
                return

    def _take(self, record: Mapping[str, Any], window: Window) -> None:
        ended = parse_time(record.get("conversationEnd"))
        if ended is None and record.get("conversationEnd") is not None:  # it has ended, and nobody can read when
            ended = parse_time(record.get("conversationStart"))
        if ended is not None and window.start <= ended < window.end:
            self._said.ended[str(record.get("conversationId")).lower()] = (round(ended.timestamp() * 1000), _told(record))

    async def _judge_here(self, report: Report, ended: Mapping[str, int]) -> None:
        """Conversations of which the ledger says that they ended in the window, with their ends in ms."""
        facts = await self._ledger.facts_of(list(ended))
        says = {conversation_id: self._says(conversation_id) for conversation_id in ended}
        if self._platform is not None and not self._said.fault:
            # the two may put the end on different sides of a border: only a question by its id tells what is unknown
            says |= await self._asked_one_by_one([name for name, said in says.items() if said.known is None])
        for conversation_id, ended_ms in ended.items():
            self._judge(report, conversation_id, ended_ms, facts.get(conversation_id, ()), says[conversation_id])

    async def _judge_there(self, report: Report, names: Sequence[str]) -> None:
        """Conversations of which only the platform says that they ended in the window, or that they ended then again."""
        facts = await self._ledger.facts_of(names)
        for name in names:
            known = facts.get(name, ())
            ended_ms, says = self._said.ended[name]
            ends = [fact.event.occurred_at for fact in known if fact.event.topic == Topic.CONVERSATION_ENDED]
            if not ends or ended_again(max(ends), says.left):
                self._judge(report, name, ended_ms, known, says)

    def _judge(self, report: Report, name: str, ended_ms: int, facts: Sequence[Fact], says: PlatformSays) -> None:
        _count(report, judge(name, _moment(ended_ms), facts, says, self._roles))
        report.transcripts.add(judge_transcripts(name, _moment(ended_ms), facts, says.communications, self._transcript_roles))

    def _says(self, conversation_id: str) -> PlatformSays:
        found = self._said.ended.get(conversation_id)
        return PlatformSays() if found is None else found[1]

    async def _asked_one_by_one(self, names: Sequence[str]) -> dict[str, PlatformSays]:
        answers: dict[str, PlatformSays] = {}
        platform = self._platform

        async def ask(name: str) -> None:
            assert platform is not None
            try:
                details = await platform.conversations.details(name)
            except (TransientError, PermanentError) as error:
                self._said.fault = self._said.fault or error.reason
                answers[name] = PlatformSays()
            else:
                answers[name] = PlatformSays(known=False) if details is None else _told(details)

        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(ask, name)
        return answers


def within(gap: Gap, window: Window) -> bool:
    """Whether a gap has anything in the window that is still to be covered. Pure."""
    return gap.closed_ms is None and gap.rest_from_ms < window.to_ms and gap.to_ms >= window.from_ms


def _told(details: Mapping[str, Any]) -> PlatformSays:
    told = tuple(one.id for one in communications(details))
    return PlatformSays(known=True, recorded=recorded(details), communications=told, left=left_at(details))


def _count(report: Report, judged: Judged) -> None:
    report.tally.add(judged)
    report.items.extend(judged.items)


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
