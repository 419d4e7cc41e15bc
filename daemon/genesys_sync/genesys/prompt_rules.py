"""Prompts without I/O: what the platform's answers say of them, when an upload has become a prompt, where a bearer token may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.media import is_local
from genesys_sync.services.architect import BadAudio, Prompt, PromptAsset, UploadForm
from genesys_sync.services.recordings import SecretUrl

TOLERANCE: Final = 0.5
"""Seconds by which the transcode may differ from what was uploaded: the platform may round, and pad its last block."""

_NO_SUCH_OPERATION: Final = frozenset({404, 405, 410, 501})
_PLAIN: Final = (str, int, float, bool)


def asset_of(body: Mapping[str, Any], prompt_id: str) -> PromptAsset | None:
    """A PromptAsset; None for what names no language or no id."""
    language, asset_id = body.get("language"), body.get("id")
    if not isinstance(language, str) or not isinstance(asset_id, str) or not language:
        return None
    seconds, told = body.get("durationSeconds"), body.get("audioFormat")
    return PromptAsset(
        id=asset_id,
        prompt_id=prompt_id,
        language=language.lower(),
        status=str(body.get("uploadStatus") or ""),
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        format={name: value for name, value in told.items() if isinstance(value, _PLAIN)} if isinstance(told, Mapping) else {},
        media=_url(body.get("mediaUri")),
        upload=_url(body.get("uploadUri")),
    )


def _url(value: object) -> SecretUrl | None:
    return SecretUrl(value) if isinstance(value, str) and value else None


def prompt_of(body: Mapping[str, Any]) -> Prompt | None:
    """A Prompt with its resources; None for what has no id or name."""
    prompt_id, name = canonical_uuid(body.get("id")), body.get("name")
    if prompt_id is None or not isinstance(name, str) or not name:
        return None
    assets = (asset_of(one, prompt_id) for one in objects(body, "resources"))
    return Prompt(prompt_id, name, {one.language: one for one in assets if one is not None})


def is_done(asset: PromptAsset, seconds: float) -> bool:
    """Whether what was uploaded is the prompt now. A status of the audio before, which plays another time, does not count. Raises
    BadAudio when the platform has given it up."""
    if asset.status == "transcodeFailed":
        raise BadAudio("the platform could not transcode it (transcodeFailed)")
    return asset.status == "transcoded" and asset.seconds is not None and abs(asset.seconds - seconds) <= TOLERANCE


def may_fall_back(error: PlatformRefused, form: UploadForm, asset: PromptAsset) -> bool:
    """Whether the deprecated form is worth a try: the platform has no such operation as the current one, which is a preview."""
    return form is UploadForm.AUTO and asset.upload is not None and error.status in _NO_SUCH_OPERATION


def may_have_token(url: SecretUrl, api: str) -> bool:
    """Whether our bearer token may go to this `uploadUri`: to a host of the API's own domain by https, or on this machine alone."""
    try:
        there, own = urlsplit(url.reveal()), urlsplit(api)
        host, api_host, _ = (there.hostname or "").lower(), (own.hostname or "").lower(), there.port
    except ValueError:
        return False
    if there.username is not None or there.password is not None:
        return False
    if is_local(api_host):
        return is_local(host) and (there.scheme, there.port) == (own.scheme, own.port)
    domain = api_host.partition(".")[2]
    return there.scheme == "https" and "." in domain and (host == api_host or host.endswith(f".{domain}"))


def no_asset() -> TransientError:
    """For an answer that is no PromptAsset."""
    return TransientError("the platform's answer is no prompt resource", code=ReasonCode.BAD_ANSWER)
