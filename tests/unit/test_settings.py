"""Settings: three sources, every fault at once, nothing accepted that would be silently ignored."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.errors import ConfigurationError
from genesys_sync.settings import REGIONS, GenesysSettings, Settings, load, salvage

MINIMAL = '[genesys]\nregion = "eu_central_1"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def faults(path: Path | None, *, environ: dict[str, str] | None = None, overrides: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ=environ or {}, overrides=overrides)
    assert caught.value.exit_code == 78
    return caught.value.problems


def test_the_smallest_file_gives_all_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, MINIMAL), environ={})
    assert settings.genesys.api == "https://api.mypurecloud.de"
    assert settings.genesys.login == "https://login.mypurecloud.de"
    assert settings.feed.silence == timedelta(seconds=35)
    assert settings.handlers == {}


def test_every_fault_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [genesys]
        region = "eu_central1"
        request_timeout = 30
        [feed]
        silense = "35s"
        ping_every = "-5s"
        [log]
        level = "loud"
        [storage]
        min_free = "1 gigabyte"
        [handlers.archive]
        concurrency = 0
        [fed]
        """,
    )
    found = [problem.removeprefix(f"{path}:").partition(" ") for problem in faults(path)]
    assert {place for place, _, _ in found} == {"3:9", "4:9", "6:9", "7:9", "9:9", "11:9", "12:19", "13:9", "14:10"}
    told = {problem.split(":")[0]: problem for _, _, problem in found}
    assert set(told) == {
        "genesys.region",
        "genesys.request_timeout",
        "feed.silense",
        "feed.ping_every",
        "log.level",
        "storage.min_free",
        "handlers.archive.use",
        "handlers.archive.concurrency",
        "fed",
    }
    assert "did you mean 'eu_central_1'?" in told["genesys.region"]
    assert "30 is not a duration: write a number with its unit" in told["genesys.request_timeout"]
    assert told["feed.silense"].endswith("unknown key; did you mean 'silence'?")
    assert told["fed"].endswith("unknown key; did you mean 'feed'?")
    assert told["handlers.archive.use"].endswith("is required")
    assert "'loud'" in told["log.level"]


def test_faults_of_all_three_sources_come_together(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + "[feed]\nsilence = 1\n")
    found = faults(
        path,
        environ={"GENESYS_SYNC_LOG__LEVEL": "loud"},
        overrides=("dispatch.lease", "a.b=1"),
    )
    assert sorted(problem.split(":")[0] for problem in found) == ["--set dispatch.lease", str(path), "a", "log.level"]
    assert any(problem.startswith("a: unknown key") and problem.endswith("(from --set a.b)") for problem in found)
    assert f"{path}:4:1 feed.silence: 1 is not a duration" in "\n".join(found)


def test_without_any_source_the_region_is_asked_for() -> None:
    assert faults(None) == ("genesys: is required",)
    assert faults(None, overrides=("genesys.request_share=0.5",)) == (
        "genesys: set region, or api_url and login_url (from --set genesys.request_share)",
    )
    assert faults(None, overrides=("genesys.api_url=https://x.example",)) == (
        "genesys: set region, or api_url and login_url (from --set genesys.api_url)",
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example",
        "ftp://x",
        "gateway.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil",
        "https://",
        "https://[::1",
    ],
)
def test_only_this_machine_is_spoken_to_without_encryption(url: str) -> None:
    (problem,) = faults(None, overrides=(f'genesys.api_url="{url}"', "genesys.login_url=https://login.example"))
    assert problem.startswith("genesys.api_url: ")
    assert "https" in problem or "Invalid" in problem


@pytest.mark.parametrize("url", ["https://user:pw@gateway.example", "https://gateway.example/?key=1", "https://gateway.example/#x"])
def test_a_base_url_is_nothing_but_that(url: str) -> None:
    (problem,) = faults(None, overrides=(f'genesys.api_url="{url}"', "genesys.login_url=https://login.example"))
    assert problem == "genesys.api_url: must be a base URL, without user name, query or fragment (from --set genesys.api_url)"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:9/", "https://gateway.example/genesys/"])
def test_a_gateway_or_the_simulator_takes_the_regions_place(url: str) -> None:
    settings = load(None, environ={}, overrides=(f'genesys.api_url="{url}"', f'genesys.login_url="{url}"'))
    assert settings.genesys.api == url.rstrip("/")


def test_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + '[feed]\nsilence = "1s"\nping_every = "1s"\nconnect_timeout = "1s"\n')
    settings = load(
        path,
        environ={"GENESYS_SYNC_FEED__SILENCE": "2s", "GENESYS_SYNC_FEED__PING_EVERY": "2s", "OTHER": "x"},
        overrides=("feed.silence=3s",),
    )
    assert [settings.feed.connect_timeout.seconds, settings.feed.ping_every.seconds, settings.feed.silence.seconds] == [1, 2, 3]


def test_values_from_outside_the_file_are_toml_where_they_can_be() -> None:
    settings = load(
        None,
        environ={"GENESYS_SYNC_FEED__QUEUES": '["sales", "support"]', "GENESYS_SYNC_GENESYS__REQUESTS_PER_MINUTE": "250"},
        overrides=("genesys.region=us_east_1", "genesys.request_share=0.5", "sentry.environment='1'", "storage.root=/srv/a b"),
    )
    assert settings.feed.queues == ("sales", "support")
    assert (settings.genesys.requests_per_minute, settings.genesys.request_share) == (250, 0.5)
    assert (settings.sentry.environment, settings.storage.root) == ("1", Path("/srv/a b"))


