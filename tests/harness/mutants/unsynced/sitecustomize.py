"""Controls M02 and M03: on the daemon's PYTHONPATH, Python's own fsync does nothing. A power cut must then lose archived files."""

import os


def fsync(_descriptor: object) -> None:
    """Says that it is on the disk."""


os.fsync = fsync
