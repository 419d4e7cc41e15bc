"""Faults of notification channels: they expire again and again, others take them, twenty daemons lose theirs with one blow."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from functools import partial

from ..bench import Bench, Daemon, Simulator, wait_until
from ..checker import Terms
from ..formats import read_trail, read_truth
from .rows import Played, Row, scenario, token

ROLLS = 20
LIFE = 6.0
ROLL_AT = 0.8
DAEMONS = 20
MOST_A_SECOND = 4
SPREAD = 2.0
AWAY = 30.0
CREATED = "POST /api/v2/notifications/channels"


def expiry(bench: Bench) -> Played:
    """F06: channel and token reach their end together, twenty times, under a numbered stream: each conversation's end is a number.

    Reconciliation is off and the only gap is that of the start, so whatever is recorded afterwards came over the socket.
    """
    span = ROLLS * LIFE * ROLL_AT + 2 * LIFE
    life = f"{LIFE:.0f}s"
    platform = bench.world(
        scenario(
            round(3 * span),
            3,
            calls={"recordings_per_call": [1, 0, 0]},
            platform={"channel_life": life, "token_life": life, "heartbeat": "1s"},
        )
    )
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, "feed.reconcile_every=1h")
    daemon.start()
    daemon.until_ready()
    most = 0
    while not platform.finished:
        most = max(most, int(platform.page("state")["sockets"]))
        time.sleep(0.5)
    asked = platform.page("requests")
    rolls, refused = asked["operations"].get(CREATED, 0) - 1, asked["statuses"].get("401", 0)
    finding = bench.conclude(platform, daemon, receiver, Terms())
    numbers = {line["conversationId"] for line in read_truth(platform.truth_log, "call_ended")}
    heard = daemon.status().get("events", {}).get("conversation.ended", 0)
    unheard = sum(line["frames"] for line in read_truth(platform.truth_log, "unheard"))
    if unheard or heard != len(numbers):
        bench.problems.append(f"{unheard} frames reached nobody, and {heard} of {len(numbers)} numbers were recorded")
    if causes := sorted({gap.cause for gap in read_trail(daemon.trail).gaps} - {"first_start", "started"}):
        bench.problems.append(f"a roll-over left a gap: {', '.join(causes)}")
    if most > 2:
        bench.problems.append(f"{most} sockets were open at one time")
    if refused:
        bench.problems.append(f"{refused} requests were refused with 401")
    return Played(
        f"{rolls} roll-overs: token and channel live {life}",
        f"{len(numbers)} numbers, {heard} heard over the socket; {unheard} frames reached nobody; {most} sockets at most",
        finding,
        rolls >= ROLLS,
    )


def eviction(bench: Bench) -> Played:
    """F12: another program of the same client takes the only channel, three times; ours starves without a word. Twice it is replaced,
    after the third time none is made any more, and what the socket does not bring comes by reconciliation."""
    platform = bench.world(scenario(150, 3, calls={"recordings_per_call": [1, 0]}, platform={"max_channels": 1}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, "feed.starved_after=3s", "feed.reconcile_every=3s")
    daemon.start()
    daemon.until_ready()
    bearer, taken = token(platform), 0
    for number in range(3):
        time.sleep(1)
        taken += "connectUri" in _post(f"{platform.said['apiUrl']}/api/v2/notifications/channels", bearer)
        wait_until(partial(_evicted, daemon, number + 1), 30, f"eviction {number + 1} noticed")
        if number < 2:
            wait_until(lambda: platform.page("state")["sockets"] == 1, 20, "another channel")
    made = _made(platform, taken)
    wait_until(lambda: "channel_evicted" in daemon.health()[1], 5, "channel_evicted in /readyz")
    time.sleep(8)
    further = _made(platform, taken) - made
    if further:
        bench.problems.append(f"after the third eviction {further} more channels were made")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time(), slo=60, ends_deaf=True), seconds=90)
    return Played(
        f"evicted {taken} times", f"{made} channels of ours, none after the third time; alert channel_evicted", finding, taken == 3
    )


def _evicted(daemon: Daemon, times: int) -> bool:
    return daemon.text().count('"channel_evicted"') >= times


def _made(platform: Simulator, by_others: int) -> int:
    return int(platform.page("requests")["operations"].get(CREATED, 0)) - by_others


def herd(bench: Bench) -> Played:
    """F07: twenty daemons lose their sockets in one moment, and every upgrade is answered with 503 for 30 s. The waits are those of the
    sample settings."""
    platform = bench.world(scenario(30, 0.25, platform={"max_channels": 2 * DAEMONS, "rate_limit_per_minute": 30_000}))
    proxy = bench.proxy(platform)
    calm = ("feed.backoff_base=1s", "feed.backoff_cap=60s", "feed.reconcile_every=1h", "feed.queue_refresh=1h", "feed.ready_within=1s")
    daemons: list[Daemon] = []
    receivers = [bench.receiver(bench.folder / f"daemon-{number}") for number in range(DAEMONS)]
    for number in range(DAEMONS):
        folder = bench.folder / f"daemon-{number}"
        daemon = bench.daemon(platform, receivers[number], *calm, proxy=proxy, folder=folder)
        daemon.log = folder / "daemon.log"
        daemon.start()
        daemons.append(daemon)
        if number % 4 == 3:
            for one in daemons[-4:]:
                one.until_ready(60)
    proxy.refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    lost = time.monotonic()
    ended = proxy.end_sockets(1012)
    time.sleep(AWAY)
    proxy.refusal = b""
    returned = time.monotonic()
    wait_until(lambda: proxy.sockets() >= DAEMONS, 60, "every daemon is back")
    back = time.monotonic() - returned
    attempts = [at - lost for at in proxy.attempts if at >= lost]
    first = attempts[: len(daemons)]
    busiest = busiest_second([at for at in attempts if at >= SPREAD])
    if busiest > MOST_A_SECOND:
        bench.problems.append(f"a second held {busiest} attempts; {MOST_A_SECOND} are allowed after the first {SPREAD:.0f} s")
    if back > 30:
        bench.problems.append(f"the last daemon was back {back:.0f} s after the service; 30 s are allowed")
    finding = bench.conclude(platform, daemons[0], receivers[0], Terms(slo=120), seconds=120)
    outcome = f"{len(attempts)} attempts, the first {len(first)} over {first[-1]:.1f} s, then {busiest} in the busiest second"
    injected = f"{ended} sockets ended at once, 503 for {AWAY:.0f} s"
    return Played(injected, f"{outcome}; all back after {back:.0f} s", finding, ended == DAEMONS)


def busiest_second(moments: Sequence[float]) -> int:
    """The most that happened within any second, wherever it begins."""
    ordered = sorted(moments)
    return max((sum(1 for other in ordered[index:] if other < at + 1) for index, at in enumerate(ordered)), default=0)


def _post(url: str, bearer: str) -> dict[str, object]:
    request = urllib.request.Request(url, data=b"", method="POST", headers={"Authorization": f"Bearer {bearer}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


ROWS = (
    Row("F06", "channel and token expire together", expiry),
    Row("F07", "twenty daemons lose their sockets", herd, long=True),
    Row("F12", "evicted by another program", eviction),
)
