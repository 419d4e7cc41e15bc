"""One function says what an answer of the platform means; no message carries a URL, a control character or the whole body."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import Kind, PlatformRefused, classify, clean_text, failure, operation
from genesys_sync.genesys.client import check_path


def platform_error(code: str, message: str = "no", **more: object) -> bytes:
    return orjson.dumps({"code": code, "message": message, "status": 0, **more})


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, b'{"a":1}', Kind.OK, ReasonCode.REQUEST_REFUSED),
        (200, b"[]", Kind.OK, ReasonCode.REQUEST_REFUSED),
        (202, b"", Kind.OK, ReasonCode.REQUEST_REFUSED),
        (204, b"", Kind.OK, ReasonCode.REQUEST_REFUSED),
        (200, b"<html>login</html>", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (200, b'{"a":', Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (200, b'{"a":NaN}', Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (200, b"\xff\xfe{}", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (301, b"", Kind.TRANSIENT, ReasonCode.BAD_ANSWER),
        (400, platform_error("bad.request"), Kind.PERMANENT, ReasonCode.REQUEST_REFUSED),
        (401, platform_error("bad.credentials"), Kind.RENEW, ReasonCode.UNAUTHORIZED),
        (401, platform_error("authentication.required"), Kind.RENEW, ReasonCode.UNAUTHORIZED),
        (401, b"", Kind.RENEW, ReasonCode.UNAUTHORIZED),
        (401, platform_error("ip.not.authorized"), Kind.TRANSIENT, ReasonCode.UNAUTHORIZED),
        (403, platform_error("missing.permissions"), Kind.PERMANENT, ReasonCode.FORBIDDEN),
        (404, platform_error("conversation.not.found"), Kind.PERMANENT, ReasonCode.NOT_FOUND),
        (408, platform_error("client.timeout"), Kind.AGAIN, ReasonCode.UNREACHABLE),
        (409, platform_error("conflict"), Kind.PERMANENT, ReasonCode.REQUEST_REFUSED),
        (410, platform_error("gone"), Kind.PERMANENT, ReasonCode.NOT_FOUND),
        (413, platform_error("request.entity.too.large"), Kind.PERMANENT, ReasonCode.REQUEST_REFUSED),
        (404, b'{"message":"no such thing","status":404}', Kind.PERMANENT, ReasonCode.NOT_FOUND),
        (429, b"slow down", Kind.SLOW_DOWN, ReasonCode.RATE_LIMITED),
        (408, b"", Kind.AGAIN, ReasonCode.UNREACHABLE),
        # a gateway's own: nothing final was said
        (400, b"<html>bad request</html>", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (403, b'{"message":"Forbidden"}', Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (404, b"", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (404, b'{"message":"no route","status":"404"}', Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (413, b"too big", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (418, b"I am a teapot", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (451, b"[]", Kind.AGAIN, ReasonCode.BAD_ANSWER),
        (429, platform_error("too.many.requests"), Kind.SLOW_DOWN, ReasonCode.RATE_LIMITED),
        (500, platform_error("internal.server.error"), Kind.TRANSIENT, ReasonCode.BAD_ANSWER),
        (502, b"<html>bad gateway</html>", Kind.AGAIN, ReasonCode.UNREACHABLE),
        (503, platform_error("service.unavailable"), Kind.AGAIN, ReasonCode.UNREACHABLE),
        (504, platform_error("authentication.request.timeout"), Kind.AGAIN, ReasonCode.UNREACHABLE),
    ],
)
def test_every_answer_has_one_meaning(status: int, body: bytes, kind: Kind, reason: ReasonCode) -> None:
    answer = classify(status, body, {})
    assert answer.kind is kind
    if kind is not Kind.OK:
        assert answer.reason is reason


def test_a_refused_permission_names_what_is_missing_and_keeps_the_correlation_id() -> None:
    body = platform_error("missing.permissions", "You are missing the following permission(s): recording:recording:view, quality:x:*")
    error = failure(classify(403, body, {"inin-correlation-id": "abc-1"}), "GET /api/v2/x")
    assert isinstance(error, PlatformRefused)
    assert error.missing == ("quality:x:*", "recording:recording:view")
    assert "recording:recording:view" in str(error)
    assert error.correlation_id == "abc-1"


def test_permissions_are_found_in_the_parameters_too() -> None:
    body = platform_error("missing.any.permissions", "", messageParams={"permissions": ["analytics:conversationDetail:view"]})
    assert classify(403, body, {}).missing == ("analytics:conversationDetail:view",)


def test_a_message_is_clipped_and_shows_no_url_and_no_control_character() -> None:
    body = platform_error(
        "bad.request", "see https://bucket.example/x?X-Amz-Signature=deadbeef\r\n2026 audit: deleted \x1b[31m" + "x" * 9000
    )
    error = failure(classify(400, body, {}), "GET /api/v2/x")
    assert "deadbeef" not in str(error)
    assert not any(character in str(error) for character in "\r\n\x1b\u2028")
    assert len(str(error)) < 300


@pytest.mark.parametrize("value", ["a\r\nb", "x" * 65, "<script>", ""])
def test_a_strange_correlation_id_is_left_out(value: str) -> None:
    assert classify(500, b"", {"inin-correlation-id": value}).correlation_id == ""


@given(status=st.integers(100, 599), body=st.binary(max_size=300))
def test_no_answer_at_all_breaks_the_judgement(status: int, body: bytes) -> None:
    answer = classify(status, body, {"inin-correlation-id": "a"})
    if answer.kind is not Kind.OK:
        error = failure(answer, "GET /x")
        assert isinstance(error, TransientError | PermanentError)
        assert str(error).isprintable()


@given(st.text(max_size=500))
def test_cleaned_text_is_one_short_printable_line(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned) <= 200
    assert len(cleaned.splitlines()) <= 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v2/tokens/me", "GET /api/v2/tokens/me"),
        (
            "/api/v2/conversations/8e1c9f1e-0000-4000-8000-000000000001/recordingmetadata",
            "GET /api/v2/conversations/{id}/recordingmetadata",
        ),
        ("/api/v2/recording/batchrequests/job-17", "GET /api/v2/recording/batchrequests/{id}"),
        ("/api/v2/notifications/channels/streaming-5-abc/subscriptions", "GET /api/v2/notifications/channels/{id}/subscriptions"),
    ],
)
def test_ids_never_become_metric_labels(path: str, name: str) -> None:
    assert operation("GET", path) == name


@pytest.mark.parametrize(
    "path",
    ["", "/", "api/v2/x", "/api/v1/x", "//evil.example/api/v2/x", "/api/v2/../x", "/api/v2/./x", "/api/v2/%2e%2e/x", "/api/v2/a%2Fb",
     "/api/v2/x?y=1", "/api/v2/x#y", "/api/v2/x\n", "/api/v2/x\\y", "/api/v2//x", "https://evil.example/api/v2/x"],
)  # fmt: skip
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(PermanentError) as refused:
        check_path(path)
    assert refused.value.code is ReasonCode.ID_INVALID
