"""The end of a connection is bounded, whatever the other side does not do: a drain must not hang on it."""

import anyio
import pytest

from genesys_sync.feed import connection
from genesys_sync.feed.protocol import Cause, Ending

pytestmark = pytest.mark.anyio


class Stuffed:
    """A socket whose peer takes nothing: its close waits for room in the send buffer."""

    def __init__(self) -> None:
        self.transport = self
        self.aborted = False

    async def close(self, code: int) -> None:
        await anyio.sleep_forever()

    def abort(self) -> None:
        self.aborted = True


async def test_a_peer_that_takes_not_even_our_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CLOSE_WITHIN", 0.001)
    socket = Stuffed()
    with anyio.fail_after(10):
        await connection._close(socket, Ending(cause=Cause.CLOSED))  # type: ignore[arg-type] # the two methods that it uses
    assert socket.aborted
