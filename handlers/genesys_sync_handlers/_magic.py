"""What a file is, by its first bytes. Pure; decides which demuxer may open it, so that no other ever does."""

from __future__ import annotations

from enum import StrEnum

from genesys_sync_handlers._report import Caution, Damage, Fault

HEAD = 4096
"""Bytes that `sniff` wants to see."""


class Kind(StrEnum):
    """The containers that are told apart; their values are the names used in events."""

    WAV = "wav"
    OGG = "ogg"
    WEBM = "webm"
    MP3 = "mp3"
    MP4 = "mp4"
    FLAC = "flac"
    ZIP = "zip"
    JSON = "json"
    MAIL = "eml"
    OTHER = ""


DEMUXERS = {Kind.WAV: "wav", Kind.OGG: "ogg", Kind.WEBM: "matroska", Kind.MP3: "mp3", Kind.MP4: "mov", Kind.FLAC: "flac"}
"""FFmpeg's demuxer for each kind that is decoded."""

_CONTENT_TYPES = {
    Kind.WAV: {"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"},
    Kind.OGG: {"audio/ogg", "audio/opus", "application/ogg", "video/ogg"},
    Kind.WEBM: {"audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska"},
    Kind.MP3: {"audio/mpeg", "audio/mp3"},
    Kind.MP4: {"audio/mp4", "audio/x-m4a", "video/mp4"},
    Kind.FLAC: {"audio/flac", "audio/x-flac"},
    Kind.ZIP: {"application/zip"},
    Kind.JSON: {"application/json"},
    Kind.MAIL: {"message/rfc822"},
}
_SAYS_NOTHING = {"", "application/octet-stream", "binary/octet-stream"}
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"v=0\r", b"v=0\n", b"<mpd", b"<smil", b"<asx", b"[reference]", b"file '", b'file "')


def sniff(head: bytes, content_type: str, *, audio: bool) -> tuple[Kind, list[Caution]]:
    """The kind of file that begins with these bytes, and what is odd about it.

    Raises Damage: EMPTY, ERROR_PAGE, CONTAINER_FORBIDDEN (lists that would make a decoder open other files), NOT_MEDIA.
    """
    if not head:
        raise Damage(Fault.EMPTY, "the file holds no bytes")
    stated = content_type.partition(";")[0].strip().lower()
    kind = _binary(head)
    if kind is Kind.OTHER:
        kind = _text(head, stated, audio=audio)
    if audio and kind not in DEMUXERS:
        raise Damage(Fault.NOT_MEDIA, f"the file is no known audio: it begins with {head[:4].hex()}")
    cautions = [Caution.FORMAT_UNKNOWN] if kind is Kind.OTHER else []
    if stated not in _SAYS_NOTHING and kind is not Kind.OTHER and stated not in _CONTENT_TYPES[kind]:
        cautions.append(Caution.CONTENT_TYPE_MISMATCH)
    return kind, cautions


def _binary(head: bytes) -> Kind:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Kind.WAV
    if head[4:8] == b"ftyp":
        return Kind.MP4
    for magic, kind in (
        (b"OggS", Kind.OGG),
        (b"\x1aE\xdf\xa3", Kind.WEBM),
        (b"ID3", Kind.MP3),
        (b"fLaC", Kind.FLAC),
        (b"PK\x03\x04", Kind.ZIP),
    ):
        if head.startswith(magic):
            return kind
    # MPEG audio without a tag: sync, a version, layer III, a bit rate and a sample rate that exist
    if (
        len(head) > 3
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[1] & 0x18 != 0x08
        and head[2] >> 4 not in (0, 15)
        and head[2] & 0x0C != 0x0C
    ):
        return Kind.MP3
    return Kind.OTHER


def _text(head: bytes, stated: str, *, audio: bool) -> Kind:
    """Error pages and playlists are told by how they begin, in UTF-8 or UTF-16; chats and mails are text as well."""
    plain = head.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    if (plain[:1] == b"\0") != (plain[1:2] == b"\0"):
        plain = plain.replace(b"\0", b"")
    plain = plain.lstrip().lower()
    if plain.startswith(_PLAYLISTS):
        raise Damage(Fault.CONTAINER_FORBIDDEN, "the file is a playlist or a script, which would make a decoder open other files")
    if plain.startswith(b"<"):
        raise Damage(Fault.ERROR_PAGE, "the file is an HTML or XML page")
    if plain.startswith((b"{", b"[")):
        if audio or stated != "application/json":
            raise Damage(Fault.ERROR_PAGE, "the file is a JSON answer")
        return Kind.JSON
    if stated == "message/rfc822":
        return Kind.MAIL
    return Kind.OTHER
