"""Structured logs: JSON lines under systemd, readable on a terminal, one record one line, never a secret.

A line is `{"time", "level", "logger", "event", …facts}`. Everything that reaches it is scrubbed (`scrub`), freed of control
characters and clipped to 2,000 characters a value; the libraries' own logging takes the same way from WARNING on.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson
import structlog

from genesys_sync.scrubbing import clean, describe_exception, escape, register_secret, scrub
from genesys_sync.settings import LogSettings

if TYPE_CHECKING:
    from genesys_sync.services import Log  # with it comes all that handlers use, and a command that only looks needs none of it

__all__ = [
    "configure",
    "describe_exception",
    "escape",
    "get_logger",
    "register_secret",
    "report_error",
    "report_errors_to",
    "reports_errors",
    "scrub",
]

Reporter = Callable[[str, BaseException | None], None]
EventDict = MutableMapping[str, Any]

RECORD_LIMIT = 64 << 10
"""Bytes of one line; a longer record keeps its event and loses its facts."""

_COLOURS = {"debug": "\x1b[2m", "info": "", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_reporter: Reporter | None = None


def get_logger(name: str) -> Log:
    """A logger whose lines carry `logger=name` and whatever is bound in the context (handler, delivery)."""
    return cast("Log", structlog.get_logger(logger_name=name))  # "logger" is an argument of structlog's own


def configure(settings: LogSettings, *, stream: BinaryIO | None = None) -> None:
    """From now on every logger of the process writes to `stream` (standard error by default) as the settings say.

    `auto` means readable lines when the stream is a terminal and JSON otherwise, as under systemd. Called again, the new settings
    replace the old, for loggers made before as well.
    """
    target = sys.stderr.buffer if stream is None else stream
    terminal = target.isatty()
    as_json = settings.format == "json" or (settings.format == "auto" and not terminal)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _report,
            _frame_first(structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")),
            _clean,
            _as_json if as_json else _Readable(colours=terminal and "NO_COLOR" not in os.environ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _Tolerant(target))),
        cache_logger_on_first_use=False,  # loggers made before this call must follow it
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromStandardLibrary)]:
        root.removeHandler(handler)
    root.addHandler(_FromStandardLibrary())
    root.setLevel(max(level, logging.WARNING))


def report_errors_to(reporter: Reporter | None) -> None:
    """From now on each record of level error and above is also given to `reporter`, with its exception if it has one; None ends it."""
    global _reporter  # noqa: PLW0603 - one process, one log, one place where its errors are reported
    _reporter = reporter


def reports_errors() -> bool:
    """Whether `report_errors_to` has named somebody."""
    return _reporter is not None


def report_error(message: str, error: BaseException | None = None) -> None:
    """Give an error to the reporter without writing a line; for the command line's root, which prints its own."""
    if _reporter is not None:
        _reporter(message, error)


def _report(_logger: object, _method: str, event: EventDict) -> EventDict:
    if event.get("level") in ("error", "critical"):
        report_error(str(event.get("event", "")), _exception_of(event.get("exc_info")))
    return event


def _exception_of(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if len(info) == 3 and isinstance(info[1], BaseException) else None
    return sys.exception() if info else None


def _frame_first(stamper: Callable[[Any, str, EventDict], EventDict]) -> Callable[[Any, str, EventDict], EventDict]:
    """Time, level, logger and event go in front of the line; the time wins over a fact of that name."""

    def stamp(logger: object, method: str, event: EventDict) -> EventDict:
        stamped = stamper(logger, method, event)
        if "logger_name" in stamped:
            stamped["logger"] = stamped.pop("logger_name")
        first = {key: stamped[key] for key in ("time", "level", "logger", "event") if key in stamped}
        return {**first, **{key: value for key, value in stamped.items() if key not in first}}

    return stamp


def _clean(_logger: object, _method: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error = _exception_of(info)
    if error is not None:
        event["exception"] = describe_exception(error)
    stamp = event.pop("time", None)  # digits, and ours
    cleaned = clean(event)
    return {"time": stamp, **cleaned} if stamp is not None else cleaned


def _as_json(_logger: object, _method: str, event: EventDict) -> bytes:
    line = orjson.dumps(event)
    if len(line) > RECORD_LIMIT:
        line = orjson.dumps({key: event[key] for key in ("time", "level", "logger", "event") if key in event} | {"clipped": len(line)})
    return line


class _Readable:
    """One line for people: time of day, level, logger, event, then the facts."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: object, _method: str, event: EventDict) -> bytes:
        facts = dict(event)
        stamp, level = str(facts.pop("time", ""))[11:19], str(facts.pop("level", ""))
        name, text = facts.pop("logger", ""), facts.pop("event", "")
        tail = " ".join(f"{key}={_shown(value)}" for key, value in facts.items())
        line = f"{stamp} {level:<7} {name}: {text}" + (f"  {tail}" if tail else "")
        colour = _COLOURS.get(level, "") if self._colours else ""
        return (f"{colour}{line}\x1b[0m" if colour else line)[:RECORD_LIMIT].encode()


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else f'"{value}"'
    return orjson.dumps(value).decode()


class _Tolerant:
    """The stream, but a write that fails (closed, full) is given up: the log has no place left to complain, and work goes on without it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(data)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _FromStandardLibrary(logging.Handler):
    """Hands the libraries' records (aiohttp, websockets, asyncio) to structlog, so that they are scrubbed and shaped alike."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)  # arguments that do not fit the format: the format alone still says where to look
        logger = structlog.get_logger(logger_name=record.name)
        method = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        getattr(logger, method)(text, exc_info=record.exc_info)
