"""Everything that is measured: one object, made once, given to whoever counts. Names follow `genesys_sync_<noun>_<unit>`.

Labels are bounded: handler names, topics, outcomes, operations; never an id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Kept(Collector):
    """Metrics that are read from the ledger instead of counted here, so that they know of other processes' work too."""

    def __init__(self) -> None:
        self._families: Sequence[Family] = ()

    def show(self, families: Sequence[Family]) -> None:
        """From now on these are what is answered."""
        self._families = families

    def collect(self) -> Iterator[Family]:
        """See prometheus_client."""
        yield from self._families


_AGES = (10, 30, 60, 120, 300, 600, 1800, 3600, 6 * 3600, 86400, 7 * 86400)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.kept = Kept()
        self.registry.register(self.kept)
        self._of_feed(self.registry)
        self._of_deliveries(self.registry)
        self._of_platform(self.registry)
        self._of_process(self.registry)

    def _of_feed(self, r: CollectorRegistry) -> None:
        self.feed_frames = Counter("genesys_sync_feed_frames", "Frames received, by kind.", ["kind"], registry=r)
        self.feed_bytes = Counter("genesys_sync_feed_bytes", "Bytes received on the socket.", registry=r)
        self.feed_connections = Counter("genesys_sync_feed_connections", "Connections that ended, by cause.", ["cause"], registry=r)
        self.feed_connected = Gauge("genesys_sync_feed_connected", "1 while a subscribed connection is live.", registry=r)
        self.feed_topics = Gauge("genesys_sync_feed_topics", "Topics subscribed, by state.", ["state"], registry=r)
        self.feed_live_conversations = Gauge("genesys_sync_feed_live_conversations", "Conversations followed now.", registry=r)
        self.live_topics = Gauge(
            "genesys_sync_live_topics",
            "Conversations followed by live transcription, and left out for want of room.",
            ["state"],
            registry=r,
        )
        self.live_utterances = Counter("genesys_sync_live_utterances", "Utterances told, by outcome.", ["outcome"], registry=r)
        self.live_utterance_seconds = Histogram(
            "genesys_sync_live_utterance_seconds", "Time from the end of an utterance to its event.", buckets=_SECONDS, registry=r
        )
        self.live_guesses_dropped = Counter(
            "genesys_sync_live_guesses_dropped", "Guesses of live transcription let go because messages came too fast.", registry=r
        )
        self.gaps_open = Gauge("genesys_sync_gaps_open", "Gaps that no back-fill has closed yet.", registry=r)
        self.backfill_conversations = Counter(
            "genesys_sync_backfill_conversations", "Conversations seen by back-fill: new to the ledger, or known.", ["outcome"], registry=r
        )

    def _of_deliveries(self, r: CollectorRegistry) -> None:
        self.events = Counter("genesys_sync_events", "Events recorded in the ledger.", ["topic", "origin"], registry=r)
        self.ledger_commit_seconds = Histogram(
            "genesys_sync_ledger_commit_seconds", "One group commit, with fsync.", buckets=_SECONDS, registry=r
        )
        self.ledger_commit_operations = Histogram(
            "genesys_sync_ledger_commit_operations",
            "Operations that shared a commit.",
            buckets=(1, 2, 5, 10, 50, 100, 500, 2000),
            registry=r,
        )
        self.deliveries = Counter("genesys_sync_deliveries", "Runs of handlers, by how they ended.", ["handler", "outcome"], registry=r)
        self.delivery_seconds = Histogram(
            "genesys_sync_delivery_seconds", "Duration of one run of a handler.", ["handler"], buckets=_SECONDS, registry=r
        )
        self.done_after_call_seconds = Histogram(
            "genesys_sync_done_after_call_seconds",
            "Time from the end of the call until a handler was done with what followed from it.",
            ["handler"],
            buckets=_AGES,
            registry=r,
        )
        self.deliveries_running = Gauge("genesys_sync_deliveries_running", "Runs of handlers in progress.", ["handler"], registry=r)
        self.deliveries_waiting = Gauge(
            "genesys_sync_deliveries_waiting", "Deliveries in the ledger that are not finished, by state.", ["handler", "state"], registry=r
        )
        self.dead_letters = Gauge("genesys_sync_dead_letters", "Dead letters in the ledger.", ["handler"], registry=r)
        self.backlog_seconds = Gauge("genesys_sync_backlog_seconds", "How long the oldest due delivery has been waiting.", registry=r)
        self.callbacks = Counter(
            "genesys_sync_callbacks",
            "Messages to the callback listener, by provider and by what became of them.",
            ["provider", "outcome"],
            registry=r,
        )
        self.transcription_seconds = Histogram(
            "genesys_sync_transcription_seconds",
            "Time from the request for a transcript until it was archived, refused or failed.",
            ["provider", "outcome"],
            buckets=_AGES,
            registry=r,
        )
        self.transcription_after_call_seconds = Histogram(
            "genesys_sync_transcription_after_call_seconds",
            "Time from the end of the call until the transcript of a provider was archived, refused or failed.",
            ["provider"],
            buckets=_AGES,
            registry=r,
        )

    def _of_platform(self, r: CollectorRegistry) -> None:
        self.api_requests = Counter("genesys_sync_api_requests", "Requests to the platform.", ["operation", "status"], registry=r)
        self.api_seconds = Histogram(
            "genesys_sync_api_seconds", "Duration of platform requests.", ["operation"], buckets=_SECONDS, registry=r
        )
        self.api_rate_limited = Counter("genesys_sync_api_rate_limited", "Answers 429.", registry=r)
        self.api_rate_pauses = Counter("genesys_sync_api_rate_pauses", "Pauses that a 429 began.", registry=r)
        self.api_waiting = Gauge("genesys_sync_api_waiting", "Requests that wait for the rate budget.", ["lane", "client"], registry=r)
        self.api_budget = Gauge("genesys_sync_api_budget_remaining", "Requests left in the current rate window.", ["client"], registry=r)
        self.api_client_usable = Gauge(
            "genesys_sync_api_client_usable", "1 while this further OAuth client takes part in the work.", ["client"], registry=r
        )
        self.orphan_recordings = Gauge("genesys_sync_orphan_recordings", "Recordings that belong to no conversation.", registry=r)
        self.retention_near = Gauge(
            "genesys_sync_retention_near", "Recordings not archived yet that the platform deletes within feed.retention_alert.", registry=r
        )
        self.unknown_file_states = Counter(
            "genesys_sync_unknown_file_states", "Recordings that were seen in a file state that is not documented.", registry=r
        )
        self.media_bytes = Counter("genesys_sync_media_bytes", "Bytes of media downloaded.", registry=r)
        self.media_downloads = Counter("genesys_sync_media_downloads", "Downloads, by how they ended.", ["outcome"], registry=r)

    def _of_process(self, r: CollectorRegistry) -> None:
        self.storage_free_bytes = Gauge("genesys_sync_storage_free_bytes", "Free space on the archive's file system.", registry=r)
        self.data_dir_unsafe = Gauge(
            "genesys_sync_data_dir_unsafe",
            "1 where what is committed need not last: a network file system, or memory.",
            ["setting"],
            registry=r,
        )
        self.loop_lag_seconds = Gauge("genesys_sync_loop_lag_seconds", "How late the event loop was at the last tick.", registry=r)
