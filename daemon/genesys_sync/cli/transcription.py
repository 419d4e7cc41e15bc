"""`genesys-sync transcription enable|status`: the platform's own transcription of calls, for the organisation or for queues.

What is switched on counts for calls that are answered afterwards; for recordings that exist there is `genesys-sync transcribe`.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from genesys_sync.cli.invocation import load_settings, run_async, settings_path
from genesys_sync.cli.output import print_json, print_line
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.services import SpeechStatus
from genesys_sync.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, and its two actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, what in (("enable", "switch it on, for the organisation or for queues"), ("status", "what is set")):
        action = actions.add_parser(name, help=what)
        action.add_argument("--queue", action="append", type=_queue, default=[], metavar="ID", help="a queue; may be given again and again")
        action.add_argument("--json", action="store_true", help="as JSON")
        action.set_defaults(run=run, unlisted=False)
        if name == "enable":
            action.add_argument("--unlisted", action="store_true", help="try it though no product that transcribes is listed")


def run(args: argparse.Namespace) -> int:
    """0 when it is so, as the platform shows. 69 refused, 75 not reachable, 77 a permission is missing."""
    from genesys_sync.cli.acting import report_failure

    settings, base = load_settings(args), settings_path(args).parent
    try:
        status = run_async(partial(_ask, settings, base, args))
    except (PermanentError, TransientError) as error:
        return report_failure(error, as_json=args.json)
    print_json(as_json(status)) if args.json else _show(status)
    return 0


async def _ask(settings: Settings, base: Path, args: argparse.Namespace) -> SpeechStatus:
    from genesys_sync.cli.acting import workplace

    async with workplace(settings, base=base) as place:
        await place.platform.tokens.get()
        queues = tuple(dict.fromkeys(args.queue))
        if args.action == "status":
            return await place.platform.speech.status(queues)
        return await place.platform.speech.enable(queues, unlisted=args.unlisted)


def as_json(status: SpeechStatus) -> dict[str, Any]:
    """What programs read."""
    return {
        "transcription": status.mode,
        "confidenceThreshold": status.confidence_threshold,
        "lowLatency": status.low_latency,
        "pciRedaction": status.pci_redaction,
        "piiRedaction": status.pii_redaction,
        "productListed": status.product_listed,
        "queues": [{"id": queue.id, "name": queue.name, "enabled": queue.enabled} for queue in status.queues],
    }


def _show(status: SpeechStatus) -> None:
    words = {True: "yes", False: "no", None: "the platform does not say"}
    threshold = "the platform does not say" if status.confidence_threshold is None else str(status.confidence_threshold)
    for name, value in (
        ("transcription", status.mode or "the platform does not say"),
        ("product listed", words[status.product_listed]),
        ("confidence threshold", threshold),
        ("low latency", words[status.low_latency]),
        ("card data left out", words[status.pci_redaction]),
        ("personal data left out", words[status.pii_redaction]),
    ):
        print_line(f"{name:<22} {value}")
    for queue in status.queues:
        print_line(f"queue {queue.name or queue.id}: {'on' if queue.enabled else 'off'}")


def _queue(text: str) -> str:
    found = canonical_uuid(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no queue id: it looks like 2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b")
    return found
