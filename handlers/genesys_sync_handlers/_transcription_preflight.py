"""What must hold before a recording is sent to a provider, each by its name. Of what does not hold all is told, not the first alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import anyio

from genesys_sync.plugin import Provider, ProviderLimits, Services, TranscriptionCheck, TranscriptionRequest
from genesys_sync_handlers._report import Caution, Job, Report
from genesys_sync_handlers._workers import Inspectors, Limits

_VIEWS = ("recording:recording:view", "recording:recordingSegment:view", "recording:snippetRecording:view")
"""Any of them lets a client see recordings of calls."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A check that does not hold. The sentence quotes nothing personal."""

    check: TranscriptionCheck
    sentence: str


@dataclass(frozen=True, slots=True)
class Sound:
    """What is known of a recording's sound."""

    seconds: float
    silent: bool


async def preflight(
    request: TranscriptionRequest, provider: Provider[object], services: Services, inspectors: Inspectors, *, product: str = ""
) -> Sound | Sequence[Refusal]:
    """What the recording sounds like, or every check that does not hold. `product`: one that the organisation must have. A file of
    nobody's needs nothing of the platform. Raises what asking raises."""
    limits = await provider.limits()
    found: list[Refusal] = []
    if request.conversation_id is not None:
        found += await _entitled(services, product)
    dialects = (await services.genesys.transcripts.settings()).dialects if limits.locales is None else None
    found += judge_locale(request.locale, limits, dialects)
    size = await services.storage.size(request.key)
    if size is None:
        return [*found, Refusal(TranscriptionCheck.MEDIA, "the recording is not in the archive")]
    if limits.max_bytes is not None and size > limits.max_bytes:
        found.append(Refusal(TranscriptionCheck.SIZE, f"the recording has {size} bytes, and the provider takes {limits.max_bytes}"))
    sound = await _measure(request, size, services, inspectors)
    found += [sound] if isinstance(sound, Refusal) else judge_sound(sound, limits)
    return found or sound if isinstance(sound, Sound) else found


async def _entitled(services: Services, product: str) -> list[Refusal]:
    entitlements = services.genesys.entitlements
    found = []
    if await entitlements.lacks(*_VIEWS):
        found.append(
            Refusal(TranscriptionCheck.PERMISSION, f"the OAuth client's role lacks {_VIEWS[0]}, so its recordings are not ours to use")
        )
    return [*found, *judge_products(await entitlements.products(), product)]


def judge_products(listed: Set[str] | None, wanted: str) -> Iterator[Refusal]:
    """The organisation has something, and what is wanted besides; letters and digits count, in either case. Where the platform does not
    tell there is nothing to refuse. Pure."""
    if listed is None:
        return
    if not listed:
        yield Refusal(TranscriptionCheck.PRODUCT, "authorization/products lists no product at all: the organisation has no licence")
    elif wanted and _plain(wanted) not in {_plain(one) for one in listed}:
        yield Refusal(TranscriptionCheck.PRODUCT, f"authorization/products does not list {wanted}, which the handler's `product` asks for")


def _plain(product: str) -> str:
    return "".join(letter for letter in product.lower() if letter.isalnum())


def judge_locale(locale: str, limits: ProviderLimits, dialects: Set[str] | None) -> Iterator[Refusal]:
    """The provider's own list decides; where it has none, the platform's; where neither is known, the provider will say. Pure."""
    known = limits.locales if limits.locales is not None else dialects
    if not known or locale.lower() in {one.lower() for one in known}:
        return
    whose = "the provider" if limits.locales is not None else "the platform"
    alike = sorted(one for one in known if one.lower().partition("-")[0] == locale.lower().partition("-")[0])
    hint = f"; it knows {', '.join(alike[:8])}" if alike else f"; it knows {len(known)} others"
    yield Refusal(TranscriptionCheck.LOCALE, f"{whose} does not know the locale {locale}{hint}")


def judge_sound(sound: Sound, limits: ProviderLimits) -> Iterator[Refusal]:
    """Pure."""
    if sound.silent:
        yield Refusal(TranscriptionCheck.AUDIBLE, "nothing can be heard in the recording")
    if limits.max_seconds is not None and sound.seconds > limits.max_seconds:
        told = f"the recording is {sound.seconds:.0f} s long, and the provider takes {limits.max_seconds:.0f} s"
        yield Refusal(TranscriptionCheck.LENGTH, told)


async def _measure(request: TranscriptionRequest, size: int, services: Services, inspectors: Inspectors) -> Sound | Refusal:
    """As the verifier measured it, or measured now, in a process of its own."""
    if request.seconds is not None and request.silent is not None:
        return Sound(request.seconds, request.silent)
    try:
        async with services.storage.local(request.key) as path:
            report = await _inspect(request, path, size, inspectors)
    except FileNotFoundError:
        return Refusal(TranscriptionCheck.MEDIA, "the recording is not in the archive")
    if report.fault is not None:
        return Refusal(TranscriptionCheck.MEDIA, f"the file cannot be used ({report.fault.value}): {report.detail}")
    if not report.streams or report.duration <= 0:
        return Refusal(TranscriptionCheck.MEDIA, "the file holds no sound")
    return Sound(report.duration, Caution.MEDIA_SILENT in report.warnings)


async def _inspect(request: TranscriptionRequest, path: object, size: int, inspectors: Inspectors) -> Report:
    limits = Limits.of(size, 0.0)
    job = Job(
        path=str(anyio.Path(str(path))),
        sha256=request.sha256,
        content_type=request.content_type,
        audio=True,
        level="full",
        cpu_seconds=limits.cpu_seconds,
    )
    return await inspectors.inspect(job, wall=limits.wall)
