"""What the client may do, as `authorization/subjects/me` tells it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

SENSITIVE: Final = "recording:recording:viewSensitiveData"
"""Without it the platform leaves recordings with sensitive parts out of its answers, or redacts them, without a word."""

Grants = Set[tuple[str, str, str]]
"""Permissions as (domain, entity, action)."""


def permissions_of(answer: object) -> Grants | None:
    """What `authorization/subjects/me` grants; None when it told no policy at all."""
    granted = set()
    for grant in objects(answer, "grants"):
        for policy in objects(grant.get("role"), "policies"):
            actions = policy.get("actions")
            for action in actions if isinstance(actions, list) else []:
                granted.add((str(policy.get("domain")), str(policy.get("entityName")), str(action)))
    return granted or None


def holds(permission: str, granted: Grants) -> bool:
    """Whether the grants cover the permission, `*` standing for anything."""
    wanted = permission.split(":")
    return any(all(part in ("*", want) for part, want in zip(policy, wanted, strict=True)) for policy in granted)


def objects(answer: object, key: str) -> list[Mapping[str, Any]]:
    """The objects in the array under this key; none where the answer is made otherwise."""
    listed = answer.get(key) if isinstance(answer, Mapping) else None
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
