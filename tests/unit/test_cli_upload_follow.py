"""`upload` with many files: looking at how they stand must not take the processor and the ledger from the work."""

import pytest

from genesys_sync.cli.holding import Other
from genesys_sync.cli.upload_run import LOOK_SECONDS, LOOK_SHARE, beside, rest_after
from genesys_sync.locks import Holder
from genesys_sync.testing import FakeClock


@pytest.mark.parametrize("look", [0.0, 0.01, 0.5, 3.0])
def test_looks_take_no_more_than_their_share_of_the_time(look: float) -> None:
    rest = rest_after(look)
    assert rest >= LOOK_SECONDS
    assert look <= LOOK_SHARE * (look + rest) + 1e-9


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (Holder(7, "run"), "a daemon holds the ledger and uploads; ending this command does not end that"),
        (
            Holder(7, "upload"),
            (
                "another command, `genesys-sync upload` (pid 7) holds the ledger and may upload these files too; "
                "this command uploads what is left when that has ended"
            ),
        ),
        (
            Holder(7, "backfill"),
            "another command, `genesys-sync backfill` (pid 7) holds the ledger; this command uploads when that has ended",
        ),
    ],
)
def test_who_holds_the_ledger_is_told_as_it_is(holder: Holder, said: str) -> None:
    assert beside(Other(lambda: holder, FakeClock())) == said
