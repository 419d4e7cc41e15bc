"""Architect's user prompts: prompts, their resources, and both ways to upload a resource's audio."""

from __future__ import annotations

import re
import uuid
from fnmatch import fnmatchcase
from typing import Any, Final

import aiohttp
from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, empty, flag, found, get, need_all, paged, reply, several
from genesys_sync_simulator.api.media import refused
from genesys_sync_simulator.api.store import offer
from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.presign import Refusal
from genesys_sync_simulator.prompts import Prompt, Resource
from genesys_sync_simulator.wav import LARGEST

_PATH: Final = "/api/v2/architect/prompts"
_ONE: Final = _PATH + "/{promptId}"
_RESOURCE: Final = _ONE + "/resources/{languageCode}"
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,200}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


def routes(platform: Platform) -> list[web.RouteDef]:
    """Prompts, resources and audio."""
    return [*_prompt_routes(platform), *_resource_routes(platform), *_audio_routes(platform)]


def _prompt_routes(platform: Platform) -> list[web.RouteDef]:
    shelf = platform.prompts

    async def create(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:add")
        name, description = _named(await body(request))
        if shelf.named(name) is not None:
            raise ApiError(409, "architect.prompt.already.exists", f"A prompt named {name} exists already.", params={"name": name})
        if len(shelf.prompts) >= platform.scenario.architect.max_prompts:
            raise ApiError(409, "architect.prompt.max.exceeded", "The maximum number of prompts is exceeded.")
        prompt = Prompt(str(uuid.uuid4()), name, description)
        shelf.prompts[prompt.id] = prompt
        tell(platform, prompt)
        return reply(prompt_body(platform, prompt))

    async def listed(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:view")
        names, languages = [name.lower() for name in several(request, "name")], several(request, "language")
        words = request.query.get("nameOrDescription", "").lower()
        chosen = [
            prompt
            for prompt in sorted(shelf.prompts.values(), key=lambda prompt: prompt.name.lower())
            if (not names or any(fnmatchcase(prompt.name.lower(), name) for name in names))
            and (not words or words in prompt.name.lower() or words in prompt.description.lower())
            and (not languages or any(language in prompt.resources for language in languages))
        ]
        whole, uris = flag(request, "includeResources", default=True), flag(request, "includeMediaUris", default=True)
        return paged(request, [prompt_body(platform, prompt, resources=whole, uris=uris) for prompt in chosen], most=100)

    async def read(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:view")
        return reply(prompt_body(platform, _prompt(platform, request)))

    async def edit(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt = _prompt(platform, request)
        name, description = _named(await body(request))
        if shelf.named(name) not in (None, prompt):
            raise ApiError(409, "architect.prompt.already.exists", f"A prompt named {name} exists already.", params={"name": name})
        prompt.name, prompt.description = name, description
        tell(platform, prompt)
        return reply(prompt_body(platform, prompt))

    async def remove(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:delete")
        del shelf.prompts[_prompt(platform, request).id]
        return empty(204)

    return [web.post(_PATH, create), get(_PATH, listed), get(_ONE, read), web.put(_ONE, edit), web.delete(_ONE, remove)]


def _resource_routes(platform: Platform) -> list[web.RouteDef]:
    async def create(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, document = _prompt(platform, request), await _document(request)
        language = document.get("language")
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language.lower()):
            raise bad_request("language must be a language tag such as en-us.")
        if language.lower() in prompt.resources:
            sentence = f"The prompt has a resource for {language} already."
            raise ApiError(409, "architect.prompt.resource.already.exists", sentence, params={"language": language})
        resource = Resource(str(uuid.uuid4()), language.lower())
        prompt.resources[resource.language] = resource
        _write(resource, document)
        tell(platform, prompt, resource)
        return reply(resource_body(platform, prompt, resource))

    async def listed(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:view")
        prompt = _prompt(platform, request)
        return paged(request, [resource_body(platform, prompt, resource) for resource in prompt.resources.values()])

    async def read(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:view")
        return reply(resource_body(platform, *_resource(platform, request)))

    async def edit(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, resource = _resource(platform, request)
        _write(resource, await _document(request))
        tell(platform, prompt, resource)
        return reply(resource_body(platform, prompt, resource))

    async def remove(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, resource = _resource(platform, request)
        del prompt.resources[resource.language]
        return empty(204)

    resources = _ONE + "/resources"
    return [
        web.post(resources, create),
        get(resources, listed),
        get(_RESOURCE, read),
        web.put(_RESOURCE, edit),
        web.delete(_RESOURCE, remove),
    ]


def _audio_routes(platform: Platform) -> list[web.RouteDef]:
    async def address(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, resource = _resource(platform, request)

        def stored(parcel: Parcel) -> None:
            _received(platform, prompt, resource, bytes(parcel.content), parcel.size)
            parcel.content.clear()

        headers = {"x-amz-tagging": f"organizationId={platform.world.plan.organization_id}"}
        _, url = offer(platform, "prompts", headers, stored, life=platform.rules.url_life, room=LARGEST)
        return reply({"url": url, "headers": headers})

    async def form(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, resource = _resource(platform, request)
        if not request.content_type.startswith("multipart/form-data"):
            raise ApiError(415, "unsupported.media.type", "The request body must be multipart/form-data.")
        async for part in await request.multipart():
            if isinstance(part, aiohttp.BodyPartReader) and part.name == "file":
                data, size = bytearray(), 0
                while piece := await part.read_chunk(1 << 16):
                    size += len(piece)
                    data += piece if size <= LARGEST else b""
                _received(platform, prompt, resource, bytes(data), size)
                return empty(200)
        raise bad_request("The form has no field named file.")

    async def drop(request: web.Request) -> web.Response:
        need_all(request, "architect:userPrompt:edit")
        prompt, resource = _resource(platform, request)
        resource.clear()
        tell(platform, prompt, resource)
        return empty(204)

    async def fetch(request: web.Request) -> web.Response:
        refusal = platform.presigner.refusal(
            request.method, request.path, request.query, has_authorization="Authorization" in request.headers, now=platform.now()
        )
        resource = platform.prompts.resource(request.match_info["resourceId"])
        if refusal is not None or resource is None or resource.sound is None:
            return refused(refusal or Refusal(404, "NoSuchKey", "The specified key does not exist."))
        return web.Response(body=resource.sound.file(), content_type="audio/wav")

    return [
        web.post(_RESOURCE + "/uploads", address),
        web.delete(_RESOURCE + "/audio", drop),
        web.post("/uploads/v2/prompts/{promptId}/resources/{languageCode}", form),
        get("/media/promptaudio/{resourceId}", fetch),
    ]


def _received(platform: Platform, prompt: Prompt, resource: Resource, data: bytes, size: int) -> None:
    platform.prompts.receive(resource, data, size, platform.now())
    tell(platform, prompt, resource)
    platform.agenda.after(platform.scenario.architect.prompt_time, lambda: tell(platform, prompt, resource))


def tell(platform: Platform, prompt: Prompt, resource: Resource | None = None) -> None:
    """Both topics: the prompt's, and the resource's when it is one that changed."""
    topic = f"v2.architect.prompts.{prompt.id}"
    frames = [(topic, prompt_body(platform, prompt, uris=False))]
    if resource is not None:
        frames.append((f"{topic}.resources.{resource.id}", resource_body(platform, prompt, resource, uris=False)))
    platform.publish(frames)


def prompt_body(platform: Platform, prompt: Prompt, *, resources: bool = True, uris: bool = True) -> Json:
    """Prompt."""
    shown: Json = {"id": prompt.id, "name": prompt.name, "description": prompt.description, "selfUri": f"{_PATH}/{prompt.id}"}
    if resources:
        shown["resources"] = [resource_body(platform, prompt, resource, uris=uris) for resource in prompt.resources.values()]
    return shown


def resource_body(platform: Platform, prompt: Prompt, resource: Resource, *, uris: bool = True) -> Json:
    """PromptAsset. Format, duration and media address appear with the transcode."""
    now = platform.now()
    status = resource.status(now, platform.scenario.architect.prompt_time)
    shown: Json = {
        "id": resource.id,
        "promptId": prompt.id,
        "language": resource.language,
        "languageDefault": next(iter(prompt.resources)) == resource.language if prompt.resources else False,
        "ttsString": resource.tts,
        "text": resource.text,
        "tags": resource.tags,
        "uploadStatus": status,
        "uploadUri": f"{platform.base_url}/uploads/v2/prompts/{prompt.id}/resources/{resource.language}",
        "selfUri": f"{_PATH}/{prompt.id}/resources/{resource.language}",
    }
    if status == "transcoded" and (sound := resource.sound) is not None:
        shown["audioFormat"] = {
            "format": "WAV",
            "channels": 1,
            "bitsPerSample": sound.bits,
            "sampleRate": sound.rate,
            "encoding": sound.encoding,
        }
        shown["durationSeconds"] = round(sound.seconds, 3)
        if uris:
            path = f"/media/promptaudio/{resource.id}"
            shown["mediaUri"] = platform.base_url + platform.presigner.sign(path, now=now, life=platform.rules.url_life)
    return {name: value for name, value in shown.items() if value is not None}


async def _document(request: web.Request) -> Json:
    document: Any = await body(request)
    if not isinstance(document, dict):
        raise bad_request("The body must be an object.")
    return document


def _named(document: Any) -> tuple[str, str]:
    name = document.get("name") if isinstance(document, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request("name must consist of 1 to 200 letters, digits and underscores.", code="architect.prompt.invalid.name")
    return name, str(document.get("description") or "")


def _write(resource: Resource, document: Json) -> None:
    """Texts and tags as given; those that are not mentioned stay."""
    tags = document.get("tags", resource.tags)
    if not isinstance(tags, dict):
        raise bad_request("tags must be an object.")
    resource.tts, resource.text, resource.tags = document.get("ttsString", resource.tts), document.get("text", resource.text), tags


def _prompt(platform: Platform, request: web.Request) -> Prompt:
    wanted = request.match_info["promptId"].lower()
    return found(platform.prompts.prompts.get(wanted), "architect.prompt.not.found", "The prompt does not exist.")


def _resource(platform: Platform, request: web.Request) -> tuple[Prompt, Resource]:
    prompt = _prompt(platform, request)
    resource = prompt.resources.get(request.match_info["languageCode"].lower())
    return prompt, found(resource, "architect.prompt.resource.not.found", "The prompt has no resource for this language.")
