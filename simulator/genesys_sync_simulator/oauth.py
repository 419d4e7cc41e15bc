"""OAuth clients and their tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from genesys_sync_simulator.scenario import Client


@dataclass(slots=True, eq=False)
class Token:
    """One bearer token."""

    value: str
    client: Client
    expires: float
    revoked: bool = False

    def valid(self, now: float) -> bool:
        return not self.revoked and now < self.expires


@dataclass(slots=True)
class Tokens:
    """The login host's memory."""

    clients: tuple[Client, ...]
    life: float
    _tokens: dict[str, Token] = field(default_factory=dict)

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client whose id and secret these are."""
        for client in self.clients:
            if secrets.compare_digest(client.id.encode(), client_id.encode()):
                return client if secrets.compare_digest(client.secret.encode(), secret.encode()) else None
        return None

    def issue(self, client: Client, now: float) -> Token:
        """A new token; older ones stay good until they expire."""
        for value in [value for value, token in self._tokens.items() if not token.valid(now)]:
            del self._tokens[value]
        token = Token(secrets.token_urlsafe(48), client, now + self.life)
        self._tokens[token.value] = token
        return token

    def find(self, value: str, now: float) -> Token | None:
        """The token, while it is good."""
        token = self._tokens.get(value)
        return token if token is not None and token.valid(now) else None

    def living(self, now: float) -> list[Token]:
        return [token for token in self._tokens.values() if token.valid(now)]
