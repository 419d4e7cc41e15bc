"""Faults of the platform's answers: rates, states, media that come late, broken, slowly or altered."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections import Counter

from ..bench import Bench, Simulator, wait_until
from ..checker import Terms
from ..formats import read_archive, read_truth
from ..proxy import Toxic
from .rows import Played, Row, scenario, token

BLIND = frozenset({"WAV", "WAV_ULAW", "WEBM"})
"""Formats without a checksum of their own: a bit flipped before the first hash cannot be seen in them (docs/handlers/verify.md)."""


RATE = 300
ON_THEIR_WAY = 0.5
"""Seconds in which requests that were under way with the first refused one may be refused too."""


def nothing(bench: Bench) -> Played:
    """No fault at all: the row that all others are compared with."""
    platform = bench.world(scenario(40, 5))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=15))
    return Played("nothing", "the main job", finding)


def storm(bench: Bench) -> Played:
    """F13: another application takes 60 % of the client's rate, and then everything is answered with 429 for two seconds. The daemon has
    been told ten times the true limit, and learns it from the headers; after the first 429 there is none again within the minute."""
    platform = bench.world(scenario(40, 2, platform={"rate_limit_per_minute": RATE}, faults={"rate_limit_for": "2s"}))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    daemon = bench.daemon(platform, receiver, f"genesys.requests_per_minute={10 * RATE}", "feed.reconcile_every=10s", proxy=proxy)
    other = OtherApplication(platform, RATE * 0.6 / 60)
    bench.stack.callback(other.stop)
    daemon.start()
    daemon.until_ready()
    time.sleep(6)
    early = len(proxy.limited)
    platform.fault("rate_limit")
    wait_until(lambda: len(proxy.limited) > early, 15, "an answer of 429")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time(), slo=120), seconds=150)
    other.stop()
    if early:
        bench.problems.append(f"{early} answers of 429 before the storm: the limit was not learnt from the headers")
    again = [at - proxy.limited[0] for at in proxy.limited if ON_THEIR_WAY < at - proxy.limited[0] < 60]
    if again:
        bench.problems.append(f"{len(again)} more answers of 429 within the same minute, the first after {again[0]:.1f} s")
    first = sum(at - proxy.limited[0] <= ON_THEIR_WAY for at in proxy.limited)
    taken = f"another program's {other.asked} requests, one storm of 2 s"
    return Played(taken, f"{first} requests under way at the first 429, {len(again)} within the minute after it; none given up", finding)


class OtherApplication:
    """Asks the platform for something again and again, with the daemon's own client, at so many requests a second, until `stop`."""

    def __init__(self, platform: Simulator, rate: float) -> None:
        self.asked = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(platform, token(platform), 1 / rate), daemon=True)
        self._thread.start()

    def _ask(self, platform: Simulator, bearer: str, every: float) -> None:
        request = urllib.request.Request(f"{platform.said['apiUrl']}/api/v2/routing/queues", headers={"Authorization": f"Bearer {bearer}"})
        while not self._over.wait(every):
            self.asked += 1
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)


def slow_transcode(bench: Bench) -> Played:
    """F14: another format than the recorded one takes seconds to make (202 until then), and availability comes late too."""
    slow = {"transcode_time": "6s"}
    late = {"available_after": ["3s", "6s"]}
    platform = bench.world(scenario(30, 5, platform=slow, recordings=late | {"formats": ["WAV"]}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, 'handlers.archive.config.format="OGG_OPUS"')
    daemon.start()
    # the archive holds another format than the truth log's hash is of: sidecar, file and completion are compared with each other
    finding = bench.conclude(platform, daemon, receiver, Terms(blind=frozenset({"WAV"}), slo=90), seconds=120)
    finding.counts.pop("altered", None)
    waited = platform.page("requests")["statuses"].get("202", 0)
    return Played("202 for 6 s each", f"{waited} answers of 202, nothing counted as failed", finding, waited > 0)


def cut_downloads(bench: Bench) -> Played:
    """F16: downloads break at 70 %: by RST, by FIN, and by FIN after an answer without Content-Length, which looks whole."""
    platform = bench.world(scenario(40, 4))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    kinds = ("reset", "cut", "unbounded")
    first: Counter[str] = Counter()

    def toxic(path: str) -> Toxic | None:
        first[path] += 1
        return Toxic(kinds[len(first) % 3]) if first[path] == 1 else None

    proxy.media = toxic
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(), seconds=90)
    played = {kind: proxy.seen[kind] for kind in kinds}
    outcome = f"{len(read_archive(daemon.archive).withheld)} cut files were withheld and fetched again, the others resumed"
    return Played(", ".join(f"{count} x {kind}" for kind, count in played.items()), outcome, finding, min(played.values()) > 0)


