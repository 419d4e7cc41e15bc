"""The console's pages: every path and key of it is documented, every sample of settings loads and does what the page says."""

import re
import tomllib
from pathlib import Path

import pytest
from aiohttp import web

from genesys_sync.console import Console
from genesys_sync.console.document import Process, document
from genesys_sync.console.readings import Books
from genesys_sync.console.serving import withheld
from genesys_sync.health import HealthReport, readiness
from genesys_sync.ledger.base import Counts
from genesys_sync.overview import Overview
from genesys_sync.settings import Settings
from genesys_sync.testing import FakeClock

DOCS = Path(__file__).parents[2] / "docs"
HOWTO = (DOCS / "howto" / "console.md").read_text()
ENDPOINTS = (DOCS / "reference" / "endpoints.md").read_text()
SAMPLES = [tomllib.loads(sample) for sample in re.findall(r"```toml\n(.*?)```", HOWTO, flags=re.DOTALL)]
WELL = HealthReport(live=True, ready=True)


class Nothing:
    feed = None
    sealer = None


def settings(**sections: object) -> Settings:
    return Settings.model_validate({"genesys": {"region": "us_east_1"}, **sections})


def test_every_path_has_its_row() -> None:
    console = Console(settings(), clock=FakeClock(), report=lambda: WELL, condition=Nothing(), clients=())
    served = {route.path for route in console.routes() if isinstance(route, web.RouteDef)} | {"/livez", "/readyz", "/metrics"}
    assert set(re.findall(r"^\| `(/[^`]*)` \|", ENDPOINTS, flags=re.MULTILINE)) == served


def test_every_key_of_the_document_is_described() -> None:
    clock = FakeClock()
    process = Process(
        at=clock.now(), monotonic=0, started=clock.now(), readiness=readiness(WELL), feed=None, budgets=(), checkpointed_at=None
    )
    overview = Overview(0, Counts({}, {}, None), None, (), (), "USD")
    books = Books(overview=overview, dead={}, uploads={}, sealed=0, checkpointed=0, ledger_bytes=0, free=None)
    shared, own = ENDPOINTS.split("## `/console.json`")[1].split("Besides:")
    described = set(re.findall(r"^\| `(\w+)` \|", own, flags=re.MULTILINE))
    described |= set(re.findall(r"`(\w+)`", shared.split("(without `ledger`):")[1]))
    assert described == set(document(process, books, None, min_free=0, unread=False))


@pytest.mark.parametrize(("number", "served"), [(0, True), (1, True), (2, False)])
def test_the_samples_load_and_do_what_is_said(number: int, served: bool) -> None:
    assert len(SAMPLES) == 3
    assert (not withheld(settings(**SAMPLES[number]))) is served


def test_off_loopback_without_a_name_it_is_withheld() -> None:
    assert "console.allow_hosts" in withheld(settings(health={"listen": "10.1.2.3:8086"}))


@pytest.mark.parametrize("host", ["https://sync.example.com", "sync.example.com:443", "", "a b", "*.example.com", "[::1]"])
def test_a_host_that_is_none_is_told(host: str) -> None:
    with pytest.raises(ValueError, match="without scheme and port"):
        settings(console={"allow_hosts": [host]})


def test_hosts_are_compared_in_small_letters() -> None:
    assert settings(console={"allow_hosts": ["Sync.Example.com", "2001:DB8::1"]}).console.allow_hosts == ("sync.example.com", "2001:db8::1")
