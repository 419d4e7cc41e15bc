"""Scrubbing: what must not leave the process does not, and what people need to find their way stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync import scrubbing
from genesys_sync.scrubbing import VALUE_LIMIT, clean, clean_text, describe_exception, escape, register_secret, scrub


@pytest.fixture(autouse=True)
def no_secrets_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "_secrets", ())


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET https://user:pass@host.example/x", "pass"),
        ("at https://b.s3.amazonaws.com/rec/1.ogg?X-Amz-Signature=deadbeef&X-Amz-Date=1", "deadbeef"),
        ("at https://b.s3.amazonaws.com/rec/1.ogg", "1.ogg"),
        ("socket wss://streaming.mypurecloud.com/channels/streaming-7-abcdef", "streaming-7"),
        ("hook https://hooks.chat.example/services/T000/B000/XXXX", "XXXX"),
        ("path /api/v2/users?token=abcdefgh", "abcdefgh"),
        ("redirected to HTTPS://h.example/?code=verysecret", "verysecret"),
        ("broken http://[::1/?sig=verysecret", "verysecret"),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("Authorization: Basic Y2xpZW50OnNlY3JldA==", "Y2xpZW50"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJzdWIi"),
        ('{"access_token": "opaque-value"}', "opaque-value"),
        ("client_secret=opaque-value&grant_type=x", "opaque-value"),
        ("x-amz-signature: 0badcafe", "0badcafe"),
        ("client_secret: SECRET_EXPOSED-2", "EXPOSED-2"),
        ("from anna.meier+tag@mail.example.co.uk today", "anna"),
        ("sip:anna@pbx.example.com", "anna"),
        ("called +49 (0)30 123 456-78", "456"),
        ("called 0049 30 / 1234567", "1234567"),
        ("called 555-0199-22", "0199"),
        ("card 4111 1111 1111 1111", "1111"),
        ("ani=4930123456", "4930123456"),
        ("tel:+14155550123", "4155550123"),
        ("arabic digits ٠١٢٣٤٥٦٧٨", "٠١٢"),
        (f"long local {'a' * 80}@example.com", "@example.com"),
    ],
)
def test_what_must_not_be_seen_is_not(text: str, hidden: str) -> None:
    assert hidden not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "conversation 5c0b1e7a-1111-2222-3333-444455556666 ended",
        "uuid of digits 12345678-1234-1234-1234-123456789012",
        "at 2026-08-01T12:00:00.000Z and 2026-08-01 12:00:00",
        "day 2026-08-01",
        "recordings/2026/08/01/5c0b1e7a-1111-2222-3333-444455556666/8f0b1e7a-1111-2222-3333-444455556666.ogg",
        "127.0.0.1:8086 is in use",
        "write sqlite:/// and a path (sqlite:////var/lib/genesys-sync/ledger.db)",
        "from 192.168.100.200",
        "event 0123456789abcdef0123456789abcdef",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "dlv_0123456789abcdef0123456789abcdef",
        "https://api.mypurecloud.com/api/v2/conversations/5c0b1e7a-1111-2222-3333-444455556666/recordings",
        "attempt 3 of 12 after 250 ms, status 429",
        "basic checks passed",
        "what now? nothing",
        "settings.toml:2:9 genesys.client_secret: SECRET_EXPOSED: a secret has no place in the settings",
    ],
)
def test_what_people_need_stays(text: str) -> None:
    assert scrub(text) == text


def test_a_registered_secret_is_hidden_everywhere_also_percent_encoded() -> None:
    register_secret("s3cr/et+value")
    assert scrub("x s3cr/et+value y s3cr%2Fet%2Bvalue z") == "x <secret> y <secret> z"


def test_a_replaced_secret_is_forgotten_and_a_short_one_never_taken() -> None:
    register_secret("old-token")
    register_secret("new-token", replaces="old-token")
    register_secret("it")
    assert scrub("old-token new-token it") == "old-token <secret> it"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    register_secret("secret-a")
    register_secret("secret-a-and-more")
    assert scrub("secret-a-and-more") == "<secret>"


@pytest.mark.parametrize("blank", [" ", ""])
def test_no_clipping_leaves_half_a_registered_secret(blank: str) -> None:
    """Long text is cut before it is searched, and the cut may fall into the middle of a secret: then none of it may stay."""
    secret = "Qx7-secret-value-of-the-oauth-client"
    register_secret(secret)
    for missing in range(1, len(secret) + 1):
        url = "https://host.example/" + "x" * (scrubbing._READ_LIMIT - 22 - len(secret) + missing - len(blank))
        shown = clean_text(url + blank + secret)
        assert "Qx7" not in shown, f"the first {len(secret) - missing} characters stayed"


@given(st.text())
def test_escaped_text_has_no_line_breaks_and_no_control_characters(text: str) -> None:
    shown = escape(text)
    assert len(shown.splitlines()) <= 1
    assert shown.isprintable() or not any(character < " " or "\x7f" <= character <= "\x9f" for character in shown)
    shown.encode()


def test_escapes_show_what_was_there() -> None:
    assert escape("a\nb\x1b[31m\u2028\u0085\ud800\u202e") == "a\\nb\\x1b[31m\\u2028\\x85\\ud800\\u202e"


def test_keys_that_name_personal_data_hide_their_value() -> None:
    assert clean({"ani": "x", "Authorization": "y", "nested": {"client_secret": "z"}, "token": None}) == {
        "ani": "<hidden>",
        "Authorization": "<hidden>",
        "nested": {"client_secret": "<hidden>"},
        "token": None,
    }


def test_depth_and_breadth_are_bounded() -> None:
    deep: dict[str, object] = {}
    level = deep
    for _ in range(50):
        level["next"] = {}
        level = level["next"]  # type: ignore[assignment] # a nest of dicts has no finite type
    assert str(clean(deep)).count("next") <= 7
    assert len(clean({str(number): number for number in range(1000)})) == 64
    assert len(clean({"list": list(range(1000))})["list"]) == 64


def test_a_hostile_text_is_scrubbed_in_time() -> None:
    """No pattern backtracks over long runs: a megabyte of the worst would hang the loop otherwise."""
    for piece in ("a", "1 ", "a.", "@", "?a=", "https://", "eyJ", "1(", "0123456789abcde-", "x-amz-"):
        assert len(clean_text(piece * 500_000)) <= VALUE_LIMIT


def test_an_exception_whose_frames_are_many_is_clipped() -> None:
    def deeper(count: int) -> None:
        if count == 0:
            raise ValueError("x" * 10_000)
        deeper(count - 1)

    with pytest.raises(ValueError, match="xxx") as caught:
        deeper(100)
    assert len(describe_exception(caught.value)) <= VALUE_LIMIT
