"""For tests, ours and yours: time that stands still until told, events made easily, a harness for handlers, a pytest plugin.

    async def test_it_tells_the_crm(handler_harness):
        async with handler_harness(TellCrm, {"address": "https://crm.example/calls"}) as harness:
            outcome = await harness.handle(make_event("media.verified"))
        assert outcome == Done()

The fixtures `fake_clock` and `handler_harness` are there in every pytest run where genesys-sync is installed. They are loaded
by pytest itself; the harness only when it is asked for, so that a test run which does not need it pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genesys_sync.testing.clock import FakeClock
from genesys_sync.testing.samples import make_event

if TYPE_CHECKING:
    from genesys_sync.testing.fakes import FakeGenesys, FakeHttp, FakeMedia, FolderStorage, SentRequest
    from genesys_sync.testing.harness import HandlerHarness

__all__ = ["FakeClock", "FakeGenesys", "FakeHttp", "FakeMedia", "FolderStorage", "HandlerHarness", "SentRequest", "make_event"]

pytest_plugins = ("genesys_sync.testing.fixtures",)

_ELSEWHERE = {
    "FakeGenesys": "fakes",
    "FakeHttp": "fakes",
    "FakeMedia": "fakes",
    "FolderStorage": "fakes",
    "HandlerHarness": "harness",
    "SentRequest": "fakes",
}


if not TYPE_CHECKING:  # for a type checker it would make every misspelt name a public one

    def __getattr__(name: str) -> Any:
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
