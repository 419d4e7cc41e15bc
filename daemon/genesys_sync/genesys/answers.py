"""What an answer of the platform means. Pure: one function says transient or permanent, and every error is made here.

A message that leaves this module is clipped, without control characters and without URLs; the whole body never leaves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import orjson

from genesys_sync.errors import PermanentError, ReasonCode, TransientError

CORRELATION_HEADER = "inin-correlation-id"

_AGAIN = frozenset({408, 502, 503, 504})
_SAID_BY_ANYBODY = frozenset({401, 408, 429})
"""The same follows from these whoever says them. Any other 4xx is final, and what is final only the platform may say."""
_NOT_CURED_BY_A_TOKEN = frozenset({"ip.not.authorized"})
_MESSAGE_LIMIT = 200
_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_CORRELATION = re.compile(r"[A-Za-z0-9\-]{1,64}")
_PERMISSION = re.compile(r"\b[A-Za-z]+:[A-Za-z]+:(?:[A-Za-z]+|\*)")
_URL = re.compile(r"\b[a-z][a-z0-9+.\-]*://\S+", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa1-\u2027\u202f-\uffef]+")
_WORD = re.compile(r"[A-Za-z]+|v2")


class Kind(Enum):
    """What follows from an answer."""

    OK = auto()
    RENEW = auto()
    """The token is no longer taken: a new one, then once more."""
    SLOW_DOWN = auto()
    """Not acted upon for now: any request may be repeated after the pause."""
    AGAIN = auto()
    """Again may help soon; whether the platform acted is unknown."""
    TRANSIENT = auto()
    """Again may help, but not at once."""
    PERMANENT = auto()
    """Again is useless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, judged.

    status          HTTP status; 0 when none came
    body            parsed JSON of a good answer, None when it was empty; `raw` its bytes as they came
    reason          the reason code that an error made of it carries
    code, message   the platform's own, cleaned and clipped; empty when it gave none
    missing         names of missing permissions, as far as the platform told
    """

    kind: Kind
    status: int
    body: Any = None
    raw: bytes = b""
    reason: ReasonCode = ReasonCode.REQUEST_REFUSED
    code: str = ""
    message: str = ""
    missing: tuple[str, ...] = ()
    correlation_id: str = ""


class PlatformRefused(PermanentError):
    """The platform refused a request for good. `status` and `platform_code` are its own."""

    def __init__(
        self,
        reason: str,
        *,
        code: ReasonCode = ReasonCode.REQUEST_REFUSED,
        correlation_id: str = "",
        status: int = 0,
        platform_code: str = "",
        missing: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reason, code=code, correlation_id=correlation_id)
        self.status = status
        self.platform_code = platform_code
        self.missing = missing


def classify(status: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Judge one answer. `headers` must find names in lower case whatever their case was (aiohttp's do)."""
    correlation_id = clean_correlation(headers.get(CORRELATION_HEADER, ""))
    if 200 <= status < 300:
        return _good(status, body, correlation_id)
    if 400 <= status < 500 and status not in _SAID_BY_ANYBODY and not _is_platforms(status, body):
        return bad_answer(status, "something on the way answered, not the platform: the body is not its error", correlation_id)
    code, message, missing = _error_body(body)
    kind, reason = _refusal(status, code)
    return Answer(kind=kind, status=status, reason=reason, code=code, message=message, missing=missing, correlation_id=correlation_id)


def _good(status: int, body: bytes, correlation_id: str) -> Answer:
    if not body.strip():
        return Answer(kind=Kind.OK, status=status, correlation_id=correlation_id)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return bad_answer(status, "the answer is not JSON", correlation_id)
    return Answer(kind=Kind.OK, status=status, body=parsed, raw=body, correlation_id=correlation_id)


def bad_answer(status: int, message: str, correlation_id: str = "") -> Answer:
    """An answer whose form is wrong: a gateway's page, half a body. Again may help."""
    return Answer(kind=Kind.AGAIN, status=status, reason=ReasonCode.BAD_ANSWER, message=message, correlation_id=correlation_id)


