"""The channels that we made and that may still live: how many more may be made, and which one a restarted process takes up again.

The platform keeps twenty channels for a client and silently starves whichever falls out, so a crash loop that made one with each start
would push out its own and those of other programs. The book outlives the process, as a file that its owner alone may read: a channel's
address is a secret, and the ledger is no place for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

import anyio
import orjson

from genesys_sync.clock import Clock
from genesys_sync.logs import get_logger

CHANNELS_MOST: Final = 10
"""Channels that we may have made within the hour and that may still live: half of the platform's twenty."""
SHARDS_MOST: Final = 8
EVICTIONS_MOST: Final = 3
EVICTIONS_WITHIN: Final = 600.0
_HOUR_MS: Final = 3_600_000
_ENTRIES_MOST: Final = 100

_log = get_logger("feed.channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A channel that we made. Times are `Clock.epoch_ms`.

    uri     where to listen; empty once the channel is left, because then it is only counted
    topics  a digest of the topics that were set; `refused`: how many of them the platform did not grant
    """

    id: str
    shard: int
    made_ms: int
    renew_ms: int
    expires_ms: int
    uri: str = ""
    topics: str = ""
    refused: int = 0

    def __repr__(self) -> str:
        return f"Entry(shard={self.shard}, made_ms={self.made_ms})"


def digest(topics: Sequence[str]) -> str:
    """What tells one set of topics from another."""
    return blake2b("\n".join(sorted(topics)).encode(), digest_size=16).hexdigest()


class ChannelBook:
    """Shared by all shards. Without a `file` it forgets with the process."""

    def __init__(self, *, clock: Clock, file: Path | None) -> None:
        self._clock = clock
        self._file = file
        self._entries: dict[str, Entry] = {}
        self._evictions: deque[float] = deque(maxlen=EVICTIONS_MOST)
        self._writing = anyio.Lock()
        self.making = anyio.Lock()
        """Held while a channel is made, until the book knows it."""

    async def open(self, *, reuse: bool) -> None:
        """Read what an earlier process left; a file that cannot be read is the same as none. `reuse`: its channels may be taken up."""
        if self._file is None:
            return
        entries = await anyio.to_thread.run_sync(_load, self._file)
        now = self._clock.epoch_ms()
        kept = [entry for entry in entries if entry.made_ms <= now < entry.expires_ms][-_ENTRIES_MOST:]
        self._entries = {entry.id: entry if reuse else replace(entry, uri="") for entry in kept}

    def take_up(self, shard: int, topics: Sequence[str]) -> Entry | None:
        """The channel on which an earlier process listened to just these topics, while it is not due for renewal. Given once."""
        now, wanted = self._clock.epoch_ms(), digest(topics)
        for entry in self._entries.values():
            if entry.shard == shard and entry.uri and entry.topics == wanted and now < entry.renew_ms:
                return entry
        return None

    def knows(self, channel_id: str) -> bool:
        """Whether it is one that some shard of ours has, or had."""
        return channel_id in self._entries

    def wait(self, *, shards: int) -> float:
        """Seconds until a channel may be made; 0 when it may be now."""
        now = self._clock.epoch_ms()
        recent = sorted(min(entry.made_ms + _HOUR_MS, entry.expires_ms) for entry in self._entries.values())
        counting = [until for until in recent if until > now]
        surplus = len(counting) - (CHANNELS_MOST + shards - 1)
        until_fewer = (counting[surplus] - now) / 1000 if surplus >= 0 else 0.0
        return max(until_fewer, self.barred_for)

    @property
    def barred_for(self) -> float:
        """Seconds for which nothing is made, because a third eviction within ten minutes says that two programs fight."""
        if len(self._evictions) < EVICTIONS_MOST or self._evictions[-1] - self._evictions[0] > EVICTIONS_WITHIN:
            return 0.0
        return max(0.0, self._evictions[-1] + EVICTIONS_WITHIN - self._clock.monotonic())

    @property
    def evicted_lately(self) -> bool:
        """A channel of ours was pushed out within the last ten minutes."""
        return bool(self._evictions) and self._clock.monotonic() - self._evictions[-1] < EVICTIONS_WITHIN

    def evicted(self) -> None:
        """A channel of ours was pushed out by another."""
        if self.barred_for:
            return
        self._evictions.append(self._clock.monotonic())
        _log.error(
            "channel_evicted",
            within_ten_minutes=sum(self._clock.monotonic() - at <= EVICTIONS_WITHIN for at in self._evictions),
            pause=round(self.barred_for),
            action="another program makes channels with this OAuth client; give each program a client of its own",
        )

    async def made(self, entry: Entry) -> None:
        """A channel was made, or its topics were set."""
        self._entries[entry.id] = entry
        await self._save()

    async def left(self, channel_id: str) -> None:
        """We listen to it no longer; it lives until the platform drops it, and counts until then."""
        if channel_id in self._entries:
            self._entries[channel_id] = replace(self._entries[channel_id], uri="")
            await self._save()

    async def gone(self, channel_id: str) -> None:
        """The platform says that it is no more."""
        if self._entries.pop(channel_id, None) is not None:
            await self._save()

    async def _save(self) -> None:
        now = self._clock.epoch_ms()
        self._entries = {ident: entry for ident, entry in self._entries.items() if entry.expires_ms > now}
        if self._file is not None:
            async with self._writing:
                data = orjson.dumps([asdict(entry) for entry in self._entries.values()])
                error = await anyio.to_thread.run_sync(_write, self._file, data)
                if error:
                    _log.warning("channel_book_not_written", error=error, action="a restart makes a new channel")


def _load(file: Path) -> list[Entry]:
    try:
        tree = orjson.loads(file.read_bytes())
        return [_entry(item) for item in tree]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _entry(item: dict[str, object]) -> Entry:
    numbers = {name: item[name] for name in ("shard", "made_ms", "renew_ms", "expires_ms", "refused")}
    texts = {name: item[name] for name in ("id", "uri", "topics")}
    if not all(type(value) is int for value in numbers.values()) or not all(isinstance(value, str) for value in texts.values()):
        raise ValueError("no entry")
    return Entry(**numbers, **texts)  # type: ignore[arg-type]  # the two lines before have looked


def _write(file: Path, data: bytes) -> str:
    """Whole or not at all, and for the owner alone. Returns what went wrong."""
    new = file.with_name(f"{file.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(data)
        new.replace(file)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
