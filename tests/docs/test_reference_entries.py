"""The reference has an entry for every setting, metric, command, option, reason code and exit code, and for no other."""

import argparse
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from genesys_sync import errors, health
from genesys_sync.app.condition import Condition
from genesys_sync.cli.execution import INTERRUPTED, PIPE_CLOSED
from genesys_sync.cli.parser import COMMANDS, build_parser
from genesys_sync.errors import ReasonCode
from genesys_sync.feed.protocol import Alert
from genesys_sync.governance import families
from genesys_sync.metrics import Metrics
from genesys_sync.settings import REGIONS, CostsSettings, HandlerSettings, ProviderSettings, Settings
from genesys_sync.tallies import Tallies

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "docs" / "reference"
SAMPLE = tomllib.loads((PROJECT / "settings.toml").read_text())
SECTIONS = {
    name: list(field.annotation.model_fields) for name, field in Settings.model_fields.items() if name not in ("handlers", "providers")
}
SECTIONS["handlers.NAME"] = list(HandlerSettings.model_fields)
SECTIONS["providers.NAME"] = list(ProviderSettings.model_fields)


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def section(name: str, heading: str) -> str:
    return re.split(r"^## ", page(name).split(f"\n## {heading}\n", 1)[1], flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, str]:
    """First cell, without its code marks, to the second."""
    return dict(re.findall(r"^\| `([^`|]+)` \| ([^|]*?) \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_has_its_row_and_no_other(name: str) -> None:
    assert list(rows(section("settings", f"[{name}]"))) == SECTIONS[name]


@pytest.mark.parametrize("name", [name for name in SECTIONS if not name.endswith(".NAME")])
def test_the_defaults_are_those_of_the_sample(name: str) -> None:
    for key, shown in rows(section("settings", f"[{name}]")).items():
        if shown == "none":
            assert key == "region" or key not in SAMPLE[name]
        else:
            assert tomllib.loads(f"value = {shown.strip('`')}")["value"] == SAMPLE[name][key], key


def test_every_region_has_its_row() -> None:
    assert rows(section("settings", "Regions")) == {region: f"`https://api.{domain}`" for region, domain in REGIONS.items()}


def test_every_metric_has_its_row_with_type_and_labels() -> None:
    found = {
        name: (kind, labels)
        for name, kind, labels in re.findall(r"^\| `(genesys_sync_\w+)` \| (\w+) \| ([^|]*?) ?\|", page("metrics"), flags=re.MULTILINE)
    }
    real = {
        metric._name: (metric._type, ", ".join(f"`{label}`" for label in metric._labelnames))
        for metric in vars(Metrics()).values()
        if hasattr(metric, "_labelnames")
    }
    real |= {
        family.name: (family.type, ", ".join(f"`{label}`" for label in family._labelnames))
        for family in families(Tallies(), CostsSettings())
    }
    assert found == real


def test_alerts_use_metrics_that_there_are() -> None:
    used = set(re.findall(r"genesys_sync_\w+", page("metrics").split("```yaml")[1]))
    assert used <= {metric._name for metric in vars(Metrics()).values() if hasattr(metric, "_labelnames")}


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from parsers(below, f"{name} {word}".strip())


PARSERS = dict(parsers(build_parser(COMMANDS)))


@pytest.mark.parametrize("name", [name for name in PARSERS if name])
def test_every_command_has_its_section_and_every_option_its_entry(name: str) -> None:
    text = re.split(r"^## ", page("commands"), flags=re.MULTILINE)
    (found,) = (part for part in text if re.match(rf"{name.split(maxsplit=1)[0]}( |\n)", part))
    common = {"--help", "--settings", "--set", "--debug"}
    options = {word for action in PARSERS[name]._actions for word in action.option_strings if word.startswith("--")} - common
    assert {option for option in options if option not in found} == set()
    assert name in found or name == name.split(maxsplit=1)[0]


def test_no_option_is_documented_that_there_is_not() -> None:
    real = {word for parser in PARSERS.values() for action in parser._actions for word in action.option_strings}
    assert set(re.findall(r"`(--[a-z-]+)", page("commands"))) <= real


def test_common_options_have_their_rows() -> None:
    assert {"--settings PATH", "--set KEY=VALUE", "--debug", "--version"} <= set(rows(page("commands")))


def test_every_reason_code_has_its_row() -> None:
    assert list(rows(page("commands").split("### Reason codes")[1].split("\n## ")[0])) == [str(code) for code in ReasonCode]


def test_every_exit_code_has_its_row() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page("exit-codes"), flags=re.MULTILINE)}
    ours = {value for name, value in vars(errors).items() if name.startswith("EX_")}
    assert documented == ours | {1, INTERRUPTED, PIPE_CLOSED}
    for name, value in vars(errors).items():
        if name.startswith("EX_") and value:
            assert f"| {value} | `{name}` |" in page("exit-codes")


def test_which_codes_systemd_tries_again_is_what_the_unit_says() -> None:
    unit = (PROJECT / "systemd" / "genesys-sync.service").read_text()
    prevented = re.search(r"RestartPreventExitStatus=(.*)", unit)
    assert prevented is not None
    told = {code for code, again in re.findall(r"^\| (\d+) \|.*\| (yes|no) \|$", page("exit-codes"), flags=re.MULTILINE) if again == "no"}
    assert told == set(prevented[1].split())


def test_the_log_lines_named_are_written_somewhere() -> None:
    source = "".join(path.read_text() for root in ("daemon", "handlers") for path in (PROJECT / root).rglob("*.py"))
    table = page("logs").split("## Lines worth knowing")[1]
    for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE):
        for named in re.findall(r"`([^`]+)`", cell):
            literal = f'"{named.removesuffix(" …")}' if named.endswith(" …") else f'"{named}"'
            assert literal in source, named


def test_every_reason_of_readiness_has_its_row() -> None:
    judged = inspect.getsource(Condition.report).split("found = {")[1].split("}")[0]
    codes = set(re.findall(r'"([a-z_]+)":', judged)) | set(re.findall(r'append\("([a-z_]+)"\)', inspect.getsource(health)))
    codes |= set(Alert)
    table = (PROJECT / "docs" / "howto" / "operate.md").read_text().split("### Reasons in `/readyz`")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, flags=re.MULTILINE)) == codes
