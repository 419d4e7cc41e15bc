"""The console's page: shows the document and nothing else, whatever stands in it, and holds nothing that its own policy forbids."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.console.markup import Html, joined, table, tag
from genesys_sync.console.page import asset, render
from genesys_sync.console.words import REASONS, further, sentence, sized

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&lt;${state}"
VOID = {"meta", "link"}
WELL = {"ready": True, "state": "ready", "reasons": [], "connected": 1}


def document(**changes: Any) -> dict[str, Any]:
    """A document with something in every part."""
    counts = dict.fromkeys(
        ("detected", "waiting", "archived", "recovered", "rejected", "dead", "excluded", "unexplained", "none_expected"), 0
    )
    return {
        "at": "2026-08-01T12:00:30.000Z",
        "events": {"upload.requested": 7, "upload.completed": 5, "upload.failed": 1},
        "deliveries": {"archive": {"ready": 1234, "dead": 2}, "verify": {"done": 9}},
        "deadLetters": 2,
        "backlogSeconds": 300.0,
        "backlogs": {"archive": 300.0},
        "parked": {"tell-crm": "the receiver answered 410"},
        "openGaps": 1,
        "watermark": "2026-08-01T12:00:00.000Z",
        "actions": [
            {
                "operation": "upload.send",
                "success": 3,
                "refused": 1,
                "failure": 0,
                "successRate": 0.75,
                "meanSeconds": 0.25,
                "bytes": 1_500_000,
            }
        ],
        "storage": {
            "currency": "EUR",
            "costPerMonth": 12.5,
            "classes": [
                {"class": "archive", "objects": 10, "bytes": 2_000_000_000, "costPerMonth": 12.498},
                {"class": "platform", "objects": 1, "bytes": 900, "costPerMonth": 0.002},
            ],
        },
        "readAt": "2026-08-01T12:00:29.000Z",
        "unread": False,
        "version": "9.8.7",
        "startedAt": "2026-08-01T09:00:30.000Z",
        "sentence": "Ready: events flow, and the ledger takes them.",
        "daemon": WELL,
        "feed": {
            "connected": True,
            "since": "2026-07-31T12:00:30.000Z",
            "lastFrame": "2026-08-01T12:00:18.000Z",
            "lastEnding": "socket_closing",
            "channels": 2,
            "channelsLive": 2,
            "topics": 1200,
            "topicsRefused": 3,
            "topicsLeftOut": 4,
        },
        "today": {
            "from": "2026-08-01T00:00:00.000Z",
            "to": "2026-08-01T12:00:29.000Z",
            "counts": counts | {"archived": 4321, "recovered": 9, "rejected": 2, "waiting": 5},
            "conversations": 5000,
            "recordings": 4400,
            "looking": 17,
            "reasons": [{"state": "rejected", "reason": "TRUNCATED", "number": 2}],
        },
        "deadReasons": [{"handler": "archive", "reason": "FORBIDDEN", "number": 2}],
        "budgets": [{"client": "main", "remaining": 200, "limit": 270, "heldSeconds": 12.0}],
        "disk": {"free": 5_000_000_000, "minFree": 1 << 30, "ledgerBytes": 4_700_000},
        "uploads": {"waiting": 1, "uploading": 0, "uploaded": 5, "waits for its conversation": 0, "failed": 1, "dead letter": 0},
        "audit": {"sealed": 777, "checkpointed": 776, "checkpointedAt": "2026-08-01T12:00:00.000Z"},
        **changes,
    }


class Reader(HTMLParser):
    """Elements with their attributes, the text that people read, and whether all that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data


def everywhere(value: Any, hostile: str) -> Any:
    """The document with every name and text that another decides replaced."""
    kept = {"at", "watermark", "since", "lastFrame", "readAt", "startedAt", "from", "to", "checkpointedAt", "counts", "uploads", "daemon"}
    if isinstance(value, dict):
        names = {"archive", "tell-crm", "verify"}
        return {hostile + key if key in names else key: one if key in kept else everywhere(one, hostile) for key, one in value.items()}
    if isinstance(value, list):
        return [everywhere(one, hostile) for one in value]
    return hostile if isinstance(value, str) else value


def test_every_part_shows_its_numbers() -> None:
    text = " ".join(Reader(render(document())).text.split())
    for shown in (
        "4,330",
        "1,234",
        "5 min",
        "4,321",
        "5,000 conversations ended, 4,400 recordings known; those of 17 are still looked for",
        "FORBIDDEN",
    ):
        assert shown in text
    for shown in (
        "12:00:18 UTC, 12 s ago",
        "2026-07-31 12:00:30 UTC, 24 h ago",
        "1,200, 3 refused, 4 left out",
        "200 of 270",
        "by a 429, for 12 s",
    ):
        assert shown in text
    for shown in ("75.0%", "250 ms", "1.5 MB", "2.0 GB", "12.50", "< 0.01", "EUR a month", "5.0 GB", "777", "776", "9.8.7", "up for 3 h"):
        assert shown in text
    for shown in ("7 asked for in all, 5 uploaded, 1 failed", "tell-crm is parked: the receiver answered 410 genesys-sync resume tell-crm"):
        assert shown in text
    assert "genesys-sync dead-letters list --reason FORBIDDEN" in text
    assert "genesys-sync report --from 2026-08-01" in text
    assert "2 rejected: TRUNCATED" in text
    today = document()["today"]
    today["reasons"].append({"state": "none_expected", "reason": "NOT_RECORDED", "number": 9})
    assert "NOT_RECORDED" not in Reader(render(document(today=today))).text, "what is as it should be needs no reason"


