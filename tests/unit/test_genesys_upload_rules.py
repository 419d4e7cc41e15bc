"""What is decided about an upload, without a store: names, presigned answers, what the store's answers and the reports mean."""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.genesys.upload_book import KEPT_SECONDS, Begun, UploadBook
from genesys_sync.genesys.upload_rules import EMPTY_MD5, Kind, Presigned, confirmed, content_md5, judge, presigned, rows_of, upload_name
from genesys_sync.services.uploads import Reported, UploadFile, UploadStatus

pytestmark = pytest.mark.anyio
MD5 = hashlib.md5(b"sound", usedforsecurity=False).hexdigest()
PUBLISHED = re.compile(r"[\s\\{^}%`\]\">\[~<#|]")
"""What the platform's description forbids in a file's name."""
FILE = UploadFile(
    path=Path("/calls/a.wav"), name="a.wav", bytes=5, modified_ns=7, md5=MD5, content_type="audio/wav", facts={"duration": 1.5}
)


@given(st.text(max_size=300))
def test_every_name_becomes_one_that_the_platform_takes(name: str) -> None:
    made = upload_name(name)
    assert made
    assert len(made) <= 200
    assert not PUBLISHED.search(made)
    assert not made.startswith(".")
    assert not made.endswith("/")


@pytest.mark.parametrize(
    ("name", "made"),
    [("a call.wav", "a_call.wav"), ("..hidden.wav", "hidden.wav"), ("good-name.wav", "good-name.wav"), ("x[1] #2.wav", "x_1_2.wav")],
)
def test_a_name_is_changed_no_more_than_needed(name: str, made: str) -> None:
    assert upload_name(name) == made


def test_a_long_name_keeps_its_suffix() -> None:
    assert upload_name("x" * 300 + ".wav") == "x" * 196 + ".wav"


def test_headers_are_taken_exactly_as_they_were_given() -> None:
    headers = {"x-amz-tagging": "a=b", "Content-MD5": content_md5(MD5), "Content-Type": "audio/wav"}
    assert presigned({"url": "https://s/", "uploadKey": "k", "headers": headers}, md5=MD5).headers == headers
    assert base64.b64decode(content_md5(MD5)).hex() == MD5


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"url": "https://secret/", "uploadKey": "k"},
        {"url": "https://secret/", "headers": {}},
        {"url": 5, "uploadKey": "k", "headers": {}},
        {"url": "https://secret/", "uploadKey": "k", "headers": {"a": 5}},
        {"url": "https://secret/", "uploadKey": "k", "headers": {"a": "b\r\nc: d"}},
        {"url": "https://secret/", "uploadKey": "k", "headers": {"Host": "elsewhere"}},
        {"url": "https://secret/", "uploadKey": "k", "headers": {"Content-MD5": "another"}},
    ],
)
def test_an_answer_that_cannot_be_used_is_told_of_without_quoting_it(answer: dict[str, Any]) -> None:
    with pytest.raises(TransientError) as caught:
        presigned(answer, md5=MD5)
    assert caught.value.code is ReasonCode.BAD_ANSWER
    assert "secret" not in str(caught.value)


EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@pytest.mark.parametrize(
    ("status", "headers", "body", "asked", "ranged", "kind", "have"),
    [
        (200, {"ETag": f'"{MD5}"'}, b"", False, False, Kind.STORED, 5),
        (200, {}, b"", True, True, Kind.STORED, 5),
        (200, {"ETag": f'"{EMPTY_MD5}"'}, b"", True, True, Kind.WHOLE, 5),
        (308, {}, b"", True, True, Kind.ONWARD, 0),
        (308, {"Range": "bytes=0-2"}, b"", False, True, Kind.ONWARD, 3),
        (206, {"Range": "bytes=0-2"}, b"", True, True, Kind.ONWARD, 3),
        (308, {"Range": "bytes=0-99"}, b"", True, True, Kind.ONWARD, 5),
        (308, {"Location": "elsewhere"}, b"", False, False, Kind.ANEW, 0),
        (501, {}, b"", True, True, Kind.WHOLE, 0),
        (400, {}, b"<Code>BadDigest</Code>", True, True, Kind.WHOLE, 0),
        (400, {}, b"<Code>BadDigest</Code>", False, False, Kind.AGAIN, 0),
        (403, {}, EXPIRED, False, False, Kind.ANEW, 0),
        (400, {}, EXPIRED, True, True, Kind.ANEW, 0),
        (403, {}, b"<Code>SignatureDoesNotMatch</Code>", False, False, Kind.ANEW, 0),
        (404, {}, b"", True, True, Kind.ANEW, 0),
        (429, {}, b"", False, False, Kind.AGAIN, 0),
        (503, {}, b"<Code>SlowDown</Code>", False, True, Kind.AGAIN, 0),
        (500, {}, b"", False, False, Kind.AGAIN, 0),
    ],
)
def test_what_an_answer_of_the_store_means(
    status: int, headers: dict[str, str], body: bytes, asked: bool, ranged: bool, kind: Kind, have: int
) -> None:
    step = judge(status, headers, body, total=5, asked=asked, ranged=ranged)
    assert (step.kind, step.have) == (kind, have)