def slow_loris(bench: Bench) -> Played:
    """F17: some downloads come at a byte a second; they are broken off, and the others do not wait for them."""
    platform = bench.world(scenario(40, 4))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    first: Counter[str] = Counter()

    def toxic(path: str) -> Toxic | None:
        first[path] += 1
        return Toxic("slow") if first[path] == 1 and len(first) % 6 == 0 else None

    proxy.media = toxic
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(), seconds=90)
    return Played(
        f"{proxy.seen['slow']} downloads at 1 byte/s", "broken off at the floor, and begun again", finding, proxy.seen["slow"] > 2
    )


def flipped_bit(bench: Bench) -> Played:
    """F18: one bit of each file's first download is wrong, somewhere beyond the tags at its beginning."""
    platform = bench.world(scenario(100 if bench.long else 50, 6))
    proxy, receiver = bench.proxy(platform), bench.receiver()
    first: Counter[str] = Counter()

    def toxic(path: str) -> Toxic | None:
        first[path] += 1
        return Toxic("flip", fraction=0.2 + 0.8 * ((len(first) * 0.37) % 1)) if first[path] == 1 else None

    proxy.media = toxic
    daemon = bench.daemon(platform, receiver, proxy=proxy)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(blind=BLIND), seconds=90)
    formats = {line["recordingId"]: line["format"] for line in read_truth(platform.truth_log)}
    flipped = Counter(formats[path.split("/")[2]] for path in proxy.poisoned)
    caught = Counter(
        formats[name] for name in {sidecar.recording_id for sidecar in read_archive(daemon.archive).withheld} if name in formats
    )
    outcome = "caught by the verifier: " + ", ".join(f"{kind} {caught[kind]}/{count}" for kind, count in sorted(flipped.items()))
    return Played(f"{proxy.seen['flip']} files with one bit flipped", outcome, finding, proxy.seen["flip"] >= 20)


def bad_media(bench: Bench) -> Played:
    """F15, F19: error pages, bare headers, short files, silence, expired addresses, 503 of the store."""
    planted = {"error_page": 3, "header_only": 3, "truncated": 3, "silent": 2, "cut_once": 3, "expired_url_once": 3, "media_error_once": 3}
    platform = bench.world(scenario(50, 5, faults=planted))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=45))
    fired = {kind: platform.fired(kind) for kind in ("cut_once", "expired_url_once", "media_error_once")}
    spoilt = sum(not line["good"] for line in read_truth(platform.truth_log))
    return Played(
        f"{spoilt} spoilt files, {sum(fired.values())} passing faults", "withheld for their true reason", finding, min(fired.values()) > 0
    )


def states(bench: Bench) -> Played:
    """F20: recordings that are deleted, failed, archived upstream, or in a state that nobody has documented."""
    planted = {"deleted": 4, "error_state": 4, "archived": 3, "unknown_state": 4}
    platform = bench.world(scenario(40, 5, faults=planted))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver, "handlers.discover.config.give_up=15s")
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=45), seconds=90)
    spoilt = Counter(line["fault"] for line in read_truth(platform.truth_log) if line["fault"])
    outcome = "each given up for its true reason, or waited for"
    return Played(", ".join(f"{count} {kind}" for kind, count in sorted(spoilt.items())), outcome, finding, len(spoilt) == 4)


ROWS = (
    Row("F00", "none", nothing),
    Row("F13", "429 storm", storm),
    Row("F14", "slow transcode and availability", slow_transcode),
    Row("F15", "store errors and spoilt files", bad_media),
    Row("F16", "downloads cut at 70 %", cut_downloads),
    Row("F17", "slow loris", slow_loris),
    Row("F18", "one bit flipped", flipped_bit),
    Row("F20", "states of a recording", states),
)
