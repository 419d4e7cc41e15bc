"""The page docs/howto/write-a-handler.md, taken at its word: its files are written out, installed, loaded and run."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from genesys_sync import settings as settings_module
from genesys_sync.dispatch.dispatcher import Dispatcher
from genesys_sync.dispatch.registry import load_handlers, topics_by_handler
from genesys_sync.errors import ConfigurationError, PermanentError, TransientError
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Done, Park, Snooze
from genesys_sync.routing import Router
from genesys_sync.sources import attributed
from genesys_sync.testing import HandlerHarness, make_event

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "write-a-handler.md"
BLOCK = re.compile(r"^```(?:python|toml)\n# (?P<path>[\w./-]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGE = ("pyproject.toml", "acme_genesys_checksums.py", "tests/test_checksums.py")


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows, by the path in each block's first line; blocks of one file follow each other in it."""
    files: dict[str, str] = {}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        files[block["path"]] = files.get(block["path"], "") + block["text"]
    return files


def write(files: dict[str, str], folder: Path) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> dict[str, str]:
    files = files_of(PAGE)
    assert set(files) == {"plugins/tell_crm.py", "settings.toml", *PACKAGE}
    return files


@pytest.fixture(scope="module")
def package(page, tmp_path_factory) -> Path:
    """The other package as its author has it, with `site` beside it: where pip installed it."""
    folder = tmp_path_factory.mktemp("acme")
    write({path: page[path] for path in PACKAGE}, folder)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        "site",
        ".",
    ]
    subprocess.run(install, cwd=folder, check=True, timeout=100, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return folder


@pytest.fixture
def site(page, package, tmp_path, monkeypatch) -> Path:
    """A folder with the settings and the single file, in an environment where the other package is installed."""
    write({path: page[path] for path in ("settings.toml", "plugins/tell_crm.py")}, tmp_path)
    monkeypatch.syspath_prepend(str(package / "site"))
    yield tmp_path
    sys.modules.pop("acme_genesys_checksums", None)


def loaded_from(folder: Path):
    return load_handlers(settings_module.load(folder / "settings.toml", environ={}), base=folder)


def test_both_forms_load_as_the_page_names_them(site):
    crm, checksums = loaded_from(site)
    assert (crm.name, crm.topics, crm.handler.config.patience) == ("tell-crm", ("media.verified",), timedelta(seconds=5))
    assert (crm.policy.concurrency, crm.policy.attempts, crm.policy.timeout) == (4, 12, timedelta(minutes=1))
    assert (checksums.name, checksums.handler.config.media, checksums.policy.concurrency) == ("checksums", ("wav", "ogg"), 2)
    assert type(checksums.handler).__module__ == "acme_genesys_checksums"


async def test_both_forms_run_under_the_dispatcher(site, fake_clock):
    handlers = loaded_from(site)
    router = Router(topics_by_handler(handlers))
    services = HandlerHarness(type(handlers[1].handler), folder=site, clock=fake_clock).services
    event = make_event("media.verified")
    async with open_ledger(f"sqlite:///{site}/ledger.db", clock=fake_clock) as ledger:
        dispatcher = Dispatcher(
            ledger=ledger,
            handlers=handlers,
            router=router,
            services=services,
            clock=fake_clock,
            metrics=Metrics(),
            settings=settings_module.DispatchSettings(),
            worker="docs:1",
        )
        await ledger.append(router.route([event]))
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            with anyio.fail_after(20):
                while [record.state for record in await ledger.find(event.id)] != [DeliveryState.DONE] * 2:
                    await ledger.ping()
            await dispatcher.drain()
        topics = [one.topic for one in await ledger.events_about(event.conversation_id)]
    assert topics == ["media.verified", "checksums.written"]
    (sent,) = services.http.sent
    assert (sent.method, sent.url) == (
        "PUT",
        f"https://crm.example/api/calls/{event.conversation_id}/recordings/{event.recording_id}",
    )
    assert sent.headers["Idempotency-Key"].startswith("dlv_")


async def test_what_the_receiver_answers_becomes_the_outcome_that_the_page_shows(site, handler_harness):
    kind = type(loaded_from(site)[0].handler)
    event = make_event("media.verified")
    async with handler_harness(kind, {"address": "https://crm.example"}) as harness:
        harness.http.answer(204, 404, 410, 429, 502, 400)
        assert await harness.handle(event) == Done()
        assert await harness.handle(event) == Snooze("the CRM does not know the call yet", timedelta(minutes=10))
        assert await harness.handle(event) == Park("the CRM has closed this address")
        for expected, delay in ((TransientError, timedelta(minutes=1)), (TransientError, None)):
            with pytest.raises(expected) as caught:
                await harness.handle(event)
            assert caught.value.delay == delay
        with pytest.raises(PermanentError, match="refused with 400"):
            await harness.handle(event)
    assert [(entry.action, entry.target) for entry in harness.audited] == [("crm.tell", event.recording_id)]


async def test_the_check_of_the_page_proves_the_address(site, handler_harness):
    kind = type(loaded_from(site)[0].handler)
    await handler_harness(kind, {"address": "https://crm.example"}).check()
    with pytest.raises(ConfigurationError, match="address: must begin with https://"):
        await handler_harness(kind, {"address": "http://crm.example"}).check()


def test_the_fault_that_the_page_shows_is_what_is_told(site):
    file = site / "settings.toml"
    file.write_text(file.read_text().replace("address =", "adress ="))
    with pytest.raises(ConfigurationError) as caught:
        loaded_from(site)
    (shown,) = re.findall(r"^```text\n(.*?)\n```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    place, _, problem = shown.partition(" ")
    assert problem in caught.value.problems
    told = attributed([problem], file, {}, ())[0].removeprefix(f"{file.parent}/")
    assert re.sub(r":\d+:", ":N:", told) == re.sub(r":\d+:", ":N:", f"{place} {problem}")


def test_the_tests_of_the_other_package_pass_with_the_plugin_alone(package):
    """In a process of its own, outside of this project: what its author runs."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(package), "tests"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package / "site")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "4 passed" in run.stdout


def test_the_table_of_the_page_is_that_of_the_interface():
    """Each row of `plugin`'s docstring stands on the page, so that neither grows alone."""
    from genesys_sync import plugin

    def row_heads(text: str) -> set[str]:
        return {
            match.replace("`", "").split(",")[0].strip()
            for match in re.findall(r"^\| ((?:returns|raises|exceeds|is|its) [^|]+?) *\|", text, re.MULTILINE)
        }

    assert row_heads(plugin.__doc__ or "") <= row_heads(PAGE.read_text(encoding="utf-8"))


def test_the_example_in_the_readme_loads_and_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    write(files_of(ROOT / "README.md"), tmp_path)
    (table,) = re.findall(r"^```toml\n(\[handlers\.tell-desk\].*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "settings.toml").write_text('[genesys]\nregion = "us_east_1"\n' + table)
    (loaded,) = loaded_from(tmp_path)
    harness = HandlerHarness(type(loaded.handler), {"path": str(tmp_path / "verified.txt")}, folder=tmp_path)
    event = make_event("media.verified")

    async def run() -> None:
        async with harness:
            assert await harness.handle(event) == Done()

    anyio.run(run)
    assert (tmp_path / "verified.txt").read_text().endswith(f" {event.recording_id}\n")
