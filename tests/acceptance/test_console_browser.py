"""The console in a real browser, beside a daemon that works: the numbers of `status`, kept fresh, from nobody else, without a complaint."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.acceptance.chromium import Page, browsing, found

CALLS = """
[calls]
count = 30
per_second = 4
duration = ["1s", "2s"]
[recordings]
appear_after = ["100ms", "200ms"]
available_after = ["500ms", "1s"]
"""
PICTURES = os.environ.get("CONSOLE_PICTURES", "")
"""A folder for pictures of the page, for whoever wants to look at it."""

TABLE = """Object.fromEntries([...document.querySelectorAll('#%s tbody tr')].map(row => [row.cells[0].textContent,
    [...row.cells].slice(1).map(cell => cell.textContent)]))"""

GLANCE = """Object.fromEntries([...document.querySelectorAll('#glance div')].map(tile =>
    [tile.children[0].textContent, tile.children[1].textContent]))"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(found() is None, reason="no browser here: install Debian's package chromium (or Google Chrome) to run this"),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    program = found()
    assert program is not None
    (tmp_path / "browser").mkdir()
    with browsing(program, tmp_path / "browser") as tab:
        tab.look(width=1280, height=900)
        yield tab


@pytest.fixture
def daemon_and_url(simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]) -> tuple[Any, Any, str]:
    platform = simulator(CALLS)
    here = daemon(platform, "costs.per_gb_month={archive=0.023}", "audit.checkpoint_every=1s")
    here.start()
    listens = wait(
        lambda: re.search(r'"health listens".*?"address":"(127\.0\.0\.1:\d+)"', here.log),
        what="the port",
    )
    return platform, here, f"http://{listens[1]}/"


def read(url: str) -> Any:
    with urllib.request.urlopen(f"{url}console.json", timeout=10) as answer:
        return json.load(answer)


def numbers(row: list[str]) -> list[int]:
    return [int(cell.replace(",", "")) for cell in row]


def test_it_shows_what_status_says_and_keeps_up(
    page: Page, daemon_and_url: tuple[Any, Any, str], wait: Callable[..., Any], tmp_path: Path
) -> None:
    platform, here, url = daemon_and_url
    wait(lambda: read(url)["daemon"]["ready"], what="a daemon that is ready")
    page.open(url)
    wait(lambda: page.run("document.title") == "Ready · genesys-sync", what="a page that says so")

    wait(lambda: platform.page("state")["finished"], what="the scenario's end")
    made = len(platform.truth("recording"))
    wait(lambda: here.events("media.verified") == made, what="every recording verified")
    wait(lambda: read(url)["today"]["counts"]["archived"] == made, what="all of them judged")
    shown = wait(
        lambda: (today := page.run(TABLE % "today")) and numbers(today["archived"][:1]) == [made] and today,
        what="the page that was open all the time to show them without having been loaded again",
    )
    assert page.loaded == 1
    said = read(url)["today"]
    assert {state.replace(" ", "_"): numbers(cells[:1])[0] for state, cells in shown.items()} == said["counts"]

    status = json.loads(here.call("status", "--json").stdout)
    report = json.loads(here.call("report", "--offline", "--json", "--from", said["from"][:10], "--to", "now").stdout)
    assert report["counts"] == said["counts"]
    handlers = page.run(TABLE % "handlers")
    states = ("ready", "leased", "done", "skipped", "dead")
    for handler in ("archive", "verify"):
        assert numbers(handlers[handler][:5]) == [status["deliveries"][handler].get(state, 0) for state in states]
    assert sum(map(sum, (numbers(row[:5]) for row in handlers.values()))) == sum(
        sum(found.values()) for found in status["deliveries"].values()
    )
    [stored] = status["storage"]["classes"]
    assert numbers(page.run(TABLE % "storage")["archive"][:1]) == [stored["objects"]]
    glance = page.run(GLANCE)
    assert (glance["archived today"], glance["dead letters"]) == (str(made), str(status["deadLetters"]))

    assert page.complaints == []
    assert {urlsplit(asked).netloc for asked in page.asked} == {urlsplit(url).netloc}, "nobody else is asked"
    assert {urlsplit(asked).path for asked in page.asked} == {"/", "/console.css", "/console.js", "/console.svg"}
    take_pictures(page, url)

    here.kill()
    wait(lambda: page.run("document.getElementById('contact').textContent").startswith("No answer"), what="a page that says it is old")
    picture(page, "stale")
    here.stop()


def test_without_javascript_it_is_the_same_page(page: Page, daemon_and_url: tuple[Any, Any, str], wait: Callable[..., Any]) -> None:
    _, _, url = daemon_and_url
    wait(lambda: read(url)["today"], what="a day that was counted")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(url)
    text = page.run("document.body.innerText")
    for heading in ("Today", "Handlers", "Dead letters", "Feed", "Rate budget", "Storage", "Actions", "Uploads", "Audit trail"):
        assert heading in text
    assert "archived" in page.run(TABLE % "today")
    assert not any(asked.endswith(".js") for asked in page.asked)
    assert page.complaints == []


def take_pictures(page: Page, url: str) -> None:
    """And nothing is cut off at any width."""
    for name, looks in {
        "light": {"width": 1280, "height": 900},
        "dark": {"width": 1280, "height": 900, "dark": True},
        "phone": {"width": 360, "height": 780, "phone": True},
    }.items():
        page.look(**looks)  # type: ignore[arg-type]  # one of the three shapes above
        page.open(url)
        assert page.run("document.documentElement.scrollWidth") == looks["width"], f"{name}: the page is as wide as the screen"
        page.run("document.querySelector('.banner').append('recording:recording:viewSensitiveData'.repeat(9))")
        assert page.run("document.documentElement.scrollWidth") == looks["width"], f"{name}: so it is with a long word in the banner"
        page.open(url)
        dark = page.run("getComputedStyle(document.body).backgroundColor").startswith("rgb(1")
        assert dark is (name == "dark")
        picture(page, name)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.picture(Path(PICTURES) / f"{name}.png")
