"""The page on redaction says what the program does: its sample runs, it names every mask, and its figures are those enforced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.redaction.__main__ import LEAST_PRECISION, LEAST_SPEED, LEAST_SPOKEN

from genesys_sync.redaction.findings import TYPES

PAGE = (Path(__file__).parents[2] / "docs/howto/redact.md").read_text(encoding="utf-8")


def test_the_sample_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    sample = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert sample is not None
    exec(sample[1], {})
    assert capsys.readouterr().out.strip() == re.findall(r"# (.*)", sample[1])[-1]


def test_every_mask_is_named() -> None:
    assert [kind for kind in TYPES if f"[{kind}]" not in PAGE] == []


def test_the_promises_are_those_that_the_score_enforces() -> None:
    for promise in (f"{LEAST_SPOKEN:.0%}".replace("%", " %"), f"{LEAST_PRECISION:.0%}".replace("%", " %"), f"{LEAST_SPEED} MB"):
        assert promise in PAGE