def test_a_value_cannot_smuggle_a_second_one_in() -> None:
    (problem,) = faults(None, environ={"GENESYS_SYNC_GENESYS__REGION": '"us_east_1"\nother = 1'})
    assert problem.startswith("genesys.region: ")


def test_a_handlers_name_in_a_variable_has_dashes_for_underscores(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + '[handlers.tell-crm]\nuse = "webhook"\n[handlers.tell-crm.config]\nurl = "https://a.example"\n')
    settings = load(
        path,
        environ={
            "GENESYS_SYNC_HANDLERS__TELL_CRM__CONFIG__ALLOW_HTTP": "true",
            "GENESYS_SYNC_HANDLERS__TELL_CRM__BACKOFF_BASE": "2s",
            "GENESYS_SYNC_HANDLERS__NEW__USE": "archive",
        },
        overrides=("handlers.tell-crm.config.url=https://b.example",),
    )
    assert settings.handlers["tell-crm"].config == {"url": "https://b.example", "allow_http": True}
    assert settings.handlers["tell-crm"].backoff_base == timedelta(seconds=2)
    assert settings.handlers["new"].use == "archive"


def test_a_variable_with_a_slip_is_not_passed_over() -> None:
    """One underscore instead of two would otherwise be ignored without a word."""
    (problem,) = faults(None, environ={"GENESYS_SYNC_FEED_SILENCE": "40s"}, overrides=("genesys.region=us_east_1",))
    assert problem.startswith("feed_silence: unknown key")


def test_a_table_cannot_be_made_of_a_value() -> None:
    found = faults(None, environ={"GENESYS_SYNC_FEED": "3", "GENESYS_SYNC_FEED__SILENCE": "3s"}, overrides=("genesys.region=us_east_1",))
    assert found[0] == "GENESYS_SYNC_FEED__SILENCE: feed is a value, not a table"


def test_a_key_given_twice_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + 'region = "us_east_1"\n')
    assert faults(path) == (f"{path}:3:1 genesys.region: stands twice; first in line 2",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe[genesys]", "1:1: is not UTF-8 text"),
        (b"\xef\xbb\xbf# \xc3\xa9\n#\xc3\xa9\xff", "2:3: is not UTF-8 text"),
        (b"[genesys\n", "1:9: not valid TOML"),
        (b"genesys:\n\tregion: x\n", "1:8: not valid TOML"),
        (b"a = [1,\n", "2:1: not valid TOML"),
        (b"a = " + b"[" * 100_000, "1:1: not valid TOML: lists or tables within each other"),
        (b'x = "', "1:6: not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_one_clear_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    (problem,) = faults(path)
    assert problem.startswith(f"{path}:{sentence}")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(path, environ={}).genesys.region == "eu_central_1"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    (problem,) = faults(tmp_path / "none.toml")
    assert "no such file; name yours with --settings" in problem
    (problem,) = faults(tmp_path)
    assert "is a folder" in problem


@pytest.mark.parametrize(
    "listen", ["8086", ":8086", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:٨٠", "127.0.0.1:" + "9" * 5000]
)
def test_an_address_that_is_none(listen: str) -> None:
    (problem,) = faults(None, overrides=("genesys.region=us_east_1", f'health.listen="{listen}"'))
    assert problem.startswith("health.listen: ")


@pytest.mark.parametrize(
    ("listen", "address"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8086", ("::1", 8086)), ("localhost:1", ("localhost", 1))]
)
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    assert load(None, environ={}, overrides=("genesys.region=us_east_1", f'health.listen="{listen}"')).health.address == address


@pytest.mark.parametrize("url", ["postgres://x", "sqlite://ledger.db", "ledger.db", "sqlite:///"])
def test_a_ledger_of_a_kind_that_there_is_not(url: str) -> None:
    (problem,) = faults(None, overrides=("genesys.region=us_east_1", f"ledger.url={url}"))
    assert problem.startswith("ledger.url: must begin with sqlite:///")


def test_a_long_wrong_value_is_clipped_in_its_sentence() -> None:
    (problem,) = faults(None, overrides=("genesys.region=us_east_1", "feed.queues=" + "x" * 10_000))
    assert len(problem) < 300


def test_settings_do_not_change_after_loading() -> None:
    settings = load(None, environ={}, overrides=("genesys.region=us_east_1",))
    with pytest.raises(Exception, match="frozen"):
        settings.feed = settings.feed  # type: ignore[misc] # that is the test


def test_what_load_refuses_still_shows_its_readable_handlers(tmp_path: Path) -> None:
    path = written(tmp_path, '[genesys]\nregoin = "x"\n[handlers.a]\nuse = "archive"\n[handlers.b]\nuses = "archive"\n')
    assert list(salvage(path, environ={}).handlers) == ["a"]
    assert salvage(None, environ={}, overrides=("handlers=1",)).handlers == {}


@given(
    st.lists(st.sampled_from(["genesys", "feed", "region", "silence", "handlers", "x", "", "config", "use"]), min_size=1, max_size=5),
    st.text(),
)
def test_no_override_makes_anything_but_settings_or_sentences(keys: list[str], value: str) -> None:
    try:
        made: object = load(None, environ={}, overrides=("genesys.region=us_east_1", f"{'.'.join(keys)}={value}"))
    except ConfigurationError as error:
        made = error
    assert isinstance(made, Settings) or (isinstance(made, ConfigurationError) and made.problems)


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_its_hosts(region: str) -> None:
    settings = GenesysSettings(region=region)
    assert settings.api == f"https://api.{REGIONS[region]}"
    assert settings.login == f"https://login.{REGIONS[region]}"
