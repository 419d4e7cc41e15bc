"""Uploads of recordings made elsewhere: an address is asked for and the file streamed to it, no more often than needed.

known as stored ─► nothing is sent
else: an address (the one kept, or a new one) ─► a large file, or one begun before: how far is the store?
  it takes chunks ─► from its last confirmed byte to the end, chunk by chunk
  it does not     ─► perhaps it was stored unseen (a report tells); else everything at once
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import aiohttp

from genesys_sync.backoff import full_jitter
from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.media import HostRule
from genesys_sync.genesys.upload_book import Begun, UploadBook
from genesys_sync.genesys.upload_put import Broken, Put
from genesys_sync.genesys.upload_reports import UploadReports
from genesys_sync.genesys.upload_rules import Kind, Step, content_md5, presigned
from genesys_sync.logs import get_logger
from genesys_sync.services.actions import Actions
from genesys_sync.services.recordings import SecretUrl
from genesys_sync.services.uploads import Reported, Sent, UploadFile
from genesys_sync.settings import GenesysSettings
from genesys_sync.units import milliseconds

INTERRUPTIONS_MAX: Final = 8
"""In a row, without a byte more confirmed; then it is the dispatcher's to wait."""
_REFUSAL_WEIGHT: Final = 2
_REFUSED: Final = frozenset({ReasonCode.FORBIDDEN, ReasonCode.NOT_FOUND, ReasonCode.REQUEST_REFUSED, ReasonCode.MEDIA_CHANGED})
"""What the store means is not sent eight times."""
_BACKOFF_BASE: Final = 0.5
_BACKOFF_CAP: Final = 15.0
_MARGIN: Final = timedelta(minutes=5)
"""By which the platform's clock and ours may differ."""
_NEAR_END_MS: Final = 5_000

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Means:
    """What all uploads share. `listed`: whether a report made now names the upload."""

    client: Caller
    session: aiohttp.ClientSession
    rule: HostRule
    book: UploadBook
    settings: GenesysSettings
    clock: Clock
    random: Callable[[], float]
    listed: Callable[[Sent], Awaitable[bool]]


class UploadService:
    """Implements `services.Uploads`. `on_the_way`: bytes handed over or confirmed, by key, of the uploads under way in this process."""

    def __init__(
        self,
        client: Caller,
        session: aiohttp.ClientSession,
        rule: HostRule,
        book: UploadBook,
        settings: GenesysSettings,
        *,
        clock: Clock,
        actions: Actions,
        random: Callable[[], float],
    ) -> None:
        self._reports = UploadReports(client, session, rule, every=settings.upload_report_every.total_seconds(), clock=clock)
        self._book = book
        self._actions = actions
        self._means = _Means(
            client=client,
            session=session,
            rule=rule,
            book=book,
            settings=settings,
            clock=clock,
            random=random,
            listed=self._listed,
        )
        self.on_the_way: dict[str, int] = {}

    async def begun(self, key: str) -> UploadFile | None:
        """See `services.Uploads.begun`."""
        begun = await self._book.get(key)
        return None if begun is None else begun.file

    async def send(self, key: str, file: UploadFile) -> Sent:
        """See `services.Uploads.send`."""
        begun = await self._book.get(key)
        if begun is not None and (begun.file.md5, begun.file.bytes) != (file.md5, file.bytes):
            begun = None
        if begun is not None and begun.stored:
            return _sent(begun)
        async with self._actions.perform("upload.send", key, facts={"fileBytes": file.bytes}) as action:
            run = _Run(self._means, key, file, begun, told=partial(self.on_the_way.__setitem__, key))
            try:
                done = await run.until_stored()
            finally:
                action.bytes = run.put.sent
                action.correlation_id = run.correlation_id
                self.on_the_way.pop(key, None)
            action.note(uploadKey=done.upload_key, resumed=begun is not None, md5Echoed=done.md5_echoed)
        return _sent(done)

    async def look(self, sent: Sent) -> Reported | None:
        """See `services.Uploads.look`."""
        return await self._reports.look(sent)

    async def _listed(self, sent: Sent) -> bool:
        return await self._reports.look(sent, fresh=True) is not None


