"""Faults of the platform's answers: rates, states, media that come late, broken, slowly or altered."""

from __future__ import annotations

import time
from collections import Counter

from ..bench import Bench
from ..checker import Terms
from ..formats import read_archive, read_truth
from ..proxy import Toxic
from .rows import Played, Row, scenario

BLIND = frozenset({"WAV", "WAV_ULAW", "WEBM"})
"""Formats without a checksum of their own: a bit flipped before the first hash cannot be seen in them (docs/handlers/verify.md)."""


def nothing(bench: Bench) -> Played:
    """No fault at all: the row that all others are compared with."""
    platform = bench.world(scenario(40, 5))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    finding = bench.conclude(platform, daemon, receiver, Terms(slo=15))
    return Played("nothing", "the main job", finding)


def storm(bench: Bench) -> Played:
    """F13: 429 for two seconds, three times; and another application takes most of the client's rate."""
    platform = bench.world(scenario(60, 3, faults={"rate_limit_for": "2s"}))
    receiver = bench.receiver()
    daemon = bench.daemon(platform, receiver)
    daemon.start()
    daemon.until_ready()
    for _ in range(3):
        time.sleep(3)
        platform.fault("rate_limit")
    finding = bench.conclude(platform, daemon, receiver, Terms(calm_at=time.time(), slo=60), seconds=90)
    refused = platform.page("requests")["statuses"].get("429", 0)
    fired = platform.fired("rate_limit")
    return Played(
        f"{fired} storms of 2 s", f"{refused} requests were answered with 429; none was given up", finding, refused > 0 and fired >= 2
    )


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
