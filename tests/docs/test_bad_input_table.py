"""The table of bad inputs is complete, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/specs/bad-input.md").read_text(encoding="utf-8")
ROWS = (
    *("B01", "B02", "B03", "B05", "B06", "B08", "B09", "B10", "B11", "B12", "B15", "B16", "B17", "B19", "B20", "B22", "B23", "B24", "B26"),
    *("B27", "B29", "B30", "B31", "B33", "B34", "B35", "B36", "B37", "B38", "B40"),
)
"""The rows of the specification; the numbers between them were never given."""


def test_each_row_of_the_specification_stands_in_the_table_once() -> None:
    assert re.findall(r"^\| (B\d\d) \|", TABLE, re.MULTILINE) == list(ROWS)


def test_each_row_is_proved_by_tests_that_exist() -> None:
    for line in TABLE.splitlines():
        row = re.match(r"\| (B\d\d) \|", line)
        if row is None:
            continue
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", line)
        assert named, row[1]
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{row[1]}: {file}::{test}"
