"""Conversations by the synchronous details query: windows of at most a day, each paged to its end or not counted.

Pages are cut anew for each request. While one is read, conversations that vanish move the later ones to pages which have been read
already, and nobody sees them. So a window counts only when its total never fell and as many different conversations came as it says;
otherwise it is asked again, and if that shows something else, in halves, and one of ten minutes a few times over. Where the same pages
contradict the same total twice, nothing is moving: smaller windows would not mend it, and the window is given up at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.events import iso
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.lanes import Lane
from genesys_sync.logs import get_logger

_QUERY: Final = "/api/v2/analytics/conversations/details/query"
_PAGE_SIZE: Final = 100
_PAGES_MAX: Final = 1000
"""The platform pages through 100,000 hits at most; a window with more is halved."""
_WINDOW: Final = timedelta(days=1)
_WINDOW_MIN: Final = timedelta(minutes=10)
_REPEATS: Final = 3
"""How often a window that cannot be halved is paged before it is given up."""

_log = get_logger("genesys.details_query")


def paged_whole(totals: Sequence[int], distinct: int) -> bool:
    """Whether a paging saw everything: `totals` as its pages told them, in order, and how many different conversations came.

    A total that grows is well: what is new begins last, and is read last. Without totals, the empty page was the end.
    """
    fell = any(later < earlier for earlier, later in pairwise(totals))
    return not totals or (not fell and distinct >= totals[-1])


class DetailsQuery:
    """The synchronous details query."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    async def active_between(self, start: datetime, end: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """The details records of the conversations that began on a day which the interval touches and were active in it; some come
        more than once. What was yielded is true even where this raises TransientError or PermanentError, but then it is not all."""
        for window_start, window_end in windows(start, end):
            async for record in self._window(window_start, window_end):
                yield record

    async def _window(self, start: datetime, end: datetime) -> AsyncIterator[Mapping[str, Any]]:
        smallest = end - start <= _WINDOW_MIN
        refused: PlatformRefused | None = None
        before: _Paging | None = None
        for _ in range(_REPEATS if smallest else 2):
            paging = _Paging()
            try:
                async for record in self._pages(start, end, paging):
                    yield record
            except PlatformRefused as error:
                if error.status != 413 and "too.large" not in error.platform_code and "too.many" not in error.platform_code:
                    raise
                refused = error
                break
            if paging.whole:
                return
            _log.info("window_not_counted", seconds=(end - start).total_seconds(), came=len(paging.ids), totals=paging.totals[-2:])
            if before is not None and paging.same_as(before):
                raise _contradiction()
            before = paging
        if smallest:
            raise refused or _contradiction()
        middle = start + (end - start) / 2
        for half_start, half_end in ((start, middle), (middle, end)):
            async for record in self._window(half_start, half_end):
                yield record

    async def _pages(self, start: datetime, end: datetime, paging: _Paging) -> AsyncIterator[Mapping[str, Any]]:
        for page in range(1, _PAGES_MAX + 1):
            query = {**details_query(start, end), "paging": {"pageSize": _PAGE_SIZE, "pageNumber": page}}
            body = (await self._client.call("POST", _QUERY, json=query, repeatable=True, shape=dict, lane=Lane.RECONCILE)).body
            listed = body.get("conversations")
            records = listed if isinstance(listed, list) else []
            paging.take(records, body.get("totalHits"))
            for record in records:
                if isinstance(record, dict):
                    yield record
            # a full page is followed by another whatever the total says: it may lag behind what is there
            if not records or (len(records) < _PAGE_SIZE and paging.totals and 0 < paging.totals[-1] <= page * _PAGE_SIZE):
                paging.ended = True
                return


class _Paging:
    """What one paging of one window has shown."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.totals: list[int] = []
        self.ended = False

    def take(self, records: Sequence[object], total: object) -> None:
        for record in records:
            identity = record.get("conversationId") if isinstance(record, dict) else None
            # what has no id is nobody's repeat
            self.ids.add(identity if isinstance(identity, str) else f"#{len(self.ids)}")
        if isinstance(total, int):
            self.totals.append(total)

    @property
    def whole(self) -> bool:
        return self.ended and paged_whole(self.totals, len(self.ids))

    def same_as(self, other: _Paging) -> bool:
        """Whether both saw the same conversations and totals, to the end."""
        return self.ended and other.ended and (self.ids, self.totals) == (other.ids, other.totals)


def _contradiction() -> TransientError:
    return TransientError("the pages do not add up to the total that the platform tells", code=ReasonCode.BAD_ANSWER)


def windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time from `start` to `end` in pieces of at most a day, in order and without holes."""
    while start < end:
        upto = min(start + _WINDOW, end)
        yield start, upto
        start = upto


def details_query(start: datetime, end: datetime) -> dict[str, Any]:
    """The part that both kinds of query share. It asks for those that have not ended too: were they left out, each that ends while
    pages are read would come in between, and the total of a busy centre would never hold still."""
    return {"interval": f"{iso(start)}/{iso(end)}", "order": "asc", "orderBy": "conversationStart"}


def parse_time(value: object) -> datetime | None:
    """A time of the platform, aware; None for anything that is none. One without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the second for the first and last hours of the calendar, in a zone where UTC has left it
        return None
