"""What the sections of the settings are made of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from genesys_sync.addresses import parse_network
from genesys_sync.units import Duration


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]


def _named(value: object) -> object:
    """An empty path would quietly be the working directory; no file's name holds a NUL."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be empty: name a path")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _network(value: str) -> str:
    parse_network(value)
    return value


NetworkText = Annotated[str, AfterValidator(_network)]
NamedPath = Annotated[Path, BeforeValidator(_named)]


class Section(BaseModel):
    """A frozen table of the settings; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
