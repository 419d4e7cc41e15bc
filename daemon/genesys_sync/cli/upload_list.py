"""`genesys-sync upload list`: what was asked to be uploaded, newest first, how it stands, and what a month of it costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from genesys_sync.cli.invocation import run_async
from genesys_sync.cli.output import NOTHING_FOUND, clock_time, print_json, print_line, print_table
from genesys_sync.clock import SystemClock
from genesys_sync.events import iso
from genesys_sync.ledger.base import Upload
from genesys_sync.settings import CostsSettings, Settings
from genesys_sync.tallies import GIGABYTE
from genesys_sync.uploading import UploadState, state_of


def show_list(settings: Settings, *, before: int | None, limit: int, as_json: bool) -> int:
    """0, or 1 where there is nothing on this page."""
    page, more = run_async(partial(_page, settings, before, limit))
    if as_json:
        rows = [row_as_json(upload, settings.costs) for upload in page]
        print_json({"uploads": rows, "currency": settings.costs.currency, "next": page[-1].number if more else None})
    elif not page:
        print_line("nothing was uploaded" if before is None else "nothing was uploaded before that")
    else:
        _show(page, settings.costs)
        if more:
            print_line(f"more: genesys-sync upload list --after {page[-1].number}")
    return 0 if page else NOTHING_FOUND


async def _page(settings: Settings, before: int | None, limit: int) -> tuple[list[Upload], bool]:
    from genesys_sync.ledger import open_ledger

    async with open_ledger(settings.ledger.url, clock=SystemClock(), read_only=True) as ledger:
        found = await ledger.uploads(before=before, limit=limit + 1)
    return found[:limit], len(found) > limit


def cost_of(upload: Upload, costs: CostsSettings) -> float | None:
    """What a month of it costs, by the settings' prices; None for what is not there, and where no price is set. Pure."""
    price = costs.per_gb_month.get(costs.storage_class("uploads"))
    stored = state_of(upload.asked.deliveries, upload.outcome).good
    return price * int(upload.asked.event.body["bytes"]) / GIGABYTE if stored and price is not None else None


def row_as_json(upload: Upload, costs: CostsSettings) -> dict[str, Any]:
    """What programs read of one row."""
    asked, outcome = upload.asked.event, {} if upload.outcome is None else upload.outcome.body
    return {
        "number": upload.number,
        "eventId": asked.id,
        "askedAt": iso(asked.occurred_at),
        "path": asked.body.get("path"),
        "fileName": asked.body.get("fileName"),
        "bytes": asked.body.get("bytes"),
        "sha256": asked.body.get("sha256"),
        "md5": asked.body.get("md5"),
        "state": state_of(upload.asked.deliveries, upload.outcome).value,
        "status": outcome.get("status"),
        "reason": _reason(upload) or None,
        "uploadKey": outcome.get("uploadKey"),
        "duration": outcome.get("duration"),
        "costPerMonth": cost_of(upload, costs),
    }


def _reason(upload: Upload) -> str:
    if upload.outcome is not None:
        return str(upload.outcome.body.get("reason") or "")
    return next((one.reason.value for one in upload.asked.deliveries if one.reason is not None), "")


def _show(page: Sequence[Upload], costs: CostsSettings) -> None:
    rows = []
    for upload in page:
        state, cost, reason = state_of(upload.asked.deliveries, upload.outcome), cost_of(upload, costs), _reason(upload)
        told = f"{state}: {reason}" if reason and state in (UploadState.FAILED, UploadState.DEAD) else str(state)
        rows.append(
            (
                upload.number,
                clock_time(upload.asked.event.occurred_at),
                upload.asked.event.body.get("bytes", 0),
                "-" if cost is None else f"{cost:.6f}",
                told,
                upload.asked.event.body.get("fileName", ""),
            )
        )
    print_table(("number", "asked (UTC)", "bytes", f"{costs.currency} a month", "state", "file"), rows)
