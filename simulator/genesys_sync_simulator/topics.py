"""The notification topics that the platform publishes: which exist, who may have them, and which combined ids mean what."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

_UUID: Final = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_SUFFIXES: Final = (
    "", ".callbacks", ".calls", ".chats", ".cobrowseSessions", ".emails", ".messages", ".screenshares", ".socialexpressions", ".videos",
)  # fmt: skip
_DETAIL: Final = (
    "acd.start", "acd.end", "acw", "attributes", "contact", "customer.start", "customer.end", "flow.start", "flow.end", "flow.outcome",
    "outbound", "user.start", "user.end", "voicemail.start", "voicemail.end", "wrapup",
)  # fmt: skip
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Template:
    """One published topic, with `{id}` where an id goes."""

    id: str
    description: str
    permissions: tuple[str, ...] = ()
    current_user: bool = False
    websocket: bool = True

    def matches(self, topic: str) -> bool:
        return _pattern(self.id).fullmatch(topic) is not None

    def missing(self, held: Collection[str]) -> list[str]:
        """Permissions that the topic asks for and that are not held."""
        return [permission for permission in self.permissions if permission not in held]

    def available(self, expand: Collection[str]) -> dict[str, Any]:
        """As `availabletopics` lists it; only the expanded parts beside the id."""
        everything: dict[str, Any] = {
            "description": self.description,
            "enforced": True,
            "schema": {"type": "object"},
            "visibility": "Public",
            "transports": ["All"] if self.websocket else ["EventBridge", "ProcessAutomation"],
            "publicApiTemplateUriPaths": ["/api/v2/conversations/{id}"] if "conversations" in self.id else [],
            "requiresPermissions": list(self.permissions),
            "permissionDetails": self._permission_details(),
            "topicParameters": ["id"] * self.id.count("{id}"),
        }
        found: dict[str, Any] = {"id": self.id}
        found.update({name: value for name, value in everything.items() if name in expand})
        if "requiresPermissions" in expand:
            found.update(
                requiresDivisionPermissions=False,
                requiresCurrentUser=self.current_user,
                requiresCurrentUserOrPermission=False,
                requiresAnyValidator=False,
            )
        return found

    def _permission_details(self) -> list[dict[str, Any]]:
        kind = "requiresCurrentUser" if self.current_user else "requiresPermissions"
        return [{"type": kind, "permissions": list(self.permissions), "allowsCurrentUser": self.current_user, "enforced": True}]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(re.escape("{id}"), _UUID))


EXPANSIONS: Final = frozenset(
    {
        "description", "enforced", "schema", "visibility", "transports", "publicApiTemplateUriPaths", "requiresPermissions",
        "permissionDetails", "topicParameters",
    }
)  # fmt: skip

_VIEW: Final = ("conversation:communication:view",)
_ANALYTICS: Final = ("analytics:conversationDetail:view",)
_SPEECH: Final = ("speechAndTextAnalytics:data:view",)

CATALOGUE: Final[tuple[Template, ...]] = (
    *(Template(f"v2.routing.queues.{{id}}.conversations{suffix}", "Conversations of a queue", _VIEW) for suffix in _SUFFIXES),
    *(Template(f"v2.users.{{id}}.conversations{suffix}", "Conversations of a user", _VIEW) for suffix in _SUFFIXES),
    *(Template(f"v2.detail.events.conversation.{{id}}.{name}", "A conversation's detail event", _ANALYTICS) for name in _DETAIL),
    Template("v2.routing.queues.{id}.users", "Membership of a queue", ("routing:queue:view",)),
    Template("v2.users.{id}.presence", "Presence of a user"),
    Template("v2.users.{id}.routingStatus", "Routing status of a user"),
    Template("v2.users.{id}.activity", "Activity of a user"),
    Template("v2.users.{id}.tokens", "Token changes of a user", current_user=True),
    Template("v2.users.{id}.conversations.{id}.recordings", "Recordings that a user asked for", current_user=True),
    Template("v2.users.{id}.conversations.{id}.recordings.{id}", "A transcode that a user asked for", current_user=True),
    Template("v2.users.{id}.recordings", "Archive restores that a user asked for", current_user=True),
    Template("v2.users.{id}.userrecordings", "Personal recordings", current_user=True),
    Template("v2.users.{id}.voicemail.messages", "Voicemail", current_user=True),
    Template("v2.users.{id}.conversations.summaries", "Summaries", current_user=True),
    Template("v2.conversations.{id}.transcription", "Live transcription", ("conversation:transcription:view",)),
    Template("v2.analytics.conversation.{id}.metrics", "Conversation metrics", _ANALYTICS),
    Template("v2.analytics.conversations.details.jobs.availability", "Data lake availability", _ANALYTICS),
    Template("v2.speechandtextanalytics.conversation.{id}.topics", "Topics found after a call", _SPEECH),
    Template("v2.speechandtextanalytics.conversation.{id}.sentiment", "Sentiment found after a call", _SPEECH),
    Template("v2.speechandtextanalytics.conversation.{id}.empathy", "Empathy found after a call", _SPEECH),
    Template("v2.speechandtextanalytics.conversations.{id}.categories", "Categories found after a call", _SPEECH),
    Template("v2.flows.{id}", "A flow's operations", ("architect:flow:view",)),
    Template("v2.flows.outcomes.{id}", "A flow outcome", ("architect:flowOutcome:view",)),
    Template("v2.architect.prompts.{id}", "A prompt", ("architect:userPrompt:view",)),
    Template("v2.architect.prompts.{id}.resources.{id}", "A prompt's resource", ("architect:userPrompt:view",)),
    Template("v2.architect.dependencytracking.build", "Dependency tracking's build", ("architect:dependencyTracking:view",)),
    Template("v2.quality.evaluations", "Evaluations", ("quality:evaluation:view",)),
    Template("v2.operations.events.{id}", "Operational events", ("usage:events:view",)),
    Template("v2.audits.entitytype.{id}.entityid.{id}", "Audits", websocket=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a topic is not given: the published code, a sentence, and the permissions that would be needed."""

    status: int
    code: str
    message: str
    missing: tuple[str, ...] = ()


def expanded(topic: str) -> list[str]:
    """`prefix?post1&post2` as the topics that it means; any other id as itself."""
    prefix, mark, rest = topic.partition("?")
    return [f"{prefix}.{post}" for post in rest.split("&")] if mark else [topic]


def refusal(topic: Any, held: Collection[str]) -> Refused | None:
    """None when a client-credentials principal holding these permissions may subscribe to `topic`, combined or not."""
    if not isinstance(topic, str) or not topic or len(topic) >= _LONGEST:
        return Refused(400, "notification.invalid.topic", "A topic id must be a text of fewer than 200 characters.")
    for single in expanded(topic):
        template = next((one for one in CATALOGUE if one.matches(single)), None)
        if template is None:
            return Refused(400, "notification.invalid.topic", f"The topic {single} is not a known notification topic.")
        if not template.websocket:
            return Refused(400, "notification.transport.not.allowed", f"The topic {single} is not available over WebSocket.")
        if template.current_user:
            return Refused(403, "notification.unauthorized.topic", f"The topic {single} requires the current user.")
        if missing := template.missing(held):
            return Refused(403, "notification.unauthorized.topic", f"Not authorized to subscribe to {single}.", tuple(missing))
    return None
