"""Where secrets come from, what is refused, and that no message shows one."""

from pathlib import Path

import pytest

from genesys_sync.errors import ConfigurationError
from genesys_sync.settings import (
    SECRET_LIMIT,
    ClientSettings,
    GenesysSettings,
    SentrySettings,
    find_credentials,
    find_further_clients,
    find_sentry_dsn,
)

SECRET = "s3cret-value"


def file(path: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def settings(client_id: Path | None = None, client_secret: Path | None = None) -> GenesysSettings:
    return GenesysSettings(region="us_east_1", client_id_file=client_id, client_secret_file=client_secret)


def fault(*args: GenesysSettings, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        find_credentials(*args, environ=environ or {})
    text = "\n".join(caught.value.problems)
    assert SECRET not in text
    return text


def test_files_are_read_without_the_newline_that_editors_add(tmp_path: Path) -> None:
    found = find_credentials(settings(file(tmp_path / "id", "the-id\n"), file(tmp_path / "secret", f"{SECRET}\r\n")), environ={})
    assert found.client_id.get_secret_value() == "the-id"
    assert found.client_secret.get_secret_value() == SECRET
    assert found.source == "files"


def test_blanks_inside_a_secret_stay(tmp_path: Path) -> None:
    found = find_credentials(settings(file(tmp_path / "id"), file(tmp_path / "secret", " a b ")), environ={})
    assert found.client_secret.get_secret_value() == " a b "


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    told = fault(settings(file(tmp_path / "id"), file(tmp_path / "secret", mode=mode)))
    assert told == f"genesys.client_secret_file: SECRET_EXPOSED: {tmp_path / 'secret'} may be read by others; chmod 600 it"


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_an_empty_secret_is_refused(tmp_path: Path, text: str) -> None:
    assert fault(settings(file(tmp_path / "id"), file(tmp_path / "secret", text))).endswith("secret is empty; write the secret into it")


def test_both_files_faults_are_told(tmp_path: Path) -> None:
    told = fault(settings(tmp_path / "none", tmp_path))
    assert "genesys.client_id_file: " in told
    assert "No such file" in told
    assert "genesys.client_secret_file: " in told


def test_a_secret_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    assert fault(settings(file(tmp_path / "id"), path)).endswith("is not text")


def test_no_more_is_read_than_a_secret_can_have(tmp_path: Path) -> None:
    found = find_credentials(settings(file(tmp_path / "id"), file(tmp_path / "secret", "x" * (SECRET_LIMIT + 1))), environ={})
    assert len(found.client_secret.get_secret_value()) == SECRET_LIMIT


def test_one_file_alone_asks_for_the_other(tmp_path: Path) -> None:
    assert fault(settings(client_secret=file(tmp_path / "secret"))) == "genesys.client_id_file: is required, because its sibling is set"


def test_systemd_credentials_come_first_and_their_mode_is_systemds_business(tmp_path: Path) -> None:
    file(tmp_path / "client_id", "from-systemd", 0o440)
    file(tmp_path / "client_secret", SECRET, 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GENESYS_CLIENT_ID": "env", "GENESYS_CLIENT_SECRET": "env-secret"}
    found = find_credentials(settings(), environ=environ)
    assert (found.client_id.get_secret_value(), found.source) == ("from-systemd", "systemd credentials")


def test_half_of_systemds_credentials_are_not_mixed_with_the_environment(tmp_path: Path) -> None:
    file(tmp_path / "client_secret")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GENESYS_CLIENT_ID": "env", "GENESYS_CLIENT_SECRET": "env-secret"}
    assert "client_id" in fault(settings(), environ=environ)


def test_other_services_credentials_are_not_ours(tmp_path: Path) -> None:
    file(tmp_path / "webhook_secret")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GENESYS_CLIENT_ID": "env", "GENESYS_CLIENT_SECRET": SECRET}
    assert find_credentials(settings(), environ=environ).source == "the environment"


@pytest.mark.parametrize("environ", [{}, {"GENESYS_CLIENT_ID": "a"}, {"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": " "}])
def test_without_a_whole_client_every_way_to_give_one_is_named(environ: dict[str, str]) -> None:
    told = fault(settings(), environ=environ)
    assert all(way in told for way in ("systemd credentials", "client_secret_file", "GENESYS_CLIENT_SECRET"))


@pytest.mark.parametrize(
    ("environ", "missing"),
    [({"GENESYS_CLIENT_ID": "a"}, "GENESYS_CLIENT_SECRET"), ({"GENESYS_CLIENT_SECRET": SECRET}, "GENESYS_CLIENT_ID")],
)
def test_of_half_a_client_in_the_environment_the_other_half_is_named(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no OAuth client: {missing} is missing") as caught:
        find_credentials(settings(), environ=environ)
    assert SECRET not in str(caught.value)


def test_credentials_never_print(tmp_path: Path) -> None:
    found = find_credentials(settings(), environ={"GENESYS_CLIENT_ID": "the-id", "GENESYS_CLIENT_SECRET": SECRET})
    assert SECRET not in f"{found!r} {found}"
    assert "the-id" not in f"{found!r} {found}"


def test_the_dsn_comes_from_its_file_or_the_environment_or_not_at_all(tmp_path: Path) -> None:
    path = file(tmp_path / "dsn", "https://k@s.example/1\n")
    dsn = find_sentry_dsn(SentrySettings(dsn_file=path), environ={"SENTRY_DSN": "other"})
    assert dsn is not None
    assert dsn.get_secret_value() == "https://k@s.example/1"
    assert find_sentry_dsn(SentrySettings(), environ={"SENTRY_DSN": "other"}) is not None
    assert find_sentry_dsn(SentrySettings(), environ={"SENTRY_DSN": " "}) is None
    with pytest.raises(ConfigurationError, match=r"sentry\.dsn_file"):
        find_sentry_dsn(SentrySettings(dsn_file=tmp_path / "none"), environ={})


def further(name: str, folder: Path, mode: int = 0o600) -> GenesysSettings:
    client = ClientSettings(client_id_file=file(folder / "id", "its-id"), client_secret_file=file(folder / "its_secret", mode=mode))
    return GenesysSettings(region="us_east_1", clients={name: client})


def test_further_clients_are_read_by_their_names(tmp_path: Path) -> None:
    (found,) = find_further_clients(further("second", tmp_path), environ={}).items()
    assert (found[0], found[1].client_id.get_secret_value(), found[1].client_secret.get_secret_value()) == ("second", "its-id", SECRET)


def test_a_further_clients_secret_that_others_may_read_is_refused_unless_systemd_keeps_it(tmp_path: Path) -> None:
    exposed = further("second", tmp_path, 0o440)
    with pytest.raises(ConfigurationError, match=r"genesys\.clients\.second\.client_secret_file: SECRET_EXPOSED"):
        find_further_clients(exposed, environ={})
    assert find_further_clients(exposed, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("name", ["main", "Second", "", "a_b", "x" * 32])
def test_a_further_client_with_an_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a client's name"):
        further(name, tmp_path)
