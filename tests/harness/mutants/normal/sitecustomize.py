"""Control M01: on the daemon's PYTHONPATH, this opens the ledger with `synchronous=NORMAL`. A power cut must then lose commits."""

from typing import Any

import apsw


class Connection(apsw.Connection):
    """Takes the one pragma for another."""

    def pragma(self, name: str, value: Any = None, **more: Any) -> Any:
        if name == "synchronous":
            value = "normal"
        return super().pragma(name, **more) if value is None else super().pragma(name, value, **more)


apsw.Connection = Connection
