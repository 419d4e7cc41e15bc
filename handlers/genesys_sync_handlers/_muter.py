"""A worker process that mutes: `python -m genesys_sync_handlers._muter MEMORY_BYTES`. It writes one file for each job."""

from __future__ import annotations

import sys
from typing import Any

from genesys_sync_handlers._sandbox import Work, serve

_LARGEST_FILE = 16 << 30
"""Bytes: a day of stereo at 48 kHz, and no more of the disk for a file that makes its decoder write without end."""


def _load() -> Work:
    from genesys_sync_handlers._mute_job import MuteJob
    from genesys_sync_handlers._muting import mute

    def work(job: dict[str, Any]) -> dict[str, Any]:
        return mute(MuteJob.from_json(job)).to_json()

    return work


if __name__ == "__main__":
    serve(_load, memory=int(sys.argv[1]), largest_file=_LARGEST_FILE)
