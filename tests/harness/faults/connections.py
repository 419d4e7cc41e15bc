"""Faults of the notification socket, and of the way to it."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from email.utils import formatdate

from ..bench import Bench, DidNotHappen, Simulator, wait_until
from ..checker import Terms
from ..proxy import Proxy
from .rows import Played, Row, scenario

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
    lost = platform.page("state")["eventsLost"]
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    fired = platform.fired("socket_closing")
    return Played(f"{fired} x socket_closing", f"{lost} frames had nobody to hear them", finding, fired >= 3)


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


def expiry(bench: Bench) -> Played:
    """F06: channel and token reach their end together, again and again."""
    life = "6s"
    platform = bench.world(scenario(90, 3, platform={"channel_life": life, "token_life": life}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    wait_until(lambda: platform.finished, 90, "the scenario's end")
    state, asked = platform.page("state"), platform.page("requests")
    tokens = asked["operations"].get("POST /oauth/token", 0)
    refused = asked["statuses"].get("401", 0)
    finding = bench.conclude(platform, daemon, receiver, Terms())
    outcome = f"{tokens} tokens, {refused} refusals, {state['channels']} live channels, {state['eventsLost']} frames unheard"
    return Played(f"token and channel live {life}", outcome, finding, tokens >= 4)


def handshakes(bench: Bench) -> Played:
    """F11: the upgrade is refused in nine ways; after each the daemon listens again."""
    platform = bench.world(scenario(90, 2))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    answers = {
        "401": b"HTTP/1.1 401 Unauthorized\r\n",
        "404": b"HTTP/1.1 404 Not Found\r\n",
        "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n",
        "429 with a date": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %s\r\n" % formatdate(time.time() + 12, usegmt=True).encode(),
        "500": b"HTTP/1.1 500 Internal Server Error\r\n",
        "503": b"HTTP/1.1 503 Service Unavailable\r\n",
        "200": b"HTTP/1.1 200 OK\r\n",
        "101 with a wrong key": (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n"
        ),
    }
    slowest, name = 0.0, ""
    for name, answer in answers.items():
        wait_until(proxy.sockets, 15, f"a socket before {name}")
        refused, before = proxy.seen["handshakes refused"], proxy.seen["sockets"]
        proxy.handshakes.append(answer + (b"\r\n" if b"101" in answer else b"Content-Length: 0\r\nConnection: close\r\n\r\n"))
        proxy.end_sockets(1001)
        try:
            slowest = max(slowest, _live_again(proxy, before, 30))
        except DidNotHappen:
            bench.problems.append(f"no connection after a handshake answered with {name}")
            break
        if proxy.seen["handshakes refused"] == refused:
            bench.problems.append(f"the answer {name} was never fetched")
    played = proxy.seen["handshakes refused"]
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    return Played(f"{played} refused upgrades of 8 kinds", f"listening again within {slowest:.1f} s each", finding, played == len(answers))


def eviction(bench: Bench) -> Played:
    """F12: another program of the same client takes the only channel; the daemon's starves without a word."""
    platform = bench.world(scenario(60, 3, platform={"max_channels": 1}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    time.sleep(2)
    token = _token(platform)
    taken = 0
    for _ in range(2):
        answer = _post(f"{platform.said['apiUrl']}/api/v2/notifications/channels", token)
        taken += "connectUri" in answer
        time.sleep(4)
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time()))
    created = platform.page("requests")["operations"].get("POST /api/v2/notifications/channels", 0) - taken
    return Played(f"evicted {taken} times", f"{created} channels of ours; what was not heard came by back-fill", finding, taken == 2)


def outage(bench: Bench) -> Played:
    """A 30-minute outage, sixty times faster, while calls go on: the platform's API, sockets and store are away together."""
    calls, rate = (800, 26.0) if bench.long else (100, 5.0)
    light = {"formats": ["WAV_ULAW"], "channels": [1]}
    platform = bench.world(scenario(calls, rate, recordings=light))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    daemon.until_ready()
    time.sleep(1)
    proxy.down()
    time.sleep(30 if bench.long else 15)
    if not daemon.running:
        bench.problems.append("the daemon ended while the platform was away")
    unready = daemon.ready()
    proxy.up()
    healed = time.time()
    daemon.until_ready()
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=healed, slo=60), seconds=150)
    if unready == 200:
        bench.problems.append("/readyz said 200 after 15 s without a platform, and feed.ready_within is 10 s")
    outcome = f"/readyz {unready} meanwhile; recovered by back-fill"
    return Played(f"away for {30 if bench.long else 15} s at {rate:.0f} calls/s", outcome, finding, proxy.seen["refused"] > 0)


def _live_again(proxy: Proxy, before: int, seconds: float = 20) -> float:
    """Seconds until one more socket than `before` has been upgraded. Raises DidNotHappen."""
    began = time.monotonic()
    wait_until(lambda: proxy.seen["sockets"] > before, seconds, "another socket")
    return time.monotonic() - began


def _token(platform: Simulator) -> str:
    form = {"grant_type": "client_credentials", "client_id": platform.said["clientId"], "client_secret": platform.said["clientSecret"]}
    request = urllib.request.Request(f"{platform.said['loginUrl']}/oauth/token", data=urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["access_token"])


def _post(url: str, token: str) -> dict[str, object]:
    request = urllib.request.Request(url, data=b"", method="POST", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


ROWS = (
    Row("F01", "half-open connection", half_open),
    Row("F02", "silent stall", silent_stall),
    Row("F04", "planned close notice", socket_closing),
    Row("F05", "every close code", close_codes),
    Row("F06", "channel and token expire together", expiry),
    Row("F11", "upgrade refused", handshakes),
    Row("F12", "evicted by another program", eviction),
    Row("OUT", "outage of the platform", outage),
)
