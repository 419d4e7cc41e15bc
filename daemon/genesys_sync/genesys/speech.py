"""Whether the platform transcribes by itself, and switching it on: the organisation's setting and the queues'. `services.SpeechControl`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genesys_sync.errors import ReasonCode
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.entitlements import PRODUCTS, SUBJECT, products_of
from genesys_sync.genesys.grants import Grants, holds, permissions_of
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.recordings import check_id
from genesys_sync.services.actions import Actions
from genesys_sync.services.speech import (
    QueueTranscription,
    SpeechCheck,
    SpeechForbidden,
    SpeechRefused,
    SpeechStatus,
    TranscriptionMode,
)

SETTINGS: Final = "/api/v2/routing/settings/transcription"
_NOT_LICENSED: Final = "feature.forbidden"
_SPEECH_PRODUCT: Final = "speechandtextanalytics"
_QUEUES: Final = "/api/v2/routing/queues"


class SpeechControlService:
    """Implements `services.SpeechControl`. What the platform shows when it is read back is what counts."""

    def __init__(self, client: Caller, *, actions: Actions) -> None:
        self._client = client
        self._actions = actions

    async def status(self, queue_ids: tuple[str, ...] = ()) -> SpeechStatus:
        """See `services.SpeechControl.status`."""
        for queue_id in queue_ids:
            check_id(queue_id)
        settings = await self._settings()
        products = await self._products()
        return SpeechStatus(
            mode=str(settings.get("transcription") or ""),
            confidence_threshold=_number(settings.get("transcriptionConfidenceThreshold")),
            low_latency=_flag(settings.get("lowLatencyTranscriptionEnabled")),
            pci_redaction=_flag(settings.get("pciDssRedactionEnabled")),
            pii_redaction=_flag(settings.get("piiRedactionEnabled")),
            product_listed=None if products is None else product_listed(products),
            queues=tuple([_queue(await self._queue(one), one) for one in queue_ids]),
        )

    async def enable(self, queue_ids: tuple[str, ...] = (), *, unlisted: bool = False) -> SpeechStatus:
        """See `services.SpeechControl.enable`."""
        before = await self.status(queue_ids)
        granted = await self._granted()
        wanted = TranscriptionMode.GLOBALLY if not queue_ids else TranscriptionMode.QUEUES
        organisation = not queue_ids or before.mode == TranscriptionMode.DISABLED
        changes = organisation and before.mode != wanted
        require_permission(granted, "routing:transcriptionSettings:edit", needed=changes)
        require_permission(granted, "routing:queue:edit", needed=any(not queue.enabled for queue in before.queues))
        if before.product_listed is False and not unlisted:
            raise SpeechRefused(
                SpeechCheck.PRODUCT,
                "authorization/products lists no speechAndTextAnalytics, so nothing would be transcribed; nothing was changed "
                "(--unlisted lets the platform decide)",
            )
        if changes:
            await self._change("transcription.enable", "organization", SETTINGS, {"transcription": wanted.value}, method="PATCH")
        for queue in before.queues:
            if not queue.enabled:
                whole = {**await self._queue(queue.id), "enableTranscription": True}
                await self._change("transcription.enable", queue.id, f"{_QUEUES}/{queue.id}", whole, method="PUT")
        after = await self.status(queue_ids)
        off = [queue.name or queue.id for queue in after.queues if not queue.enabled]
        if after.mode == TranscriptionMode.DISABLED or (not queue_ids and after.mode != wanted) or off:
            what = f"queue {', '.join(off)} is still off" if off else f"the organisation's setting is still {after.mode}"
            raise SpeechRefused(SpeechCheck.EFFECT, f"the platform accepted the change, but {what}; ask for its status")
        return after

    async def _change(self, operation: str, target: str, path: str, body: Mapping[str, Any], *, method: str) -> None:
        async with self._actions.perform(operation, target) as action:
            try:
                reply = await self._client.call(method, path, json=body, repeatable=True, lane=Lane.CONTROL)
            except PlatformRefused as error:
                raise explained(error) from None
            action.correlation_id = reply.correlation_id

    async def _settings(self) -> Mapping[str, Any]:
        return await self._read(SETTINGS, "routing:transcriptionSettings:view")

    async def _queue(self, queue_id: str) -> dict[str, Any]:
        return await self._read(f"{_QUEUES}/{queue_id}", "routing:queue:view")

    async def _read(self, path: str, permission: str) -> dict[str, Any]:
        try:
            body: dict[str, Any] = (await self._client.call("GET", path, shape=dict, lane=Lane.CONTROL)).body
        except PlatformRefused as error:
            if error.code is ReasonCode.FORBIDDEN and error.platform_code != _NOT_LICENSED:
                raise SpeechForbidden(permission) from None
            raise explained(error) from None
        return body

    async def _products(self) -> frozenset[str] | None:
        try:
            return products_of((await self._client.call("GET", PRODUCTS, lane=Lane.CONTROL)).body)
        except PlatformRefused:
            return None

    async def _granted(self) -> Grants | None:
        try:
            return permissions_of((await self._client.call("GET", SUBJECT, lane=Lane.CONTROL)).body)
        except PlatformRefused:
            return None


def product_listed(products: frozenset[str]) -> bool:
    """Whether one of the organisation's products transcribes. Their ids are not published: letters count, in either case. Pure."""
    return any(_SPEECH_PRODUCT in "".join(letter for letter in one.lower() if letter.isalpha()) for one in products)


def require_permission(granted: Grants | None, permission: str, *, needed: bool) -> None:
    """Raises SpeechForbidden when it is needed and known to be missing; where nothing is known the platform decides. Pure."""
    if needed and granted is not None and not holds(permission, granted):
        raise SpeechForbidden(permission)


def explained(error: PlatformRefused) -> PlatformRefused | SpeechRefused:
    """What the platform's refusal means for whoever asked. Pure."""
    if error.platform_code == _NOT_LICENSED:
        reason = (
            "403 feature.forbidden: the organisation has no product that transcribes. It comes with CX 3, CX 4 and EX, and with the add-on "
            "for speech and text analytics or workforce engagement; ask whoever buys licences"
        )
        return SpeechRefused(SpeechCheck.PRODUCT, reason, correlation_id=error.correlation_id)
    if error.code is ReasonCode.NOT_FOUND:
        return SpeechRefused(SpeechCheck.QUEUE, "the platform knows no such queue", correlation_id=error.correlation_id)
    return error


def _queue(told: Mapping[str, Any], queue_id: str) -> QueueTranscription:
    return QueueTranscription(queue_id, str(told.get("name") or ""), told.get("enableTranscription") is True)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
