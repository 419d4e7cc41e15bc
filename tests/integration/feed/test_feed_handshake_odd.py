"""Whatever stands in a channel's address or in the answer to the handshake is an ending with its cause, never an exception."""

from __future__ import annotations

import asyncio

import pytest

from genesys_sync.feed.connection import open_socket
from genesys_sync.feed.protocol import Cause, Ending, Next
from genesys_sync.services import SecretUrl
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "address",
    [
        "ws://127.0.0.1:99999/channels/x",
        "ws://127.0.0.1:-1/channels/x",
        "ws://127.0.0.1:port/channels/x",
        "ws://[::1/channels/x",
        "ws://\0/channels/x",
        "wss://.example.invalid/channels/x",
        f"wss://{'a' * 70}.example.invalid/channels/x",
        "https://example.invalid/channels/x",
        "",
    ],
)
async def test_an_address_that_is_none_asks_for_a_new_channel(address: str) -> None:
    ending = await open_socket(SecretUrl(address), settings=FeedSettings(), clock=FakeClock())
    assert isinstance(ending, Ending)
    assert (ending.cause, ending.next) == (Cause.HANDSHAKE_INVALID, Next.NEW_CHANNEL)
    assert address not in ending.detail or not address


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ("Retry-After: 5\r\nRetry-After: 7\r\n", 5.0),
        ("Retry-After: soon\r\nRetry-After: 7\r\n", 0.0),
        ("Retry-After: Sat, 01 Aug 2026 12:00:30 +99999999999999999999\r\n", 0.0),
        ("Retry-After: -5\r\n", 0.0),
        ("", 0.0),
    ],
)
async def test_an_odd_retry_after_is_one_more_refusal(headers: str, wait: float) -> None:
    """Proxies add a header of their own to the one that is there."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 429 Too Many Requests\r\n{headers}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        uri = SecretUrl(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/channels/x")
        ending = await open_socket(uri, settings=FeedSettings(), clock=FakeClock())
    assert isinstance(ending, Ending)
    assert (ending.cause, ending.detail, ending.wait) == (Cause.UPGRADE_REFUSED, "status 429", wait)
