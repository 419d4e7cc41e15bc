"""Controls: daemons that break a promise on purpose (tests/harness/mutants). Whatever is not caught, the other rows do not prove either."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..bench import Bench, Daemon, DidNotHappen, Simulator, wait_until
from ..checker import Finding, Terms
from ..receiver import Receiver
from .crashes import has_failed, read_report, spoilable, synced_again, traced
from .rows import Played, Row, scenario

MUTANTS = Path(__file__).parents[1] / "mutants"
AT_ONCE = 6
PATIENCE = 12.0
"""Seconds that a daemon which loses things is waited for."""


@dataclass(frozen=True, slots=True)
class Control:
    """One mutant. `sees` is the invariant that must be broken (or `sync`: a sync tried again); `provoke` makes its fault matter."""

    name: str
    sees: str
    overrides: Sequence[str] = ()
    world: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    manners: Callable[[str, int], str] = lambda _name, _attempt: "ok"
    provoke: Callable[[Simulator, Daemon], None] = lambda _platform, _daemon: None


def mutated(name: str) -> dict[str, str]:
    """The environment in which a daemon is this mutant."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(MUTANTS / name), os.environ.get("PYTHONPATH", ""))))}


def _drop(platform: Simulator, daemon: Daemon) -> None:
    daemon.until_ready()
    wait_until(lambda: platform.page("state")["callsEnded"] > 2, 20, "some calls ended")
    platform.fault("drop_socket")


ALONE = ("feed.reconcile_every=1h",)
"""Back-fill closes gaps only: reconciliation would find what the mutant loses."""
CONTROLS = (
    Control("restless", "I7", manners=lambda _name, attempt: "fail" if attempt == 1 else "ok"),
    Control("heedless", "I1", ALONE, {"faults": {"drop_socket_for": "4s"}}, provoke=_drop),
    Control("narrow", "I1", ALONE),
    Control("trusting", "I1", world={"faults": {"error_page": 3, "truncated": 3}}),
    Control("stubborn", "sync"),
    Control("content", "I6", manners=lambda name, _attempt: "gone" if hash(name) % 2 else "ok"),
)


def controls(bench: Bench) -> Played:
    """CTL: each of these mutants is caught by the invariant that is there for it; one that is not makes this row UNKNOWN."""
    chosen = [control for control in CONTROLS if control.name != "stubborn" or not spoilable()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        caught = dict(zip((control.name for control in chosen), pool.map(partial(_caught, bench), chosen), strict=True))
    finding = Finding()
    finding.unproved += [
        f"the mutant {name} was not caught: {found or 'nothing was found'}" for name, (well, found) in caught.items() if not well
    ]
    said = ", ".join(f"{control.name} by {control.sees}" for control in chosen if caught[control.name][0])
    return Played(f"{len(chosen)} mutants", f"caught: {said}", finding)


def _caught(bench: Bench, control: Control) -> tuple[bool, str]:
    """Whether it was, and what was found instead."""
    own = Bench(bench.name, bench.folder / control.name, bench.long, bench.stack)
    platform, receiver = own.world(scenario(16, 3, **control.world)), own.receiver()
    receiver.manners = control.manners
    daemon = own.daemon(platform, receiver, *control.overrides, environment=mutated(control.name))
    if control.sees == "sync":
        return _synced_again(own, daemon)
    daemon.start()
    try:
        control.provoke(platform, daemon)
        finding = _judged(own, platform, daemon, receiver)
    except DidNotHappen as why:
        return False, str(why)
    found = sorted({breach.invariant for breach in finding.breaches})
    return control.sees in found, ", ".join(found)


def _judged(bench: Bench, platform: Simulator, daemon: Daemon, receiver: Receiver) -> Finding:
    wait_until(lambda: platform.finished, 40, "the scenario's end")
    return bench.conclude(platform, daemon, receiver, Terms(), seconds=PATIENCE)


def _synced_again(bench: Bench, daemon: Daemon) -> tuple[bool, str]:
    report = bench.folder / "calls.jsonl"
    daemon.under = traced(daemon, report, "--fail", "fsync:/archive/.incoming/:3")
    daemon.start()
    try:
        wait_until(partial(has_failed, report), 90, "EIO for an archived file")
        wait_until(lambda: any(synced_again(read_report(report))), 3, "a sync tried again")
    except DidNotHappen as why:
        return False, str(why)
    finally:
        daemon.stop()
    return True, ""


ROWS = (Row("CTL", "mutants of the daemon", controls),)
