"""`upload` with many files: looking at how they stand must not take the processor and the ledger from the work."""

import pytest

from genesys_sync.cli.upload_run import LOOK_SECONDS, LOOK_SHARE, rest_after


@pytest.mark.parametrize("look", [0.0, 0.01, 0.5, 3.0])
def test_looks_take_no_more_than_their_share_of_the_time(look: float) -> None:
    rest = rest_after(look)
    assert rest >= LOOK_SECONDS
    assert look <= LOOK_SHARE * (look + rest) + 1e-9