def no_answer(cause: str) -> Answer:
    """Nothing came back; `cause` is a word about why, never a library's text, which may hold the URL."""
    return Answer(kind=Kind.AGAIN, status=0, reason=ReasonCode.UNREACHABLE, message=cause)


def _refusal(status: int, code: str) -> tuple[Kind, ReasonCode]:
    if status == 429:
        return Kind.SLOW_DOWN, ReasonCode.RATE_LIMITED
    if status in _AGAIN:
        return Kind.AGAIN, ReasonCode.UNREACHABLE
    if status >= 500 or status < 400:  # the platform publishes no redirect: a gateway leads away, until somebody mends it
        return Kind.TRANSIENT, ReasonCode.BAD_ANSWER
    if status == 401:
        return (Kind.TRANSIENT if code in _NOT_CURED_BY_A_TOKEN else Kind.RENEW), ReasonCode.UNAUTHORIZED
    if status == 403:
        return Kind.PERMANENT, ReasonCode.FORBIDDEN
    if status in {404, 410}:
        return Kind.PERMANENT, ReasonCode.NOT_FOUND
    return Kind.PERMANENT, ReasonCode.REQUEST_REFUSED


def _is_platforms(status: int, body: bytes) -> bool:
    """Whether an error's body has the published form: at least its code, or a message with the same status."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(parsed, dict):
        return False
    return isinstance(parsed.get("code"), str) or (isinstance(parsed.get("message"), str) and parsed.get("status") == status)


def _error_body(body: bytes) -> tuple[str, str, tuple[str, ...]]:
    """The platform's code, its message and the permissions it misses; empty where a gateway answered in another form."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", "", ()
    if not isinstance(parsed, dict):
        return "", "", ()
    code = parsed.get("code")
    message = parsed.get("message")
    parameters = parsed.get("messageParams")
    told = [message, *(parameters.values() if isinstance(parameters, dict) else ())]
    missing = {name for text in told for name in _PERMISSION.findall(text if isinstance(text, str) else repr(text))}
    return (
        code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        clean_text(message) if isinstance(message, str) else "",
        tuple(sorted(missing))[:20],
    )


def clean_text(text: str) -> str:
    """One printable line without URLs, at most 200 characters."""
    line = " ".join(_UNPRINTABLE.sub(" ", _URL.sub("<url>", text[: 8 * _MESSAGE_LIMIT])).split())
    return line if len(line) <= _MESSAGE_LIMIT else line[: _MESSAGE_LIMIT - 1] + "…"


def clean_correlation(text: str) -> str:
    return text if _CORRELATION.fullmatch(text) else ""


def failure(answer: Answer, operation: str, *, delay: timedelta | None = None) -> TransientError | PermanentError:
    """The error that an answer other than OK becomes, once nothing more is tried."""
    reason = f"{operation}: {_told(answer)}"
    if answer.kind is Kind.PERMANENT:
        return PlatformRefused(
            reason,
            code=answer.reason,
            correlation_id=answer.correlation_id,
            status=answer.status,
            platform_code=answer.code,
            missing=answer.missing,
        )
    return TransientError(reason, delay=delay, code=answer.reason, correlation_id=answer.correlation_id)


def _told(answer: Answer) -> str:
    if answer.status == 0:
        return f"the platform could not be reached ({answer.message})"
    if 300 <= answer.status < 400:
        return f"REDIRECT_REFUSED: the platform answered {answer.status}, a redirect, which is never followed"
    if answer.reason is ReasonCode.BAD_ANSWER and answer.status < 500:
        return f"{answer.message} (status {answer.status})"
    told = f"the platform answered {answer.status}"
    if answer.code:
        told += f" {answer.code}"
    if answer.missing:
        return f"{told}; missing permission: {', '.join(answer.missing)}"
    return f"{told}: {answer.message}" if answer.message else told


def operation(method: str, path: str) -> str:
    """`GET /api/v2/conversations/{id}/recordings`: what a metric is labelled with. Every segment that is not a plain word is an id."""
    segments = (part if _WORD.fullmatch(part) else "{id}" for part in path.strip("/").split("/"))
    return f"{method} /{'/'.join(segments)}"
