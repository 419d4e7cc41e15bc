"""The types of `genesys_sync.plugin` and `genesys_sync.testing`, as mypy shows them to whoever writes a handler."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n# (?P<path>[\w./-]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def mypy(*files: Path) -> str:
    """What mypy says of these files under `strict`; of the daemon's own it is silent, as of any installed package."""
    options = [
        "--strict",
        "--follow-imports=silent",
        "--warn-unreachable",
        "--no-error-summary",
        "--config-file",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, *map(str, files)], cwd=ROOT, capture_output=True, text=True, timeout=110)
    return done.stdout + done.stderr


def test_a_users_handler_checks_and_its_mistakes_are_found() -> None:
    assert mypy(Path(__file__).with_name("handler_of_a_user.py")) == ""


def test_the_handlers_of_the_documentation_check(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "write-a-handler.md").read_text(encoding="utf-8")
    texts: dict[str, str] = {}
    for block in BLOCK.finditer(page):
        if not block["path"].startswith("tests/"):
            texts[block["path"]] = texts.get(block["path"], "") + block["text"]
    assert texts
    for path, text in texts.items():
        target = tmp_path / Path(path).name
        target.write_text(text, encoding="utf-8")
    assert mypy(*(tmp_path / Path(path).name for path in texts)) == ""


@pytest.mark.parametrize("mistake", ["from genesys_sync.plugin import Ledger", "from genesys_sync.testing import anything_at_all"])
def test_what_is_not_public_is_not_there(tmp_path: Path, mistake: str) -> None:
    file = tmp_path / "mistaken.py"
    file.write_text(f"{mistake}\n", encoding="utf-8")
    assert "attr-defined" in mypy(file)
