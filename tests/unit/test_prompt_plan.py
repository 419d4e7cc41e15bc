"""Which file is which prompt, and what has to be done about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from genesys_sync.architect.folder import arrange, read_folder
from genesys_sync.architect.plan import Change, Known, form_text, judge
from genesys_sync.architect.record import last_push, pushed
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.prompt_rules import is_done, may_fall_back, may_have_token, prompt_of
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import Router
from genesys_sync.services import BadAudio, Encoding, PromptAsset, PromptForm, SecretUrl, UploadForm

ORGANIZATION = "0a0a0a0a-0000-4000-8000-000000000001"
FORM = form_text(PromptForm())
FORMAT = {"sampleRate": 16000, "encoding": "PCM"}
ASSET = PromptAsset("resource", "prompt", "en-us", "transcoded", 2.0, FORMAT)
KNOWN = Known("resource", "aa", FORM, 2.0, FORMAT)


@pytest.mark.parametrize(
    ("place", "name", "language"),
    [("welcome/en-us.wav", "welcome", "en-us"), ("W_1/DE.mp3", "W_1", "de"), ("a/es-419.ogg", "a", "es-419"), ("a/yue", "a", "yue")],
)
def test_a_files_place_says_which_prompt_it_is(place: str, name: str, language: str) -> None:
    (source,), misplaced = arrange([PurePath(place)])
    assert (source.name, source.language, misplaced) == (name, language, [])


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("welcome.wav", "lies in no prompt's folder"),
        ("a/b/en-us.wav", "lies too deep"),
        ("two words/en-us.wav", "whose name no prompt can have"),
        ("a" * 201 + "/de.wav", "whose name no prompt can have"),
        ("a/english.wav", "is not named by a language"),
        ("a/en_us.wav", "is not named by a language"),
        ("a/en-us.v2.wav", "is not named by a language"),
    ],
)
def test_what_fits_nowhere_is_told_of_with_its_reason(place: str, why: str) -> None:
    sources, (misplaced,) = arrange([PurePath(place)])
    assert sources == []
    assert why in misplaced.why


@pytest.mark.parametrize("other", ["a/en-us.mp3", "A/en-us.wav", "a/EN-US.wav"])
def test_two_files_for_one_prompt_are_both_left_out(other: str) -> None:
    sources, misplaced = arrange([PurePath("a/en-us.wav"), PurePath(other), PurePath("b/de.wav")])
    assert [source.name for source in sources] == ["b"]
    assert {str(one.place) for one in misplaced} == {"a/en-us.wav", other}
    assert all("is ambiguous" in one.why for one in misplaced)


def test_hidden_files_are_passed_over_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    for place in ("a/en.wav", ".git/x", "a/.DS_Store"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "again").symlink_to(tmp_path)
    assert read_folder(tmp_path) == [PurePath("a/en.wav"), PurePath("again")]
    with pytest.raises(PermanentError, match="cannot be read"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("sha256", "form", "known", "asset", "change", "why"),
    [
        ("aa", FORM, None, None, Change.NEW, "no such prompt"),
        ("aa", FORM, None, replace(ASSET, status="created", seconds=None), Change.NEW, "no audio yet"),
        ("aa", FORM, KNOWN, ASSET, Change.UNCHANGED, ""),
        ("aa", FORM, None, ASSET, Change.CHANGED, "not pushed from here"),
        ("aa", FORM, KNOWN, replace(ASSET, id="another"), Change.CHANGED, "not pushed from here"),
        ("bb", FORM, KNOWN, ASSET, Change.CHANGED, "the file's content"),
        (
            "aa",
            form_text(PromptForm(Encoding.ULAW)),
            KNOWN,
            ASSET,
            Change.CHANGED,
            "the settings have changed: it was converted to wav pcm",
        ),
        ("aa", FORM, KNOWN, replace(ASSET, status="transcodeFailed"), Change.CHANGED, "transcodeFailed"),
        ("aa", FORM, KNOWN, replace(ASSET, seconds=2.3), Change.CHANGED, "somebody else"),
        ("aa", FORM, KNOWN, replace(ASSET, format={**FORMAT, "sampleRate": 8000}), Change.CHANGED, "somebody else"),
    ],
)
def test_what_is_to_be_done(sha256: str, form: str, known: Known | None, asset: PromptAsset | None, change: Change, why: str) -> None:
    found, reason = judge(sha256, form, known, asset)
    assert found is change
    assert why in reason


@pytest.mark.anyio
@pytest.mark.parametrize("pushes", [0, 1, 2, 3, 4, 5, 9])
async def test_the_last_push_is_found_however_many_there_were(tmp_path: Path, pushes: int) -> None:
    clock = SystemClock()
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as ledger:
        for revision in range(1, pushes + 1):
            event = pushed(
                ASSET,
                at=clock.now(),
                organization_id=ORGANIZATION,
                name="welcome",
                form=FORM,
                source={"sha256": f"hash {revision}", "bytes": 1},
                media={"sha256": "m", "bytes": 1},
                revision=revision,
            )
            await ledger.append(Router({}).route([event]))
        known = await last_push(ledger, ORGANIZATION, "prompt", "en-us")
        assert await last_push(ledger, ORGANIZATION, "prompt", "de") is None
    assert known == (Known("resource", f"hash {pushes}", FORM, 2.0, FORMAT, pushes, served="m") if pushes else None)


@pytest.mark.parametrize(
    ("url", "api", "may"),
    [
        ("https://apps.mypurecloud.ie/uploads/v2/x", "https://api.mypurecloud.ie", True),
        ("https://api.mypurecloud.ie/uploads/v2/x", "https://api.mypurecloud.ie", True),
        ("http://apps.mypurecloud.ie/uploads/v2/x", "https://api.mypurecloud.ie", False),
        ("https://apps.mypurecloud.com/uploads/v2/x", "https://api.mypurecloud.ie", False),
        ("https://evilmypurecloud.ie/x", "https://api.mypurecloud.ie", False),
        ("https://apps.mypurecloud.ie@evil.example/x", "https://api.mypurecloud.ie", False),
        ("https://u:p@apps.mypurecloud.ie/x", "https://api.mypurecloud.ie", False),
        ("https://evil.com/x", "https://api.com", False),
        ("http://127.0.0.1:80/x", "https://api.mypurecloud.ie", False),
        ("http://127.0.0.1:81/x", "http://127.0.0.1:81", True),
        ("http://127.0.0.1:82/x", "http://127.0.0.1:81", False),
        ("https://apps.mypurecloud.ie:bad/x", "https://api.mypurecloud.ie", False),
    ],
)
def test_the_token_goes_to_the_platforms_own_domain_alone(url: str, api: str, *, may: bool) -> None:
    assert may_have_token(SecretUrl(url), api) is may


def test_an_upload_is_done_when_the_transcode_plays_what_was_uploaded() -> None:
    assert is_done(ASSET, 2.1)
    assert not is_done(ASSET, 3.0), "the audio before it is still there"
    assert not is_done(replace(ASSET, status="uploaded", seconds=None), 2.0)
    with pytest.raises(BadAudio, match="transcodeFailed"):
        is_done(replace(ASSET, status="transcodeFailed", seconds=None), 2.0)


def test_the_deprecated_form_is_tried_where_the_current_one_does_not_exist() -> None:
    asset = replace(ASSET, upload=SecretUrl("https://apps.example.com/x"))
    assert may_fall_back(PlatformRefused("gone", status=404), UploadForm.AUTO, asset)
    assert not may_fall_back(PlatformRefused("forbidden", status=403), UploadForm.AUTO, asset)
    assert not may_fall_back(PlatformRefused("gone", status=404), UploadForm.CURRENT, asset)
    assert not may_fall_back(PlatformRefused("gone", status=404), UploadForm.AUTO, ASSET)


def test_answers_that_tell_nothing_are_no_prompts() -> None:
    assert prompt_of({"id": "x", "name": "welcome"}) is None
    assert prompt_of({"id": ORGANIZATION}) is None
    prompt = prompt_of(
        {"id": ORGANIZATION, "name": "w", "resources": [{"language": "EN-us", "id": "r"}, {"id": "no language"}, "nonsense"]}
    )
    assert prompt is not None
    assert list(prompt.assets) == ["en-us"]
