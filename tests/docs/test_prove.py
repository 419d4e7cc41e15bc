"""The page for auditors names the audit entries that the program writes, and settings that it takes."""

import re
import tomllib
from pathlib import Path

from genesys_sync.integrity.archive import Wrong
from genesys_sync.integrity.trail import Tampering
from genesys_sync_handlers.webhook import WebhookConfig

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "howto" / "prove.md").read_text()
COMMANDS = (PROJECT / "docs" / "reference" / "commands.md").read_text()
SOURCE = "\n".join(path.read_text() for root in ("daemon", "handlers") for path in (PROJECT / root).rglob("*.py"))
ENTRY = re.compile(r"`([a-z]+\.[a-z_]+)`")


def test_each_entry_that_is_named_is_written_somewhere_and_each_that_is_written_is_named() -> None:
    (line,) = (line for line in PAGE.splitlines() if "are written by the program itself" in line)
    named = set(ENTRY.findall(line))
    assert {action for action in named if f'"{action}"' not in SOURCE} == set()
    calls = (
        r'audit\.record\(\s*"([a-z_.]+)"',
        r'action="([a-z_]+\.[a-z_]+)"',
        r'_entry\("([a-z_.]+)"',
        r'audit_entry\(clock, "([a-z_.]+)"',
        r'_audit\(opened, "([a-z_.]+)"',
    )
    written = {action for call in calls for action in re.findall(call, SOURCE)}
    assert len(written) > 8
    assert written - named == set()


def test_the_witness_is_a_handler_that_can_be_configured_so() -> None:
    sample = re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert sample is not None
    witness = tomllib.loads(re.sub(r"^   ", "", sample[1], flags=re.MULTILINE))["handlers"]["witness"]
    assert witness["topics"] == ["audit.checkpointed"]
    WebhookConfig.model_validate(witness["config"])


def test_every_kind_of_finding_is_told() -> None:
    section = COMMANDS.split("\n## verify\n")[1].split("\n## ")[0]
    assert {kind for kind in (*Wrong, *Tampering) if f"`{kind}`" not in section} == set()
