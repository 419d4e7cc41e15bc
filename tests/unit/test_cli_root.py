"""The command line's root: usage, exit codes, sentences instead of tracebacks."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genesys_sync import logs
from genesys_sync.cli import main, status
from genesys_sync.cli.execution import PIPE_CLOSED
from genesys_sync.errors import ConfigurationError, CredentialsRefused, LedgerLocked, PortInUse


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run a command whose work ends with this exception."""

    def run(error: BaseException, *words: str) -> int:
        def fails(_args: argparse.Namespace) -> int:
            raise error

        monkeypatch.setattr(status, "run", fails)
        return main([*words, "status"])

    return run


def test_without_a_command_help_is_shown_and_the_code_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert "dead-letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["nonsense"], ["status", "--nonsense"], ["find"], ["dead-letters"], ["dead-letters", "list", "--reason", "BAD"]]
)
def test_wrong_usage_is_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stauts"], "genesys-sync: there is no command 'stauts' (did you mean status?); `genesys-sync --help` shows them"),
        (["--setings", "x", "status"], "genesys-sync: there is no option --setings (did you mean --settings?)"),
        (["--set=a=b", "xyz", "status"], "genesys-sync: there is no command 'xyz'; "),
        (["status", "--jsno=x"], "genesys-sync status: there is no option --jsno (did you mean --json?)"),
        (["status", "now"], "genesys-sync status: 'now' is one word too many; "),
        (["dead-letters"], "genesys-sync dead-letters: say which: list, show, replay"),
        (["dead-letters", "lsit"], "genesys-sync dead-letters: there is no action 'lsit' (did you mean list?)"),
        (["dead-letters", "list", "--resaon", "X"], "genesys-sync dead-letters list: there is no option --resaon (did you mean --reason?)"),
    ],
)
def test_a_misspelt_word_is_named_with_what_was_probably_meant(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    usage, *_, said = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ")
    assert said.startswith(sentence)


@pytest.mark.parametrize("word", ["--help", "--version", "nonsense"])
def test_words_that_run_no_command_import_none(word: str) -> None:
    """Shells complete by `--help` and monitors ask for the version: neither waits for settings, loop or ledger to be imported."""
    script = (
        "import sys; from genesys_sync.cli import main; main([sys.argv[1]]); "
        "print(*sorted({'pydantic', 'structlog', 'anyio', 'aiohttp', 'apsw', 'genesys_sync.settings'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_version_and_help_are_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("genesys-sync 0.")
    for words in ([], ["run"], ["check"], ["demo"], ["status"], ["find"], ["dead-letters"], ["dead-letters", "replay"], ["resume"]):
        assert main([*words, "--help"]) == 0
        assert "--settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [(CredentialsRefused("the client was refused"), 77), (PortInUse("the port is taken"), 75), (LedgerLocked("held by pid 7"), 75)],
)
def test_an_expected_error_is_one_sentence_with_its_own_code(
    error: Exception, code: int, raising: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == code
    assert capsys.readouterr().err == f"genesys-sync: {error}\n"


def test_each_fault_of_the_configuration_has_a_line_then_they_are_counted(
    raising: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(ConfigurationError(["feed.a: is wrong", "feed.b: is wrong too"])) == 78
    assert capsys.readouterr().err.splitlines() == [
        "genesys-sync: feed.a: is wrong",
        "genesys-sync: feed.b: is wrong too",
        "genesys-sync: CONFIG_INVALID: 2 faults in the configuration",
    ]


def test_a_key_that_is_named_like_a_secret_does_not_hide_what_is_said_of_it(
    raising: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ConfigurationError("genesys.client_secret: unknown key; a sentence with client_secret=opaque in it"))
    assert capsys.readouterr().err.splitlines()[0] == (
        "genesys-sync: genesys.client_secret: unknown key; a sentence with client_secret=<secret> in it"
    )


def test_expected_errors_in_a_group_are_expected_still(raising: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [PortInUse("taken")]), LedgerLocked("held")])
    assert raising(group) == 75
    assert capsys.readouterr().err == "genesys-sync: taken\ngenesys-sync: held\n"


def test_an_unforeseen_error_is_a_sentence_too_and_is_reported(raising: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    told: list[BaseException | None] = []
    logs.report_errors_to(lambda _message, error: told.append(error))
    error = KeyError("Bearer abcdef-secret")
    assert raising(error) == 70
    shown = capsys.readouterr().err
    assert "internal error: KeyError" in shown
    assert "please report" in shown
    assert "Traceback" not in shown
    assert "abcdef-secret" not in shown
    assert told == [error]


def test_debug_shows_the_traceback(raising: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyError("x"), "--debug") == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (CredentialsRefused("the client is refused"), "the client is refused", 77),
        (ConfigurationError(["a: b", "c: d"]), "a: b; c: d; CONFIG_INVALID: 2 faults in the configuration", 78),
        (ZeroDivisionError(), "internal error: ZeroDivisionError", 70),
    ],
)
def test_whoever_asked_for_json_reads_json_of_a_failure_too(
    error: Exception, sentence: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(status, "run", fails)
    assert main(["status", "--json"]) == code
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["outcome"] == "failure"
    assert told["error"].startswith(sentence)
    assert err.startswith("genesys-sync: ")
    assert main(["status"]) == code
    assert capsys.readouterr().out == ""


def test_an_interrupt_is_130_and_says_nothing(raising: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_a_message_cannot_colour_the_terminal(raising: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    raising(PortInUse("evil \x1b[31m\nsecond line"))
    assert capsys.readouterr().err == "genesys-sync: evil \\x1b[31m\\nsecond line\n"


def test_options_may_stand_before_and_after_the_command_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(status, "run", lambda args: seen.append(args) or 0)
    assert main(["--set", "a=1", "--settings", "one.toml", "status", "--set", "b=2", "--set", "c=3", "--settings", "two.toml"]) == 0
    assert (seen[0].set, seen[0].settings) == (["a=1", "b=2", "c=3"], "two.toml")
    assert main(["--settings", "one.toml", "--debug", "status"]) == 0
    assert (seen[1].settings, seen[1].debug, seen[1].set) == ("one.toml", True, [])


def test_the_settings_file_is_the_one_named_else_the_one_here_else_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genesys_sync.cli.invocation import settings_path

    monkeypatch.chdir(tmp_path)
    assert settings_path(argparse.Namespace(settings=None)) == Path("/etc/genesys-sync/settings.toml")
    Path("settings.toml").touch()
    assert settings_path(argparse.Namespace(settings=None)) == Path("settings.toml")
    assert settings_path(argparse.Namespace(settings="other.toml")) == Path("other.toml")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`genesys-sync … | head -1`: the pipe is closed before everything is written."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "genesys_sync", "--help"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path
        )
    assert "Traceback" not in done.stderr
    read, write = os.pipe()
    os.close(read)
    script = (
        "import sys; from genesys_sync import cli; from genesys_sync.cli import status; status.run = lambda a: print('x' * 100_000) or 0;"
    )
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", script + "sys.exit(cli.main(['status']))"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")


def _in_a_process(script: str, redirection: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, script]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_hurt_nobody(redirection: str, tmp_path: Path) -> None:
    """Cron and supervisors start programs so; the first socket must not get the number of a standard stream."""
    script = (
        "import sys, anyio; from genesys_sync import cli; from genesys_sync.cli import status; "
        "from genesys_sync.cli.invocation import run_async; from genesys_sync.cli.output import print_line\n"
        "async def work():\n  await anyio.sleep(0); print_line('x'); return 3\n"
        "status.run = lambda a: run_async(work)\nsys.exit(cli.main(['status']))"
    )
    done = _in_a_process(script, redirection, tmp_path)
    assert (done.returncode, done.stderr) == (3, "")


def test_an_output_that_takes_no_more_is_a_sentence_and_74(tmp_path: Path) -> None:
    script = (
        "import sys; from genesys_sync import cli; from genesys_sync.cli import status; from genesys_sync.cli.output import print_line; "
        "status.run = lambda a: print_line('x' * {count}) or 0; sys.exit(cli.main(['status']))"
    )
    for count in (10, 100_000):
        done = _in_a_process(script.format(count=count), ">/dev/full", tmp_path)
        assert done.returncode == 74
        assert done.stderr == "genesys-sync: the output cannot be written: No space left on device; make room, or send it elsewhere\n"


@pytest.mark.parametrize(
    "words",
    [
        ["find", "x", "--limit", "0"],
        ["find", "x", "--limit", "many"],
        ["dead-letters", "list", "--limit", "-1"],
        ["demo", "--kill", "-1"],
        ["demo", "--seed", "-1"],
        ["demo", "--patience", "0"],
        ["demo", "--patience", "nan"],
    ],
)
def test_numbers_that_make_no_sense_are_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert f"{words[-1]!r} is not a" in capsys.readouterr().err


def test_the_demo_tells_of_wrong_settings_and_folders_before_it_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text('[genesys]\nregion = "us_east_1"\n')
    assert main(["demo", "--set", "feed.silense=3s"]) == 78
    assert "feed.silense: unknown key; did you mean 'silence'?" in capsys.readouterr().err
    assert main(["demo", "--folder", "settings.toml"]) == 78
    assert "settings.toml: is not a folder; name another with --folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]
