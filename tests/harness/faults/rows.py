"""What a row of the table is, and what rows share."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bench import Bench, Simulator
from ..checker import Finding

READY_WITHIN = 5.0
"""Seconds within which a daemon that was killed is ready again."""


@dataclass(frozen=True, slots=True)
class Played:
    """How a row went: what was injected, whether it bit (a reason when it did not), what came of it, and the checker's judgement."""

    injected: str
    outcome: str
    finding: Finding
    bit: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `needs` gives the reason why it cannot be played here, or an empty text. `long`: played in the long form only."""

    name: str
    fault: str
    play: Callable[[Bench], Played]
    needs: Callable[[], str] = field(default=lambda: "")
    long: bool = False


def scenario(number: int, rate: float, /, **tables: Mapping[str, Any]) -> str:
    """TOML of a world: short calls of one or two recordings in all formats, quickly available. Tables override or add keys."""
    merged: dict[str, dict[str, Any]] = {
        "calls": {"count": number, "per_second": rate, "duration": ["500ms", "2s"], "recordings_per_call": [1, 2, 1, 1]},
        "recordings": {"appear_after": ["100ms", "200ms"], "available_after": ["300ms", "1s"]},
        "platform": {"rate_limit_per_minute": 3000, "batch_job_time": "500ms", "heartbeat": "2s"},
        "faults": {},
    }
    for name, keys in tables.items():
        merged[name] |= keys
    lines = ["seed = 11"]
    for name, keys in merged.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def token(platform: Simulator) -> str:
    """A token of the daemon's own client, for another program that shares it."""
    form = {"grant_type": "client_credentials", "client_id": platform.said["clientId"], "client_secret": platform.said["clientSecret"]}
    request = urllib.request.Request(f"{platform.said['loginUrl']}/oauth/token", data=urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["access_token"])


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
