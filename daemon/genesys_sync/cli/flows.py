"""`genesys-sync flows list|publish`: Architect's flows, checked out, checked in and published, so that they use their prompts as they are.

A flow takes its prompts as they were when it was published: after `prompts push`, publish those that use what was changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genesys_sync.cli.invocation import load_settings, run_async, settings_path
from genesys_sync.cli.output import NOTHING_FOUND, print_json, print_table
from genesys_sync.errors import EX_OK, EX_TEMPFAIL, EX_USAGE, CredentialsRefused, PermanentError, TransientError
from genesys_sync.scrubbing import clean_text, escape
from genesys_sync.services import Flow, FlowRefused, Flows, Published
from genesys_sync.settings import Settings

if TYPE_CHECKING:
    from genesys_sync.cli.acting import Workplace


@dataclass(slots=True)
class Run:
    """One flow's publication: its last step, and how it ended, if it has."""

    flow: Flow
    step: str = ""
    done: Published | None = None
    error: PermanentError | TransientError | None = None


@dataclass(slots=True)
class Runs:
    """All of one command, known from outside even while it is being interrupted."""

    of: list[Run] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, and its two actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the flows, their versions, and who has them checked out")
    listing.add_argument("name", nargs="?", default="*", metavar="NAME", help="only those of this name; * stands for anything")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=run_list)
    publish = actions.add_parser("publish", help="check flows out and in, publish them, and follow each to its end")
    publish.add_argument("flows", nargs="*", metavar="FLOW", help="a flow's id or name")
    publish.add_argument("--using-prompt", action="append", default=[], metavar="NAME", help="every flow that uses this prompt; repeatable")
    publish.add_argument("--version", default="", metavar="N", help="publish this version of one flow, as it is: no checkout")
    publish.add_argument("--json", action="store_true", help="as JSON")
    publish.set_defaults(run=run_publish)


def run_list(args: argparse.Namespace) -> int:
    """0, or 1 when there is none."""
    from genesys_sync.cli.acting import report_failure

    settings, base = load_settings(args), settings_path(args).parent
    try:
        flows = run_async(partial(_list, settings, base, args.name))
    except (PermanentError, TransientError) as error:
        return report_failure(error, as_json=args.json)
    if args.json:
        print_json([_flow_as_json(flow) for flow in flows])
    elif flows:
        header = ("name", "type", "checked in", "published", "checked out by", "id")
        print_table(header, ((one.name, one.type, one.checked_in, one.published, _holder(one), one.id) for one in flows))
    else:
        _say(f"no flow is named {args.name}" if args.name != "*" else "the platform has no flow that this client may see")
    return EX_OK if flows else NOTHING_FOUND


def run_publish(args: argparse.Namespace) -> int:
    """0 when every flow is published. 69 some were refused or failed, 75 of some the end is not known, 77 a permission is missing."""
    from genesys_sync.cli.acting import report_failure

    if not args.flows and not args.using_prompt:
        return _misused("name a flow, or --using-prompt NAME")
    if args.version and (len(args.flows) != 1 or args.using_prompt):
        return _misused("--version is for one flow alone")
    settings, base = load_settings(args), settings_path(args).parent
    runs = Runs()
    try:
        run_async(partial(_publish, settings, base, args, runs))
    except (PermanentError, TransientError, CredentialsRefused) as error:
        return report_failure(error, as_json=args.json)
    except KeyboardInterrupt:
        for one in runs.of:
            if one.done is None and one.error is None:
                _say(f"interrupted: the flow {one.flow.name}: {_left(one)}")
        raise
    if args.json:
        print_json([_run_as_json(one) for one in runs.of])
    return exit_code([one.error for one in runs.of if one.error is not None]) if runs.of else NOTHING_FOUND


def _misused(sentence: str) -> int:
    _say(f"flows publish: {sentence}")
    return EX_USAGE


async def _list(settings: Settings, base: Path, name: str) -> Sequence[Flow]:
    from genesys_sync.cli.acting import workplace

    async with workplace(settings, base=base) as place:
        await place.platform.tokens.get()
        return await place.platform.flows.listed(name)


