"""What a worker process is before it looks at untrusted media: limited, silent but for its answers, and gone when its parent is.

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
from collections.abc import Callable
from typing import Any, TextIO

_NICE = 5
_OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_BAD_MEMORY = {"worker": "memory"}

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""One job's fields to its answer. A job states `cpu_seconds`, the most processor time that it may take."""


def serve(load: Callable[[], Work], *, memory: int, largest_file: int) -> None:
    """Serve jobs until stdin ends. `load` imports what does the work, when the limits are set: `memory` bytes, and files of up to
    `largest_file` bytes to write (0: none)."""
    parent = os.getppid()
    answers = _own_stdout()
    _end_with(parent)
    _limit(memory, largest_file)
    faulthandler.enable()
    work = load()
    answers.write(json.dumps({"worker": "ready"}) + "\n")
    for line in sys.stdin:
        job = json.loads(line)
        _allow_cpu(job["cpu_seconds"])
        try:
            answer = work(job)
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


def _limit(memory: int, largest_file: int) -> None:
    """What untrusted media may use: memory, a few files, little or no writing, low priority, no core dump with a caller's voice in it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)


def _allow_cpu(seconds: int) -> None:
    """Past this the kernel ends the process with SIGXCPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))
