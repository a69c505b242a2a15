"""The wheel holds all that a run needs, and without a clone its suites are the same tests with the same ids."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("capbench", "suites", "pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


def carried_out(*command: str, folder: Path, **variables: str) -> str:
    """What a command prints, in a folder and without the options and the cache of this session."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "CAPBENCH_"))}
    done = subprocess.run(
        command, cwd=folder, env={**inherited, **variables}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves folders beside the sources, and takes what older builds left there."""
    copy, place = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / name, copy)
    return place / carried_out(sys.executable, "-c", BUILD, str(place), folder=copy).splitlines()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked: on PYTHONPATH it comes before the clone."""
    place = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def with_suffix(folder: Path, *suffixes: str) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in folder.rglob("*") if file.suffix in suffixes}


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name and name[-1] != "/"}
    data = with_suffix(
        ROOT / "capbench", ".safetensors", ".json", ".toml", ".csv", ".css", ".j2", ".js", ".typed", ".gz"
    )
    assert len(data) > 20 and "capbench/zoo/manifest.json" in data
    suites = {f"capbench/{name}" for name in with_suffix(ROOT / "suites", ".py")}
    assert "capbench/suites/pcfg/test_relevance.py" in suites
    assert held == with_suffix(ROOT / "capbench", ".py") | data | suites


def test_every_folder_of_suites_is_a_package() -> None:
    """Else its files are not in the wheel, and two files of one name could not be collected together."""
    for file in (ROOT / "suites").rglob("*.py"):
        assert (file.parent / "__init__.py").is_file(), file.parent


def collected(folder: Path, *asked: str, **variables: str) -> list[str]:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "--capbench-extended")
    return [line for line in carried_out(*command, *asked, folder=folder, **variables).splitlines() if "::" in line]


@pytest.mark.slow
def test_without_a_clone_the_same_tests_are_collected(installed: Path, tmp_path: Path) -> None:
    found = collected(tmp_path, "--pyargs", "capbench.suites", PYTHONPATH=str(installed))
    # pytest's ids are relative to the package here; those in a report are not: the next test.
    assert [f"suites/{line}" for line in found] == collected(ROOT, "suites/")
    assert len(found) > 80


@pytest.mark.slow
def test_the_ids_in_a_report_are_those_of_a_clone(installed: Path, tmp_path: Path) -> None:
    """Even if the package lies within the current folder, as in a virtual environment there."""
    place = shutil.copytree(installed, tmp_path / "venv" / "site-packages")
    arguments = ["--pyargs", "capbench.suites", "--capbench-scale=smoke", "--capbench-report=reports/"]
    carried_out(
        sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider", "-k", "class_balance and counter and 0.5",
        folder=tmp_path, PYTHONPATH=str(place), CAPBENCH_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    (file,) = tmp_path.glob("reports/*/results.json")
    (record,) = json.loads(file.read_text())["records"]
    name = "test_answers_of_the_counter_spread_over_many_classes[c_tr=0.5]"
    assert (record["claim"], record["case"]) == ("data.balance.counter", "c_tr=0.5")
    assert record["nodeid"] == f"suites/pcfg/test_class_balance.py::{name}"
    assert str(tmp_path) not in file.read_text()
