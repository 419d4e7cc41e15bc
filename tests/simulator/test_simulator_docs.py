"""Every key, fault and page of the simulator is documented."""

from pathlib import Path

import pytest

from genesys_sync_simulator import scenario_file
from genesys_sync_simulator.scenario import ANALYTICS_FAULTS, EVENT_FAULTS, FORMATS, MOMENT_FAULTS, RECORDING_FAULTS, Scenario
from genesys_sync_simulator.scenario_acting import ACTING_FAULTS
from genesys_sync_simulator.scenario_speech import PLANTED_FORMS, REASONS, TRANSCRIPT_FAULTS, Transcripts

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "_TOP",
        "_CALLS",
        "_RECORDINGS",
        "_PLATFORM",
        "_FAULTS",
        "_CLIENT",
        "_EXTRA",
        "_MOMENT",
        "_CONTROL",
        "_UPLOADS",
        "_ARCHITECT",
        "_FLOW",
        "_TRANSCRIPTS",
        "_PLANTED",
        "_PROVIDERS",
        "_DIGITAL",
    ],
)
def test_every_key_of_a_scenario_is_on_the_page(name: str) -> None:
    missing = [key for key in getattr(scenario_file, name) if f"`{key}`" not in PAGE and f"{key}]" not in PAGE]
    assert missing == []


def test_every_kind_of_fault_and_format_is_on_the_page() -> None:
    assert [
        kind
        for kind in (
            *RECORDING_FAULTS,
            *EVENT_FAULTS,
            *MOMENT_FAULTS,
            *ANALYTICS_FAULTS,
            *ACTING_FAULTS,
            *TRANSCRIPT_FAULTS,
            *REASONS,
            *PLANTED_FORMS,
            *FORMATS,
        )
        if f"`{kind}`" not in PAGE
    ] == []


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    rows = {cells[1].strip(" `"): cells[2].strip(" `") for line in PAGE.splitlines() if len(cells := line.split("|")) == 5}
    default = Scenario()
    for section in (
        default.calls,
        default.recordings,
        default.platform,
        default.providers,
        Transcripts(),
        default.control,
        default.uploads,
        default.architect,
    ):
        for key in section.__dataclass_fields__:
            stated = rows.get(key)
            if stated is None or stated in ("all six", "unlimited"):
                continue
            value = getattr(section, key)
            if isinstance(value, float) and stated.startswith('"'):
                assert scenario_file.duration(stated.strip('"')) == value, key
            elif isinstance(value, int | float | bool):
                assert stated == str(value).lower(), key
