"""A prompt's audio on its way: the current form (an address, then a PUT with its headers), and the deprecated one (a form with a token)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import aiohttp
from anyio import to_thread
from yarl import URL

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.auth import Tokens
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.media import HostRule
from genesys_sync.genesys.prompt_rules import may_have_token
from genesys_sync.genesys.upload_put import Broken, Put
from genesys_sync.genesys.upload_rules import Kind, presigned
from genesys_sync.services.architect import PromptAsset
from genesys_sync.services.recordings import SecretUrl
from genesys_sync.services.uploads import UploadFile
from genesys_sync.settings import GenesysSettings

_TRIES: Final = 3
_ANSWERED: Final = frozenset({200, 201, 202, 204})


class PromptUpload:
    """Both forms. Presigned addresses and the token stay inside: no error holds one."""

    def __init__(self, client: Caller, tokens: Tokens, session: aiohttp.ClientSession, rule: HostRule, settings: GenesysSettings) -> None:
        self._client = client
        self._tokens = tokens
        self._session = session
        self._rule = rule
        self._api = settings.api
        self._patience = settings.upload_patience.total_seconds()

    async def current(self, path: str, audio: Path) -> str:
        """Ask for an address at `path` and put the file there; the correlation id of the answer. A transfer that breaks is begun anew,
        with a new address. Raises PlatformRefused where there is no such operation, TransientError when the store does not take it."""
        file = await to_thread.run_sync(_described, audio)
        for _ in range(_TRIES):
            reply = await self._client.call("POST", f"{path}/uploads", json={}, repeatable=True, shape=dict, lane=Lane.ARCHITECT)
            target = presigned({"uploadKey": "prompt", **reply.body}, md5=file.md5)
            put = Put(self._session, file, self._patience, told=lambda _: None)
            try:
                step = await put.whole(self._rule.check(SecretUrl(target.url)), target.headers)
            except Broken as broken:
                step = broken.step
            if step.kind is Kind.STORED:
                put.require_unchanged()
                return reply.correlation_id
        told = f"answered {step.status}" if step.status else "cannot be reached, or broke the transfer off"
        raise TransientError(f"the prompt's audio does not get to the store: it {told}", code=step.code)

    async def deprecated(self, asset: PromptAsset, audio: Path) -> str:
        """POST the file as a form to the resource's `uploadUri`, with our token; empty, for the answer has no correlation id. Raises
        PermanentError(URL_REFUSED) for an address that is not the platform's."""
        if asset.upload is None:
            raise PermanentError("the resource names no uploadUri, so the deprecated form cannot be used", code=ReasonCode.REQUEST_REFUSED)
        if not may_have_token(asset.upload, self._api):
            raise PermanentError("the uploadUri is of another domain than the API, and gets no token", code=ReasonCode.URL_REFUSED)
        token = await self._tokens.get()
        status = await self._post(asset.upload, audio, token)
        if status == 401:
            status = await self._post(asset.upload, audio, await self._tokens.renew(instead_of=token))
        if status in _ANSWERED:
            return ""
        reason = f"the upload of a prompt in its deprecated form was answered {status}"
        if status in {408, 429} or status >= 500:
            raise TransientError(reason, code=ReasonCode.RATE_LIMITED if status == 429 else ReasonCode.UNREACHABLE)
        refused = {401: ReasonCode.UNAUTHORIZED, 403: ReasonCode.FORBIDDEN, 404: ReasonCode.NOT_FOUND}
        raise PermanentError(reason, code=refused.get(status, ReasonCode.REQUEST_REFUSED))

    async def _post(self, url: SecretUrl, audio: Path, token: str) -> int:
        content = await to_thread.run_sync(audio.read_bytes)  # at most what the platform takes, 25 MB
        form = aiohttp.FormData()
        form.add_field("file", content, filename="prompt.wav", content_type="audio/wav")
        try:
            async with self._session.post(
                URL(url.reveal(), encoded=True),
                data=form,
                headers={"Authorization": f"Bearer {token}"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience, sock_read=self._patience),
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise TransientError("the place of the deprecated upload cannot be reached", code=ReasonCode.UNREACHABLE) from None


def _described(audio: Path) -> UploadFile:
    found = audio.stat()
    with audio.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return UploadFile(
        path=audio, name="prompt.wav", bytes=found.st_size, modified_ns=found.st_mtime_ns, md5=digest, content_type="audio/wav"
    )
