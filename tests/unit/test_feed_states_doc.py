"""The drawing of the feed's states shows every state, cause and following step that the program has."""

from __future__ import annotations

import re
from pathlib import Path

from genesys_sync.feed.protocol import Cause, ConnectionState, Next

TEXT = (Path(__file__).parents[2] / "docs" / "specs" / "feed-states.md").read_text(encoding="utf-8")


def test_every_cause_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)

    assert rows == [cause.value for cause in Cause]


def test_every_state_of_a_connection_is_drawn() -> None:
    drawn = set(re.findall(r"^    (\w+) -->", TEXT, re.MULTILINE)) | set(re.findall(r"--> (\w+)", TEXT))

    assert {state.value for state in ConnectionState} <= drawn


def test_every_following_step_is_named() -> None:
    assert all(f"`{step}`" in TEXT for step in Next)
