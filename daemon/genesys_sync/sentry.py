"""Error reports to Sentry: the only place that imports its SDK, and only when a DSN is set.

What goes out is an exception with its frames (no variables, no source lines), the log event it came with, the release and the
environment; every text in it has been through `logs.scrub`. No integration is on: nothing is patched, nothing is recorded of
requests, breadcrumbs come only from handlers that make some themselves.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from genesys_sync import logs
from genesys_sync.errors import ConfigurationError, GenesysSyncError
from genesys_sync.scrubbing import clean, register_secret

if TYPE_CHECKING:
    from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint

FLUSH_SECONDS = 2.0

_LEVELS = 12
"""A frame of a stack trace lies six levels deep, what a handler put beside it some more."""

_VERBATIM = ("event_id", "timestamp", "level", "platform", "release", "environment", "type", "sdk")
"""Our own or the SDK's identifiers, which look like addresses and numbers to the scrubber."""
_DROPPED = ("user", "request", "server_name", "modules")


def init(dsn: str, *, environment: str, release: str) -> None:
    """From now on each log record of level error and above is reported, with its exception if it has one.

    Raises ConfigurationError when the DSN is not one. `close` sends what is still waiting.
    """
    import sentry_sdk
    from sentry_sdk.utils import BadDsn

    register_secret(dsn)
    try:
        # send_default_pii is off unless it is named, and naming it is deprecated
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            release=release,
            include_local_variables=False,
            include_source_context=False,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
            traces_sample_rate=None,
            max_breadcrumbs=20,
            max_stack_frames=50,
            max_request_body_size="never",
            shutdown_timeout=FLUSH_SECONDS,
            server_name="",
            spotlight=False,
            before_send=_scrub_event,
            before_breadcrumb=_scrub_breadcrumb,
        )
    except BadDsn:
        raise ConfigurationError("sentry.dsn_file: the text in it is not a Sentry DSN (https://<key>@<host>/<project>)") from None
    logs.report_errors_to(capture)


def capture(message: str, error: BaseException | None) -> None:
    """Report one error; call it after `init`. Bounded: the SDK's queue drops reports when it is full."""
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        scope.set_extra("log_event", message)
        if error is None:
            scope.capture_message(message, level="error")
        else:
            scope.capture_exception(error)


def close() -> None:
    """Send what is waiting, for at most two seconds, and report no more. Called while an unforeseen exception is on its way out, it
    reports that one first. Without `init`, or called again, it does nothing."""
    if not logs.reports_errors():
        return
    import sentry_sdk

    unforeseen = sys.exception()
    if isinstance(unforeseen, Exception) and not isinstance(unforeseen, GenesysSyncError):
        capture("internal error", unforeseen)
    logs.report_errors_to(None)
    sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)


def _scrub_event(event: Event, _hint: Hint) -> Event | None:
    """An exception in here drops the event, which is the safe side."""
    whole: dict[str, Any] = dict(event)
    verbatim = {key: whole.pop(key) for key in _VERBATIM if key in whole}
    for key in _DROPPED:
        whole.pop(key, None)
    return cast("Event", {**clean(whole, levels=_LEVELS), **verbatim})


def _scrub_breadcrumb(crumb: Breadcrumb, _hint: BreadcrumbHint) -> Breadcrumb | None:
    timestamp = {"timestamp": crumb["timestamp"]} if "timestamp" in crumb else {}
    return {**clean(crumb, levels=_LEVELS), **timestamp}
