"""What is decided about an upload: its name, which presigned answer will do, what the store's answers and the reports mean. Pure."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import orjson

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.genesys.answers import clean_text
from genesys_sync.services.uploads import Reported, UploadStatus

NAME_MOST: Final = 200
_FORBIDDEN: Final = re.compile(r"[\s\\{^}%`\]\">\[~<#|/\x00-\x1f\x7f]+")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,4096}")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "authorization", "content-range", "expect"})
"""Headers of the connection: what they must be is not the platform's to say."""
_RANGE: Final = re.compile(r"(?:bytes[= ])?0-(\d{1,18})")
_EXPIRED: Final = re.compile(rb"request has expired|<Code>\s*(?:ExpiredToken|RequestExpired|ExpiredRequest)\s*</Code>", re.IGNORECASE)
_OTHER_MD5: Final = re.compile(rb"<Code>\s*BadDigest\s*</Code>")
_MD5: Final = re.compile(r'"?([0-9a-fA-F]{32})"?')
_NOT_A_RANGE_STORE: Final = frozenset({400, 405, 411, 412, 416, 501})
_DONE: Final = frozenset({200, 201, 204})
EMPTY_MD5: Final = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass(frozen=True, slots=True)
class Presigned:
    """Where one file may be put, and with which headers. The address is a secret."""

    url: str
    upload_key: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return "Presigned(…)"


class Kind(Enum):
    """What follows from an answer of the store."""

    STORED = auto()
    ONWARD = auto()
    """It takes chunks, and has this much."""
    WHOLE = auto()
    """It takes no chunks: everything at once, from the beginning."""
    ANEW = auto()
    """The address is of no more use: ask for another."""
    AGAIN = auto()
    """Trouble that may pass."""


@dataclass(frozen=True, slots=True)
class Step:
    """One answer, judged. `have`: bytes that the store confirms; `md5`: of what it holds, where it says so; `code`: for the error that this
    becomes if it does not pass."""

    kind: Kind
    have: int = 0
    md5: str = ""
    status: int = 0
    code: ReasonCode = ReasonCode.UNREACHABLE


def upload_name(name: str) -> str:
    """A name that the platform takes, as near to this one as can be: no white space, none of its forbidden characters, no dot in front."""
    plain = _FORBIDDEN.sub("_", name).lstrip(".")
    if len(plain) > NAME_MOST:
        stem, dot, suffix = plain.rpartition(".")
        plain = plain[:NAME_MOST] if not dot or len(suffix) > 10 else stem[: NAME_MOST - len(suffix) - 1] + dot + suffix
    return plain or "upload"


def content_md5(md5: str) -> str:
    """The Base64 form that headers carry, of the hexadecimal one."""
    return base64.b64encode(bytes.fromhex(md5)).decode()


def presigned(body: Mapping[str, Any], *, md5: str) -> Presigned:
    """The platform's answer, proved. Raises TransientError(BAD_ANSWER); the message quotes nothing of it."""
    url, key, headers = body.get("url"), body.get("uploadKey"), body.get("headers")
    if not isinstance(url, str) or not isinstance(key, str) or not 0 < len(key) <= 2000 or not key.isprintable():
        raise _strange("it names no url or uploadKey")
    if not isinstance(headers, Mapping):
        raise _strange("it names no headers")
    for name, value in headers.items():
        if (
            not isinstance(name, str)
            or not isinstance(value, str)
            or not _HEADER_NAME.fullmatch(name)
            or not _HEADER_VALUE.fullmatch(value)
        ):
            raise _strange("a header cannot be sent as it is")
        if name.lower() in _OURS:
            raise _strange(f"it wants the header {name.lower()}, which is the connection's own")
        if name.lower() == "content-md5" and value != content_md5(md5):
            raise _strange("its Content-MD5 is not the file's")
    return Presigned(url, key, dict(headers))


