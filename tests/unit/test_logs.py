"""Logs: one record one line, nothing secret in it, whatever is logged and whoever logs it."""

import io
import logging
import threading
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync import logs
from genesys_sync.scrubbing import VALUE_LIMIT
from genesys_sync.settings import LogSettings


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def written(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def configured(**settings: Any) -> io.BytesIO:
    stream = io.BytesIO()
    logs.configure(LogSettings(**{"format": "json", **settings}), stream=stream)
    return stream


def test_a_line_begins_with_time_level_logger_and_event() -> None:
    stream = configured()
    logs.get_logger("feed").info("connected", topics=3)
    (line,) = written(stream)
    assert list(line) == ["time", "level", "logger", "event", "topics"]
    assert (line["level"], line["logger"], line["event"], line["topics"]) == ("info", "feed", "connected", 3)
    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
    assert line["time"].endswith("Z")


def test_a_logger_made_before_configure_follows_it_and_each_later_one() -> None:
    logger = logs.get_logger("early")
    first, second = configured(), configured()
    logger.info("here")
    assert (written(first), len(written(second))) == ([], 1)


def test_what_is_bound_in_the_context_stands_in_each_line() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(handler="archive", delivery="dlv_1"):
        logs.get_logger("x").info("begun")
    assert written(stream)[0]["handler"] == "archive"


def test_lines_below_the_level_are_not_written() -> None:
    stream = configured(level="warning")
    logs.get_logger("x").info("no")
    logs.get_logger("x").warning("yes")
    assert [line["event"] for line in written(stream)] == ["yes"]


def test_auto_is_readable_on_a_terminal_and_json_elsewhere() -> None:
    terminal, journal = Terminal(), io.BytesIO()
    logs.configure(LogSettings(), stream=terminal)
    logs.get_logger("feed").warning("lost", cause="silence")
    logs.configure(LogSettings(), stream=journal)
    logs.get_logger("feed").warning("lost", cause="silence")
    assert b"feed: lost  cause=silence" in terminal.getvalue()
    assert written(journal)[0]["cause"] == "silence"


def test_colours_stay_away_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    logs.configure(LogSettings(format="console"), stream=terminal)
    logs.get_logger("feed").error("lost")
    assert b"\x1b" not in terminal.getvalue()


def test_libraries_log_through_the_same_way_from_warning_on() -> None:
    stream = configured(level="debug")
    logging.getLogger("aiohttp.client").info("chatter")
    logging.getLogger("websockets").warning("failed at %s", "https://store.example/a?X-Amz-Signature=abc")
    (line,) = written(stream)
    assert (line["logger"], line["level"], line["event"]) == ("websockets", "warning", "failed at https://store.example/…")


def test_a_librarys_wrong_format_is_still_a_line() -> None:
    stream = configured()
    (handler,) = (one for one in logging.getLogger().handlers if isinstance(one, logs._FromStandardLibrary))
    handler.handle(logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "bad %d", ("format",), None))
    (line,) = written(stream)
    assert (line["level"], line["event"]) == ("error", "bad %d")


def test_configuring_again_does_not_double_the_libraries_lines() -> None:
    configured()
    stream = configured()
    logging.getLogger("aiohttp").warning("once")
    assert len(written(stream)) == 1


def test_an_exception_becomes_one_bounded_scrubbed_value() -> None:
    stream = configured()

    def fails() -> None:
        raise ValueError("call of anna@example.com\nwith Bearer abcdef123456")

    try:
        try:
            fails()
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logs.get_logger("x").error("failed", exc_info=True)
    (line,) = written(stream)
    assert line["exception"].startswith("RuntimeError: outer [")
    assert "ValueError: call of <email>\\nwith <secret>" in line["exception"]
    assert "test_logs.py" in line["exception"]
    assert "fails" in line["exception"]
    assert "anna" not in stream.getvalue().decode()


def test_exception_groups_and_endless_chains_end() -> None:
    stream = configured()
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    logs.get_logger("x").error("loop", exc_info=ExceptionGroup("many", [first]))
    assert written(stream)[0]["exception"] == "ExceptionGroup: many (1 sub-exception) ← ValueError: a ← ValueError: b"


def test_a_stream_that_is_gone_stops_nobody() -> None:
    stream = configured()
    stream.close()
    logs.get_logger("x").info("into the void")


def test_a_record_too_large_keeps_its_event() -> None:
    stream = configured()
    logs.get_logger("x").info("huge", **{f"key{number}": "wort " * 400 for number in range(60)})
    (line,) = written(stream)
    assert (line["event"], "key0" in line) == ("huge", False)
    assert line["clipped"] > logs.RECORD_LIMIT
    assert len(stream.getvalue()) <= logs.RECORD_LIMIT


def test_facts_of_many_types_come_through() -> None:
    class Colour(Enum):
        RED = "red"

    stream = configured()
    moment = datetime(2026, 8, 1, 12, tzinfo=UTC)
    logs.get_logger("x").info(
        "facts", path=Path("a/b"), at=moment, colour=Colour.RED, raw=b"\xff\x00", big=2**70, nothing=None, odd=threading.Lock(), items={1}
    )
    (line,) = written(stream)
    assert (line["path"], line["at"], line["colour"], line["raw"]) == ("a/b", "2026-08-01T12:00:00+00:00", "red", "\\xff\\x00")
    assert (line["big"], line["nothing"], line["odd"], line["items"]) == ("<number>", None, "<lock>", [1])


def test_errors_are_told_to_the_reporter_with_their_exception() -> None:
    configured()
    told: list[tuple[str, BaseException | None]] = []
    logs.report_errors_to(lambda message, error: told.append((message, error)))
    problem = ValueError("x")
    logger = logs.get_logger("x")
    logger.warning("not this")
    logger.error("this", exc_info=problem)
    logger.error("and this")
    assert told == [("this", problem), ("and this", None)]


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(event=st.text(), facts=st.dictionaries(st.text(min_size=1).filter(lambda key: key not in ("event", "exc_info")), nested, max_size=6))
@pytest.mark.parametrize("form", ["json", "console"])
def test_one_record_is_one_line_whatever_it_holds(form: str, event: str, facts: dict[str, Any]) -> None:
    stream = configured(format=form)
    logs.get_logger("x").info(event, **facts)
    text = stream.getvalue().decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1, "str.splitlines knows U+2028 and U+0085 too"
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in text[:-1])


@given(text=st.text(min_size=1, max_size=5000))
def test_a_value_is_never_longer_than_the_limit(text: str) -> None:
    stream = configured()
    logs.get_logger("x").info("long", value=text * 3)
    assert len(written(stream)[0]["value"]) <= VALUE_LIMIT
