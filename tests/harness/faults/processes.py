"""Faults of the process itself: killed at random, started twice, told to stop while it works."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

from ..bench import Bench, Daemon, wait_until
from ..checker import Terms
from ..receiver import Receiver
from .rows import READY_WITHIN, Played, Row, scenario

KILLED_OFTEN = (
    "handlers.discover.attempts=1000",
    "handlers.archive.attempts=1000",
    "handlers.verify.attempts=1000",
    "handlers.tell.attempts=1000",
)
"""Each kill counts as an attempt of everything that ran; nothing here is about attempts used up."""


def random_kills(bench: Bench) -> Played:
    """F22: kill -9 at random moments of the whole life, also before it is ready; every start is ready within 5 s."""
    kills, recordings = (300, 1000) if bench.long else (30, 150)
    rate = recordings / 1.25 / (kills * 1.6)
    platform = bench.world(scenario(round(recordings / 1.25), rate))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, *KILLED_OFTEN)
    draw = random.Random(22)
    slowest, measured = 0.0, 0
    daemon.start()
    for number in range(kills):
        if number % 2 == 0:
            slowest = max(slowest, daemon.until_ready())
            measured += 1
            time.sleep(draw.uniform(0.0, 1.2))
        else:
            time.sleep(draw.uniform(0.1, 1.6))
        if not daemon.running:
            bench.problems.append(f"the daemon ended by itself before kill {number + 1}")
        daemon.kill()
        daemon.start()
    slowest = max(slowest, daemon.until_ready())
    if slowest > READY_WITHIN:
        bench.problems.append(f"a start took {slowest:.1f} s until it was ready; {READY_WITHIN:.0f} s are allowed")
    finding = bench.conclude(platform, daemon, receiver, Terms(least=100, slo=600), seconds=180)
    return Played(f"{kills} x kill -9", f"ready within {slowest:.1f} s each time ({measured + 1} measured)", finding)


def second_daemon(bench: Bench) -> Played:
    """F31: a second daemon on the same ledger is refused with 75 while the first runs, and while it is stopped; after its end it is not."""
    platform = bench.world(scenario(24, 3))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    assert daemon.process is not None
    refused = 0
    for paused in (False, True):
        if paused:
            daemon.process.send_signal(signal.SIGSTOP)
        done = daemon.call("run")
        named = f"pid {daemon.process.pid}" in done.stderr
        refused += done.returncode == 75 and named
        if done.returncode != 75 or not named:
            what = "while the first is stopped" if paused else "beside the first"
            bench.problems.append(f"the second daemon {what} ended with {done.returncode} and named the first: {named}")
    daemon.process.send_signal(signal.SIGCONT)
    first = daemon.process
    first.send_signal(signal.SIGKILL)
    daemon.start()
    first.wait()
    daemon.until_ready()
    finding = bench.conclude(platform, daemon, receiver, Terms())
    return Played(
        "a second one, also while the first is SIGSTOPped", f"{refused} of 2 refused with 75, naming the first", finding, refused > 0
    )


def told_to_stop(bench: Bench) -> Played:
    """F37: SIGTERM in the middle of downloads and posts: ends with 0 within the drain and 3 s; a second SIGTERM ends it within 2 s."""
    slow = {"bandwidth": "60kB"}
    platform = bench.world(scenario(90, 2.5, platform=slow))
    receiver = bench.receiver()
    receiver.slowness = 1.0
    receiver.manners = lambda _name, attempt: "slow" if attempt == 1 else "ok"
    daemon = bench.daemon(platform, receiver)
    longest, second, busy = 0.0, 0.0, 0
    for number in range(4):
        daemon.start()
        daemon.until_ready()
        assert daemon.process is not None
        before = len(receiver.requests)
        wait_until(partial(_at_work, daemon, receiver, before), 15, "work in hand")
        busy += 1
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        if number == 3:
            time.sleep(0.1)
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGTERM)
        status = daemon.process.wait(30)
        took = time.monotonic() - began
        second, longest = (took, longest) if number == 3 else (second, max(longest, took))
        if status != 0:
            bench.problems.append(f"after SIGTERM the daemon ended with {status}")
    if longest > 8.0:
        bench.problems.append(f"draining took {longest:.1f} s, and dispatch.drain is 5 s")
    if second > 2.0:
        bench.problems.append(f"a second SIGTERM took {second:.1f} s")
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=120), seconds=90)
    return Played(
        "4 x SIGTERM at work, once twice",
        f"ended with 0 after {longest:.1f} s at most, the second signal {second:.1f} s",
        finding,
        busy == 4,
    )


def _at_work(daemon: Daemon, receiver: Receiver, before: int) -> bool:
    """A download is under way, and a post has come since."""
    return any(daemon.archive.glob(".incoming/*")) and len(receiver.requests) > before


ROWS = (
    Row("F22", "kill -9 at random moments", random_kills),
    Row("F31", "two daemons on one ledger", second_daemon),
    Row("F37", "SIGTERM during work", told_to_stop),
)
