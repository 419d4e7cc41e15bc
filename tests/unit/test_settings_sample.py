"""The shipped `settings.toml`: loads as it is, shows every setting, and shows the defaults that the code has."""

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from genesys_sync.dispatch.registry import load_handlers
from genesys_sync.plugin import Policy
from genesys_sync.settings import HandlerSettings, Settings, load

SAMPLE = Path(__file__).parents[2] / "settings.toml"
TEXT = SAMPLE.read_text()
EXAMPLE = re.compile(r"^# ([a-z_]+ = .*)$")
UNCOMMENTED = "\n".join(EXAMPLE.sub(r"\1", line) for line in TEXT.split("# [handlers.tell-crm]")[0].splitlines())

SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items() if name not in ("handlers", "providers")}


def keys(model: Any) -> list[str]:
    return [field.name for field in fields(model)] if is_dataclass(model) else list(model.model_fields)


def shown(section: str) -> dict[str, Any]:
    return tomllib.loads(UNCOMMENTED)[section]


def test_it_loads_as_it_is() -> None:
    settings = load(SAMPLE, environ={})
    assert settings.genesys.region == "us_east_1"
    assert list(settings.handlers) == ["discover", "archive", "verify", "resume", "upload"]


def test_its_examples_load_too() -> None:
    whole = "\n".join(EXAMPLE.sub(r"\1", re.sub(r"^# (\[(?:handlers|providers).*\])$", r"\1", line)) for line in TEXT.splitlines())
    settings = Settings.model_validate(tomllib.loads(whole))
    assert settings.handlers["tell-crm"].use == "webhook"
    assert "tell-crm" in [handler.name for handler in load_handlers(settings, base=SAMPLE.parent)]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_shown_and_nothing_else(section: str) -> None:
    assert sorted(shown(section)) == sorted(keys(SECTIONS[section]))


def test_every_setting_of_a_handler_is_shown() -> None:
    assert sorted(shown("handlers")["discover"]) == sorted(keys(HandlerSettings))


@pytest.mark.parametrize("section", [section for section in SECTIONS if section != "genesys"])
def test_the_defaults_shown_are_the_codes(section: str) -> None:
    """Lines that are comments are examples of what has no default."""
    model = SECTIONS[section]
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    assert model.model_validate(tomllib.loads(TEXT).get(section, {})) == model()


def test_the_defaults_of_the_platforms_settings_are_the_codes() -> None:
    model = SECTIONS["genesys"]
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    assert model.model_validate(tomllib.loads(TEXT)["genesys"]) == model(region="us_east_1")


def handlers() -> Iterator[Any]:
    for loaded in load_handlers(load(SAMPLE, environ={}), base=SAMPLE.parent):
        yield pytest.param(loaded, tomllib.loads(TEXT)["handlers"][loaded.name].get("config", {}), id=loaded.name)


@pytest.mark.parametrize(("loaded", "config"), list(handlers()))
def test_a_handlers_configuration_is_shown_whole_with_its_defaults(loaded: Any, config: dict[str, Any]) -> None:
    config_type = type(loaded.handler).config_type
    assert sorted(config) == sorted(keys(config_type))
    assert loaded.handler.config == config_type()


def test_the_policy_shown_is_the_handlers_own() -> None:
    settings = Settings.model_validate(tomllib.loads(UNCOMMENTED))
    loaded = next(handler for handler in load_handlers(settings, base=SAMPLE.parent) if handler.name == "discover")
    own = type(loaded.handler).policy
    for name in (field.name for field in fields(Policy) if field.name != "schedule"):
        assert getattr(loaded.policy, name) == getattr(own, name), name
    assert tuple(loaded.topics) == tuple(type(loaded.handler).topics)


def test_every_setting_has_its_sentence() -> None:
    """Right above it; a pair of examples shares one, and `use` is explained by its table's."""
    lines = TEXT.split("# [handlers.tell-crm]")[0].splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"(# )?[a-z_]+ = ", line):
            assert above.startswith(("# ", "[handlers.")), line
