"""What pydantic found, told to people: path first, the nearest known key, no secret."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError

from genesys_sync.faults import describe, nearest


@dataclass(frozen=True)
class Part:
    size: int = 1


@dataclass(frozen=True)
class Table:
    name: str
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = field(default_factory=dict)
    key: SecretStr | None = None


class Model(BaseModel):
    table: Table


def told(model, value, prefix=""):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(value, extra="forbid")
    return describe(caught.value, model, prefix=prefix)


def test_a_missing_key_is_required():
    assert told(Table, {}, prefix="handlers.a.config") == ["handlers.a.config.name: is required"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "x", "prats": []}, "prats: unknown key; did you mean 'parts'?"),
        ({"name": "x", "zzz": 1}, "zzz: unknown key (known here: by_name, key, name, parts)"),
        ({"name": "x", "parts": [{}, {"sice": 1}]}, "parts.1.sice: unknown key; did you mean 'size'?"),
        ({"name": "x", "by_name": {"a": {"sice": 1}}}, "by_name.a.sice: unknown key; did you mean 'size'?"),
    ],
)
def test_an_unknown_key_is_known_by_its_place(value, said):
    assert told(Table, value) == [said]


def test_models_and_dataclasses_nest():
    assert told(Model, {"table": {"name": "x", "parts": [{"sise": 1}]}}) == ["table.parts.0.sise: unknown key; did you mean 'size'?"]


def test_the_value_is_shown_clipped_unless_it_is_a_secret():
    (line,) = told(Table, {"name": "x", "parts": [{"size": "9" * 50 + "x" * 200}]})
    assert line.startswith("parts.0.size: ")
    assert "999" in line
    assert len(line) < 300
    (line,) = told(Table, {"name": "x", "key": 4711})
    assert line.startswith("key: ")
    assert "4711" not in line


def test_nearest_says_nothing_for_what_resembles_nothing():
    assert nearest("archve", ["archive", "verify"]) == "; did you mean 'archive'?"
    assert nearest("zzz", ["archive"]) == ""


@dataclass(frozen=True)
class Kinds:
    whole: Annotated[int, Field(ge=1, le=9)] = 1
    number: float = 1.0
    text: str = ""
    path: Path = Path()
    switch: bool = False
    many: tuple[str, ...] = ()
    some: Annotated[tuple[str, ...], Field(min_length=1)] = ("x",)
    part: Part = Part()
    choice: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"whole": "many"}, "whole: must be a whole number, not 'many'"),
        ({"whole": 0}, "whole: must be at least 1, not 0"),
        ({"whole": 10}, "whole: must be at most 9, not 10"),
        ({"number": "many"}, "number: must be a number, not 'many'"),
        ({"text": 3}, "text: must be text in quotation marks, not 3"),
        ({"path": 3}, "path: must be a path in quotation marks, not 3"),
        ({"switch": "maybe"}, "switch: must be true or false, not 'maybe'"),
        ({"many": "a"}, """many: must be a list, such as ["a", "b"], not 'a'"""),
        ({"some": []}, "some: must have 1 or more entries, not []"),
        ({"part": 3}, "part: must be a table, not 3"),
        ({"choice": "c"}, "choice: must be 'a' or 'b', not 'c'"),
    ],
)
def test_what_was_expected_is_said_in_the_words_of_the_file(value, said):
    assert told(Kinds, value) == [said]
