"""A worker process of the verifier: `python -m genesys_sync_handlers._inspector MEMORY_BYTES`.

One job, a JSON line on stdin, at a time; one JSON line on stdout for each. Limits are set before the decoder is imported, and what
it prints goes to stderr. Ends with its input, with its parent, or by a limit.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import time
from typing import Any, TextIO

from genesys_sync_handlers._report import Job

_NICE = 5
_OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_BAD_MEMORY = {"worker": "memory"}


def main() -> None:
    """Serve jobs until stdin ends."""
    parent = os.getppid()
    answers = _own_stdout()
    _end_with(parent)
    _limit(int(sys.argv[1]))
    faulthandler.enable()
    from genesys_sync_handlers._audio import inspect

    answers.write(json.dumps({"worker": "ready"}) + "\n")
    for line in sys.stdin:
        job = Job(**json.loads(line))
        _allow_cpu(job.cpu_seconds)
        try:
            answer: dict[str, Any] = inspect(job).to_json()
        except MemoryError:
            answer = _BAD_MEMORY
        except OSError as error:
            answer = {"worker": "unreadable", "detail": error.strerror or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")


def _own_stdout() -> TextIO:
    """The pipe for answers, line by line; whatever else writes to stdout from now on goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end_with(parent: int) -> None:
    """A killed daemon leaves no worker behind, not even one in the middle of a long job."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(0)


def _limit(memory: int) -> None:
    """What untrusted media may use: memory, a few files, no writing, low priority, no core dump with a caller's voice in it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)


def _allow_cpu(seconds: int) -> None:
    """Past this the kernel ends the process with SIGXCPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))


if __name__ == "__main__":
    main()