class _Run:
    """One call of `send`, from what is known to a file that the store holds."""

    def __init__(self, means: _Means, key: str, file: UploadFile, begun: Begun | None, *, told: Callable[[int], None]) -> None:
        self._means = means
        self._key = key
        self._file = file
        self._begun = begun
        self._unseen = begun is not None  # an earlier life may have sent the last byte and not seen the answer
        self._confirmed = 0
        self.correlation_id = ""
        self.put = Put(means.session, file, means.settings.upload_patience.total_seconds(), told=told)

    async def until_stored(self) -> Begun:
        """Go on until the store holds the file. Raises TransientError when nothing has moved for INTERRUPTIONS_MAX times."""
        failures, best = 0, -1
        while True:
            begun = await self._addressed()
            try:
                step = await self._attempt(begun)
            except Broken as broken:
                step = broken.step
                self._unseen = self._unseen or broken.all_sent
            if step.kind is Kind.STORED or (step.kind is Kind.ANEW and await self._stored_unseen(begun)):
                return await self._finish(begun, step)
            failures = 1 if self._confirmed > best else failures + 1
            best = max(best, self._confirmed)
            if step.kind is Kind.ANEW:
                self._begun, self._confirmed, best = None, 0, 0
            failures += _REFUSAL_WEIGHT if step.code in _REFUSED else 0
            if failures > INTERRUPTIONS_MAX and step.code is ReasonCode.MEDIA_CHANGED:
                raise PermanentError(
                    "the store finds another MD5 than the file had: the file was changed, or its bytes are changed on their way",
                    code=step.code,
                )
            if failures > INTERRUPTIONS_MAX:
                told = f"answered {step.status}" if step.status else "cannot be reached, or broke the transfer off"
                raise TransientError(f"the upload does not get on: the store {told}", code=step.code)
            _log.debug("upload_interrupted", status=step.status, confirmed=self._confirmed)
            await self._means.clock.sleep(full_jitter(failures, base=_BACKOFF_BASE, cap=_BACKOFF_CAP, random=self._means.random))

    async def _addressed(self) -> Begun:
        """Where the file goes: the address kept, while it lives, else a new one."""
        means, kept = self._means, self._begun
        now = means.clock.epoch_ms()
        if kept is not None and kept.put is not None and now < kept.expires_ms - _NEAR_END_MS:
            return kept
        if kept is not None and await self._stored_unseen(kept):
            return kept  # asked for once more, the store tells that it is expired; the report then counts
        life = means.settings.upload_url_life
        body = {
            "fileName": self._file.name,
            "contentMd5": content_md5(self._file.md5),
            "contentType": self._file.content_type,
            "signedUrlTimeoutSeconds": round(life.total_seconds()),
        }
        # repeatable: an address that is not used is nothing
        reply = await means.client.call("POST", "/api/v2/uploads/recordings", json=body, repeatable=True, shape=dict, lane=Lane.UPLOADS)
        self.correlation_id = reply.correlation_id
        put = presigned(reply.body, md5=self._file.md5)
        expires = now + milliseconds(life)
        self._begun = Begun(file=self._file, upload_key=put.upload_key, asked_ms=now, expires_ms=expires, put=put)
        self._unseen = False
        await means.book.put(self._key, self._begun)
        return self._begun

    async def _attempt(self, begun: Begun) -> Step:
        """One way through: ask, then send what is missing. Raises Broken."""
        assert begun.put is not None  # `_addressed` gives no other
        url, headers = self._means.rule.check(SecretUrl(begun.put.url)), begun.put.headers
        total, chunk = self._file.bytes, self._means.settings.upload_chunk
        if total <= chunk and not self._unseen:
            return await self.put.whole(url, headers)
        step = await self.put.ask(url, headers)
        if step.kind is Kind.WHOLE:
            if await self._stored_unseen(begun):
                return Step(Kind.STORED, have=total)
            return await self.put.whole(url, headers)
        while step.kind is Kind.ONWARD:
            self._confirmed = at = step.have
            step = await self.put.chunk(url, headers, at, min(chunk, total - at))
            if step.kind is Kind.ONWARD and step.have <= at:
                return Step(Kind.AGAIN, status=step.status)
        return step

    async def _stored_unseen(self, begun: Begun) -> bool:
        """Whether the platform lists it, although no answer of the store said that it is there."""
        return self._unseen and await self._means.listed(_sent(begun))

    async def _finish(self, begun: Begun, step: Step) -> Begun:
        self.put.require_unchanged()
        done = begun.finished(md5_echoed=step.md5 == self._file.md5)
        await self._means.book.put(self._key, done)
        return done


def _sent(begun: Begun) -> Sent:
    return Sent(begun.upload_key, datetime.fromtimestamp(begun.asked_ms / 1000, UTC) - _MARGIN, begun.md5_echoed)