def test_an_installation_without_a_checkpoint_has_none_yet() -> None:
    audit = {"sealed": 3, "checkpointed": 0, "checkpointedAt": None}
    assert "last checkpointnone yet" in " ".join(Reader(render(document(audit=audit))).text.split())
    audit["checkpointed"] = 3
    assert "last checkpointbefore this process began" in " ".join(Reader(render(document(audit=audit))).text.split())


def test_what_others_named_cannot_break_out() -> None:
    """Handlers' names, reasons of parking, operations, clients, currencies, classes: all of it stays text."""
    plain, spoilt = Reader(render(document())), Reader(render(everywhere(document(), HOSTILE)))
    assert [name for name, _ in spoilt.elements] == [name for name, _ in plain.elements], "not one element more"
    assert [sorted(found) for _, found in spoilt.elements] == [sorted(found) for _, found in plain.elements], "and not one attribute"
    assert spoilt.text.count(HOSTILE) >= 12
    assert not spoilt.open


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_and_no_attribute_becomes_markup(text: str, value: str) -> None:
    found = Reader(tag("p", text, title=value))
    assert [name for name, _ in found.elements] == ["p"]
    assert list(found.elements[0][1]) == ["title"]


def test_only_elements_are_taken_as_they_are() -> None:
    assert joined(["<b>", tag("b", "<i>"), Html()]) == "&lt;b&gt;<b>&lt;i&gt;</b>"
    assert tag("p", class_="x", hidden=True, title=None, aria_label="a&b") == '<p class="x" hidden aria-label="a&amp;b"></p>'


def test_a_table_can_be_heard() -> None:
    found = Reader(table("Things", ("name", "number"), [("a", "1")], numeric=[1]))
    scopes = [attributes.get("scope") for name, attributes in found.elements if name == "th"]
    assert scopes == ["col", "col", "row"]
    assert ("caption", {}) in found.elements
    assert found.elements[0][1]["aria-label"] == "Things"


def test_nothing_read_yet_is_a_page_too() -> None:
    unread = dict.fromkeys(("feed", "today", "deadReasons", "disk", "uploads", "audit"))
    whole = document(**unread, unread=True, budgets=[])
    for name in (
        "events",
        "deliveries",
        "deadLetters",
        "backlogSeconds",
        "backlogs",
        "parked",
        "openGaps",
        "watermark",
        "actions",
        "storage",
    ):
        del whole[name]
    found = Reader(render(whole))
    assert not found.open
    assert "The ledger cannot be read at present" in found.text
    assert 'class="banner warn"' in render(whole), "though everything else is well"
    assert found.text.count("Not read yet.") >= 5


def test_a_part_that_is_too_long_says_so() -> None:
    many = {f"handler-{number:03}": {"done": 1} for number in range(60)}
    assert "and 10 more in console.json" in Reader(render(document(deliveries=many))).text


def test_changes_of_state_are_announced_and_the_page_is_of_one_language() -> None:
    elements = Reader(render(document())).elements
    [state] = [attributes for _, attributes in elements if attributes.get("id") == "state"]
    assert state["role"] == "status", "which is live, politely"
    assert ("html", {"lang": "en"}) in elements
    headings = {attributes.get("id") for name, attributes in elements if name == "h2"}
    assert headings == {attributes["aria-labelledby"] for name, attributes in elements if name == "section"}


def test_nothing_that_the_policy_forbids_and_nothing_from_elsewhere() -> None:
    page = render(document())
    for _, attributes in Reader(page).elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            assert re.fullmatch(r"[a-z.]+", attributes.get(name) or "x"), "beside the page, so that a proxy may put it under any path"
    for text in (page, *map(asset, ("console.css", "console.js", "console.svg"))):
        assert "//" not in re.sub(r"(?m)^\s*//.*$|http://www\.w3\.org/2000/svg", "", text)
    assert "innerHTML =" not in asset("console.js")


@pytest.mark.parametrize(
    ("readiness", "said"),
    [
        (WELL, "Ready: events flow, and the ledger takes them."),
        (WELL | {"reasons": ["archive_full"]}, "Ready: events flow, and the ledger takes them; 1 thing to look at."),
        (WELL | {"reasons": ["a_b", "c"]}, "Ready: events flow, and the ledger takes them; 2 things to look at."),
        (
            {"ready": False, "state": "not_ready", "reasons": ["topics_refused", "no_events"]},
            "Not ready: no live subscription for longer than feed.ready_within.",
        ),
        (
            {"ready": False, "state": "not_live", "reasons": ["dispatcher_stuck", "no_events"]},
            "Standing still: the dispatcher has not turned for 60 s.",
        ),
        ({"ready": False, "state": "not_ready", "reasons": []}, "Not ready."),
    ],
)
def test_the_state_is_one_sentence(readiness: dict[str, Any], said: str) -> None:
    assert sentence(readiness) == said


def test_the_list_has_what_the_sentence_does_not_say() -> None:
    assert further(["topics_refused", "no_events"], ready=False) == ["topics_refused"]
    assert further(["topics_refused"], ready=True) == ["topics_refused"]
    found = Reader(render(document(daemon=WELL | {"reasons": ["archive_full", "another_code"]}))).text
    assert "The archive's disk has less than storage.min_free left; the work waits. archive_full" in found
    assert "Another code. another_code" in found


def test_every_reason_that_is_documented_has_its_sentence() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "operate.md").read_text().split("### Reasons in `/readyz`")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, flags=re.MULTILINE)) == set(REASONS)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456, "123 kB"), (2 * 10**9, "2.0 GB"), (5 * 10**18, "5000 PB")]
)
def test_sizes_for_people(size: int, shown: str) -> None:
    assert sized(size) == shown
