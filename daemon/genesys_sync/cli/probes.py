"""What `check` asks of the platform and of the handlers. Every question is harmless: it reads, or names what does not exist."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from genesys_sync import logs, outbound
from genesys_sync.actions import LookOnly
from genesys_sync.cli.check import Finding, fail, failures, ok, warn
from genesys_sync.clock import Clock, SystemClock
from genesys_sync.dispatch.execution import DeliveryAudit
from genesys_sync.dispatch.providers import LoadedProvider, OpenProviders
from genesys_sync.dispatch.registry import LoadedHandler
from genesys_sync.errors import (
    EX_NOPERM,
    EX_UNAVAILABLE,
    CredentialsRefused,
    GenesysSyncError,
    LedgerError,
    LedgerOfAnother,
    PermanentError,
    ReasonCode,
    TransientError,
)
from genesys_sync.events import iso as iso_time
from genesys_sync.feed.subscriptions import LIVE_PERMISSION
from genesys_sync.genesys import platform as genesys_platform
from genesys_sync.genesys.auth import NotAsked
from genesys_sync.genesys.grants import SENSITIVE, Grants, confined_to, holds, objects, permissions_of, sees_sensitive
from genesys_sync.ledger import open_ledger
from genesys_sync.metrics import Metrics
from genesys_sync.scrubbing import register_secret
from genesys_sync.services import Genesys, Services
from genesys_sync.settings import Credentials, Settings, find_further_clients, find_redactor
from genesys_sync.storage.local import LocalStorage

PROBE_SECONDS: Final = 30.0
TOPIC: Final = "v2.routing.queues.{id}.conversations"


@dataclass(frozen=True, slots=True)
class Probe:
    """One operation that proves one permission. `absent_is_well`: it names what does not exist, and 404 proves that we may ask."""

    permission: str
    purpose: str
    method: str
    path: str
    params: Mapping[str, str] | None = None
    json: object | None = None
    absent_is_well: bool = False


def probes(clock: SystemClock) -> list[Probe]:
    """The operations that the daemon cannot do without, at their cheapest."""
    end = clock.now()
    interval = f"{iso_time(end - timedelta(minutes=1))}/{iso_time(end)}"
    return [
        Probe("routing:queue:view", "find the queues", "GET", "/api/v2/routing/queues", params={"pageSize": "1"}),
        Probe(
            "analytics:conversationDetail:view",
            "back-fill",
            "POST",
            "/api/v2/analytics/conversations/details/query",
            json={"interval": interval, "paging": {"pageSize": 1, "pageNumber": 1}},
        ),
        Probe(
            "recording:recording:view",
            "find the recordings",
            "GET",
            f"/api/v2/conversations/{uuid.uuid4()}/recordingmetadata",
            absent_is_well=True,
        ),
    ]


async def check_platform(settings: Settings, credentials: Credentials) -> AsyncIterator[Finding]:
    """The token, the organisation, each permission. Stops at the first step without which the next would say the same."""
    clock = SystemClock()
    further = find_further_clients(settings.genesys)
    for client in (credentials, *further.values()):
        register_secret(client.client_secret.get_secret_value())
    recorded = partial(_recorded, settings, clock)
    async with genesys_platform.connect(
        settings.genesys, credentials, clock=clock, metrics=Metrics(), further=further, recorded=recorded
    ) as platform:
        refused = await _identify(platform)
        if refused is not None:
            yield refused
            return
        yield ok("platform", f"{settings.genesys.api} knows the client; organisation {platform.organization_id}")
        for probe in probes(clock):
            yield await _try(platform, probe)
        subject = await _subject(platform)
        granted = permissions_of(subject)
        yield await _topic(platform, granted)
        yield sensitive(subject)
        if confined := confined_to(subject):
            yield ok("divisions", f"conversations and recordings are seen in {', '.join(confined)} alone; there may be others")
        for finding in wanting(granted, [handler.use for handler in settings.handlers.values()]):
            yield finding
        if settings.feed.live_transcripts:
            yield live_followed(granted)
        async for finding in _further_clients(platform):
            yield finding


async def _further_clients(platform: genesys_platform.Platform) -> AsyncIterator[Finding]:
    """The daemon works without them, so what is wrong with one is a warning."""
    with anyio.move_on_after(PROBE_SECONDS):
        await platform.pool.prove(platform.organization_id)
    for member in platform.pool.members:
        if member.usable:
            yield ok("client", f"genesys.clients.{member.name} shares the work")
        else:
            yield warn("client", f"genesys.clients.{member.name} takes no part, and the others do its work: {member.sentence}")


async def _recorded(settings: Settings, clock: Clock) -> str | None:
    """Whose events the ledger holds; None where it cannot be read, which its own finding tells."""
    try:
        async with open_ledger(settings.ledger.url, clock=clock, read_only=True) as ledger:
            return await ledger.organization()
    except LedgerError:
        return None


async def _identify(platform: genesys_platform.Platform) -> Finding | None:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            await platform.identify()
    except CredentialsRefused as error:
        return failures("credentials", error)[0]
    except LedgerOfAnother as error:
        return failures("ledger", error)[0]
    except TransientError as error:
        return fail("platform", error.reason, EX_UNAVAILABLE)
    except TimeoutError:
        return fail("platform", f"no answer within {PROBE_SECONDS:.0f} s", EX_UNAVAILABLE)
    except PermanentError as error:
        return fail("platform", error.reason, EX_NOPERM)
    return None


async def _try(platform: Genesys, probe: Probe) -> Finding:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            await platform.request(probe.method, probe.path, params=probe.params, json=probe.json)
    except PermanentError as error:
        return judge(probe, error)
    except TransientError as error:
        return fail("permission", f"{probe.permission}: not proved: {error.reason}", EX_UNAVAILABLE)
    except TimeoutError:
        return fail("permission", f"{probe.permission}: not proved: no answer within {PROBE_SECONDS:.0f} s", EX_UNAVAILABLE)
    return ok("permission", f"{probe.permission} ({probe.purpose})")


def judge(probe: Probe, error: PermanentError) -> Finding:
    """What a refusal of this probe says about the permission. Pure."""
    if error.code is ReasonCode.NOT_FOUND and probe.absent_is_well:
        return ok("permission", f"{probe.permission} ({probe.purpose})")
    if error.code in (ReasonCode.FORBIDDEN, ReasonCode.UNAUTHORIZED):
        sentence = f"{probe.permission} is missing, needed to {probe.purpose}: give the client's role this permission ({error.reason})"
        return fail("permission", sentence, EX_NOPERM)
    return fail("permission", f"{probe.permission}: not proved: {error.reason}", EX_UNAVAILABLE)


async def _topic(platform: Genesys, granted: Grants | None) -> Finding:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            answer = await platform.request(
                "GET", "/api/v2/notifications/availabletopics", params={"expand": "transports,permissionDetails"}
            )
    except (TransientError, PermanentError) as error:
        return fail("topic", f"the list of topics could not be read: {error.reason}", EX_UNAVAILABLE)
    except TimeoutError:
        return fail("topic", f"the list of topics did not come within {PROBE_SECONDS:.0f} s", EX_UNAVAILABLE)
    return judge_topic(answer, granted)


def judge_topic(answer: object, granted: Grants | None) -> Finding:
    """Whether the topic on which the feed depends is offered over the socket, and to this client. Pure."""
    for topic in objects(answer, "entities"):
        if topic.get("id") == TOPIC:
            transports = topic.get("transports")
            if isinstance(transports, list) and transports and not {"All", "Websocket"} & set(map(str, transports)):
                return fail("topic", f"{TOPIC} is not offered over the socket", EX_UNAVAILABLE)
            return _judge_requirements(requirements(topic), granted)
    return fail("topic", f"{TOPIC} is not offered: does the client's role hold conversation:communication:view?", EX_NOPERM)


def _judge_requirements(needed: Sequence[Sequence[str]], granted: Grants | None) -> Finding:
    if granted is None:
        wanted = "".join(f"; {' or '.join(choice)}: not proved, because the client's grants could not be read" for choice in needed)
        return warn("topic", f"{TOPIC} is offered{wanted}") if needed else ok("topic", TOPIC)
    missing = [" or ".join(choice) for choice in needed if not any(holds(permission, granted) for permission in choice)]
    if missing:
        sentence = f"{', '.join(missing)} is missing, needed to hear of calls: give the client's role this permission ({TOPIC})"
        return fail("topic", sentence, EX_NOPERM)
    return ok("topic", TOPIC)


def requirements(topic: Mapping[str, Any]) -> list[list[str]]:
    """The permissions that the platform enforces on a topic: of each inner list, one. Pure."""
    needed = []
    for detail in objects(topic, "permissionDetails"):
        listed = detail.get("permissions")
        named = [str(permission) for permission in listed if _is_permission(permission)] if isinstance(listed, list) else []
        if not named or detail.get("enforced") is False:
            continue
        if detail.get("type") in ("requiresPermissions", "requiresDivisionPermissions"):
            needed += [[permission] for permission in named]
        elif detail.get("type") == "requiresAnyDivisionPermissions":
            needed.append(named)
    return needed


def _is_permission(value: object) -> bool:
    return isinstance(value, str) and value.count(":") == 2


async def _subject(platform: Genesys) -> object:
    """What tells of the client's roles and their divisions; None when that cannot be learnt."""
    try:
        with anyio.fail_after(PROBE_SECONDS):
            answer: object = await platform.request("GET", "/api/v2/authorization/subjects/me")
            return answer
    except (TransientError, PermanentError, TimeoutError):
        return None


