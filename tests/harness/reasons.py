"""The closed lists of reasons, and which of them tell the truth about what the simulator did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

COMMANDS = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def documented(text: str) -> frozenset[str]:
    """The reason codes of the table in the reference of the commands: what is not on that list, nobody was promised."""
    table = text.partition("### Reason codes")[2].partition("\n## ")[0]
    return frozenset(row.split("`")[1] for row in table.splitlines() if row.startswith("| `"))


REASONS = documented(COMMANDS.read_text())
"""The closed list of reason codes of dead letters."""

WITHHELD = frozenset(
    {
        "EMPTY",
        "ERROR_PAGE",
        "CONTAINER_FORBIDDEN",
        "NOT_MEDIA",
        "HEADER_ONLY",
        "TRUNCATED",
        "JUNK_APPENDED",
        "DECODE_FAILED",
        "DURATION_MISMATCH",
        "MEDIA_SILENT",
        "MEDIA_ALTERED",
        "MEDIA_MISSING",
        "VERIFIER_CRASHED",
        "VERIFIER_OVERRUN",
        "VERIFIER_MEMORY",
    }
)
"""Why the verifier withholds a file."""

TRUE_REASONS: Mapping[str, frozenset[str]] = {
    "error_page": frozenset({"ERROR_PAGE"}),
    "header_only": frozenset({"HEADER_ONLY"}),
    "truncated": frozenset({"TRUNCATED"}),
    "silent": frozenset({"MEDIA_SILENT"}),
    "deleted": frozenset({"DELETED_UPSTREAM"}),
    "archived": frozenset({"NOT_READY"}),
    "error_state": frozenset({"FILESTATE_ERROR"}),
}
"""For each fault that spoils a recording, the reasons that tell the truth about it."""

MAY_BE_ARCHIVED = frozenset({"silent", "archived"})
"""Spoilt recordings that may lie in the archive: silence is accepted with a word, what was archived upstream can be restored."""
