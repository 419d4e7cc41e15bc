"""Checkpoints of the audit trail, signed with ed25519: who keeps one can prove that it came from the holder of the key.

What is signed are the bytes of three lines, each ended by a newline: `genesys-sync/checkpoint@1`, the size, the root in hexadecimal digits.
The library that signs (`cryptography`) is needed only where a key is given, and is imported then.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genesys_sync.errors import ConfigurationError
from genesys_sync.settings import AuditSettings, read_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY: Final = "audit.signing_key_file"
_MISSING: Final = f"{_KEY}: signing needs the package cryptography: pip install 'genesys-sync[signing]'"


def signed_text(size: int, root: str) -> bytes:
    """What is signed of a checkpoint. Pure."""
    return f"genesys-sync/checkpoint@1\n{size}\n{root}\n".encode()


class Signer:
    """Holds the private key; it never prints. `public_key` is base64 of its 32 bytes, `key_id` the first 16 hexadecimal digits of
    their SHA-256."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        raw = key.public_key().public_bytes_raw()
        self._key = key
        self.public_key = base64.b64encode(raw).decode()
        self.key_id = key_id(raw)

    def sign(self, size: int, root: str) -> Mapping[str, str]:
        """What a checkpoint's body says besides: `key` and `signature` (base64). The same checkpoint always gives the same."""
        return {"key": self.key_id, "signature": base64.b64encode(self._key.sign(signed_text(size, root))).decode()}


class PublicKeys:
    """The keys that whoever checks trusts. Several, because keys change."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def holds(self, size: int, root: str, signature: bytes) -> bool:
        """Whether one of them made this signature of this checkpoint."""
        from cryptography.exceptions import InvalidSignature

        for key in self._keys.values():
            try:
                key.verify(signature, signed_text(size, root))
            except InvalidSignature:
                continue
            return True
        return False


def find_signer(settings: AuditSettings) -> Signer | None:
    """The signer of the key file in the settings; None where none is named. Raises ConfigurationError for a file that is missing, may be
    read by others or holds no ed25519 key in PEM, and where the library is not installed."""
    if settings.signing_key_file is None:
        return None
    problems: list[str] = []
    text = read_secret(settings.signing_key_file, _KEY, problems, guarded=True)
    if problems:
        raise ConfigurationError(problems)
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError(_MISSING) from None
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):  # whatever it says could show a part of the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{_KEY}: {settings.signing_key_file} holds no ed25519 private key in PEM, without a password")
    return Signer(key)


def make_key(path: Path) -> Signer:
    """A new key in a new file, for its owner alone. Raises FileExistsError and OSError, ConfigurationError without the library."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError:
        raise ConfigurationError(_MISSING) from None
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Signer(key)


def parse_public_key(text: str) -> bytes:
    """32 bytes from base64, as `genesys-sync audit-key` prints them. Raises ValueError."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError("a public key is the base64 of 32 bytes, as genesys-sync audit-key prints it")
    return raw


def trusted(keys: list[bytes]) -> PublicKeys:
    """The keys of these bytes, made to check with. Raises ConfigurationError where the library is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise ConfigurationError(_MISSING.replace(_KEY, "--public-key")) from None
    return PublicKeys({key_id(raw): Ed25519PublicKey.from_public_bytes(raw) for raw in keys})


def key_id(raw: bytes) -> str:
    """By which a key is named."""
    return hashlib.sha256(raw).hexdigest()[:16]


def signature_of(body: Mapping[str, Any]) -> bytes:
    """The signature that a checkpoint's body carries; empty where it carries none, or nothing that could be one."""
    text = body.get("signature")
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return b"\0"
