"""A scenario file is read strictly, and every fault is told at once."""

import pytest

from genesys_sync_simulator.scenario import Scenario, ScenarioError, Span
from genesys_sync_simulator.scenario_file import load, read, shipped


def test_an_empty_file_is_the_default() -> None:
    assert read({}) == Scenario()


def test_values_carry_units() -> None:
    scenario = read(
        {"calls": {"duration": ["250ms", "1m"], "extra": [{"bytes": "2GB"}]}, "platform": {"heartbeat": 5, "bandwidth": "1MiB"}}
    )
    assert scenario.calls.duration == Span(0.25, 60)
    assert scenario.calls.extra[0].bytes == 2_000_000_000
    assert scenario.platform.heartbeat == 5
    assert scenario.platform.bandwidth == 1 << 20


def test_all_problems_are_told_at_once_with_their_paths() -> None:
    with pytest.raises(ScenarioError) as caught:
        read({"sead": 1, "calls": {"count": "many", "extra": [{"size": 1}]}, "faults": {"at": [{"kind": "meteor", "at": "1s"}]}})
    assert caught.value.problems == (
        "sead is not a key of a scenario; did you mean seed?",
        "calls.count is 'many', and must be a whole number from 0 to 100000",
        "calls.extra[0].size is not a key of a scenario",
        "calls.extra[0].bytes is missing",
        (
            "faults.at[0].kind is 'meteor', and must be one of drop_socket, socket_closing, silent_stall, rate_limit, "
            "server_error_once, revoke_token"
        ),
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"calls": {"count": 1}, "faults": {"truncated": 2}}, "faults"),
        ({"platform": {"heartbeat": 0}}, "platform.heartbeat"),
        ({"recordings": {"appear_after": "2s", "available_after": "1s"}}, "recordings.available_after"),
        ({"calls": {"extra": [{"bytes": "5GB"}]}}, "calls.extra[0].bytes"),
        ({"calls": {"duration": ["6s", "2s"]}}, "calls.duration"),
        ({"calls": 3}, "calls"),
        ({"recordings": {"formats": []}}, "recordings.formats"),
        ({"calls": {"end_together": "yes"}}, "calls.end_together"),
        ({"calls": {"per_second": 0}}, "calls.per_second"),
        ({"clients": [{"id": "a"}]}, "clients[0].secret"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(document: dict, path: str) -> None:
    with pytest.raises(ScenarioError, match="^" + path.replace("[", r"\[").replace("]", r"\]")):
        read(document)


def test_the_shipped_ones_are_found_by_name() -> None:
    assert shipped() == ("control", "demo", "digital", "huge", "hundred", "speech")
    assert load("hundred").calls.end_together
    assert load("huge").calls.extra[0].bytes == 2_000_000_000
    demo = load("demo")
    asked = ("error_page", "header_only", "truncated", "deleted", "drop_socket", "rate_limit", "expired_url_once", "cut_once")
    assert all(demo.faults.count(kind) for kind in asked)


def test_a_file_that_is_not_there_or_not_toml(tmp_path) -> None:
    with pytest.raises(ScenarioError, match="there is no scenario file"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "broken.toml").write_text("seed = = 1")
    with pytest.raises(ScenarioError, match="is not TOML"):
        load(str(tmp_path / "broken.toml"))
