"""All rows, in the order in which they are played."""

from __future__ import annotations

from .faults import channels, connections, controls, crashes, disks, media, power, processes, receivers

ROWS = (
    *media.ROWS,
    *connections.ROWS,
    *channels.ROWS,
    *processes.ROWS,
    *receivers.ROWS,
    *crashes.ROWS,
    *disks.ROWS,
    *power.ROWS,
    *controls.ROWS,
)