def sensitive(subject: object) -> Finding:
    """Whether recordings with redacted parts are seen wherever recordings are. Pure."""
    granted = permissions_of(subject)
    if granted is None:
        return warn("permission", f"{SENSITIVE}: not proved, because the client's grants could not be read")
    if not holds(SENSITIVE, granted):
        return warn("permission", f"{SENSITIVE} is missing: recordings with redacted parts will be left out by the platform without a word")
    if not sees_sensitive(subject):
        return warn(
            "permission",
            f"{SENSITIVE} is not held in every division in which recordings are seen: those of the others with "
            "redacted parts will be left out by the platform without a word",
        )
    return ok("permission", f"{SENSITIVE} (recordings with redacted parts)")


def live_followed(granted: Grants | None) -> Finding:
    """Whether calls can be followed live, which the settings ask for. Pure."""
    if granted is None:
        return warn("permission", f"{LIVE_PERMISSION}: not proved, because the client's grants could not be read")
    if not holds(LIVE_PERMISSION, granted):
        return warn("permission", f"{LIVE_PERMISSION} is missing: no call is followed live, though feed.live_transcripts asks for it")
    return ok("permission", f"{LIVE_PERMISSION} (calls followed live)")


_USEFUL: Final = {
    "recording:recording:editRetention": "recordings that the platform has archived are not asked back, and end in the dead letters",
    "recording:orphan:view": "recordings that belong to no conversation are neither counted nor archived",
}
_USEFUL_TO: Final = {
    "resume": {"conversation:recording:pauseOthers": "no recording is paused or resumed, and a pause that was left does not end"},
    "transcript": {
        "speechAndTextAnalytics:data:view": "of calls without a transcript it is not known whether anybody spoke in them",
        "routing:transcriptionSettings:view": "of calls without a transcript it is not known whether transcription was on",
    },
}


