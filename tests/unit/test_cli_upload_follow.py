"""`upload` with many files: looking at how they stand must not take the processor and the ledger from the work."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from genesys_sync.cli.holding import Other
from genesys_sync.cli.upload import BARS_MOST, _bars, collected, furthest, summary
from genesys_sync.cli.upload_run import LOOK_SECONDS, LOOK_SHARE, Followed, beside, rest_after
from genesys_sync.events import Event, Topic
from genesys_sync.locks import Holder
from genesys_sync.testing import FakeClock
from genesys_sync.uploading import Asked, UploadState


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


def followed(name: str, state: UploadState, *, sent: int = 0) -> Followed:
    event = Event.of(
        Topic.UPLOAD_REQUESTED, occurred_at=FakeClock().now(), organization_id="0a0a0a0a-0000-4000-8000-000000000001", body={"bytes": 100}
    )
    return Followed(Path(name), Asked(event, 1, new=True), state=state, sent=sent)


def test_of_a_thousand_files_a_few_bars_are_drawn_and_one_for_all() -> None:
    """A bar for each took more of the processor than the uploads: 3 files a second on a terminal, 60 without."""
    files = [followed(str(number), UploadState.WAITING) for number in range(1000)]
    files[700] = followed("700", UploadState.UPLOADING, sent=10)
    files[800] = followed("800", UploadState.UPLOADING)
    files[:300] = [dataclasses.replace(one, state=UploadState.UPLOADED) for one in files[:300]]
    files[300].problem = "no such file"
    bars = Progress(console=Console(file=io.StringIO()))
    _bars(bars)(files)
    assert len(bars.tasks) == 1 + BARS_MOST
    assert (bars.tasks[0].description, bars.tasks[0].total) == ("300 of 1000 uploaded, 1 not", 100_000)
    assert bars.tasks[0].completed == 30_100
    assert [one.path.name for one in furthest(files, 3)] == ["700", "800", "301"]
    assert summary(files[:300]) == "300 of 300 uploaded"
    files[700].state = UploadState.UPLOADED
    show = _bars(alone := Progress(console=Console(file=io.StringIO())))
    show(files[700:701])
    show(files[800:801])
    assert len(alone.tasks) == 1, "one file needs no bar for all, and what is over has none"


def test_a_file_that_is_not_there_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "here.wav").touch()
    (tmp_path / "empty").mkdir()
    words = [str(tmp_path / name) for name in ("here.wav", "nowhere.wav", "empty")]
    assert [one.problem for one in collected(words)] == [
        "",
        f"{words[1]}: no such file or folder",
        f"{words[2]}: there is no file in this folder",
    ]
