"""A TOML file becomes a Scenario, or a list of everything that is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from genesys_sync_simulator.scenario import (
    ANALYTICS_FAULTS,
    EVENT_FAULTS,
    FORMATS,
    MOMENT_FAULTS,
    RECORDING_FAULTS,
    Calls,
    Client,
    Extra,
    Faults,
    Moment,
    PlatformRules,
    Recordings,
    Scenario,
    ScenarioError,
)
from genesys_sync_simulator.scenario_acting import ACTING_FAULTS, Architect, Control, FlowRules, Uploads
from genesys_sync_simulator.scenario_digital import IN_BATCHES, Digital
from genesys_sync_simulator.scenario_speech import (
    PLANTED_FORMS,
    PLANTED_KINDS,
    PROVIDER_FAULTS,
    REASONS,
    TRANSCRIPT_FAULTS,
    TRANSCRIPTION,
    Planted,
    Providers,
    Transcripts,
)
from genesys_sync_simulator.scenario_values import (
    Reader,
    duration,
    flag,
    integer,
    language,
    nearest,
    one_of,
    pause,
    permission,
    positive,
    several,
    share,
    size,
    span,
    text,
)


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with the package."""
    folder = resources.files("genesys_sync_simulator") / "scenarios"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(which: str) -> Scenario:
    """The scenario in the file `which`, or the shipped one of that name. Raises ScenarioError with all faults."""
    try:
        if which in shipped():
            content = (resources.files("genesys_sync_simulator") / "scenarios" / f"{which}.toml").read_text(encoding="utf-8")
        else:
            content = Path(which).read_text(encoding="utf-8-sig")
        document = tomllib.loads(content)
    except FileNotFoundError:
        raise ScenarioError([f"there is no scenario file {which!r}, and the shipped ones are {', '.join(shipped())}"]) from None
    except OSError as error:
        raise ScenarioError([f"the scenario file {which!r} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ScenarioError([f"the scenario file {which!r} is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([f"the scenario file {which!r} is not TOML: {error}"]) from None
    return read(document, name=Path(which).stem)


def read(document: Mapping[str, Any], *, name: str = "default") -> Scenario:
    """The scenario that a parsed document describes. Raises ScenarioError with all faults at once."""
    problems: list[str] = []
    values = _table(document, _TOP, "", problems)
    if problems:
        raise ScenarioError(problems)
    scenario = Scenario(name=name, **values)
    problems = list(_contradictions(scenario))
    if problems:
        raise ScenarioError(problems)
    return scenario


_EXTRA: Mapping[str, Reader] = {
    "bytes": size,
    "end_after": duration,
    "sample_rate": one_of(8000, 16_000, 44_100, 48_000),
    "channels": one_of(1, 2),
}
_MOMENT: Mapping[str, Reader] = {"kind": one_of(*MOMENT_FAULTS), "at": duration}
_CLIENT: Mapping[str, Reader] = {
    "id": text,
    "secret": text,
    "name": text,
    "permissions": several(permission, empty=True),
    "user": flag,
}
_CALLS: Mapping[str, Reader] = {
    "count": integer(0, 100_000),
    "per_second": positive,
    "duration": span,
    "ring": duration,
    "wrapup_after": duration,
    "end_together": flag,
    "recordings_per_call": several(integer(0, 3)),
    "queues": integer(1, 1000),
    "agents": integer(1, 10_000),
    "head_start": duration,
    "on_request": flag,
    "extra": lambda value: value,
}
_RECORDINGS: Mapping[str, Reader] = {
    "formats": several(one_of(*FORMATS)),
    "channels": several(one_of(1, 2)),
    "appear_after": span,
    "available_after": span,
    "multipart": integer(0),
    "orphans": integer(0, 10_000),
}
_DIGITAL: Mapping[str, Reader] = {
    **dict.fromkeys(("chats", "messages", "emails", "screens", "too_large", "taken_up"), integer(0, 10_000)),
    "duration": span,
    "taken_up_after": duration,
    "html": share,
    "in_batches": one_of(*IN_BATCHES),
}
_TRANSCRIPTS: Mapping[str, Reader] = {
    "setting": one_of(*TRANSCRIPTION),
    "licensed": flag,
    "late": share,
    "never": share,
    "ready_after": span,
    "late_after": span,
    "never_reasons": several(one_of(*REASONS)),
    "languages": several(language),
    "language_changes": share,
    "messages": share,
    "missing_fields": share,
    "live_batch": pause,
    "live_sign": pause,
    "file_life": duration,
    "planted": lambda value: value,
}
_PLANTED: Mapping[str, Reader] = {
    **dict.fromkeys(PLANTED_KINDS, share),
    "forms": several(one_of(*PLANTED_FORMS)),
    "card_valid": share,
}
_PROVIDERS: Mapping[str, Reader] = {
    "api_key": text,
    "callback_secret": text,
    "job_time": span,
    "late_after": duration,
    "max_bytes": size,
    "max_seconds": duration,
    **dict.fromkeys(PROVIDER_FAULTS, integer(0, 100_000)),
}
_PLATFORM: Mapping[str, Reader] = {
    "rate_limit_per_minute": integer(1),
    "heartbeat": duration,
    "token_life": duration,
    "channel_life": duration,
    "max_channels": integer(1, 1000),
    "max_topics": integer(1, 100_000),
    "url_life": duration,
    "batch_job_time": duration,
    "batch_unavailable": one_of("error", "leave-out"),
    "transcode_time": duration,
    "restore_time": duration,
    "analytics_delay": duration,
    "data_lake_lag": duration,
    "socket_closing_grace": duration,
    "bandwidth": size,
}
_CONTROL: Mapping[str, Reader] = {"delay": duration, "participants_only": flag, "screen": flag}
_UPLOADS: Mapping[str, Reader] = {
    "resumable": flag,
    "resume_status": one_of(308, 206),
    "upload_bandwidth": size,
    "process_time": duration,
    "report_time": duration,
    "report_form": one_of("csv", "json"),
    "failing": several(text, empty=True),
    "waiting": several(text, empty=True),
}
_ARCHITECT: Mapping[str, Reader] = {
    "prompts": several(text, empty=True),
    "max_prompts": integer(0),
    "prompt_time": duration,
    "operation_time": duration,
    "tracking_time": duration,
    "flows": lambda value: value,
}
_FLOW: Mapping[str, Reader] = {
    "name": text,
    "type": text,
    "uses": several(text, empty=True),
    "locked_by": text,
    "missing": several(text, empty=True),
    "outcome": one_of("SUCCESS", "FAILURE"),
    "message": text,
    "deleted": flag,
    "fixed": flag,
}
_FAULTS: Mapping[str, Reader] = {
    **{
        kind: integer(0, 100_000)
        for kind in (*RECORDING_FAULTS, *EVENT_FAULTS, *MOMENT_FAULTS, *ANALYTICS_FAULTS, *ACTING_FAULTS, *TRANSCRIPT_FAULTS)
    },
    "at": lambda value: value,
    "drop_socket_for": duration,
    "rate_limit_for": duration,
}
_TOP: Mapping[str, Reader] = {
    "seed": integer(0, 2**63 - 1),
    "start": one_of("on-subscribe", "at-once", "on-request"),
    "calls": lambda value: value,
    "recordings": lambda value: value,
    "platform": lambda value: value,
    "control": lambda value: value,
    "uploads": lambda value: value,
    "architect": lambda value: value,
    "faults": lambda value: value,
    "clients": lambda value: value,
    "transcripts": lambda value: value,
    "providers": lambda value: value,
    "digital": lambda value: value,
}


def _table(raw: Any, readers: Mapping[str, Reader], path: str, problems: list[str]) -> dict[str, Any]:
    """The values of one table, each read; faults are added to `problems` and their keys left out."""
    if not isinstance(raw, Mapping):
        problems.append(f"{path.rstrip('.')} must be a table")
        return {}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in readers:
            problems.append(f"{path}{key} is not a key of a scenario{nearest(key, readers)}")
            continue
        try:
            values[key] = _BRANCHES[path + key](value, problems) if path + key in _BRANCHES else readers[key](value)
        except ValueError as error:
            problems.append(f"{path}{key} {error}")
    return values


def _tables(raw: Any, readers: Mapping[str, Reader], path: str, problems: list[str], needed: Iterable[str]) -> list[dict[str, Any]]:
    if not isinstance(raw, list):
        raise ValueError("must be a list of tables")
    found = []
    for index, entry in enumerate(raw):
        values = _table(entry, readers, f"{path}[{index}].", problems)
        problems.extend(
            f"{path}[{index}].{key} is missing"
            for key in needed
            if key not in values and (not isinstance(entry, Mapping) or key not in entry)
        )
        if all(key in values for key in needed):
            found.append(values)
    return found


def _faults(raw: Any, problems: list[str]) -> Faults:
    values = _table(raw, _FAULTS, "faults.", problems)
    own = {key: values.pop(key) for key in ("at", "drop_socket_for", "rate_limit_for") if key in values}
    return Faults(counts=tuple(sorted(values.items())), **own)


def _providers(raw: Any, problems: list[str]) -> Providers:
    values = _table(raw, _PROVIDERS, "providers.", problems)
    counts = tuple(sorted((kind, values.pop(kind)) for kind in PROVIDER_FAULTS if kind in values))
    return Providers(faults=counts, **values)


_BRANCHES: Mapping[str, Callable[[Any, list[str]], Any]] = {
    "calls": lambda raw, problems: Calls(**_table(raw, _CALLS, "calls.", problems)),
    "calls.extra": lambda raw, problems: tuple(Extra(**v) for v in _tables(raw, _EXTRA, "calls.extra", problems, ["bytes"])),
    "recordings": lambda raw, problems: Recordings(**_table(raw, _RECORDINGS, "recordings.", problems)),
    "platform": lambda raw, problems: PlatformRules(**_table(raw, _PLATFORM, "platform.", problems)),
    "control": lambda raw, problems: Control(**_table(raw, _CONTROL, "control.", problems)),
    "uploads": lambda raw, problems: Uploads(**_table(raw, _UPLOADS, "uploads.", problems)),
    "architect": lambda raw, problems: Architect(**_table(raw, _ARCHITECT, "architect.", problems)),
    "architect.flows": lambda raw, problems: tuple(FlowRules(**v) for v in _tables(raw, _FLOW, "architect.flows", problems, ["name"])),
    "faults": _faults,
    "faults.at": lambda raw, problems: tuple(Moment(**v) for v in _tables(raw, _MOMENT, "faults.at", problems, ["kind", "at"])),
    "transcripts": lambda raw, problems: Transcripts(**_table(raw, _TRANSCRIPTS, "transcripts.", problems)),
    "transcripts.planted": lambda raw, problems: Planted(**_table(raw, _PLANTED, "transcripts.planted.", problems)),
    "providers": _providers,
    "digital": lambda raw, problems: Digital(**_table(raw, _DIGITAL, "digital.", problems)),
    "clients": lambda raw, problems: tuple(Client(**v) for v in _tables(raw, _CLIENT, "clients", problems, ["id", "secret"])),
}


def _contradictions(scenario: Scenario) -> Iterable[str]:
    per_call = scenario.calls.recordings_per_call
    planned = sum(per_call[index % len(per_call)] for index in range(scenario.calls.count))
    faulty = sum(scenario.faults.count(kind) for kind in RECORDING_FAULTS) + scenario.recordings.multipart
    if faulty > planned:
        yield f"faults asks for {faulty} recordings with a fault or in several parts, and the calls make only {planned}"
    if scenario.platform.heartbeat <= 0:
        yield "platform.heartbeat must be longer than zero"
    if scenario.recordings.available_after.low < scenario.recordings.appear_after.high:
        yield "recordings.available_after must not begin before recordings.appear_after ends"
    if scenario.calls.head_start >= scenario.calls.duration.low + scenario.calls.ring and scenario.calls.head_start:
        yield "calls.head_start must be shorter than the shortest call"
    if scenario.calls.on_request and (fixed := _fixes_begins(scenario)):
        yield f"calls.on_request must be false with {', '.join(fixed)}: there the plan says when each call begins"
    yield from _too_many_digital(scenario)
    if scenario.transcripts is not None and scenario.transcripts.late + scenario.transcripts.never > 1:
        yield "transcripts.late and transcripts.never must not come to more than 1 together"
    if scenario.transcripts is not None and not scenario.transcripts.licensed and scenario.transcripts.setting != "Disabled":
        yield "transcripts.setting must be Disabled where transcripts.licensed is false"
    if scenario.transcripts is None and any(scenario.faults.count(kind) for kind in TRANSCRIPT_FAULTS):
        yield "faults asks for spoilt transcripts, and there is no table transcripts"
    for index, extra in enumerate(scenario.calls.extra):
        if not 1000 <= extra.bytes < 2**32:
            yield f"calls.extra[{index}].bytes must lie between 1 kB and 4 GiB, the most that a WAV header can state"


def _too_many_digital(scenario: Scenario) -> Iterable[str]:
    calls, digital = scenario.calls.count + len(scenario.calls.extra), scenario.digital
    if digital.screens > calls:
        yield f"digital.screens asks for the screens of {digital.screens} calls, and there are {calls}"
    if digital.too_large > digital.emails:
        yield f"digital.too_large asks for {digital.too_large} e-mails, and digital.emails makes {digital.emails}"
    if digital.taken_up > digital.emails:
        yield f"digital.taken_up asks for {digital.taken_up} e-mails, and digital.emails makes {digital.emails}"


def _fixes_begins(scenario: Scenario) -> list[str]:
    """Paths of what holds only as long as calls begin when they were planned to."""
    calls = scenario.calls
    found = {
        "calls.head_start": calls.head_start,
        "calls.end_together": calls.end_together,
        "calls.extra": calls.extra,
        "digital": scenario.digital != Digital(),
        "transcripts": scenario.transcripts,
    }
    return [path for path, asked in found.items() if asked]
