"""HTML that cannot be broken out of: whatever is put into an element is escaped, unless it is an element itself. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is markup already; only `tag` and `joined` make it."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str | bool | None) -> Html:
    """An element. An attribute whose name is a word of Python's ends in `_`, other underscores are dashes; True stands for one without a
    value, False and None for one that is not there."""
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    """One after the other."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[int] = ()) -> Html:
    """A table whose first column names its rows; `numeric` are the columns that hold numbers. It scrolls by itself where it is too wide."""
    right = frozenset(numeric)

    def cell(place: int, content: str) -> Html:
        kind = "number" if place in right else None
        return tag("th", content, scope="row") if place == 0 else tag("td", content, class_=kind)

    head = tag("tr", *(tag("th", name, scope="col", class_="number" if place in right else None) for place, name in enumerate(columns)))
    body = [tag("tr", *(cell(place, content) for place, content in enumerate(row))) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0", role="group", aria_label=caption)


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names with their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def _attribute(name: str, value: str | bool | None) -> str:  # noqa: FBT001 - what an attribute may be
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'
