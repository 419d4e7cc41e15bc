"""What a receiver's answer says beyond its status. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import orjson

from genesys_sync.plugin import HttpReply

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


def retry_after(reply: HttpReply, *, now: datetime) -> timedelta | None:
    """How long the receiver asks to wait, in either form of RFC 9110; None when it does not ask, or asks for nothing that can be read.

    A date is read against the receiver's own `Date`, so that a wrong clock on either side does not stretch the wait.
    """
    headers = {name.lower(): value for name, value in reply.headers.items()}
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text), 10**9)) if len(text) < 12 else None
    moment = _date(text)
    if moment is None:
        return None
    return max(moment - (_date(headers.get("date", "")) or now), timedelta(0))


def failed_items(reply: HttpReply) -> dict[str, str] | None:
    """The ids that the answer to a batch names as failed, each with a code or an empty text; empty when it names none.

    The body: `{"failed": ["id", {"id": "…", "code": "…"}, …]}`. None when the answer says that something failed (207) and cannot be
    read: then nothing is known of any of them.
    """
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    named = body.get("failed") if isinstance(body, dict) else None
    if not isinstance(named, list):
        return None if reply.status == 207 else {}
    found: dict[str, str] = {}
    for item in named:
        identity, code = (item.get("id"), item.get("code")) if isinstance(item, dict) else (item, None)
        if not isinstance(identity, str):
            return None
        found[identity] = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return found


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for numbers beyond any calendar
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
