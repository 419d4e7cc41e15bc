"""A worker process that converts prompts: `python -m genesys_sync_handlers._prompter MEMORY_BYTES`. It writes one file for each job."""

from __future__ import annotations

import sys

from genesys_sync_handlers._sandbox import Work, serve

LARGEST = 32 << 20
"""Bytes of the largest file that it may write: what the platform takes, and a little."""


def _load() -> Work:
    from genesys_sync_handlers._prompt_sound import work

    return work


if __name__ == "__main__":
    serve(_load, memory=int(sys.argv[1]), largest_file=LARGEST)
