"""From the settings to handlers: what is named is loaded, and every fault is told in one sentence, all at once."""

from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from pydantic import BaseModel, SecretStr

from genesys_sync import plugin
from genesys_sync.dispatch import registry
from genesys_sync.dispatch.registry import build_handler, load_handlers, topics_by_handler
from genesys_sync.errors import ConfigurationError
from genesys_sync.plugin import Done, Handler, Policy
from genesys_sync.settings import Settings

FILE = """
from dataclasses import dataclass, field
from genesys_sync.plugin import Done, Duration, Handler, Policy, Size
from datetime import timedelta

@dataclass(frozen=True)
class Retry:
    first: Duration = timedelta(seconds=1)

@dataclass(frozen=True)
class Config:
    address: str
    largest: Size = 5
    retry: Retry = field(default_factory=Retry)

class TellCrm(Handler[Config]):
    config_type = Config
    topics = ("media.verified",)
    policy = Policy(attempts=4, concurrency=2)

    async def handle(self, event, delivery):
        return Done()

class Unfinished(Handler[Config]):
    config_type = Config

NotAHandler = dict
"""


def settings_with(**handlers) -> Settings:
    return Settings.model_validate({"genesys": {"region": "us_east_1"}, "handlers": handlers})


def faults(tmp_path, **handlers) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_handlers(settings_with(**handlers), base=tmp_path)
    assert caught.value.exit_code == 78
    return list(caught.value.problems)


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "crm.py").write_text(FILE)
    return tmp_path


TELL = {"use": "./plugins/crm.py:TellCrm", "config": {"address": "x"}}


def test_a_file_is_taken_from_the_settings_folder_with_its_policy_and_topics(plugins):
    (loaded,) = load_handlers(settings_with(tell=TELL), base=plugins)
    assert (loaded.name, loaded.handler.name, loaded.topics) == ("tell", "tell", ("media.verified",))
    assert loaded.policy == Policy(attempts=4, concurrency=2)
    assert loaded.handler.config.address == "x"


def test_the_settings_override_topics_and_each_field_of_the_policy(plugins):
    wanted = {**TELL, "topics": ["media.*", "custom.made"], "attempts": 9, "timeout": "90s", "schedule": ["5s", "5m"]}
    (loaded,) = load_handlers(settings_with(tell=wanted), base=plugins)
    assert loaded.topics == ("media.*", "custom.made")
    assert loaded.policy == Policy(
        attempts=9, concurrency=2, timeout=timedelta(seconds=90), schedule=(timedelta(seconds=5), timedelta(minutes=5))
    )


def test_configuration_is_decoded_with_units_and_nested_tables(plugins):
    config = {"address": "x", "largest": "2KiB", "retry": {"first": "250ms"}}
    (loaded,) = load_handlers(settings_with(tell={**TELL, "config": config}), base=plugins)
    assert (loaded.handler.config.largest, loaded.handler.config.retry.first) == (2048, timedelta(milliseconds=250))


def test_order_is_kept_and_one_class_may_serve_twice(plugins):
    loaded = load_handlers(settings_with(zebra=TELL, ant={**TELL, "config": {"address": "y"}}), base=plugins)
    assert [(one.name, one.handler.config.address) for one in loaded] == [("zebra", "x"), ("ant", "y")]
    assert type(loaded[0].handler) is type(loaded[1].handler)
    assert topics_by_handler(loaded) == {"zebra": ("media.verified",), "ant": ("media.verified",)}


def test_all_faults_of_all_handlers_are_reported_at_once(plugins):
    problems = faults(
        plugins,
        one={"use": "./plugins/crm.py:TellCrm", "config": {"adress": "x", "largest": 5, "retry": {"fist": "1s"}}},
        two={"use": "./plugins/none.py:TellCrm"},
        Three=TELL,
    )
    assert sorted(problems) == sorted(
        [
            "handlers.one.config.address: is required",
            "handlers.one.config.adress: unknown key; did you mean 'address'?",
            'handlers.one.config.largest: 5 is not a size: write a number with its unit (B, KiB, MiB, GiB), such as "2GiB"',
            "handlers.one.config.retry.fist: unknown key; did you mean 'first'?",
            f"handlers.two.use: there is no file {plugins / 'plugins' / 'none.py'}",
            "handlers.Three: a handler's name is 1 to 63 of a-z, 0-9 and -, and begins with a letter",
        ]
    )


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("./plugins/crm.py:TellCmr", "crm.py has no class TellCmr; did you mean 'TellCrm'?"),
        ("./plugins/crm.py:Zzz", "crm.py has no class Zzz (handlers there: TellCrm, Unfinished)"),
        ("./plugins/crm.py:NotAHandler", "'./plugins/crm.py:NotAHandler' is not a subclass of genesys_sync.plugin.Handler"),
        ("./plugins/crm.py:Handler", "'./plugins/crm.py:Handler' is not a subclass of genesys_sync.plugin.Handler"),
        ("./plugins/crm.py:Unfinished", "'./plugins/crm.py:Unfinished' leaves out handle"),
        ("./plugins/crm.py", 'name the class too, as in "./plugins/crm.py:Mine"'),
        ("./plugins", "'./plugins' is not of the form \"./plugins/mine.py:Mine\""),
    ],
)
def test_what_a_file_does_not_hold_is_told_in_one_sentence(plugins, use, told):
    assert faults(plugins, tell={"use": use}) == [f"handlers.tell.use: {told}"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise ValueError('at https://user:secret@host/path')", "ValueError: at "),
        ("class Mine(:", "SyntaxError: invalid syntax"),
    ],
)
def test_an_import_that_fails_is_one_sentence_without_traceback_or_url(tmp_path, source, told):
    (tmp_path / "mine.py").write_text(source)
    (problem,) = faults(tmp_path, mine={"use": "./mine.py:Mine"})
    assert problem.startswith(f"handlers.mine.use: importing './mine.py:Mine' failed: {told}")
    assert "\n" not in problem
    assert "secret" not in problem


