"""What docs/handlers says is what the handlers do: every key with its default, every topic, every reason, every sample."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from genesys_sync.dispatch.registry import load_handlers
from genesys_sync.settings import Settings
from genesys_sync.units import parse_duration, parse_size
from genesys_sync_handlers._report import Caution, Fault
from genesys_sync_handlers._transcript_reasons import Missing
from genesys_sync_handlers.archive import Archive
from genesys_sync_handlers.discover import Discover
from genesys_sync_handlers.mute import Mute
from genesys_sync_handlers.redact import Redact
from genesys_sync_handlers.resume import Resume
from genesys_sync_handlers.transcribe import Transcribe
from genesys_sync_handlers.transcript import TranscriptFetch
from genesys_sync_handlers.upload import Upload
from genesys_sync_handlers.verify import Verify
from genesys_sync_handlers.webhook import Webhook

DOCS = Path(__file__).parents[2] / "docs" / "handlers"
HANDLERS: dict[str, Any] = {
    "discover": Discover,
    "archive": Archive,
    "mute": Mute,
    "redact": Redact,
    "resume": Resume,
    "transcribe": Transcribe,
    "transcript": TranscriptFetch,
    "upload": Upload,
    "verify": Verify,
    "webhook": Webhook,
}
EMITTED = {
    "discover": ["recording.created", "recording.status_changed", "recording.ready", "recording.lost"],
    "archive": ["media.archived"],
    "verify": ["media.verified", "media.rejected", "recording.ready"],
    "mute": ["media.redacted", "media.rejected"],
    "redact": ["transcript.redacted"],
    "resume": [],
    "transcribe": ["transcription.requested", "transcript.archived", "transcription.completed"],
    "transcript": ["transcript.archived", "transcript.missing"],
    "upload": ["upload.completed", "upload.failed"],
    "webhook": [],
}


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def documented(name: str) -> dict[str, str]:
    """Key → default, from the table under "Configuration"."""
    section = page(name).split("## Configuration", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (?:`([^|]*)`|required) \|", section, flags=re.MULTILINE))


def read_as(default: object, text: str) -> object:
    """The documented default, read the way the settings file is, in the type of the real one."""
    value = tomllib.loads(f"value = {text}")["value"]
    if isinstance(default, timedelta):
        return parse_duration(value)
    if isinstance(default, tuple):
        return tuple(parse_duration(item) if isinstance(default[0], timedelta) else item for item in value)
    return parse_size(value) if isinstance(default, int) and isinstance(value, str) else value


@pytest.mark.parametrize("name", HANDLERS)
def test_every_key_is_documented_with_its_true_default_and_no_other(name: str) -> None:
    fields = HANDLERS[name].config_type.model_fields
    table = documented(name)
    assert table.keys() == fields.keys()
    for key, field in fields.items():
        if field.default is PydanticUndefined:
            assert table[key] == "", f"{key} is required"
        else:
            assert read_as(field.default, table[key]) == field.default, key


@pytest.mark.parametrize("name", HANDLERS)
def test_every_topic_taken_and_emitted_is_named(name: str) -> None:
    for topic in [*HANDLERS[name].topics, *EMITTED[name]]:
        assert f"`{topic}`" in page(name)


@pytest.mark.parametrize("name", HANDLERS)
def test_every_sample_loads(name: str) -> None:
    samples = re.findall(r"```toml\n(.*?)```", page(name), flags=re.DOTALL)
    assert samples
    for sample in samples:
        settings = Settings.model_validate({"genesys": {"region": "us_east_1"}, **tomllib.loads(sample)})
        assert load_handlers(settings, base=DOCS)


def test_every_reason_and_warning_of_the_verifier_is_explained() -> None:
    withheld, accepted = page("verify").split("## Why a file is withheld", 1)[1].split("## What is accepted", 1)
    assert set(re.findall(r"`([A-Z_]{5,})`", withheld)) == set(Fault)
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", accepted, flags=re.MULTILINE)) == set(Caution)


def test_every_reason_of_a_missing_transcript_is_explained() -> None:
    explained = page("transcript").split("`transcript.missing` carries", 1)[1].split("## Configuration", 1)[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", explained, flags=re.MULTILINE)) == set(Missing)
