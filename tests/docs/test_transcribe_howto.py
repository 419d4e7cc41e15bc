"""The samples of docs/howto/transcribe.md: a provider of one's own works as it stands, and every table loads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from genesys_sync.dispatch.providers import load_providers
from genesys_sync.plugin import Transcribed, TranscriptionJob
from genesys_sync.settings import Settings

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "transcribe.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


async def test_the_samples(tmp_path: Path) -> None:
    (code,) = blocks("python")
    (tmp_path / "polite.py").write_text(code)
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 40)
    secret.chmod(0o600)
    tables = [tomllib.loads(text.replace("/etc/genesys-sync/jobs_callback_secret", str(secret))) for text in blocks("toml")]
    assert len(tables) == 3
    found = {}
    for table in tables:
        settings = Settings.model_validate({"genesys": {"region": "us_east_1"}, **table})
        found |= {one.name: one for one in load_providers(settings, base=tmp_path)}
    assert list(found) == ["speech", "jobs", "polite"]
    assert [len(one.keys) for one in found.values()] == [0, 1, 0]
    job = TranscriptionJob(key="0" * 32, media=secret, content_type="audio/wav", locale="en-US")
    result = await found["polite"].provider.submit(job)
    assert isinstance(result, Transcribed)
    assert [one.text for one in found["polite"].provider.read(result.document).segments] == ["good morning"]