def _strange(why: str) -> TransientError:
    return TransientError(f"the platform's answer to an upload request is of no use: {why}", code=ReasonCode.BAD_ANSWER)


def judge(status: int, headers: Mapping[str, str], body: bytes, *, total: int, asked: bool, ranged: bool) -> Step:
    """What the store's answer means. `asked`: it was only asked how far it is; `ranged`: what was sent was named as a chunk. `body` is
    read, never shown: it may repeat the address."""
    match = _MD5.fullmatch(headers.get("ETag", ""))
    md5 = match[1].lower() if match else ""
    if status in _DONE:
        # a store that knows no ranges might take the question for an empty object; its MD5 tells that
        return Step(Kind.WHOLE if asked and total and md5 == EMPTY_MD5 else Kind.STORED, have=total, md5=md5, status=status)
    if status in {206, 308} and (asked or ranged):
        return Step(Kind.ONWARD, have=min(confirmed(headers.get("Range", "")), total), status=status)
    if 400 <= status < 500 and _EXPIRED.search(body):
        return Step(Kind.ANEW, status=status, code=ReasonCode.MEDIA_URL_EXPIRED)
    if not asked and _OTHER_MD5.search(body):
        return Step(Kind.AGAIN, status=status, code=ReasonCode.MEDIA_CHANGED)
    if (asked or ranged) and status in _NOT_A_RANGE_STORE:
        return Step(Kind.WHOLE, status=status, code=ReasonCode.REQUEST_REFUSED)
    if status in {403, 404, 410}:
        return Step(Kind.ANEW, status=status, code=ReasonCode.NOT_FOUND if status != 403 else ReasonCode.FORBIDDEN)
    if status == 429 or status >= 500:
        return Step(Kind.AGAIN, status=status, code=ReasonCode.RATE_LIMITED if status == 429 else ReasonCode.UNREACHABLE)
    if 300 <= status < 400:
        return Step(Kind.ANEW, status=status, code=ReasonCode.URL_REFUSED)
    return Step(Kind.AGAIN, status=status, code=ReasonCode.REQUEST_REFUSED)


def confirmed(text: str) -> int:
    """How many bytes `Range: bytes=0-M` confirms; 0 for none, and for what cannot be read."""
    match = _RANGE.fullmatch(text.strip())
    return int(match[1]) + 1 if match else 0


def rows_of(data: bytes) -> dict[str, Reported]:
    """A report's lines by upload key, from CSV or JSON; lines that tell nothing are left out. Raises TransientError(BAD_ANSWER) for a
    file that is neither."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_report() from None
    if text.lstrip()[:1] in {"[", "{"}:
        lines: Iterable[Any] = _json_lines(text)
    else:
        try:
            lines = list(csv.DictReader(io.StringIO(text)))
        except csv.Error:
            raise _no_report() from None
    found = {}
    for line in lines:
        plain = {_plain(name): value for name, value in line.items() if isinstance(name, str)} if isinstance(line, Mapping) else {}
        key, status = plain.get("uploadkey") or plain.get("key"), status_of(plain.get("status") or plain.get("uploadstatus"))
        if isinstance(key, str) and status is not None:
            reason = plain.get("reason") or plain.get("errormessage") or plain.get("message")
            found[key] = Reported(status, clean_text(reason) if isinstance(reason, str) else "")
    return found


def status_of(told: object) -> UploadStatus | None:
    """The published status, however it is spelt; None for any other."""
    plain = _plain(told) if isinstance(told, str) else ""
    return next((status for status in UploadStatus if _plain(status.value) == plain), None)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _json_lines(text: str) -> Iterable[Any]:
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _no_report() from None
    if isinstance(tree, dict):
        tree = next((tree[name] for name in ("entities", "uploads", "results") if isinstance(tree.get(name), list)), [])
    return tree if isinstance(tree, list) else []


def _no_report() -> TransientError:
    return TransientError("the platform's upload report can be read neither as CSV nor as JSON", code=ReasonCode.BAD_ANSWER)
