"""Control M09: an fsync that failed is simply tried again, which then says that all is well. The tracer must see it."""

import os

_fsync = os.fsync


def fsync(descriptor: int) -> None:
    """Until it says yes."""
    try:
        _fsync(descriptor)
    except OSError:
        _fsync(descriptor)


os.fsync = fsync
