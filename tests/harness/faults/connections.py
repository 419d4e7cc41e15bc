"""Faults of the notification socket, and of the way to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from ..bench import Bench, Daemon, DidNotHappen, wait_until
from ..checker import Terms
from ..formats import moment, read_trail, read_truth
from ..proxy import Proxy
from .rows import Played, Row, scenario

DATED = 5.0
"""Seconds from a 429 to the date that it names."""
OUTAGE_RATE = 26.0
AUDITOR = """
[[clients]]
id = "5f1a8a9a-6a0e-4b1b-9d5e-0c8c6f1a2b3c"
secret = "of the harness"
permissions = [
    "analytics:conversationDetail:view", "conversation:communication:view", "recording:recording:view", "recording:orphan:view",
    "recording:recording:editRetention", "recording:recording:viewSensitiveData", "routing:queue:view",
]
"""
"""A client that may see everything: a report says complete to no other."""
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, *range(4000, 4015), "fin", "rst")


def half_open(bench: Bench) -> Played:
    """F01: the server's host vanishes without a word for three times `feed.silence`; then the path heals."""
    platform = bench.world(scenario(60, 3))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    time.sleep(3)
    proxy.freeze()
    wait_until(lambda: "feed_lost" in daemon.text(), 12, "the dead peer noticed")
    time.sleep(4)
    proxy.thaw()
    healed = time.time()
    back = _live_again(proxy, 1)
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=healed))
    return Played(
        "nothing passes, nothing is said", f"listening again {back:.1f} s after the path healed", finding, proxy.seen["withheld"] > 0
    )


def silent_stall(bench: Bench) -> Played:
    """F02: the socket stays open and says nothing any more, not even to a ping."""
    platform = bench.world(scenario(60, 3))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    time.sleep(2)
    platform.fault("silent_stall")
    began = time.monotonic()
    wait_until(lambda: "feed_lost" in daemon.text(), 20, "the stall noticed")
    took = time.monotonic() - began
    if took > 7:
        bench.problems.append(f"the stall was noticed after {took:.1f} s, and feed.silence is 5 s")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    return Played("silent_stall", f"noticed after {took:.1f} s (silence = 5 s)", finding, platform.fired("silent_stall") > 0)


def socket_closing(bench: Bench) -> Played:
    """F04: the notice that the socket will be closed, several times, while events flow."""
    platform = bench.world(scenario(70, 3, platform={"socket_closing_grace": "3s"}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    for _ in range(4):
        time.sleep(2)
        platform.fault("socket_closing")
        time.sleep(3)
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    unheard = sum(line["frames"] for line in read_truth(platform.truth_log, "unheard"))
    if unheard:
        bench.problems.append(f"{unheard} frames reached nobody")
    if left := {gap.cause for gap in read_trail(daemon.trail).gaps} - {"first_start", "started"}:
        bench.problems.append(f"a planned end left a gap: {', '.join(sorted(left))}")
    fired = platform.fired("socket_closing")
    return Played(f"{fired} x socket_closing", f"{unheard} frames reached nobody; no gap", finding, fired >= 3)


def close_codes(bench: Bench) -> Played:
    """F05: every close that nobody asked for leads to a reconnect, whatever its code; none ends the process."""
    platform = bench.world(scenario(70, 2))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    slowest, ended = 0.0, 0
    for code in CODES:
        wait_until(proxy.sockets, 15, f"a socket before {code}")
        before = proxy.seen["sockets"]
        ended += proxy.end_sockets(code) > 0
        try:
            slowest = max(slowest, _live_again(proxy, before))
        except DidNotHappen:
            bench.problems.append(f"no reconnect after {code}")
            break
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    return Played(f"{ended} closes: 24 codes, FIN, RST", f"reconnected each time, within {slowest:.1f} s", finding, ended == len(CODES))


def refusals() -> dict[str, bytes]:
    """Answers to an upgrade, without their end; the date is counted from now."""
    return {
        "401": b"HTTP/1.1 401 Unauthorized\r\n",
        "404": b"HTTP/1.1 404 Not Found\r\n",
        "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n",
        "429 with a date": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %s\r\n" % formatdate(time.time() + DATED, usegmt=True).encode(),
        "500": b"HTTP/1.1 500 Internal Server Error\r\n",
        "503": b"HTTP/1.1 503 Service Unavailable\r\n",
        "200": b"HTTP/1.1 200 OK\r\n",
        "101 with a wrong key": (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n"
        ),
    }


def handshakes(bench: Bench) -> Played:
    """F11: the upgrade is refused in eight ways, after each of which the daemon listens again, waiting as long as it was told; and with
    403, after which it asks no more for minutes, says so, and reconciles more often."""
    platform = bench.world(scenario(90, 2))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    took: dict[str, float] = {}
    for name in refusals():
        wait_until(proxy.sockets, 15, f"a socket before {name}")
        refused, before = proxy.seen["handshakes refused"], proxy.seen["sockets"]
        answer = refusals()[name]
        end = b"" if answer.startswith(b"HTTP/1.1 101") else b"Content-Length: 0\r\nConnection: close\r\n"
        proxy.handshakes.append(answer + end + b"\r\n")
        proxy.end_sockets(1001)
        try:
            took[name] = _live_again(proxy, before, 30)
        except DidNotHappen:
            bench.problems.append(f"no connection after a handshake answered with {name}")
            break
        if proxy.seen["handshakes refused"] == refused:
            bench.problems.append(f"the answer {name} was never fetched")
    for name, least in (("429", 1.0), ("429 with a date", DATED - 1.0)):
        if not least <= took.get(name, least) <= least + 4:
            bench.problems.append(f"after {name} it came again after {took[name]:.1f} s")
    proxy.refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    proxy.end_sockets(1001)
    wait_until(lambda: "channel_forbidden" in daemon.health()[1], 15, "channel_forbidden in /readyz")
    asked = len(proxy.attempts)
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time(), slo=60, ends_deaf=True), seconds=90)
    if again := len(proxy.attempts) - asked:
        bench.problems.append(f"after 403 the upgrade was asked for {again} times more")
    slowest = max(took.values(), default=0.0)
    outcome = f"listening again within {slowest:.1f} s each; after 403 no further try, and the rest by reconciliation"
    return Played(
        f"{len(took)} refused upgrades of 8 kinds, then 403", outcome, finding, len(took) == len(refusals()) and asked > len(took)
    )


