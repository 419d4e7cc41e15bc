"""What a request is for. The rate budget keeps a share for the kinds of work that a flood of other work must never stop."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Lane(StrEnum):
    """Chosen where the call is made; the names are metric labels.

    CONTROL      who we are, channels, subscriptions, queues: without it no event comes
    RECONCILE    analytics, paged to find what the socket missed: without it nothing is proved
    MEDIA        recordings, batches, and whatever handlers ask for: the work itself, and nearly all requests
    TRANSCRIPTS  where transcripts lie; a queue of its own, so that recordings in a backlog do not hold them up, nor they those
    UPLOADS      addresses to upload to, and reports on uploads: few, and not to wait behind the recordings of a backlog
    ARCHITECT    prompts and flows: somebody waits for them at a terminal
    """

    CONTROL = "control"
    RECONCILE = "reconcile"
    MEDIA = "media"
    TRANSCRIPTS = "transcripts"
    UPLOADS = "uploads"
    ARCHITECT = "architect"


RESERVED: Mapping[Lane, float] = {Lane.CONTROL: 0.1, Lane.RECONCILE: 0.1}
"""The share of our requests in a window that nobody but this lane may use. What is reserved for nobody is anybody's."""


def reserve(lane: Lane, limit: int) -> int:
    """How many of `limit` requests are kept for this lane; at least one, unless there is not even one for each
    lane that has a reserve and one for the rest."""
    share = RESERVED.get(lane, 0.0)
    return max(1, int(limit * share)) if share and limit > len(RESERVED) else 0
