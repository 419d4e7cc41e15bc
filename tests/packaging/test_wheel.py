"""The wheel: builds without a network, and holds what it must."""

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = {"genesys_sync": "daemon", "genesys_sync_handlers": "handlers", "genesys_sync_simulator": "simulator"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    done = subprocess.run([*build, str(PROJECT)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return zipfile.ZipFile(built)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_whole(wheel: zipfile.ZipFile, package: str) -> None:
    """Every file of the source root, data too (SQL, scenarios, py.typed); no cache."""
    root = PROJECT / PACKAGES[package]
    wanted = {str(path.relative_to(root)) for path in (root / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {name for name in wheel.namelist() if name.startswith(f"{package}/")} == wanted
    assert f"{package}/py.typed" in wanted


def test_the_data_files_are_in_it(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert any(name.startswith("genesys_sync/ledger/sql/") and name.endswith(".sql") for name in names)
    assert any(name.startswith("genesys_sync_simulator/scenarios/") and name.endswith(".toml") for name in names)


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {
        "genesys_sync",
        "genesys_sync_handlers",
        "genesys_sync_simulator",
    }


def test_entry_points(wheel: zipfile.ZipFile) -> None:
    parser = configparser.ConfigParser()
    (path,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    parser.read_string(wheel.read(path).decode())
    assert dict(parser["console_scripts"]) == {
        "genesys-sync": "genesys_sync.__main__:main",
        "genesys-sync-simulator": "genesys_sync_simulator.__main__:main",
    }
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]["genesys_sync.handlers"]
    assert set(parser["genesys_sync.handlers"]) == set(declared) >= {"discover", "archive", "verify", "resume", "webhook"}
    assert parser["pytest11"]["genesys_sync"] == "genesys_sync.testing"


def test_its_metadata_name_the_licence_and_the_least_python(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = wheel.read(path).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
