"""What stands where something was hidden: `[CARD]`, or `[CARD:kqzwmtrb]` with a pseudonym."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_SHORTEST_KEY: Final = 16
_LETTERS: Final = 8


class Masks:
    """Masks, with pseudonyms where there is a key. Raises ValueError for a key of fewer than 16 bytes; keeps it out of every repr."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None) -> None:
        if key is not None and len(key) < _SHORTEST_KEY:
            raise ValueError(f"the key for pseudonyms is shorter than {_SHORTEST_KEY} bytes: make one with `openssl rand -hex 32`")
        self._key = key

    def __call__(self, kind: str, value: str) -> str:
        """The same mask for the same type and value. Eight letters, no digit among them: 2^37 pseudonyms, enough to link by."""
        if self._key is None:
            return f"[{kind}]"
        digest = hmac.digest(self._key, f"{kind}:{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        number = int.from_bytes(digest[:8], "big")
        letters = []
        for _ in range(_LETTERS):
            number, letter = divmod(number, 26)
            letters.append(chr(ord("a") + letter))
        return f"[{kind}:{''.join(letters)}]"