def wanting(granted: Grants | None, used: Collection[str] = ()) -> list[Finding]:
    """What is lost without permissions that the daemon, and the handlers `used`, can do without. Pure."""
    if granted is None:
        return []
    useful = dict(_USEFUL)
    for use, more in _USEFUL_TO.items():
        useful |= more if use in used else {}
    missing = {permission: loss for permission, loss in useful.items() if not holds(permission, granted)}
    return [warn("permission", f"{permission} is missing: {loss}") for permission, loss in missing.items()]


async def check_handlers(
    settings: Settings,
    credentials: Credentials,
    handlers: Sequence[LoadedHandler],
    *,
    providers: Sequence[LoadedProvider] = (),
    offline: bool = False,
) -> AsyncIterator[Finding]:
    """Each handler's own proof, with the services that it will be given; `offline`: without the platform, as far as that goes."""
    clock, metrics = SystemClock(), Metrics()
    storage = LocalStorage(settings.storage.root, min_free=settings.storage.min_free, metrics=metrics)
    async with (
        genesys_platform.connect(settings.genesys, credentials, clock=clock, metrics=metrics) as platform,
        outbound.connect(settings.http) as http,
        anyio.TemporaryDirectory(prefix="genesys-sync-check-") as apart,
    ):
        if offline:
            platform.tokens.withhold()
        # scratch lies apart: the archive's own belongs to the daemon, which may be at work or another user
        scratch = LocalStorage(Path(apart), min_free=0, metrics=metrics)
        await scratch.open()
        services = Services(
            clock=clock,
            genesys=platform,
            media=platform.media,
            storage=storage,
            scratch=scratch.scratch,
            http=http,
            audit=DeliveryAudit(clock),
            actions=LookOnly(),
            log=logs.get_logger("check"),
            redactor=find_redactor(settings.redaction),
            speech=OpenProviders(providers, public_url=settings.callbacks.public_url, metrics=metrics),
        )
        for loaded in handlers:
            try:
                with anyio.fail_after(PROBE_SECONDS):
                    await loaded.handler.check(services)
            except NotAsked:
                yield ok("handlers", f"{loaded.name}: its own check needs the platform, and is left out")
            except GenesysSyncError as error:
                for finding in failures("handlers", error):
                    named = finding.sentence.startswith((f"handlers.{loaded.name}.", f"handlers.{loaded.name}: "))
                    yield finding if named else replace(finding, sentence=f"handlers.{loaded.name}: {finding.sentence}")
            except TimeoutError:
                yield fail("handlers", f"handlers.{loaded.name}: its check did not end within {PROBE_SECONDS:.0f} s", EX_UNAVAILABLE)
            else:
                yield ok("handlers", f"{loaded.name}: its own check passed")
