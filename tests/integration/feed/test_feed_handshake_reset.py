"""A connection that is reset before the upgrade could even be asked for is one more platform that is away; it ends nothing."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from genesys_sync.feed import connection
from genesys_sync.feed.connection import open_socket
from genesys_sync.feed.protocol import Cause, Ending
from genesys_sync.services import SecretUrl
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_a_reset_before_the_upgrade_is_an_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = connection._Connect.open_tcp_connection
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def opened_and_lost(self: Any) -> Any:
            """The library's own, reset before anything is sent on it: between two turns of the loop in life, and rare."""
            link = await opened(self)
            far, _ = listener.accept()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            await asyncio.wait([link.connection_lost_waiter], timeout=10)
            return link

        monkeypatch.setattr(connection._Connect, "open_tcp_connection", opened_and_lost)
        uri = SecretUrl(f"ws://127.0.0.1:{listener.getsockname()[1]}/channels/x")
        ending = await open_socket(uri, settings=FeedSettings(), clock=FakeClock())
    assert isinstance(ending, Ending)
    assert ending.cause is Cause.UNREACHABLE
