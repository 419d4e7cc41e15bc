"""Flows: found by name, by id or by the prompt they use; checked out, checked in and published, each operation followed to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import anyio

from genesys_sync.clock import Clock
from genesys_sync.errors import GenesysSyncError, ReasonCode, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller, Reply
from genesys_sync.genesys.flow_rules import NOT_LOCKED, Operation, consumers, explained, failed, flow_of, in_progress, operation_of
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.lanes import Lane
from genesys_sync.services.actions import Action, Actions
from genesys_sync.services.architect import Flow, FlowRefused, FlowTold, Published
from genesys_sync.services.control import NotConfirmed
from genesys_sync.settings import GenesysSettings

_PATH: Final = "/api/v2/flows"
_CONSUMERS: Final = "/api/v2/architect/dependencytracking/consumingresources"
_PAGES_MAX: Final = 1000
_COMPLETE: Final = 200
_GIVING_BACK: Final = 10.0
"""Seconds that an interrupted publication may take to give its lock back."""

Sleep = Callable[[float], Awaitable[None]]


class FlowService:
    """Implements `services.Flows`. `client_id`: whose lock is our own; `sleep`: how to wait between looks, the clock's by default."""

    def __init__(
        self, client: Caller, settings: GenesysSettings, *, client_id: str, clock: Clock, actions: Actions, sleep: Sleep | None = None
    ) -> None:
        self._client = client
        self._settings = settings
        self._client_id = client_id
        self._every = settings.architect_look.total_seconds()
        self._within = settings.flow_wait.total_seconds()
        self._tracking = settings.tracking_wait.total_seconds()
        self._clock = clock
        self._sleep = sleep or clock.sleep
        self._actions = actions

    def waiting(self, sleep: Sleep) -> FlowService:
        """The same, waiting like this between looks: for at most so many seconds, and less when there is reason to look at once."""
        settings, clock, actions = self._settings, self._clock, self._actions
        return FlowService(self._client, settings, client_id=self._client_id, clock=clock, actions=actions, sleep=sleep)

    async def listed(self, names: str = "*") -> Sequence[Flow]:
        """See `services.Flows.listed`."""
        flows = [flow async for _, body in self._pages(_PATH, {"name": names}) for flow in self._flows(body)]
        return sorted(flows, key=lambda flow: (flow.name.lower(), flow.id))

    async def find(self, flow: str) -> Flow:
        """See `services.Flows.find`."""
        flow_id = canonical_uuid(flow)
        if flow_id is not None:
            try:
                return await self._look(flow_id)
            except PlatformRefused as error:
                raise explained(error, Flow(flow_id, "", "")) from None
        found = [one for one in await self.listed(flow) if one.name.lower() == flow.lower()]
        if not found:
            raise FlowRefused(f"the platform has no flow named {flow}: `flows list` shows those that it has", code=ReasonCode.NOT_FOUND)
        if len(found) > 1:
            raise FlowRefused(f"{len(found)} flows are named {flow}: name one by its id ({', '.join(one.id for one in found)})")
        return found[0]

    async def using_prompt(self, prompt_id: str) -> Sequence[Flow]:
        """See `services.Flows.using_prompt`."""
        deadline = self._clock.monotonic() + self._tracking
        while True:
            named: dict[str, str] = {}
            whole = True
            async for status, body in self._pages(_CONSUMERS, {"id": prompt_id, "objectType": "USERPROMPT"}):
                whole = whole and status == _COMPLETE
                named.update(consumers(body))
            if whole:
                return [await self._look(flow_id) for flow_id, _ in sorted(named.items(), key=lambda one: (one[1].lower(), one[0]))]
            if self._clock.monotonic() >= deadline:
                raise NotConfirmed(
                    f"the platform is still rebuilding its dependency tracking after {self._tracking:g} s, and tells only of some of the "
                    "flows: try again later, or name the flows"
                )
            await self._sleep(self._every)

    async def publish(self, flow: Flow, *, version: str = "", told: FlowTold | None = None) -> Published:
        """See `services.Flows.publish`."""
        started = self._clock.monotonic()
        say = told or (lambda _flow, _words: None)
        if not version:
            await self._check_out_and_in(flow, say)
        params = {"version": version} if version else {}
        try:
            async with self._actions.perform("flow.publish", flow.id, facts=params) as action:
                say(flow, "publishing")
                operation = await self._operated("publish", flow, params, action)
        except FlowRefused as error:
            error.left = "" if version else "it is checked in, and not published"
            raise
        after = await self._look(flow.id)
        say(after, "published")
        return Published(after, operation.id, self._clock.monotonic() - started, action.correlation_id)

    async def _check_out_and_in(self, flow: Flow, say: FlowTold) -> None:
        if flow.lock == "own":
            say(flow, "checked out already, by an earlier run of this client")
        held = True  # as far as can be known: a checkout whose answer was never seen may have been carried out
        try:
            async with self._actions.perform("flow.checkout", flow.id) as action:
                try:
                    action.correlation_id = (await self._act("checkout", flow, {})).correlation_id
                except FlowRefused:
                    held = False
                    raise
            say(flow, "checked out")
            async with self._actions.perform("flow.checkin", flow.id) as action:
                await self._operated("checkin", flow, {}, action)
            held = False
        finally:
            if held:
                await self._give_back(flow, say)
        say(flow, "checked in")

    async def _give_back(self, flow: Flow, say: FlowTold) -> None:
        """Discard the lock that was taken: nothing was changed under it. While a checkin runs the platform refuses that; its end releases
        the lock as well."""
        said = "perhaps left checked out by this client: publishing it again goes on from there"
        with anyio.move_on_after(_GIVING_BACK, shield=True):
            try:
                async with self._actions.perform("flow.revert", flow.id) as action:
                    reply = await self._client.call("POST", f"{_PATH}/actions/revert", params={"flow": flow.id}, lane=Lane.ARCHITECT)
                    action.correlation_id = reply.correlation_id
                said = "given back: its lock was released, and nothing of it has changed"
            except PlatformRefused as error:
                if error.platform_code == NOT_LOCKED:
                    said = "not locked by this client"
            except GenesysSyncError:
                pass  # what is not known is said
        say(flow, said)

    async def _operated(self, verb: str, flow: Flow, params: Mapping[str, str], action: Action) -> Operation:
        """Begin an operation and follow it. Raises FlowRefused when it ends as FAILURE, NotConfirmed when it does not end in time."""
        reply = await self._act(verb, flow, params)
        action.correlation_id = reply.correlation_id
        begun = operation_of(reply.body)
        if begun is None:
            raise TransientError(f"the answer to {verb} is no operation", code=ReasonCode.BAD_ANSWER, correlation_id=reply.correlation_id)
        action.note(operationId=begun.id)
        ended = begun if begun.over else await self._followed(flow, begun, verb)
        if not ended.success:
            raise failed(ended, flow, reply.correlation_id)
        return ended

    async def _followed(self, flow: Flow, begun: Operation, verb: str) -> Operation:
        deadline = self._clock.monotonic() + self._within
        while True:
            await self._sleep(self._every)
            now = operation_of((await self._read(flow.id)).body.get("currentOperation"))
            if now is not None and now.id == begun.id and now.over:
                return now
            another = now is not None and now.id != begun.id
            if another or self._clock.monotonic() >= deadline:
                how = "another operation has followed it" if another else f"it still runs after {self._within:g} s"
                raise NotConfirmed(f"how {verb} of the flow {flow.name} ends is not known: {how}; `flows list` shows how it stands")

    async def _act(self, verb: str, flow: Flow, params: Mapping[str, str]) -> Reply:
        """Begin it, once whatever else runs on this flow is over. Raises FlowRefused, or TransientError."""
        deadline = self._clock.monotonic() + self._within
        while True:
            try:
                return await self._client.call("POST", f"{_PATH}/actions/{verb}", params={"flow": flow.id, **params}, lane=Lane.ARCHITECT)
            except PlatformRefused as error:
                if not in_progress(error) or self._clock.monotonic() >= deadline:
                    raise explained(error, flow) from None
            await self._sleep(self._every)

    async def _look(self, flow_id: str) -> Flow:
        flow = flow_of((await self._read(flow_id)).body, client_id=self._client_id)
        if flow is None:
            raise TransientError("the platform's answer is no flow", code=ReasonCode.BAD_ANSWER)
        return flow

    async def _read(self, flow_id: str) -> Reply:
        return await self._client.call("GET", f"{_PATH}/{flow_id}", shape=dict, lane=Lane.ARCHITECT)

    def _flows(self, body: Mapping[str, Any]) -> list[Flow]:
        found = (flow_of(one, client_id=self._client_id) for one in objects(body, "entities"))
        return [flow for flow in found if flow is not None]

    async def _pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[int, Mapping[str, Any]]]:
        """Each page with its status: 206 tells of an answer that is not whole."""
        for page in range(1, _PAGES_MAX + 1):
            wanted = {**params, "pageSize": "100", "pageNumber": str(page)}
            reply = await self._client.call("GET", path, params=wanted, shape=dict, lane=Lane.ARCHITECT)
            yield reply.status, reply.body
            pages = reply.body.get("pageCount")
            if not objects(reply.body, "entities") or (isinstance(pages, int) and page >= pages):
                return