def test_a_handler_without_topics_anywhere_is_refused(plugins):
    said = ["handlers.tell.topics: name at least one topic, such as 'media.verified' or 'recording.*'"]
    assert faults(plugins, tell={**TELL, "topics": []}) == said
    assert faults(plugins, tell={**TELL, "topics": [""]}) == said


@pytest.mark.parametrize("name", ["", "Archive", "1st", "tell_crm", "a" * 64, "a.b", "tell crm"])
def test_a_handler_name_is_checked(plugins, name):
    (problem,) = faults(plugins, **{name: TELL})
    assert "a handler's name is" in problem


def test_an_entry_point_that_is_not_installed_brings_the_nearest_and_all_names(tmp_path):
    (problem,) = faults(tmp_path, store={"use": "archve"})
    assert problem.startswith("handlers.store.use: no handler 'archve' is installed; did you mean 'archive'? (installed: ")
    assert "webhook" in problem


def test_two_packages_that_offer_one_name_are_refused(tmp_path, monkeypatch):
    twice = EntryPoints(EntryPoint("mine", f"{package}:Mine", registry.GROUP) for package in ("one", "two"))
    monkeypatch.setattr(registry, "entry_points", lambda group: twice.select(group=group))
    assert faults(tmp_path, mine={"use": "mine"}) == [
        "handlers.mine.use: several installed packages offer a handler 'mine' (one:Mine, two:Mine); remove all but one"
    ]


class Strict(BaseModel):
    key: SecretStr
    parts: tuple[int, ...] = ()


class WithModel(Handler[Strict]):
    config_type = Strict

    def __init__(self, name, config):
        super().__init__(name, config)
        if config.parts == (0,):
            raise ConfigurationError("parts: zero alone is no part")
        if config.parts == (1,):
            raise RuntimeError("unlucky")

    async def handle(self, event, delivery):
        return Done()


def build_faults(config):
    with pytest.raises(ConfigurationError) as caught:
        build_handler(WithModel, "mine", config)
    return list(caught.value.problems)


def test_a_pydantic_model_forbids_unknown_keys_even_if_it_does_not_say_so():
    assert build_faults({"key": "x", "part": [1]}) == ["handlers.mine.config.part: unknown key; did you mean 'parts'?"]


def test_a_faulty_secret_is_not_shown():
    (problem,) = build_faults({"key": ["hunter2"]})
    assert problem.startswith("handlers.mine.config.key: ")
    assert "hunter2" not in problem


def test_a_constructor_may_refuse_its_configuration():
    assert build_faults({"key": "x", "parts": [0]}) == ["handlers.mine.config: parts: zero alone is no part"]
    assert build_faults({"key": "x", "parts": [1]}) == ["handlers.mine: WithModel could not be made: RuntimeError: unlucky"]


def test_a_handler_without_a_configuration_type_is_told_so():
    class Bare(Handler[None]):
        async def handle(self, event, delivery):
            return Done()

    with pytest.raises(ConfigurationError, match=r"handlers\.bare: Bare\.config_type must be a dataclass or a pydantic model"):
        build_handler(Bare, "bare", {})


def test_the_defaults_of_a_dataclass_stay_as_they_are():
    @dataclass(frozen=True)
    class Config:
        largest: plugin.Size = 5
        every: plugin.Duration = timedelta(seconds=3)

    class Mine(Handler[Config]):
        config_type = Config

        async def handle(self, event, delivery):
            return Done()

    assert build_handler(Mine, "mine", {}).config == Config()


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (["media.verified"], ["media.verified"], "media.verified:"),
        (["media.*"], ["*.verified"], "media.verified:"),
        (["crm.told"], ["crm.*"], "take crm.told:"),
        (["media.verified"], ["media.rejected"], ""),
    ],
)
def test_two_handlers_may_share_an_endpoint_but_no_event_of_it(tmp_path, first, second, told) -> None:
    config = {"url": "https://receiver.example", "secrets_env": "NAME"}
    handlers = {name: {"use": "webhook", "topics": topics, "config": config} for name, topics in (("a", first), ("b", second))}
    if not told:
        assert len(load_handlers(settings_with(**handlers), base=tmp_path)) == 2
        return
    (problem,) = faults(tmp_path, **handlers)
    assert problem.startswith("handlers.b.config: ENDPOINT_INVALID: sends to where handlers.a sends, and both take ")
    assert told in problem
    assert "receiver.example" not in problem