@pytest.mark.parametrize(("text", "have"), [("bytes=0-9", 10), ("bytes 0-9", 10), ("0-0", 1), ("", 0), ("bytes=5-9", 0), ("nonsense", 0)])
def test_what_a_store_confirms(text: str, have: int) -> None:
    assert confirmed(text) == have


@pytest.mark.parametrize(
    "report",
    [
        b"uploadKey,fileName,status,dateUploaded,reason\r\nk1,a.wav,Success,2026-08-01T12:00:00Z,\r\nk2,b.wav,WaitForConversation,,none\r\n",
        b'\xef\xbb\xbf"Upload Key","Upload Status","Reason"\nk1,SUCCESS,\nk2,wait_for_conversation,none\nk3,Unheard,x\n',
        b'[{"uploadKey": "k1", "status": "Success"}, {"uploadKey": "k2", "status": "WaitForConversation", "reason": "none"}, 5]',
        b'{"entities": [{"uploadKey": "k1", "uploadStatus": "Success"}, {"key": "k2", "status": "WaitForConversation", "reason": "none"}]}',
    ],
)
def test_a_report_is_read_in_whatever_form_it_comes(report: bytes) -> None:
    assert rows_of(report) == {"k1": Reported(UploadStatus.SUCCESS), "k2": Reported(UploadStatus.WAIT_FOR_CONVERSATION, "none")}


@pytest.mark.parametrize("report", [b"\xff\xfe\x00", b"{broken"])
def test_a_report_that_cannot_be_read_is_asked_for_again(report: bytes) -> None:
    with pytest.raises(TransientError):
        rows_of(report)


async def test_the_book_outlives_the_process_for_its_owner_alone_and_forgets_the_address_once_it_is_stored(tmp_path: Path) -> None:
    put = Presigned("https://store/?X-Amz-Signature=secret", "k", {"x-amz-tagging": "t"})
    begun = Begun(file=FILE, upload_key="k", asked_ms=1, expires_ms=2, put=put)
    await UploadBook(tmp_path / "book").put("dlv_1", begun)
    [file] = (tmp_path / "book").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert await UploadBook(tmp_path / "book").get("dlv_1") == begun
    assert "secret" not in repr(begun)
    await UploadBook(tmp_path / "book").put("dlv_1", begun.finished(md5_echoed=True))
    assert b"secret" not in file.read_bytes()
    assert (await UploadBook(tmp_path / "book").get("dlv_1")) == begun.finished(md5_echoed=True)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"put": null, "stored": false}'])
async def test_a_page_of_the_book_that_cannot_be_read_is_the_same_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dlv_1.json").write_bytes(content)
    assert await UploadBook(tmp_path).get("dlv_1") is None


async def test_what_is_too_old_to_be_of_use_is_swept_away(tmp_path: Path) -> None:
    import os

    for name, age in (("dlv_old.json", KEPT_SECONDS + 60), ("dlv_new.json", 60)):
        (tmp_path / name).write_bytes(b"{}")
        now = (tmp_path / name).stat().st_mtime
        os.utime(tmp_path / name, (now - age, now - age))
    await UploadBook(tmp_path).sweep()
    assert [file.name for file in tmp_path.iterdir()] == ["dlv_new.json"]


@pytest.mark.parametrize("key", ["", "../x", "a/b", "x" * 101])
async def test_a_key_leads_nowhere_but_into_the_book(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="key"):
        await UploadBook(tmp_path).get(key)
