"""The pytest plugin: `fake_clock` and `handler_harness`. Loaded by pytest through the entry point of group `pytest11`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genesys_sync.testing.clock import FakeClock

if TYPE_CHECKING:
    from genesys_sync.plugin import Handler
    from genesys_sync.testing.harness import HandlerHarness


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that moves only by `advance`."""
    return FakeClock()


@pytest.fixture
def handler_harness(tmp_path: Path, fake_clock: FakeClock) -> Callable[..., HandlerHarness[Any]]:
    """`handler_harness(MyHandler, {"key": "value"})` makes a HandlerHarness in `tmp_path`, on `fake_clock`."""
    from genesys_sync.testing.harness import HandlerHarness

    def make(kind: type[Handler[Any]], config: Mapping[str, Any] | None = None, *, name: str = "under-test") -> HandlerHarness[Any]:
        return HandlerHarness(kind, config, folder=tmp_path, name=name, clock=fake_clock)

    return make
