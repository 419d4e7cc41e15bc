"""The console's document as a page. Pure; it knows the document and nothing else, so that it can show no other numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from string import Template
from typing import Any, Final

from genesys_sync.completeness import MEANINGS, State
from genesys_sync.console.markup import Html, facts, joined, table, tag
from genesys_sync.console.words import counted, further, meaning, sized
from genesys_sync.feed.protocol import Cause
from genesys_sync.ledger.base import DeliveryState
from genesys_sync.units import spoken

Document = Mapping[str, Any]

_BAD: Final = frozenset({State.REJECTED, State.DEAD, State.UNEXPLAINED})
_RIGHTLY: Final = frozenset({State.EXCLUDED, State.NONE_EXPECTED})
_GOOD: Final = frozenset({State.ARCHIVED, State.RECOVERED})
NOTHING: Final = "\N{EN DASH}"
_SHOWN: Final = 50
"""Rows of one table: whoever has more reads `/console.json`."""


@cache
def asset(name: str) -> str:
    """A file that lies beside this module."""
    return (resources.files("genesys_sync.console") / "assets" / name).read_text(encoding="utf-8")


def render(document: Document) -> str:
    """The whole page."""
    readiness = document["daemon"]
    parts: dict[str, Callable[[Document], Html]] = {
        "state": _state,
        "glance": _glance,
        "today": _today,
        "handlers": _handlers,
        "dead": _dead,
        "feed": _feed,
        "budgets": _budgets,
        "actions": _actions,
        "uploads": _uploads,
        "storage": _storage,
        "audit": _audit,
        "read": _read,
    }
    shown = {name: part(document) for name, part in parts.items()}
    title = "Ready" if readiness["ready"] else "Not ready"
    return Template(asset("console.html")).substitute(shown, title=title, version=joined([document["version"]]))


def _state(document: Document) -> Html:
    readiness = document["daemon"]
    codes = further(readiness["reasons"], ready=readiness["ready"])
    looks = "bad" if not readiness["ready"] else "warn" if codes or document["unread"] else "good"
    reasons = [tag("li", _sentence(meaning(code)), " ", tag("code", code)) for code in codes]
    if document["unread"]:
        reasons.append(tag("li", "The ledger cannot be read at present: its numbers are those of the last reading, if there was one."))
    return tag(
        "div",
        tag("p", document["sentence"], class_="sentence"),
        tag("ul", *reasons) if reasons else Html(),
        class_=f"banner {looks}",
    )


def _glance(document: Document) -> Html:
    today, disk = document["today"], document["disk"]
    counts = today["counts"] if today is not None else {}
    letters, gaps = document.get("deadLetters"), document.get("openGaps")
    low = disk is not None and disk["free"] is not None and disk["free"] < disk["minFree"]
    return joined(
        [
            _tile("archived today", None if today is None else f"{sum(counts[state] for state in _GOOD):,}"),
            _tile("on the way", None if today is None else f"{counts[State.DETECTED] + counts[State.WAITING]:,}"),
            _tile("oldest due has waited", _span(document.get("backlogSeconds"))),
            _tile("dead letters", _number(letters), "bad" if letters else ""),
            _tile("open gaps", _number(gaps), "warn" if gaps else ""),
            _tile("disk free", _size(disk["free"]) if disk is not None else None, "bad" if low else ""),
        ]
    )


def _tile(name: str, value: str | None, looks: str = "") -> Html:
    return tag("div", tag("dt", name), tag("dd", value or NOTHING, class_=looks or None))


def _today(document: Document) -> Html:
    today = document["today"]
    if today is None:
        return tag("p", "Being counted; this takes a moment on a long day.", class_="empty")
    rows = []
    for state in State:
        number = today["counts"][state]
        looks = "zero" if not number else "good" if state in _GOOD else "bad" if state in _BAD else "warn"
        rows.append((state.replace("_", " "), tag("span", f"{number:,}", class_=looks), MEANINGS[state]))
    why = [
        tag("li", f"{one['number']:,} {one['state'].replace('_', ' ')}: ", tag("code", one["reason"]))
        for one in today["reasons"]
        if one["state"] not in _RIGHTLY
    ]
    looking = today["looking"]
    seen = f"{counted(today['conversations'], 'conversation')} ended, {counted(today['recordings'], 'recording')} known"
    also = f"; those of {looking:,} are still looked for" if looking else ""
    return joined(
        [
            table("Today's recordings, each in one state", ("state", "number", "meaning"), rows, numeric=[1]),
            tag("ul", *why[:_SHOWN], class_="notes") if why else Html(),
            tag(
                "p",
                f"{seen}{also}. Counted at ",
                _clock(today["to"], document["at"]),
                " from the ledger; with the platform asked:",
                class_="soft",
            ),
            _command(f"genesys-sync report --from {today['from'][:10]}"),
        ]
    )


def _handlers(document: Document) -> Html:
    deliveries, parked = document.get("deliveries"), document.get("parked") or {}
    if not deliveries and not parked:
        return _nothing(deliveries, "No handler has had anything to do yet.")
    rows = [
        (
            handler,
            *(_count(states.get(state, 0), bad=state is DeliveryState.DEAD) for state in DeliveryState),
            _span(document["backlogs"].get(handler)) or NOTHING,
        )
        for handler, states in sorted((deliveries or {}).items())
    ]
    notes = [
        tag("li", tag("strong", handler), f" is parked: {why} ", tag("code", f"genesys-sync resume {handler}"))
        for handler, why in sorted(parked.items())
    ]
    whole = _cut(table("Deliveries by handler", ("handler", *DeliveryState, "oldest due"), rows[:_SHOWN], numeric=range(1, 7)), rows)
    return joined([whole, tag("ul", *notes, class_="notes")]) if notes else whole


def _dead(document: Document) -> Html:
    reasons = document["deadReasons"]
    if not reasons:
        return _nothing(reasons, "None: nothing was given up.")
    rows = [(one["handler"], one["reason"], _count(one["number"], bad=True)) for one in reasons]
    whole = _cut(table("Dead letters by handler and reason", ("handler", "reason", "number"), rows[:_SHOWN], numeric=[2]), rows)
    codes = sorted({one["reason"] for one in reasons})[:_SHOWN]
    return joined([whole, *(_command(f"genesys-sync dead-letters list --reason {code}") for code in codes)])


def _feed(document: Document) -> Html:
    feed = document["feed"]
    if feed is None:
        return tag("p", "The platform has not said yet whose events these are.", class_="empty")
    state = "connected since " if feed["connected"] else "not connected since "
    now = document["at"]
    topics = f"{feed['topics']:,}"
    topics += f", {feed['topicsRefused']:,} refused" if feed["topicsRefused"] else ""
    topics += f", {feed['topicsLeftOut']:,} left out" if feed["topicsLeftOut"] else ""
    return facts(
        [
            ("socket", joined([tag("span", state, class_="good" if feed["connected"] else "bad"), _ago(feed["since"], now)])),
            ("channels", f"{feed['channelsLive']} of {feed['channels']} live"),
            ("topics", topics),
            ("last frame", _ago(feed["lastFrame"], now)),
            ("heard up to", _ago(document.get("watermark"), now)),
            ("open gaps", _number(document.get("openGaps")) or NOTHING),
            ("last connection ended", "none has yet" if feed["lastEnding"] == Cause.STARTED else feed["lastEnding"].replace("_", " ")),
        ]
    )


def _budgets(document: Document) -> Html:
    rows = []
    for one in document["budgets"]:
        held = f"by a 429, for {spoken(timedelta(seconds=one['heldSeconds']))}" if one["heldSeconds"] >= 1 else ""
        left = tag("meter", "", min="0", max=str(one["limit"]), value=str(one["remaining"]), low=str(one["limit"] // 5), aria_hidden="true")
        rows.append((one["client"], joined([left, f" {one['remaining']:,} of {one['limit']:,}"]), held or NOTHING))
    return table("Requests left in this minute, by OAuth client", ("client", "left in this minute", "held up"), rows[:_SHOWN])


def _actions(document: Document) -> Html:
    actions = document.get("actions")
    if not actions:
        return _nothing(actions, "None yet: nothing was paused, uploaded, pushed or published.")
    rows = [
        (
            one["operation"],
            tag("span", f"{one['successRate']:.1%}", class_="good" if one["successRate"] == 1 else "warn"),
            f"{one['success']:,}",
            _count(one["refused"]),
            _count(one["failure"], bad=True),
            _mean(one["meanSeconds"]),
            sized(one["bytes"]) if one["bytes"] else NOTHING,
        )
        for one in actions
    ]
    columns = ("action", "success rate", "success", "refused", "failure", "mean time", "bytes")
    return _cut(table("Actions on the platform, by operation", columns, rows[:_SHOWN], numeric=range(1, 7)), rows)


def _uploads(document: Document) -> Html:
    uploads = document["uploads"]
    if not uploads or not any(uploads.values()):
        return _nothing(uploads, "None: nothing was asked to be uploaded.")
    events = document["events"]
    asked, done, failed = (events.get(f"upload.{word}", 0) for word in ("requested", "completed", "failed"))
    rows = [(state, _count(number, bad=state in ("failed", "dead letter"))) for state, number in uploads.items() if number]
    return joined(
        [
            tag("p", f"{asked:,} asked for in all, {done:,} uploaded, {failed:,} failed."),
            table(f"How the latest {sum(uploads.values())} stand", ("state", "number"), rows, numeric=[1]),
            _command("genesys-sync upload list"),
        ]
    )


def _storage(document: Document) -> Html:
    storage, disk = document.get("storage"), document["disk"]
    if storage is None or disk is None:
        return _nothing(None, "")
    currency = storage["currency"]
    rows = [(one["class"], f"{one['objects']:,}", sized(one["bytes"]), _price(one["costPerMonth"])) for one in storage["classes"]]
    if len(rows) > 1 and storage["costPerMonth"] is not None:
        rows.append(("all", "", "", _price(storage["costPerMonth"])))
    columns = ("storage class", "objects", "bytes", f"{currency} a month")
    stored = table("What was stored, and what a month of it costs", columns, rows[:_SHOWN], numeric=[1, 2, 3])
    free = [
        ("archive's disk", f"{_size(disk['free']) or NOTHING} free; below {sized(disk['minFree'])} the work waits"),
        ("ledger", sized(disk["ledgerBytes"])),
    ]
    return joined([stored if rows else _nothing(rows, "Nothing is stored yet."), facts(free)])


def _audit(document: Document) -> Html:
    audit = document["audit"]
    if audit is None:
        return _nothing(None, "")
    at = audit["checkpointedAt"]
    earlier = "before this process began" if audit["checkpointed"] else "none yet"
    return joined(
        [
            facts(
                [
                    ("entries sealed into files", f"{audit['sealed']:,}"),
                    ("of them under a checkpoint", f"{audit['checkpointed']:,}"),
                    ("last checkpoint", _ago(at, document["at"]) if at is not None else earlier),
                ]
            ),
            _command("genesys-sync verify"),
        ]
    )


def _read(document: Document) -> Html:
    up = spoken(_moment(document["at"]) - _moment(document["startedAt"]))
    return tag(
        "p", "At ", _clock(document["at"]), f"; up for {up}. The same for programs: ", tag("a", "console.json", href="console.json"), "."
    )


def _nothing(value: object, sentence: str) -> Html:
    return tag("p", "Not read yet." if value is None else sentence, class_="empty")


def _cut(shown: Html, rows: Sequence[object]) -> Html:
    return joined([shown, tag("p", f"and {len(rows) - _SHOWN} more in console.json")]) if len(rows) > _SHOWN else shown


def _command(text: str) -> Html:
    return tag("p", tag("code", text), class_="command")


def _count(number: int, *, bad: bool = False) -> Html:
    return tag("span", f"{number:,}", class_="zero" if not number else "bad" if bad else None)


def _number(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _size(size: int | None) -> str | None:
    return None if size is None else sized(size)


def _price(price: float | None) -> str:
    return "no price" if price is None else "< 0.01" if 0 < price < 0.01 else f"{price:,.2f}"


def _mean(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else spoken(timedelta(seconds=seconds))


def _ago(text: str | None, now: str) -> Html:
    return Html(NOTHING) if text is None else joined([_clock(text, now), f", {spoken(_moment(now) - _moment(text))} ago"])


def _clock(text: str, now: str = "") -> Html:
    """The time of day, with its date unless that is today's."""
    day = "" if text[:10] == now[:10] else f"{text[:10]} "
    return tag("time", f"{day}{text[11:19]} UTC", datetime=text)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
