"""Receivers of webhooks that misbehave."""

from __future__ import annotations

import json
import time
from collections import Counter

from ..bench import Bench, wait_until
from ..checker import Terms
from .rows import Played, Row, scenario

TRICKS = ("ok", "cut", "fail", "slow", "redirect", "later", "huge")
BODY_LIMIT = 8 << 20
"""What the receiver can have sent of a huge body before it notices that nobody reads: the kernel's buffers, generously."""


def ill_mannered(bench: Bench) -> Played:
    """F38: cut before the answer, 500, no answer in time, a redirect, 429 with a date, a body of 1 GiB; each first attempt another one."""
    platform = bench.world(scenario(50, 5))
    receiver = bench.receiver()
    names: dict[str, int] = {}

    def manners(name: str, attempt: int) -> str:
        number = names.setdefault(name, len(names))
        return TRICKS[number % len(TRICKS)] if attempt <= 2 else "ok"

    receiver.manners = manners
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=60), seconds=90)
    if receiver.followed:
        bench.problems.append(f"{receiver.followed} redirects were followed")
    if receiver.most_sent > BODY_LIMIT:
        bench.problems.append(f"{receiver.most_sent} bytes of a body were taken")
    repeats = Counter(one.id for one in receiver.requests)
    again = sum(count > 1 for count in repeats.values())
    stamps = sum(len({one.headers["webhook-timestamp"] for one in receiver.requests if one.id == name}) > 1 for name in repeats)
    played = ", ".join(f"{receiver.played[trick]} {trick}" for trick in TRICKS[1:])
    outcome = f"{again} completions were repeated under their own id, {stamps} with a later timestamp; no redirect followed"
    return Played(played, outcome, finding, all(receiver.played[trick] for trick in TRICKS))


def gone(bench: Bench) -> Played:
    """F38: 410 parks the handler, other work goes on, and `resume` brings everything that waited."""
    platform = bench.world(scenario(30, 5))
    receiver = bench.receiver()
    receiver.manners = lambda _name, _attempt: "gone" if len(receiver.accepted()) >= 5 else "ok"
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    wait_until(lambda: receiver.played["gone"] and platform.finished, 60, "410 and the scenario's end")
    time.sleep(3)
    while_parked = len(receiver.requests)
    parked = json.dumps(daemon.status().get("parked", {}))
    time.sleep(2)
    if len(receiver.requests) > while_parked:
        bench.problems.append("a parked receiver got more requests")
    if "tell" not in parked:
        bench.problems.append(f"status does not name the parked handler: {parked}")
    receiver.manners = lambda _name, _attempt: "ok"
    waited = len(receiver.accepted())
    done = daemon.call("resume", "tell")
    if done.returncode != 0:
        bench.problems.append(f"resume ended with {done.returncode}")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    brought = len(receiver.accepted()) - waited
    return Played(f"{receiver.played['gone']} x 410", f"parked, then {brought} completions after resume", finding, brought > 0)


ROWS = (
    Row("F38", "receivers that misbehave", ill_mannered),
    Row("F38b", "receiver answers 410", gone),
)
