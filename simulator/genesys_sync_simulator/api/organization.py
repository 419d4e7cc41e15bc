"""Who am I and what may I: tokens, subjects, the organisation, its limits."""

from __future__ import annotations

import uuid
from collections import defaultdict

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, empty, get, reply, token
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.platform import Platform

_NAMESPACES = (
    "platform.api", "notifications", "recording", "speech.and.text.analytics", "voice.transcription", "analytics", "architect", "auth.api",
)  # fmt: skip


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of tokens, authorization and organizations."""
    return [*_identity_routes(platform), *_organization_routes(platform)]


def _organization(platform: Platform) -> Json:
    return {"id": platform.world.plan.organization_id, "name": "Simulated organisation"}


def _identity_routes(platform: Platform) -> list[web.RouteDef]:
    plan = platform.world.plan
    organization = _organization(platform)

    async def whose_token(request: web.Request) -> web.Response:
        client = token(request).client
        return reply(
            {
                "organization": organization,
                "homeOrganization": organization,
                "authorizedScope": [],
                "dateTokenIdles": None,
                "OAuthClient": {"id": client.id, "name": client.name, "organization": organization},
            }
        )

    async def alive(_: web.Request) -> web.Response:
        return empty(200)

    async def revoke(request: web.Request) -> web.Response:
        revoked = token(request)
        revoked.revoked = True
        platform.hub.revoked(revoked)
        return empty(200)

    async def subject(request: web.Request) -> web.Response:
        client = token(request).client
        division = {
            "id": plan.division_id,
            "name": "Home",
            "homeDivision": True,
            "selfUri": f"/api/v2/authorization/divisions/{plan.division_id}",
        }
        role = {"id": plan.organization_id, "name": "Recording archiver", "default": False, "policies": _policies(client.permissions)}
        grant = {"subjectId": client.id, "division": division, "role": role, "grantMadeAt": iso(platform.now())}
        return reply(
            {
                "id": client.id,
                "name": client.name,
                "grants": [grant],
                "version": 1,
                "selfUri": f"/api/v2/authorization/subjects/{client.id}",
            }
        )

    async def me(request: web.Request) -> web.Response:
        client = token(request).client
        if client.user:
            own_id = str(uuid.uuid5(uuid.UUID(plan.organization_id), client.id))
            return reply({"id": own_id, "name": client.name, "state": "active", "selfUri": f"/api/v2/users/{own_id}"})
        raise ApiError(
            400, "not.a.user", "This request requires a user context. Client credentials cannot be used for requests to this endpoint."
        )

    return [
        get("/api/v2/tokens/me", whose_token),
        web.head("/api/v2/tokens/me", alive),
        web.delete("/api/v2/tokens/me", revoke),
        get("/api/v2/authorization/subjects/me", subject),
        get("/api/v2/users/me", me),
    ]


def _organization_routes(platform: Platform) -> list[web.RouteDef]:
    async def own_organization(_: web.Request) -> web.Response:
        return reply(
            {
                **_organization(platform),
                "defaultLanguage": "en-US",
                "thirdPartyOrgName": "simulated",
                "domain": "simulated.example",
                "version": 1,
                "state": "active",
                "selfUri": f"/api/v2/organizations/{platform.world.plan.organization_id}",
            }
        )

    async def limits(request: web.Request) -> web.Response:
        namespace = request.match_info["namespaceName"]
        if namespace not in _NAMESPACES:
            raise ApiError(404, "not.found", f"There is no limits namespace {namespace}.")
        values = _limits(platform).get(namespace, {})
        return reply({"entities": [{"key": key, "namespace": namespace, "value": value} for key, value in values.items()]})

    return [
        get("/api/v2/organizations/me", own_organization),
        get("/api/v2/organizations/limits/namespaces/{namespaceName}", limits),
        get("/api/v2/organizations/limits/namespaces/{namespaceName}/defaults", limits),
    ]


def _policies(permissions: tuple[str, ...]) -> list[Json]:
    actions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for permission in permissions:
        domain, _, rest = permission.partition(":")
        entity, _, action = rest.partition(":")
        actions[domain, entity].append(action)
    return [{"domain": domain, "entityName": entity, "actions": found} for (domain, entity), found in actions.items()]


def _limits(platform: Platform) -> dict[str, dict[str, float]]:
    rules = platform.rules
    return {
        "platform.api": {
            "client.credentials.token.rate.per.minute": rules.rate_limit_per_minute,
            "token.rate.per.minute": rules.rate_limit_per_minute,
            "org.app.user.rate.per.minute": rules.rate_limit_per_minute,
            "org.user.rate.per.minute": 3000,
            "request.bytes.max": 512_000,
        },
        "notifications": {"channels.max": rules.max_channels, "subscriptions.max": rules.max_topics},
        "analytics": {"details.jobs.concurrent.access.max": 10, "details.jobs.rate.per.second": 1},
    }