def outage(bench: Bench) -> Played:
    """A 30-minute outage at 26 recordings a second, with the clock scaled: the platform's API, sockets and store are away together, while
    calls go on. All come by back-fill, and `report` says so: complete, and each conversation that ended meanwhile recovered."""
    away = 180.0 if bench.long else 30.0
    light = {"formats": ["WAV_ULAW"], "channels": [1]}
    short = {"recordings_per_call": [1], "duration": ["500ms", "1s"]}
    platform = bench.world(scenario(round(OUTAGE_RATE * (away + 4)), OUTAGE_RATE, calls=short, recordings=light) + AUDITOR)
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    began = time.time()
    time.sleep(1)
    proxy.down()
    left = time.time()
    time.sleep(away)
    if not daemon.running:
        bench.problems.append("the daemon ended while the platform was away")
    unready = daemon.ready()
    proxy.up()
    healed = time.time()
    daemon.until_ready()
    bench.settle(platform, daemon, receiver, 40 * away)
    caught_up = time.time() - healed
    missed = {
        line["recordingId"]
        for line in read_truth(platform.truth_log)
        if left + 1 < moment(line["callEndedAt"]) < healed - 1 and line["good"]
    }
    said = _report(bench, daemon, began - 60)
    counts = said.get("counts", {})
    recovered = {item["recordingId"] for item in said.get("items", ()) if item["state"] == "recovered"}
    if not said.get("complete"):
        bench.problems.append(f"the report does not say complete: {said.get('caveats')}, {counts}")
    if missed - recovered:
        bench.problems.append(f"{len(missed - recovered)} recordings of the outage are not reported as recovered")
    if unready == 200:
        bench.problems.append(f"/readyz said 200 after {away:.0f} s without a platform, and feed.ready_within is 10 s")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=healed, slo=20 * away))
    words = "complete" if said.get("complete") else "not complete"
    outcome = f"/readyz {unready} meanwhile; all told after {caught_up:.0f} s; report: {words}, {len(recovered)} recovered"
    scale = f"30 min scaled {1800 / away:.0f}x: away {away:.0f} s at {OUTAGE_RATE:.0f} recordings/s, {len(missed)} of them"
    return Played(scale, outcome, finding, proxy.seen["refused"] > 0 and len(missed) > OUTAGE_RATE * away / 2)


def _report(bench: Bench, daemon: Daemon, since: float) -> Mapping[str, Any]:
    """What `report` says of the time since then, asked until it says complete: discovery ends a little after the last completion."""
    said: Mapping[str, Any] = {}
    deadline = time.monotonic() + 60
    while not said.get("complete") and time.monotonic() < deadline:
        time.sleep(2)
        begin = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done = daemon.call("report", "--from", begin, "--json", seconds=120)
        try:
            said = json.loads(done.stdout)
        except ValueError:
            bench.problems.append(f"report ended with {done.returncode}: {done.stderr.strip()[-300:]}")
            break
    return said


def _live_again(proxy: Proxy, before: int, seconds: float = 20) -> float:
    """Seconds until one more socket than `before` has been upgraded. Raises DidNotHappen."""
    began = time.monotonic()
    wait_until(lambda: proxy.seen["sockets"] > before, seconds, "another socket")
    return time.monotonic() - began


ROWS = (
    Row("F01", "half-open connection", half_open),
    Row("F02", "silent stall", silent_stall),
    Row("F04", "planned close notice", socket_closing),
    Row("F05", "every close code", close_codes),
    Row("F11", "upgrade refused", handshakes),
    Row("OUT", "outage of the platform", outage),
)
