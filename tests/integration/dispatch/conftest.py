"""A bench for each test."""

import pytest
from tests.integration.dispatch.bench import Bench

from genesys_sync.actions import LookOnly
from genesys_sync.dispatch.execution import DeliveryAudit
from genesys_sync.ledger import open_ledger
from genesys_sync.logs import get_logger
from genesys_sync.plugin import Services
from genesys_sync.testing import FakeGenesys, FakeHttp, FakeMedia, FolderStorage
from genesys_sync.testing.fakes import FolderScratch


@pytest.fixture
async def bench(tmp_path, fake_clock):
    media = FakeMedia()
    services = Services(
        clock=fake_clock,
        genesys=FakeGenesys(media),
        media=media,
        storage=FolderStorage(tmp_path / "archive"),
        scratch=FolderScratch(tmp_path / "scratch"),
        http=FakeHttp(),
        audit=DeliveryAudit(fake_clock),
        actions=LookOnly(),
        log=get_logger("test"),
    )
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        yield Bench(fake_clock, ledger, services)
