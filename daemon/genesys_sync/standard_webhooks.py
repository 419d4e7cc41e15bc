"""Standard Webhooks 1.0: secrets, signatures, and whether a message that came is what it claims to be. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

_PREFIX: Final = "whsec_"
_ID: Final = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,255}", re.ASCII)
"""Printable and without a dot, which parts what is signed."""
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=", re.ASCII)
_SIGNATURES_MOST: Final = 10


class Flaw(StrEnum):
    """What is wrong with a message, for metrics; whoever sent it is never told."""

    HEADERS = "headers"
    TIMESTAMP = "timestamp"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers of a message claim, well-formed and in time, not yet proved."""

    message_id: str
    timestamp: int
    signatures: tuple[bytes, ...]


def parse_secret(text: str) -> bytes:
    """The key in `whsec_<base64>`. Raises ValueError with a reason that does not show the secret."""
    if not text.startswith(_PREFIX):
        raise ValueError(f"must begin with {_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("is not base64 after its prefix") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"must hold 24 to 64 bytes, not {len(key)}")
    return key


def signature(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1,<base64>` for each key, so that a receiver may know either while keys rotate."""
    return " ".join("v1," + base64.b64encode(_digest(key, message_id, timestamp, body)).decode() for key in keys)


def claimed(headers: Mapping[str, Sequence[str]], *, now: float, tolerance: float) -> Claim | Flaw:
    """What the headers claim. `headers`: lower-case names to all their values; `now` and `tolerance` in seconds. Raises nothing."""
    alone = [headers.get(name, ()) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)]
    if any(len(values) != 1 for values in alone):
        return Flaw.HEADERS
    message_id, timestamp, signed = (values[0] for values in alone)
    if _ID.fullmatch(message_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        return Flaw.HEADERS
    listed = signed.split(" ")
    known = [one for one in listed[:_SIGNATURES_MOST] if _SIGNATURE.fullmatch(one) is not None]
    if not known or len(listed) > _SIGNATURES_MOST:
        return Flaw.HEADERS
    if abs(now - int(timestamp)) > tolerance:
        return Flaw.TIMESTAMP
    return Claim(message_id, int(timestamp), tuple(base64.b64decode(one.removeprefix("v1,")) for one in known))


def proved(claim: Claim, body: bytes, keys: Sequence[bytes]) -> bool:
    """Whether one of the signatures is that of one of the keys over these very bytes; in a time that tells nothing of which failed."""
    found = False
    for key in keys:
        expected = _digest(key, claim.message_id, claim.timestamp, body)
        for given in claim.signatures:
            found |= hmac.compare_digest(expected, given)
    return found


def _digest(key: bytes, message_id: str, timestamp: int, body: bytes) -> bytes:
    return hmac.digest(key, b".".join((message_id.encode(), str(timestamp).encode(), body)), hashlib.sha256)
