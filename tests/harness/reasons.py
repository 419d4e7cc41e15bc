"""The closed lists of reasons, and which of them tell the truth about what the simulator did."""

from __future__ import annotations

from collections.abc import Mapping

REASONS = frozenset(
    {
        "ATTEMPTS_EXHAUSTED",
        "TIME_EXHAUSTED",
        "TIMED_OUT",
        "HANDLER_CRASHED",
        "HANDLER_FAILED",
        "HANDLER_REFUSED",
        "UNREACHABLE",
        "RATE_LIMITED",
        "REQUEST_REFUSED",
        "UNAUTHORIZED",
        "FORBIDDEN",
        "NOT_FOUND",
        "BAD_ANSWER",
        "DELETED_UPSTREAM",
        "RETENTION_ELAPSED",
        "FORBIDDEN_SENSITIVE",
        "FILESTATE_ERROR",
        "NEVER_APPEARED",
        "NOT_READY",
        "MEDIA_URL_EXPIRED",
        "URL_REFUSED",
        "BODY_LENGTH_MISMATCH",
        "DOWNLOAD_INTERRUPTED",
        "DOWNLOAD_TOO_SLOW",
        "MEDIA_CHANGED",
        "VERIFIER_FAILED",
        "STORAGE_FULL",
        "STORAGE_FAILED",
        "ID_INVALID",
        "RECEIVER_REFUSED",
        "RECEIVER_UNREACHABLE",
    }
)
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
