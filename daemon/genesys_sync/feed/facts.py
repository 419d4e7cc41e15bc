"""What the feed learns, as events of the ledger. Pure. Live and back-filled copies of one fact are given one id here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from genesys_sync.events import Event, Origin, Topic, iso

EARLIEST_AGE = timedelta(days=3660)
LATEST_LEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEnd:
    """A conversation of which nobody is in it any more.

    started, ended  aware, UTC; started is never after ended
    media           sorted, as analytics names them: voice, chat, email, message, callback, cobrowse, screenshare, video …
    queue_ids       canonical UUIDs, in order of first appearance
    recording_seen  True: something showed that recording took place; False: the platform says of every session that none did;
                    None: unknown
    left            when the last party left, without the wrap-up that `ended` may include; None: the platform did not say
    """

    conversation_id: str
    started: datetime
    ended: datetime
    media: tuple[str, ...]
    queue_ids: tuple[str, ...]
    recording_seen: bool | None
    left: datetime | None = None


def conversation_ended(end: ConversationEnd, *, organization_id: str, origin: Origin) -> Event:
    """`conversation.ended`: one id for one conversation, however and however often its end was seen. Whether it is the end of one that
    was taken up again, only the ledger can tell (`endings.numbered`)."""
    return Event.of(
        Topic.CONVERSATION_ENDED,
        occurred_at=end.ended,
        organization_id=organization_id,
        conversation_id=end.conversation_id,
        day=end.started.date(),
        origin=origin,
        body={
            "startedAt": iso(end.started),
            "endedAt": iso(end.ended),
            "mediaTypes": list(end.media),
            "queueIds": list(end.queue_ids),
            "recordingSeen": end.recording_seen,
        },
    )


def platform_unknown(*, topic: str, version: str, frame: bytes, organization_id: str, received: datetime) -> Event:
    """`platform.unknown`: that such a frame came, identified by its hash; never what it said, which may be about people."""
    return Event.of(
        Topic.PLATFORM_UNKNOWN,
        occurred_at=received,
        organization_id=organization_id,
        state=hashlib.blake2b(frame, digest_size=16).hexdigest(),
        body={"topicName": topic, "version": version},
    )


def read_time(value: object, *, received: datetime) -> datetime | None:
    """A time as the platform writes it (ISO 8601 with a zone, or milliseconds since 1970), UTC; None when it is none, has no
    zone, or lies more than ten years before or a day after `received`, because retention would be computed from it."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                return None
            moment = moment.astimezone(UTC)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if received - EARLIEST_AGE <= moment <= received + LATEST_LEAD else None
