"""All rows, in the order in which they are played."""

from __future__ import annotations

from .faults import connections, disks, media, power, processes, receivers

ROWS = (*media.ROWS, *connections.ROWS, *processes.ROWS, *receivers.ROWS, *disks.ROWS, *power.ROWS)
