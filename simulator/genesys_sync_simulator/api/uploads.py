"""Uploading third-party recordings: an address for each, and reports about what became of them."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from aiohttp import web

from genesys_sync_simulator.api.answers import Json, bad_request, body, found, get, need_all, reply
from genesys_sync_simulator.api.media import refused
from genesys_sync_simulator.api.store import offer
from genesys_sync_simulator.clock import iso, parse_iso
from genesys_sync_simulator.parcels import Parcel, is_md5
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.presign import Refusal
from genesys_sync_simulator.uploads import STATUSES, Report, Upload

_FORBIDDEN: Final = re.compile(r"[\s\\{^}%`\]\">\[~<#|]")
_LONGEST_LIFE: Final = 604_800
_CONTENT_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;.*)?")


def routes(platform: Platform) -> list[web.RouteDef]:
    """Uploads, their reports, and the page that shows them."""

    async def ask(request: web.Request) -> web.Response:
        need_all(request, "recording:recording:upload")
        document = await body(request)
        name, headers, life = _wanted(document)
        headers["x-amz-tagging"] = f"organizationId={platform.world.plan.organization_id}"
        parcel, url = offer(platform, "uploads", headers, lambda parcel: _stored(platform, parcel), life=life)
        key = f"{platform.world.plan.organization_id}/{parcel.path.rpartition('/')[2]}/{name}"
        platform.uploads.uploads[parcel.path] = Upload(key, name, platform.now(), parcel)
        return reply({"url": url, "uploadKey": key, "headers": headers})

    async def report(request: web.Request) -> web.Response:
        need_all(request, "recording:uploadReport:add")
        document = await body(request)
        if not isinstance(document, dict) or not isinstance(document.get("dateSince"), str):
            raise bad_request("dateSince must be an ISO 8601 moment.")
        try:
            since = parse_iso(document["dateSince"])
        except ValueError:
            raise bad_request("dateSince must be an ISO 8601 moment.", code="invalid.date") from None
        status = document.get("uploadStatus")
        if status not in (None, *STATUSES):
            raise bad_request(f"uploadStatus must be one of {', '.join(STATUSES)}.", code="invalid.value")
        failed = platform.faults.first("upload_report_failed")
        made = Report(str(uuid.uuid4()), since, status, platform.now(), failed)
        platform.uploads.reports[made.id] = made
        return reply(_shown(platform, made), status=202)

    async def progress(request: web.Request) -> web.Response:
        need_all(request, "recording:uploadReport:view")
        made = platform.uploads.reports.get(request.match_info["reportId"])
        return reply(_shown(platform, found(made, "recording.upload.report.not.found", "The upload report does not exist.")))

    async def fetch(request: web.Request) -> web.Response:
        refusal = platform.presigner.refusal(
            request.method, request.path, request.query, has_authorization="Authorization" in request.headers, now=platform.now()
        )
        made = platform.uploads.reports.get(request.match_info["reportId"])
        if refusal is not None or made is None:
            return refused(refusal or Refusal(404, "NoSuchKey", "The specified key does not exist."))
        content_type, data = platform.uploads.file(made)
        return web.Response(body=data, content_type=content_type)

    async def page(_: web.Request) -> web.Response:
        return reply({"uploads": platform.uploads.listing(platform.now())})

    return [
        web.post("/api/v2/uploads/recordings", ask),
        web.post("/api/v2/recording/uploads/reports", report),
        get("/api/v2/recording/uploads/reports/{reportId}", progress),
        get("/media/reports/{reportId}", fetch),
        get("/simulator/uploads", page),
    ]


def _wanted(document: Any) -> tuple[str, dict[str, str], float]:
    """File name, headers to be signed, and life in seconds of what a request asks for; raises the 400 for anything not published."""
    if not isinstance(document, dict):
        raise bad_request("The body must be an object.")
    name, life = document.get("fileName"), document.get("signedUrlTimeoutSeconds", 600)
    if not isinstance(name, str) or not name or name.startswith(".") or name.endswith("/") or _FORBIDDEN.search(name):
        raise bad_request('fileName must not be empty, begin with a dot, end with a slash, or hold white space or any of \\{^}%`]">[~<#|.')
    if isinstance(life, bool) or not isinstance(life, int) or not 1 <= life <= _LONGEST_LIFE:
        raise bad_request(f"signedUrlTimeoutSeconds must be a whole number from 1 to {_LONGEST_LIFE}.")
    headers: dict[str, str] = {}
    md5, kind, encryption = document.get("contentMd5"), document.get("contentType"), document.get("serverSideEncryption")
    if md5 is not None:
        if not is_md5(md5):
            raise bad_request("contentMd5 must be the Base64 form of an MD5.")
        headers["Content-MD5"] = md5
    if kind is not None:
        if not isinstance(kind, str) or not _CONTENT_TYPE.fullmatch(kind):
            raise bad_request("contentType must be a MIME type.")
        headers["Content-Type"] = kind
    if encryption is not None:
        if encryption != "AES256":
            raise bad_request("serverSideEncryption must be AES256.", code="invalid.value")
        headers["x-amz-server-side-encryption"] = encryption
    return name, headers, float(life)


def _stored(platform: Platform, parcel: Parcel) -> None:
    """On disk in the truth log before the client learns that its object is stored."""
    upload = platform.uploads.uploads[parcel.path]
    upload.stored_at = platform.now()
    platform.truth.write(
        "upload_stored",
        uploadKey=upload.key,
        fileName=upload.file_name,
        md5=parcel.md5,
        bytes=parcel.size,
        bytesReceived=parcel.taken,
        requests=parcel.requests,
    )


def _shown(platform: Platform, report: Report) -> Json:
    now = platform.now()
    state = report.state(now, platform.scenario.uploads)
    shown: Json = {
        "id": report.id,
        "name": f"Upload report {report.id[:8]}",
        "state": state,
        "dateSince": iso(report.since),
        "dateCreated": iso(report.asked),
        "selfUri": f"/api/v2/recording/uploads/reports/{report.id}",
    }
    if state == "Completed":
        shown["signedUrl"] = platform.base_url + platform.presigner.sign(
            f"/media/reports/{report.id}", now=now, life=platform.rules.url_life
        )
    return shown