async def _publish(settings: Settings, base: Path, args: argparse.Namespace, runs: Runs) -> None:
    from genesys_sync.cli.acting import workplace
    from genesys_sync.cli.hints import hinted

    async with workplace(settings, base=base) as place:
        organization_id = await place.platform.identify()
        runs.of.extend(Run(flow) for flow in await _wanted(place, args.flows, args.using_prompt))
        if not runs.of:
            _say("no flow uses it; nothing to publish")
            return
        topics = [f"v2.flows.{one.flow.id}" for one in runs.of]
        async with hinted(place.platform.channels, topics, settings=settings.feed, clock=place.clock) as hints:
            flows = place.platform.flows.waiting(hints.sleep)
            for one in runs.of:
                await _one(place, flows, one, args.version, organization_id)


async def _wanted(place: Workplace, names: Sequence[str], prompts: Sequence[str]) -> list[Flow]:
    """Each flow once, in the order in which they were named. All are looked up before the first is touched."""
    found: dict[str, Flow] = {}
    for name in names:
        flow = await place.platform.flows.find(name)
        found[flow.id] = flow
    for name in prompts:
        prompt = await place.platform.prompts.find(name)
        if prompt is None:
            raise FlowRefused(f"the platform has no prompt named {name}")
        found.update({flow.id: flow for flow in await place.platform.flows.using_prompt(prompt.id)})
    return list(found.values())


async def _one(place: Workplace, flows: Flows, one: Run, version: str, organization_id: str) -> None:
    """Publish it, and record that; a failure of one leaves the others their chance."""
    from genesys_sync.architect.record import published

    def told(flow: Flow, step: str) -> None:
        one.step = step
        _say(f"{flow.name}: {step}" + (f" as version {flow.published}" if step == "published" and flow.published else ""))

    try:
        one.done = await flows.publish(one.flow, version=version, told=told)
    except (PermanentError, TransientError) as error:
        one.error = error
        left = f"; {error.left}" if isinstance(error, FlowRefused) and error.left else ""
        _say(f"{clean_text(str(error))}{left}")
        return
    event = published(one.done, at=place.clock.now(), organization_id=organization_id)
    await place.ledger.append(place.router.route([event]))


def exit_code(errors: Sequence[PermanentError | TransientError]) -> int:
    """Of the whole: what is not known comes first, then the first refusal. Pure."""
    from genesys_sync.cli.acting import exit_code_of

    if any(isinstance(error, TransientError) for error in errors):
        return EX_TEMPFAIL
    return exit_code_of(errors[0]) if errors else EX_OK


def _left(one: Run) -> str:
    """In what state an interrupted run leaves a flow. Pure."""
    match one.step:
        case "":
            return "not begun"
        case "checked in":
            return "checked in, and not published"
        case "publishing":
            return "its publication was begun, and ends without us; `flows list` shows how"
        case step:
            return step


def _flow_as_json(flow: Flow) -> dict[str, Any]:
    return {
        "id": flow.id,
        "name": flow.name,
        "type": flow.type,
        "checkedInVersion": flow.checked_in or None,
        "publishedVersion": flow.published or None,
        "lock": flow.lock,
        "lockedBy": flow.holder or None,
    }


def _run_as_json(one: Run) -> dict[str, Any]:
    from genesys_sync.cli.acting import failure_as_json

    if one.done is not None:
        told = {"outcome": "success", "operationId": one.done.operation_id, "seconds": round(one.done.seconds, 3)}
        return {"flow": _flow_as_json(one.done.flow), **told, "correlationId": one.done.correlation_id or None}
    failure = failure_as_json(one.error) if one.error is not None else {}
    left = one.error.left if isinstance(one.error, FlowRefused) else ""
    return {"flow": _flow_as_json(one.flow), **failure, "left": left or None}


def _holder(flow: Flow) -> str:
    return {"none": "", "own": "this client"}.get(flow.lock, flow.holder)


def _say(sentence: str) -> None:
    print(f"genesys-sync: {escape(sentence)}", file=sys.stderr, flush=True)
