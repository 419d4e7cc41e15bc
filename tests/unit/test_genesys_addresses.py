"""Where media may come from and where requests may go: hosts by label, addresses as they are connected to."""

from __future__ import annotations

import socket

import pytest

from genesys_sync.addresses import AddressRefused, guarded_socket_factory, is_public, parse_address, parse_network
from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.genesys.media import HostRule
from genesys_sync.services import SecretUrl
from genesys_sync.settings import GenesysSettings

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1",
    "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1", "::127.0.0.1",
    "2001::1", "fec0::1",
]  # fmt: skip
ODD = ["0177.0.0.1", "2130706433", "127.1", "0x7f.0.0.1", "0x7f000001", "127.0.0.1 ", "\uff11\uff12\uff17.0.0.1", "localhost", ""]
ALLOWED = ["8.8.8.8", "52.216.1.1", "2600:1f18::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "172.32.0.1", "100.128.0.1"]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_an_address_that_is_not_on_the_public_internet_is_refused(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("text", ALLOWED)
def test_a_public_address_is_allowed(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize("text", FORBIDDEN + ODD)
def test_no_socket_is_made_for_a_forbidden_address_or_an_odd_spelling(text: str) -> None:
    with pytest.raises(AddressRefused):
        guarded_socket_factory(is_public)((socket.AF_INET, socket.SOCK_STREAM, 0, "", (text, 443)))


def test_a_socket_is_made_for_an_allowed_one() -> None:
    guarded_socket_factory(is_public)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))).close()


def test_networks_are_read_single_addresses_too() -> None:
    assert [str(parse_network(text)) for text in ("10.1.2.3/8", "::1")] == ["10.0.0.0/8", "::1/128"]
    for text in ("10.0.0.0/40", "intranet"):
        with pytest.raises(ValueError, match="is not a network: write an address with its prefix length"):
            parse_network(text)


CLOUD = HostRule(GenesysSettings(region="us_east_1").media_hosts, api="https://api.mypurecloud.com")
LOCAL = HostRule(("*.amazonaws.com",), api="http://127.0.0.1:8080")


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.us-east-1.amazonaws.com/key?X-Amz-Signature=s",
        "https://BUCKET.S3.AMAZONAWS.COM/key",
        "https://api-downloads.mypurecloud.com/x",
    ],
)
def test_media_come_from_hosts_on_the_list(url: str) -> None:
    CLOUD.check(SecretUrl(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://bucket.s3.amazonaws.com/key",
        "https://amazonaws.com/key",
        "https://evilamazonaws.com/key",
        "https://s3.amazonaws.com.evil.example/key",
        "https://s3.amazonaws.com@evil.example/key",
        "https://user:secret@s3.amazonaws.com/key",
        "https://evil.example/#.amazonaws.com",
        "https://evil.example\\.amazonaws.com/",
        "https://.amazonaws.com/key",
        "https://s3.amazonaws.com:99999/key",
        "https://127.0.0.1/key",
        "http://127.0.0.1:8080/key",
        "https://[::1/key",
        "https://s3.amazonaws.com/key with space",
        "https://s3.amazonaws.com/key\r\nX: y",
        "file:///etc/passwd",
        "ftp://s3.amazonaws.com/key",
        "",
        "key",
    ],
)
def test_any_other_media_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(PermanentError) as error:
        CLOUD.check(SecretUrl(url))
    assert error.value.code is ReasonCode.URL_REFUSED
    assert "key" not in str(error.value)
    assert "secret" not in str(error.value)


def test_plain_http_is_for_this_machine_and_only_while_the_platform_is_on_it() -> None:
    LOCAL.check(SecretUrl("http://127.0.0.1:9/key"))
    LOCAL.check(SecretUrl("http://localhost:9/key"))
    for url in ("http://10.0.0.1/key", "http://bucket.s3.amazonaws.com/key", "http://localhost.evil.example/key"):
        with pytest.raises(PermanentError):
            LOCAL.check(SecretUrl(url))
