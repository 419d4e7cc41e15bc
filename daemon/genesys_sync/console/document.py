"""The console's one document: `/console.json` is this, and the page shows this and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from genesys_sync import __version__
from genesys_sync.completeness import State
from genesys_sync.console.readings import Books, Day
from genesys_sync.console.words import sentence
from genesys_sync.events import iso
from genesys_sync.feed.listener import FeedState
from genesys_sync.overview import as_json
from genesys_sync.uploading import UploadState


@dataclass(frozen=True, slots=True)
class Budget:
    """What one OAuth client may still ask in the present rate window; `held` are seconds that a 429 still lasts."""

    client: str
    remaining: int
    limit: int
    held: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the process knows of itself.

    at, monotonic  now, by both clocks
    started        when it began its work
    readiness      the answer of `/readyz`
    feed           None until the platform has said whose events these are
    checkpointed_at  the last checkpoint of the audit trail in this process
    """

    at: datetime
    monotonic: float
    started: datetime
    readiness: Mapping[str, Any]
    feed: FeedState | None
    budgets: Sequence[Budget]
    checkpointed_at: datetime | None

    def moment(self, monotonic: float | None) -> str | None:
        """A monotonic time as ISO 8601; None for None."""
        return None if monotonic is None else iso(self.at - timedelta(seconds=self.monotonic - monotonic))


def document(process: Process, books: Books | None, day: Day | None, *, min_free: int, unread: bool) -> dict[str, Any]:
    """Everything that is shown. What `status --json` has stands here under the same names; parts that were not read are null.

    min_free  the free space below which nothing is downloaded
    unread    the ledger could not be read the last time
    """
    return {
        **({} if books is None else as_json(books.overview)),
        "at": iso(process.at),
        "readAt": None if books is None else as_json(books.overview)["at"],
        "unread": unread,
        "version": __version__,
        "startedAt": iso(process.started),
        "sentence": sentence(process.readiness),
        "daemon": dict(process.readiness),
        "feed": _feed(process),
        "today": None if day is None else _today(day),
        "deadReasons": None if books is None else _dead(books),
        "budgets": [
            {"client": one.client, "remaining": one.remaining, "limit": one.limit, "heldSeconds": round(one.held, 1)}
            for one in process.budgets
        ],
        "disk": None if books is None else {"free": books.free, "minFree": min_free, "ledgerBytes": books.ledger_bytes},
        "uploads": None if books is None else {state.value: books.uploads.get(state, 0) for state in UploadState},
        "audit": None if books is None else _audit(process, books),
    }


def _feed(process: Process) -> dict[str, Any] | None:
    feed = process.feed
    if feed is None:
        return None
    return {
        "connected": feed.connected,
        "since": process.moment(feed.since),
        "lastFrame": process.moment(feed.last_frame),
        "lastEnding": str(feed.cause),
        "channels": feed.shards,
        "channelsLive": feed.shards_live,
        "topics": feed.permitted,
        "topicsRefused": feed.rejected,
        "topicsLeftOut": feed.left_out,
    }


def _today(day: Day) -> dict[str, Any]:
    tally = day.tally
    return {
        "from": iso(day.start),
        "to": iso(day.end),
        "counts": {str(state): tally.states[state] for state in State},
        "conversations": tally.conversations,
        "recordings": tally.recordings,
        "looking": tally.looking,
        "reasons": [
            {"state": str(state), "reason": reason, "number": number}
            for (state, reason), number in sorted(tally.reasons.items(), key=lambda one: (-one[1], one[0]))
        ],
    }


def _dead(books: Books) -> list[dict[str, Any]]:
    found = sorted(books.dead.items(), key=lambda one: (-one[1], one[0]))
    return [{"handler": handler, "reason": str(reason), "number": number} for (handler, reason), number in found]


def _audit(process: Process, books: Books) -> dict[str, Any]:
    at = process.checkpointed_at
    return {"sealed": books.sealed, "checkpointed": books.checkpointed, "checkpointedAt": None if at is None else iso(at)}
