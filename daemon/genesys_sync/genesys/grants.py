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


def sees_sensitive(answer: object) -> bool | None:
    """Whether SENSITIVE is held wherever recordings may be seen, by this answer of `authorization/subjects/me`; None when it told no policy
    at all. A client that holds it in one division and sees recordings in two is refused nothing: they are left out, without a word."""
    reach = _reach(answer)
    if not reach:
        return None
    held, seen = _divisions(SENSITIVE, reach), _divisions(_SEEN, reach)
    return bool(held) and (not held.isdisjoint(_EVERYWHERE) or seen <= held)


def confined_to(answer: object) -> list[str]:
    """The divisions, by name where it is told, to which finding conversations or their recordings is confined by this answer of
    `authorization/subjects/me`; none when it is not, or nothing is told. What lies in others the platform leaves out, without a word."""
    reach = _reach(answer)
    held = [_divisions(permission, reach) for permission in (_SEEN, _FOUND)]
    bounded = [divisions for divisions in held if divisions and divisions.isdisjoint(_EVERYWHERE)]
    if not bounded:
        return []
    told = [grant.get("division") for grant in objects(answer, "grants")]
    names = {str(one.get("id")): str(one.get("name") or one.get("id"))[:100] for one in told if isinstance(one, Mapping)}
    return sorted(names[division] for division in set.intersection(*bounded))


_FOUND: Final = "analytics:conversationDetail:view"
_SEEN: Final = "recording:recording:view"
_EVERYWHERE: Final = frozenset({"", "*"})
_WORK: Final = frozenset({"recording", "analytics", "conversation", "quality", "speechAndTextAnalytics"})
"""The domains of the permissions that decide what work on recordings shows."""


def lacking(answer: object, compared_with: object) -> list[str]:
    """What the client of the second answer of `authorization/subjects/me` may see and that of the first may not, as permissions, `*` and
    divisions included. Somebody who may see less is not refused: the platform leaves out what it may not see, without a word."""
    own = _reach(answer)
    seen = [one for one in _reach(compared_with) if one[1] in _WORK and one[3].startswith(("view", "*"))]
    missed = [one for one in seen if not any(_covers(policy, one) for policy in own)]
    return sorted({":".join(one[1:]) + (f" in division {one[0]}" if one[0] not in ("", "*") else "") for one in missed})


def _reach(answer: object) -> set[tuple[str, str, str, str]]:
    reach = set()
    for grant in objects(answer, "grants"):
        division = grant.get("division")
        name = str(division.get("id") or "") if isinstance(division, Mapping) else ""
        reach |= {(name, *permission) for permission in permissions_of({"grants": [grant]}) or ()}
    return reach


def _divisions(permission: str, reach: Set[tuple[str, str, str, str]]) -> set[str]:
    return {division for division, *policy in reach if _covers(tuple(policy), tuple(permission.split(":")))}


def _covers(policy: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return all(part in ("*", want) for part, want in zip(policy, wanted, strict=True))


def holds(permission: str, granted: Grants) -> bool:
    """Whether the grants cover the permission, `*` standing for anything."""
    wanted = permission.split(":")
    return any(all(part in ("*", want) for part, want in zip(policy, wanted, strict=True)) for policy in granted)


def objects(answer: object, key: str) -> list[Mapping[str, Any]]:
    """The objects in the array under this key; none where the answer is made otherwise."""
    listed = answer.get(key) if isinstance(answer, Mapping) else None
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
