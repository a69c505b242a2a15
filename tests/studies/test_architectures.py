"""A study with another architecture: its models are made and measured as the GPT's are, and their verdicts are uncalibrated."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import Counter
from pathlib import Path

import pytest
from tiny import TINY, built, study

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.models.named import ARCHITECTURES, Sizes, config_of, path_of
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Initialise
from capbench.report import load
from capbench.session import calibrating
from capbench.store.store import Store
from capbench.studies.architectures import with_architecture
from capbench.studies.calibration.kept import Kept, kept
from capbench.studies.calibration.preset import CalibrationPreset
from capbench.studies.calibration.study import CalibrationStudy, needs
from capbench.studies.lab import Bench, Built
from capbench.studies.pcfg.readings import behaviour, patching, pruning_search, retention
from capbench.studies.pcfg.study import PcfgStudy
from capbench.studies.pcfg.tools import TOOLBOX
from capbench.studies.tracr import preset as tracr_preset
from capbench.studies.tracr.factory import counter

SIZES = Sizes(vocab_size=20, seq_len=24, n_blocks=2, d_model=16, n_heads=2, activation="relu")

# Tiny models know nothing, so a scale from the never-taught model to the base model may have no length; a note says so.
NO_RANGE = {"patching.depth", "patching.kept", "patching.gone_from", "probing.retention"}
OWN = [name for name in ARCHITECTURES if "huggingface" not in ARCHITECTURES[name].path]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OWN, "llama"])  # the other families are tried in tests/models/huggingface
def test_its_models_are_made_and_measured(name: str, tmp_path: Path) -> None:
    made = with_architecture(study(), name)
    assert isinstance(made, PcfgStudy)
    tuned = made.finetuned(0, prior="low", c_tr=1, lr="medium")
    twin = made.finetuned(0, prior="never", c_tr=1, lr="medium")
    steps = {"base": tuned.base, "tuned": tuned, "never": twin.base, "twin": twin}
    built(store := Store(tmp_path), steps.values())
    assert type(load_model(tuned, store)).__name__ == ARCHITECTURES[name].path.partition(":")[2]
    models = {role: Built(step=step, store=store) for role, step in steps.items()}
    bench = Bench(study=made, seed=0)
    asked = {
        behaviour: ["base", "tuned"],
        pruning_search: ["tuned"],
        patching: ["base", "tuned", "never"],
        retention: steps,
    }
    for reading, roles in asked.items():
        found = list(reading(bench, **{role: models[role] for role in roles}))
        missing = {m.name for m in found if m.value is None and m.curve is None}
        assert found and missing <= NO_RANGE and all(m.note for m in found if m.name in missing), reading
        values = [v for m in found if m.name not in missing for v in ((m.value,) if m.curve is None else m.curve.y)]
        assert values and all(v is not None and math.isfinite(v) and abs(v) < 1e6 for v in values), reading


def test_every_architecture_has_a_configuration_of_the_sizes_asked_for() -> None:
    for known in ARCHITECTURES.values():
        config = known.sized(SIZES)
        wanted = dataclasses.asdict(SIZES)
        shared = wanted.keys() & {field.name for field in dataclasses.fields(config)}
        assert {"vocab_size", "seq_len", "n_blocks", "d_model"} <= shared
        assert {name: getattr(config, name) for name in shared} == {name: wanted[name] for name in shared}
        assert config_of(known.path, SIZES) == config


def test_only_verdicts_on_tried_architectures_are_calibrated_and_only_it_has_anchors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capbench.studies.architectures.kept", Kept)  # in which none was tried
    calibrated = dataclasses.replace(study(), toolbox=TOOLBOX)
    gpt, gru = with_architecture(calibrated, "gpt"), with_architecture(calibrated, "gru")
    assert isinstance(gpt, PcfgStudy) and isinstance(gru, PcfgStudy)
    assert gpt == calibrated and gpt.toolbox == TOOLBOX and gpt.anchors(0)
    assert gru.toolbox == TOOLBOX.uncalibrated() and not gru.anchors(0)
    assert all(not tool.auc for tool in gru.toolbox.tools)
    assert (gpt.model_name, gru.model_name) == ("gpt-1x16", "gru-1x16")


def test_the_tools_areas_are_those_on_known_models_of_the_same_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = {"trained": {"revival": {"small": 0.98}}, "gru": {"revival": {"small": 0.93}}}
    monkeypatch.setattr("capbench.studies.architectures.kept", lambda: Kept(tested=tested))
    calibrated = dataclasses.replace(study(), toolbox=TOOLBOX)
    for name, auc in (("gru", {"small": 0.93}), ("lstm", {})):
        made = with_architecture(calibrated, name)
        assert isinstance(made, PcfgStudy)
        areas = {tool.name: tool.auc for tool in made.toolbox.tools}
        assert areas["revival"] == auc and not areas["patching"]
        assert [(t.present, t.votes) for t in made.toolbox.tools] == [(t.present, t.votes) for t in TOOLBOX.tools]


def test_the_areas_that_come_with_the_package_are_of_runs_that_are_kept() -> None:
    runs = Path(__file__).parents[2] / "reports" / "reference" / "architectures" / "known-states"
    tried = kept().tested.keys() - {"trained", "compiled"}
    assert (
        tried
        == {folder.name for folder in runs.iterdir()}
        == {"llama", "lstm", "gru", "convolution", "state-space", "linear-attention"}
    )
    for name in sorted(tried):
        again = calibrating.tested_by(load(runs / name), dataclasses.replace(kept(), tested={}))
        assert again.tested[name] == kept().tested[name]


def test_the_pool_on_another_architecture_is_ten_of_its_counters() -> None:
    preset = CalibrationPreset(name="tiny", pcfg=TINY, tracr=tracr_preset.smoke())
    made = with_architecture(CalibrationStudy(preset=preset, first=300), "lstm")
    assert isinstance(made, CalibrationStudy)
    members = made.members(0)
    assert Counter(str(member.kind) for member in members) == {"wrapped": 5, "deleted": 5}
    assert {member.task for member in members} == {"counter"}
    starts = {step for step in Plan(needs(made, 0).values()).steps.values() if isinstance(step, Initialise)}
    assert {start.architecture for start in starts} == {path_of("lstm")}
    few = with_architecture(dataclasses.replace(made, preset=dataclasses.replace(preset, most=1)), "lstm")
    assert isinstance(few, CalibrationStudy)
    assert [member.made for member in few.members(0)] == ["full", "never taught, full"]


def test_a_class_of_ones_own_is_built_from_the_gpt_s_configuration() -> None:
    assert isinstance(config_of("network:Recurrent", SIZES), GptConfig)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lst", r"unknown architecture; known: gpt, lstm, .*; or module:Class"),
        ("no_such_module:Net", r"it cannot be imported \(ModuleNotFoundError"),
        ("capbench.errors:UsageError", "it is no architecture"),
        ("a b:C", "unknown architecture"),
    ],
)
def test_a_name_that_is_no_architecture_is_one_line(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        path_of(name)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match=f"architecture '{name}': "):
        with_architecture(study(), name)


def test_a_study_of_compiled_models_has_none_to_choose() -> None:
    made = counter(scale="smoke", method=None, device="cpu", precision="float32")
    with pytest.raises(UsageError, match="architecture 'gru': only PCFG studies can be given one"):
        with_architecture(made, "gru")


def test_names_need_no_torch() -> None:
    import subprocess

    code = (
        "import sys, capbench.models.named as n; n.config_of; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
