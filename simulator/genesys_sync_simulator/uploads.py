"""Third-party recordings that were uploaded, and the reports about them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.scenario_acting import Uploads

STATUSES: Final = ("Pending", "Success", "Failure", "WaitForConversation")
COLUMNS: Final = ("uploadKey", "fileName", "status", "dateUploaded", "reason")


@dataclass(slots=True, eq=False)
class Upload:
    """One address that was given out, and whether its object has come. Times in epoch seconds."""

    key: str
    file_name: str
    asked: float
    parcel: Parcel
    stored_at: float | None = None

    def status(self, at: float, rules: Uploads) -> tuple[str, str]:
        """The published upload status and its reason."""
        if self.stored_at is None or at < self.stored_at + rules.process_time:
            return "Pending", ""
        if any(fnmatchcase(self.file_name, pattern) for pattern in rules.failing):
            return "Failure", "The file is not a recording that can be imported."
        if any(fnmatchcase(self.file_name, pattern) for pattern in rules.waiting):
            return "WaitForConversation", "No conversation was found for the recording."
        return "Success", ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report that was asked for: everything stored since a moment, of one status or of all."""

    id: str
    since: float
    status: str | None
    asked: float
    failed: bool

    def state(self, now: float, rules: Uploads) -> str:
        """The published state of the report itself."""
        if now < self.asked + rules.report_time:
            return "InProgress"
        return "Failed" if self.failed else "Completed"


@dataclass(slots=True)
class UploadDesk:
    """All uploads, by the path of their object, and all reports by id."""

    rules: Uploads
    uploads: dict[str, Upload] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)

    def rows(self, report: Report) -> list[dict[str, str]]:
        """The report's lines as things stood when it was completed, oldest upload first."""
        at = report.asked + self.rules.report_time
        rows = []
        for upload in self.uploads.values():
            if upload.stored_at is None or not report.since <= upload.stored_at <= at:
                continue
            status, reason = upload.status(at, self.rules)
            if report.status in (None, status):
                values = (upload.key, upload.file_name, status, iso(upload.stored_at), reason)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
        return rows

    def file(self, report: Report) -> tuple[str, bytes]:
        """Content type and bytes of the report's file."""
        rows = self.rows(report)
        if self.rules.report_form == "json":
            return "application/json", json.dumps(rows).encode()
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        return "text/csv", text.getvalue().encode()

    def listing(self, now: float) -> list[dict[str, Any]]:
        """Every upload as it stands, for the simulator's own page."""
        return [
            {
                "uploadKey": upload.key,
                "fileName": upload.file_name,
                "stored": upload.stored_at is not None,
                "status": upload.status(now, self.rules)[0],
                "md5": upload.parcel.md5,
                "bytes": upload.parcel.size,
                "bytesReceived": upload.parcel.taken,
                "requests": upload.parcel.requests,
            }
            for upload in self.uploads.values()
        ]
