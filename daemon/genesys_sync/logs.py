"""Structured logs: JSON under systemd, readable on a terminal, never a secret."""

from __future__ import annotations

from typing import cast

import structlog

from genesys_sync.services import Log


def get_logger(name: str) -> Log:
    """A logger whose lines carry `logger=name` and whatever is bound in the context (handler, delivery)."""
    return cast("Log", structlog.get_logger(logger=name))
