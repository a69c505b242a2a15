"""The `capbench` command, through `main`: help, mistakes, and `fidelity` from nothing to report files, then from the cache."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Ended, in_folder, report, run

from capbench import __version__
from capbench.cli.main import main
from capbench.errors import CapbenchError
from capbench.pipeline.executors import base
from capbench.results import Measurement
from capbench.session.options.at_once import AtOnce
from capbench.store.store import Store
from capbench.studies.calibration.kept import Thresholds, kept, read, rule_now
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.outcome import Judged, Outcome


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_folder(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, as compiling takes seconds."""
    return tmp_path_factory.mktemp("cache")


def fidelity(capsys: pytest.CaptureFixture[str], cache: Path, *more: str) -> Ended:
    return run(capsys, "fidelity", "--table", "tracr", "--scale", "tiny", "--jobs", "1", "--cache", str(cache), *more)


# ---- the command


def test_without_a_command_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys)
    assert ended.code == 0 and "fidelity" in ended.out and ended.err == ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--version"], f"capbench {__version__}"),
        (["--help"], "fidelity"),
        (["fidelity", "--help"], "--cells"),
    ],
)
def test_version_and_help(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 0 and said in capsys.readouterr().out


def test_help_and_mistakes_cost_neither_torch_nor_jax() -> None:
    program = """
import contextlib, io, sys
from capbench.cli.main import main
codes = []
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for argv in ([], ["fidelity", "--help"], ["fidelity", "--table", "tracr", "--cells", "x"],
                 ["fidelity", "--table", "tracr", "--seeds", "0"], ["fidelity", "--table", "tracr", "--cache", sys.argv[1]]):
        try:
            codes.append(main(argv))
        except SystemExit as end:
            codes.append(end.code)
print(*codes)
print(*sorted({m.split(".")[0] for m in sys.modules} & {"torch", "jax", "safetensors", "scipy"}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, __file__], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0 0 2 2 2\n\n", "")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("trian", ["trian", "fidelity"]),
        ("fidelity", ["--table", "fidelity --help"]),
        ("fidelity --table table5", ["--table=table5", "known: tracr, pcfg-counting"]),
        ("fidelity --table tracr --scale huge", ["--scale=huge", "smoke, small, paper"]),
        ("fidelity --table tracr --seeds 0", ["--seeds=0", "at least 1"]),
        ("fidelity --table tracr --seeds=-1", ["--seeds=-1", "whole number"]),
        ("fidelity --table tracr --seeds x", ["--seeds=x", "whole number"]),
        ("fidelity --table tracr --jobs 0", ["--jobs=0", "at least 1"]),
        ("fidelity --table tracr --device tpu", ["--device=tpu", "cpu, cuda"]),
        ("fidelity --table tracr --cells kounter", ["'kounter'", "counter, max"]),
        ("fidelity --table tracr --cells counter:7", ["'7'", "1e-1 (large)"]),
        ("fidelity --table pcfg-counting --cells counter", ["no prior 'counter'", "low, high"]),
        ("fidelity --table pcfg-counting --cells low:1e-1", ["'1e-1'", "1e-4 (large)"]),
        ("fidelity --table tracr --pretrain-steps 5", ["--pretrain-steps=5", "compiled models", "not pretrained"]),
        ("fidelity --table pcfg-counting --pretrain-steps 5k", ["--pretrain-steps=5k", "whole number"]),
        ("fidelity --table pcfg-counting --pretrain-steps 0", ["--pretrain-steps=0", "at least 1"]),
        ("fidelity --table pcfg-counting --budget-minutes 0", ["--budget-minutes=0", "above 0"]),
        ("fidelity --table pcfg-counting --budget-minutes=-1", ["--budget-minutes=-1", "above 0"]),
        ("fidelity --table pcfg-counting --budget-minutes nan", ["--budget-minutes=nan", "above 0"]),
        ("fidelity --table tracr --budget-minutes inf", ["--budget-minutes=inf", "number of minutes"]),
        ("fidelity --table tracr --budget-minutes 5m", ["--budget-minutes=5m", "number of minutes"]),
        ("fidelity --table tracr --method lorra", ["--method=lorra", "full, bitfit, dora"]),
        ("fidelity --table tracr --method gone.py:tune", ["gone.py"]),
        ("fidelity --table tracr --report mine.py", ["'mine.py'", "a file"]),
        ("fidelity --table tracr --cache mine.py", ["'mine.py'", "a file"]),
        ("fidelity --table tracr --sed 3", ["--sed"]),
        ("calibrate --seeds 1,x", ["--seeds=1,x", "100,101"]),
        ("calibrate --scale huge", ["--scale=huge", "smoke, small, paper"]),
        ("calibrate --precision half", ["--precision=half", "float32, bfloat16"]),
    ],
)
def test_a_mistake_is_one_line(argv: str, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *argv.split())
    assert ended.code == 2 and ended.out == ""
    assert ended.err.startswith("capbench: error: ") and ended.err.count("\n") == 1 and ended.err.endswith("\n")
    assert [part for part in parts if part not in ended.err] == [], ended.err
    assert not Path("reports").exists()


def test_calibrate_passes_the_precision_on_and_trains_in_stacks_on_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("capbench.session.options.values.has_cuda", lambda: True)

    def looked_at(study: Any, seeds: Any, store: Any, **more: Any) -> Outcome:
        seen.append((study, seeds, more["at_once"]))
        return Outcome(judged=())

    monkeypatch.setattr("capbench.session.calibrating.looked_at", looked_at)
    on_gpu = ("calibrate", "--scale=smoke", "--cache=c", "--device=cuda")
    assert run(capsys, *on_gpu, "--precision=bfloat16").code == 0
    ((study, seeds, how),) = seen
    assert (study.preset.pcfg.precision, seeds, study.first) == ("bfloat16", kept().setting, 0)
    assert how == AtOnce(jobs=1, stack=16)
    refused = run(capsys, *on_gpu, "--jobs=2")
    assert refused.code == 2 and "--jobs=2" in refused.err and "--stack=N" in refused.err and len(seen) == 1


def test_calibrate_writes_the_thresholds_that_follow_with_their_hash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def member(kind: Kind, value: float) -> Judged:
        read = {"revival": Measurement(name="", value=value, unit="ratio", n=1, seed=100)}
        return Judged(seed=100, kind=kind, made="full", task="counter", said=str(kind), why="", values=read)

    outcome = Outcome(judged=(member(Kind.WRAPPED, 4.0), member(Kind.DELETED, 1.0)))
    monkeypatch.setattr("capbench.session.calibrating.looked_at", lambda *_, **__: outcome)
    ended = run(capsys, "calibrate", "--scale=smoke", "--cache=c", "--output=set.json", "--values")
    assert ended.code == 0 and "1.00 .. 1.00" in ended.out and "2, 3" not in ended.err
    made = read(Path("set.json").read_text())
    assert made.tools == {"trained": {"revival": Thresholds(absent=2.0, present=3.0, auc=1.0)}}
    assert (made.scale, made.setting, made.rule) == ("smoke", kept().setting, rule_now())


def test_calibrate_shows_what_it_needs_and_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "calibrate", "--scale=tiny", "--cache=c", "--plan", "--seeds=100")
    assert ended.code == 0 and "fine-tune" in ended.out and "pretrain" in ended.out
    assert not list(Path("c").glob("artefacts/*"))


# ---- fidelity


def test_fidelity_trains_the_papers_grid_in_stacks_on_a_gpu_in_the_precision_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def replicate(*_: Any, **given: Any) -> None:
        seen.append(given)
        raise StopError

    seen: list[Any] = []
    monkeypatch.setattr("capbench.session.options.values.has_cuda", lambda: True)
    monkeypatch.setattr("capbench.fidelity.run.replicate", replicate)
    for stack in ((), ("--stack=3",)):
        with pytest.raises(StopError):
            run(
                capsys,
                "fidelity",
                "--table=pcfg-counting",
                "--cache=c",
                "--device=cuda",
                "--precision=bfloat16",
                *stack,
            )
    assert [given["at_once"] for given in seen] == [AtOnce(stack=16), AtOnce(stack=3)]
    assert {given["study"]("pcfg-counter").preset.precision for given in seen} == {"bfloat16"}


@pytest.mark.slow
def test_fidelity_from_nothing_and_again_from_the_cache(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ("--cells", "counter:1e-3:1", "--cells", "counter:medium:.5,counter:1e-3:1")
    first = fidelity(capsys, cache, *cells, "--report", "one")
    assert first.code == 0 and re.search(r"capbench: \d+ of \d+ models to make \(\d+ training steps\)", first.err)
    assert "2 seeds (0, 1)" in first.out  # the scale's
    assert re.search(r"(?m)^1e-2 +0\.5 .*\n1e-3 +1 ", first.out)  # in the table's order, each once
    assert re.search(r"(?m)^counter: \d of 8 decisive figures agree \(\d+ %\)$", first.out)

    raw = report(tmp_path / "one")
    assert [(c["lr"], c["c_tr"]) for c in raw["cells"]] == [("1e-2", 0.5), ("1e-3", 1)] and raw["run"]["seeds"] == [
        0,
        1,
    ]
    for cell in raw["cells"]:
        for figure in cell["figures"].values():
            assert len(figure["per_seed"]) == 2 and all(0 <= value <= 100 for value in figure["per_seed"])
            assert figure["mean"] == pytest.approx(sum(figure["per_seed"]) / 2) and len(figure["interval"]) == 2
    assert raw["base"]["counter"] >= 95  # a compiled model counts, so these are figures of what was meant
    figures = [f for c in raw["cells"] for f in c["figures"].values()]
    (score,) = raw["scores"]
    assert (score["task"], score["agree"], score["decisive"]) == (
        "counter",
        sum(f["agrees"] is True for f in figures),
        8,
    )
    assert any(0 < value < 100 for f in figures for value in f["per_seed"])
    for file in (tmp_path / "one").iterdir():
        text = file.read_text()
        assert str(tmp_path) not in text and str(cache) not in text and str(Path.home()) not in text
        assert "--cells counter:1e-3:1 --cells counter:medium:.5,counter:1e-3:1" in text

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(Store, "save", refuse)
    monkeypatch.setattr(base, "build_step", refuse)
    again = fidelity(capsys, cache, *cells, "--report", "two")
    assert (again.code, again.out) == (0, first.out) and "to make" not in again.err
    assert report(tmp_path / "two")["cells"] == raw["cells"]


def test_the_figures_are_what_the_reading_of_the_suites_found(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path
) -> None:
    from capbench.methods.specs.registry import find
    from capbench.studies.lab import Bench, Lab
    from capbench.studies.registry import make
    from capbench.studies.tracr.readings import behaviour

    assert fidelity(capsys, cache, "--cells", "counter:1e-3:1", "--seeds", "1", "--report", ".").code == 0
    study: Any = make("tracr-counter", scale="tiny", method=find("full"))
    steps = {"base": study.base(0), "tuned": study.finetuned(0, c_tr=1, lr="small")}
    read = {m.name: m.value for m in Lab(Store(cache)).read(behaviour, Bench(study=study, seed=0), steps)}
    (cell,) = report(tmp_path)["cells"]
    ours = {name: f["mean"] / 100 for name, f in cell["figures"].items()}
    assert ours == pytest.approx(
        {
            "pt_c1": read["tuned.O_PT.c_te1"],
            "ft_c1": read["tuned.O_FT.c_te1"],
            "pt_c0": read["tuned.O_PT.c_te0"],
            "ft_c0": read["tuned.O_FT.c_te0"],
        }
    )
    assert len(set(ours.values())) > 1 and all(f["interval"] is None for f in cell["figures"].values())


def test_a_diverged_training_is_a_result(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> None:
    ended = fidelity(capsys, cache, "--cells", "counter:1e-1:1,counter:1e-3:1", "--report", ".")
    assert ended.code == 0
    diverged, well = report(tmp_path)["cells"]
    assert re.fullmatch(
        r"seed 0: training diverged at step \d+; seed 1: training diverged at step \d+", diverged["diverged"]
    )
    assert not diverged["failed"] and {f["mean"] for f in diverged["figures"].values()} == {None}
    assert [f["agrees"] for f in diverged["figures"].values()] == [False, False, None, False]  # paper: 0 100 35.8 .7
    assert not well["diverged"] and None not in {f["mean"] for f in well["figures"].values()}
    assert f"counter:1e-1:1: {diverged['diverged']}" in ended.out
    assert re.search(
        r"(?m)^1e-1 large +1 +0\.0 +diverged +✘ +100\.0 +diverged +✘ +35\.8 +diverged +· +0\.7 +diverged +✘$", ended.out
    )


def test_weights_that_are_no_numbers_are_a_divergence(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path
) -> None:
    more = ("--cells", "counter:1e-2:0", "--method", str(tmp_path / "mine.py:nan"), "--report", ".")
    ended = fidelity(capsys, cache, *more, "--seeds", "1")
    assert ended.code == 0 and ended.out.count("diverged ✘") == 4
    assert "method mine.py:nan" in ended.out and "counter: 0 of 4 decisive figures agree (0 %)" in ended.out
    for file in ("fidelity-tracr.json", "fidelity-tracr.md"):
        assert str(tmp_path) not in (tmp_path / file).read_text()


def test_what_cannot_be_made_is_said_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path
) -> None:
    more = ("--cells", "counter:1e-2:0", "--method", "mine.py:breaks", "--seeds", "1", "--report", ".")
    ended = fidelity(capsys, cache, *more)
    assert ended.code == 1 and ended.out.count("failed ✘") == 4 and "Traceback" not in ended.err
    (cell,) = report(tmp_path)["cells"]
    assert re.search("seed 0: method 'mine.py:breaks' failed: ValueError: no such thing", cell["failed"])
    assert not cell["diverged"] and str(tmp_path) not in json.dumps(cell)


def test_a_report_of_a_failure_does_not_name_this_machines_cache(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(step: Any, store: Store, progress: Any) -> None:
        raise CapbenchError(f"cannot write artefact '{store.root}/artefacts/x': No space left on device")

    monkeypatch.setattr(base, "build_step", full)
    ended = fidelity(capsys, cache, "--cells", "counter:1e-4:0.5", "--seeds", "1", "--report", ".")
    assert ended.code == 1 and "seed 0: cannot write artefact 'the cache/artefacts/x': No space" in ended.out
    (cell,) = report(tmp_path)["cells"]
    assert "No space left" in cell["failed"] and str(cache) not in cell["failed"]


def test_an_interrupted_run_keeps_what_it_made(
    capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = base.build_step, list[str]()

    def build(step: Any, *rest: Any) -> None:
        if len(made) == 1:
            raise KeyboardInterrupt
        real(step, *rest)
        made.append(step.key)

    cells = ("--cells", "counter:1e-4:0.8")
    assert fidelity(capsys, cache, "--cells", "counter:1e-3:1").code == 0  # its base models are there
    monkeypatch.setattr(base, "build_step", build)
    ended = fidelity(capsys, cache, *cells)
    assert ended.code == 130 and ended.err.splitlines()[-1].startswith(
        "capbench: interrupted; what was made is in the cache"
    )
    assert len(made) == 1 and Store(cache).has(made[0])
    monkeypatch.setattr(base, "build_step", real)
    assert "1 of 5 models to make" in fidelity(capsys, cache, *cells).err
