"""What can be judged of a download without a network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from genesys_sync.errors import MediaUrlExpired, PermanentError, ReasonCode, StorageError, StorageFull, TransientError
from genesys_sync.genesys.transfer import Begin, Known, Pace, Sink, begin, refusal, strong_etag

KNOWN = Known(etag='"a"', total=100)


@pytest.mark.parametrize(
    ("status", "headers", "have", "how"),
    [
        (200, {}, 0, Begin.ANEW),
        (200, {}, 50, Begin.ANEW),
        (206, {"Content-Range": "bytes 50-99/100", "ETag": '"a"'}, 50, Begin.ONWARD),
        (206, {"Content-Range": "bytes 50-99/100"}, 50, Begin.ONWARD),
        (206, {"Content-Range": "bytes 50-99/100", "ETag": '"b"'}, 50, Begin.RESTART),
        (206, {"Content-Range": "bytes 50-119/120", "ETag": '"a"'}, 50, Begin.RESTART),
        (206, {"Content-Range": "bytes 0-99/100", "ETag": '"a"'}, 50, Begin.RESTART),
        (206, {"Content-Range": "bytes 50-80/100", "ETag": '"a"'}, 50, Begin.RESTART),
        (206, {"Content-Range": "bytes 50-99/*", "ETag": '"a"'}, 50, Begin.RESTART),
        (206, {}, 50, Begin.RESTART),
        (206, {"Content-Range": "bytes 0-99/100"}, 0, Begin.RESTART),
        (416, {"Content-Range": "bytes */100"}, 50, Begin.RESTART),
    ],
)
def test_only_the_same_object_from_the_same_place_is_appended(status: int, headers: dict[str, str], have: int, how: Begin) -> None:
    assert begin(status, headers, have=have, known=KNOWN) is how


@pytest.mark.parametrize(("etag", "strong"), [('"a"', '"a"'), ('W/"a"', None), ("a", None), ('""', None), ("", None)])
def test_only_a_strong_etag_proves_anything(etag: str, strong: str | None) -> None:
    assert strong_etag({"ETag": etag}) == strong


EXPIRED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (403, EXPIRED, MediaUrlExpired, ReasonCode.MEDIA_URL_EXPIRED),
        (400, b"<Error><Code>ExpiredToken</Code></Error>", MediaUrlExpired, ReasonCode.MEDIA_URL_EXPIRED),
        (403, b"<Error><Code>AccessDenied</Code></Error>", TransientError, ReasonCode.FORBIDDEN),
        (404, b"<Error><Code>NoSuchKey</Code></Error>", TransientError, ReasonCode.NOT_FOUND),
        (307, b"", PermanentError, ReasonCode.URL_REFUSED),
        (400, b"", TransientError, ReasonCode.REQUEST_REFUSED),
        (503, EXPIRED, TransientError, ReasonCode.UNREACHABLE),
    ],
)
def test_what_the_store_refuses_has_a_true_reason(status: int, body: bytes, error: type[Exception], code: ReasonCode) -> None:
    found = refusal(status, body)
    assert type(found) is error
    assert isinstance(found, TransientError | PermanentError)
    assert found.code is code


def test_a_transfer_below_the_floor_is_noticed_and_a_pause_of_our_own_is_not_held_against_it() -> None:
    pace = Pace(floor=100, patience=10)
    assert not any(pace.too_slow(1, 150) for _ in range(50))
    assert any(pace.too_slow(1, 50) for _ in range(11))
    assert not pace.too_slow(0, 1)


def test_bytes_and_hash_go_together_and_a_restart_forgets_both(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "a")
    sink.open()
    sink.write([b"wrong"])
    sink.restart()
    sink.write([b"right", b"", b" bytes"])
    assert sink.finish() == hashlib.sha256(b"right bytes").hexdigest()
    assert (tmp_path / "a").read_bytes() == b"right bytes"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_link_at_the_name_is_not_written_through_nor_removed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a").symlink_to(victim)
    sink = Sink(tmp_path / "a")
    with pytest.raises(StorageError, match="PATH_UNSAFE"):
        sink.open()
    sink.discard()
    assert (tmp_path / "a").is_symlink()
    assert victim.read_bytes() == b"precious"


def test_what_does_not_fit_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "a")
    status = os.statvfs(tmp_path)
    with pytest.raises(StorageFull):
        sink.expect(2 * status.f_blocks * status.f_frsize)
    sink.expect(0)


def test_a_full_disk_is_told_as_such() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    sink = Sink(Path("unused"))
    sink._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StorageFull):
        sink.write([b"x"])
    sink.discard()
