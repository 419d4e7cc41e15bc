"""Where each key of a settings file stands: right for every way in which TOML lets it be written."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.errors import ConfigurationError
from genesys_sync.places import line_and_column, read
from genesys_sync.sources import attributed, gather

VALUES = (
    *(
        "1",
        "-0.5",
        "true",
        "1979-05-27T07:32:00Z",
        "1979-05-27 07:32:00",
        "inf",
        '""',
        "''",
        '"# no comment"',
        '"\\\\"',
        r'"\" [feed]"',
        "'\\'",
    ),
    *('"""\n[feed]\nsilence = 1\n"""', '"""\\""""', '"""a""b"""""', "'''\n[[feed]] \"\"\"\n'''", "'''x'''''", '"""\n\\\n  # x"""'),
)
"""What a scan by lines or by the next quotation mark would trip over."""
GAPS = ("", "\n", "# [feed]\n", '\n  # a = "x\n\t')
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Writer:
    """Writes settings of which every key has a name of its own, in any style, and knows where it put each."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._count = 0
        self.text = ""
        self.offsets: dict[str, int] = {}

    def one_of(self, choices: tuple[Any, ...]) -> Any:
        return self._draw(st.sampled_from(choices))

    def name(self) -> tuple[str, str]:
        """A new name, and how it is written."""
        self._count += 1
        bare = f"k{self._count}"
        return self.one_of(
            ((bare, bare), (bare, f'"{bare}"'), (f"{bare} =é", f"'{bare} =é'"), (f"{bare}]\n", f'"\\u006b{self._count}]\\n"'))
        )

    def key(self, above: str, written: str, name: str) -> str:
        path = f"{above}.{name}" if above else name
        self.offsets.setdefault(path, len(self.text))
        self.text += written
        return path

    def pair(self, above: str, depth: int) -> None:
        for _ in range(self.one_of((0, 0, 1, 2))):
            name, written = self.name()
            above = self.key(above, written, name)
            self.text += self.one_of((".", " . "))
        name, written = self.name()
        path = self.key(above, written, name)
        self.text += self.one_of(("=", " = ", "\t=  "))
        self.value(path, depth)

    def value(self, path: str, depth: int) -> None:
        kind = self.one_of(("scalar", "scalar", "list", "table")) if depth else "scalar"
        if kind == "scalar":
            self.text += self.one_of(VALUES)
        elif kind == "list":
            self.text += "["
            for index in range(self.one_of((0, 1, 3))):
                self.text += self.one_of(GAPS)
                self.offsets[f"{path}.{index}"] = len(self.text)
                self.value(f"{path}.{index}", depth - 1)
                self.text += self.one_of(GAPS) + ","
            self.text += self.one_of(GAPS) + "]"
        else:
            self.text += "{"
            for index in range(self.one_of((0, 1, 2))):
                self.text += ", " if index else " "
                self.pair(path, depth - 1)
            self.text += " }"

    def pairs(self, above: str) -> None:
        for _ in range(self.one_of((0, 1, 2))):
            self.text += self.one_of(GAPS)
            self.pair(above, 3)
            self.text += self.one_of(("\n", '  # the end, "\n', "\r\n"))

    def document(self) -> str:
        self.pairs("")
        for _ in range(self.one_of((0, 1, 2, 4))):
            self.text += self.one_of(GAPS)
            outer, inner = self.name(), self.name()
            if self.one_of((False, True)):  # a list of tables, each with a table of its own below
                for index in range(self.one_of((1, 2))):
                    self.text += "[[ "
                    path = f"{self.key('', outer[1], outer[0])}.{index}"
                    self.offsets[path] = len(self.text) - len(outer[1])
                    self.text += "]]\n"
                    self.pairs(path)
                    self.text += f"[{outer[1]}."
                    below = self.key(path, inner[1], inner[0])
                    self.text += " ] # x\n"
                    self.pairs(below)
            else:
                self.text += "["
                path = self.key("", outer[1], outer[0])
                self.text += " . "
                path = self.key(path, inner[1], inner[0])
                self.text += "]\n"
                self.pairs(path)
        return self.text


@given(st.data())
def test_each_key_is_found_where_it_was_written(data: st.DataObject) -> None:
    writer = Writer(data.draw)
    text = writer.document()
    tomllib.loads(text)
    found = read(text)
    assert found.offsets == writer.offsets
    assert not found.repeats


@given(st.data(), st.text(alphabet="[]{}=.,\"'\\#\n ka1é", max_size=40))
def test_what_is_no_toml_ends_the_reading_and_nothing_else(data: st.DataObject, rubbish: str) -> None:
    writer = Writer(data.draw)
    text = writer.document()
    cut = data.draw(st.integers(0, len(text)))
    read(text[:cut] + rubbish + text[cut:])


def test_a_line_and_a_column_count_characters_from_one() -> None:
    text = '"é" = "é"\r\n"é".\tk = 1'
    assert line_and_column(text, read(text).offsets["é"]) == "1:1"
    text = "# é\r\n\t'é'.\tk = 1"
    assert line_and_column(text, read(text).offsets["é.k"]) == "2:7"


def told(path: Path, text: str, problem: str, *overrides: str, **environ: str) -> str:
    path.write_text(text, encoding="utf-8", newline="")
    (sentence,) = attributed([problem], path, environ, overrides)
    return sentence.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("text", "problem", "expected"),
    [
        ("[a]\nb.c = 1", "a.b.c: wrong", "FILE:2:3 a.b.c: wrong"),
        ("[a]\nb.c = 1", "a.b: wrong", "FILE:2:1 a.b: wrong"),
        ("[a]\nb.c = 1", "a.b.c.d.0: wrong", "FILE:2:3 a.b.c.d.0: wrong"),
        ("[a]\nb = 1", "a.c: is required", "FILE:1:2 a.c: is required"),
        ('[a]\n"b: c" = 1', "a.b: c: wrong", "FILE:2:1 a.b: c: wrong"),
        ("[a]\nb = 1\nbc = 2", "a.bc: wrong", "FILE:3:1 a.bc: wrong"),
        ("[[a]]\nx=1\n[[a]]\nx=2", "a.1.x: wrong", "FILE:4:1 a.1.x: wrong"),
        ("a = [1,\n 2,\n  3]", "a.2: wrong", "FILE:3:3 a.2: wrong"),
        ("b = 1", "a: is required", "FILE a: is required"),
    ],
)
def test_a_fault_is_told_with_the_place_of_its_key_or_the_nearest_above(tmp_path: Path, text: str, problem: str, expected: str) -> None:
    assert told(tmp_path / "file", text, problem) == expected


def test_what_comes_from_outside_the_file_is_named_instead_of_a_line(tmp_path: Path) -> None:
    path, text = tmp_path / "file", "[feed]\nsilence = 1\nqueues = 2\n[log]\nlevel = 3"
    variable = {"GENESYS_SYNC_FEED__SILENCE": "4"}
    assert told(path, text, "feed.silence: wrong", **variable) == "feed.silence: wrong (from GENESYS_SYNC_FEED__SILENCE)"
    assert told(path, text, "feed.silence: wrong", "feed.silence=5", **variable) == "feed.silence: wrong (from --set feed.silence)"
    assert told(path, text, "feed.queues: wrong", **variable) == "FILE:3:1 feed.queues: wrong"
    assert told(path, text, "log.level: wrong", "log={level=1}") == "log.level: wrong (from --set log)"


@pytest.mark.parametrize(
    ("text", "tree", "repeated"),
    [
        ("a = 1\nb = 2\na = 3", {"a": 1, "b": 2}, ["3:1 a: stands twice; first in line 1"]),
        ("[a]\nx = 1\n[b]\n[a]\ny = 2", {"a": {"x": 1}, "b": {}}, ["4:2 a: stands twice; first in line 1"]),
        ("[a]\nx = {y = 1, y = 2}", {"a": {"x": {"y": 1}}}, ["2:13 a.x.y: stands twice; first in line 2"]),
        ("a.b = 1\n[a]\nc = 2", {"a": {"b": 1}}, ["2:2 a: stands twice; first in line 1"]),
        ("[[a]]\n[a]\nc = 2", {"a": [{}]}, ["2:2 a: stands twice; first in line 1"]),
        ("[[a]]\nx = 1\nx = 2", {"a": [{"x": 1}]}, ["3:1 a.0.x: stands twice; first in line 2"]),
        (
            'a = """\n\n"""\n"a" = 1\n\'a\' = 2',
            {"a": "\n"},
            ["4:1 a: stands twice; first in line 1", "5:1 a: stands twice; first in line 1"],
        ),
    ],
)
def test_what_stands_twice_is_told_and_the_rest_read_all_the_same(
    tmp_path: Path, text: str, tree: dict[str, Any], repeated: list[str]
) -> None:
    path, problems = tmp_path / "file", list[str]()
    path.write_text(text)
    assert gather(path, {}, (), problems) == tree
    assert problems == [f"{path}:{sentence}" for sentence in repeated]


def test_what_stands_twice_is_told_together_with_what_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a = 1\na = 2\nb = tru\n")
    with pytest.raises(ConfigurationError) as caught:
        gather(path, {}, (), [])
    assert [problem.removeprefix(f"{path}:")[:20] for problem in caught.value.problems] == [
        "2:1 a: stands twice;",
        "3:5: not valid TOML: "[:20],
    ]
