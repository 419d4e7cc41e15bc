"""A worker process of the verifier: `python -m genesys_sync_handlers._inspector MEMORY_BYTES`. It writes nothing."""

from __future__ import annotations

import sys
from typing import Any

from genesys_sync_handlers._report import Job
from genesys_sync_handlers._sandbox import Work, serve


def _load() -> Work:
    from genesys_sync_handlers._audio import inspect

    def work(job: dict[str, Any]) -> dict[str, Any]:
        return inspect(Job(**job)).to_json()

    return work


if __name__ == "__main__":
    serve(_load, memory=int(sys.argv[1]), largest_file=0)
