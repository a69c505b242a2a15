"""Runs of pytest, and of `capbench`, on a suite of models made in milliseconds, in pytester's directory; what they left there."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Imported here once: an inner run in this process forgets its imports, and these cannot be imported twice.
import matplotlib.backends.backend_agg
import matplotlib.figure
import matplotlib.font_manager
import pytest
import safetensors.torch  # noqa: F401
import scipy.stats  # noqa: F401
import torch
from fresh import printed

import capbench.methods.returned  # `build` takes it from its package, which keeps an old one
from capbench.cli.main import main
from capbench.report import load
from capbench.results import Record, Results, to_dict

torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # the first optimizer imports more of torch

HEAD = '''
import dataclasses
import pytest
from capbench.verdicts import claims
from capbench.studies.judge import Case
from capbench.results import Measurement
from capbench.tasks.pcfg.setting import PcfgSetting

SIZES = dict(
    setting=PcfgSetting(text_len=8, numbers={"C": 5}), d_model=8, n_heads=1, n_blocks=1, batch_size=8,
    pretrain_steps=2, finetune_steps=2, revive_steps=2, n_evaluate=16, n_select=16, n_watch=8, probe_blocks=(8, 16), longer={},
)

def decided(decide):
    """One seed decides here as if another agreed: these suites are about runs, and have no prior."""
    def claim(effect, threshold, what):
        found = decide([*effect] * 2 if len(effect) == 1 else effect, threshold, what)
        return dataclasses.replace(found, n_seeds=len(effect), per_seed=tuple(effect))
    return claim

at_least, at_most = decided(claims.at_least), decided(claims.at_most)

def tiny(study):
    return dataclasses.replace(study, preset=dataclasses.replace(study.preset, **SIZES))

@pytest.fixture
def judge(judge):
    """The study is not of the models' size, so that it has no question for them about collateral damage."""
    judge.study = dataclasses.replace(judge.study, toolbox=dataclasses.replace(judge.study.toolbox, collateral=None))
    return judge

def base(study, seed, case):
    return {"base": tiny(study).base(seed, prior="low")}

def tuned(study, seed, case):
    return {**base(study, seed, case), "tuned": tiny(study).finetuned(seed, prior="low", c_tr=1, lr="medium")}

def about_base(id, **more):
    return pytest.mark.claim(id, **{"source": "Fig. 0", "needs": base, "uses_method": False, **more})

def about_method(id, **more):
    return pytest.mark.claim(id, **{"source": "Fig. 0", "needs": tuned, **more})

def number(bench, name, value, note=""):
    return Measurement(name=name, value=value, unit="", n=1, seed=bench.seed, note=note)

def values(bench, **models):
    """One; the seed's own number; a quantity that does not exist."""
    yield number(bench, "one", 1.0)
    yield number(bench, "seed", float(bench.seed))
    yield number(bench, "nothing", None, "it never came")

def weights(bench, **models):
    """The sum of a model's absolute weights."""
    for name, built in models.items():
        yield number(bench, name, sum(p.detach().abs().sum().item() for p in built.model.parameters()))
'''

INI = "[pytest]\naddopts = -p no:cacheprovider -p no:hypothesispytest --assert=plain\nfilterwarnings = default\n"


def write_suite(pytester: pytest.Pytester, tests: str) -> None:
    """A suite, test_tiny.py, with models, readings and these tests."""
    pytester.makefile(".ini", pytest=INI)
    pytester.path.joinpath("test_tiny.py").write_text(HEAD + tests)


@dataclass(frozen=True)
class Ended:
    """How a `capbench` command ended. As a result of pytest it has `ret` and lines."""

    ret: int
    out: str
    err: str

    @property
    def outlines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def errlines(self) -> list[str]:
        return self.err.splitlines()


MAKING = ("--cache=cache", "--jobs=1", "--seeds=2")  # as `run` has it


def capbench(pytester: pytest.Pytester, *words: str) -> Ended:
    """The `capbench` command on the suite, in this process, which forgets what was imported from the suite's folder."""
    _forget_xdist(pytester)
    before = list(sys.path)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words)
    sys.path[:] = before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{pytester.path}/"):
            del sys.modules[name]
    return Ended(code, out.getvalue(), err.getvalue())


def _forget_xdist(pytester: pytest.Pytester) -> None:
    """These tests may run in a worker of xdist, the inner run must not take itself for one."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        pytester._monkeypatch.delenv(name, raising=False)


def run(pytester: pytest.Pytester, *options: str, process: bool = False, **more: Any) -> pytest.RunResult:
    """pytest on the suite, two seeds, one job, cache in `cache`, unless options say otherwise; in this process or its own."""
    _forget_xdist(pytester)
    arguments = ("--capbench-cache=cache", "--capbench-jobs=1", "--capbench-seeds=2", *options)
    if process:
        pytester._monkeypatch.setenv("MPLCONFIGDIR", str(Path(matplotlib.get_configdir())))
        return pytester.runpytest_subprocess(*arguments, timeout=100, **more)
    return pytester.runpytest_inprocess(*arguments, **more)


def planned(pytester: pytest.Pytester, *arguments: str) -> str:
    """What `capbench plan` says of a suite's models with one seed, in a process of its own: it hashes files anew."""
    words = ["plan", "--cache=cache", "--seeds=1", *arguments]
    said = printed(f"from capbench.cli.main import main\nassert main({words!r}) == 0\n", pytester.path)
    return next(line for line in said.splitlines() if " in the cache" in line)


def folders(pytester: pytest.Pytester, name: str = "reports") -> list[Path]:
    """The run folders of a report directory, the oldest first."""
    return sorted(p for p in (pytester.path / name).iterdir() if p.is_dir())


def results(pytester: pytest.Pytester, name: str = "reports") -> Results:
    """What the only run with this report directory wrote."""
    (folder,) = folders(pytester, name)
    return load(folder)


def record(found: Results, claim: str, method: str | None = None) -> Record:
    """The only record of a claim (and of a method)."""
    (only,) = (r for r in found.records if r.claim == claim and method in (None, r.method))
    return only


def comparable(found: Results) -> list[dict[str, Any]]:
    """All that must be the same however the tests were run: everything but the run's own data and the times."""
    timeless = [
        replace(r, seconds=0.0, measurements=tuple(m for m in r.measurements if m.unit != "seconds"))
        for r in found.records
    ]
    return [to_dict(item) for item in (*timeless, *found.capabilities)]


def trained(pytester: pytest.Pytester, cache: str = "cache") -> int:
    """Number of artefacts in a cache: 0 means that nothing was computed."""
    return len(list((pytester.path / cache / "artefacts").glob("*/*")))


def lines_with(result: pytest.RunResult | Ended, *parts: str) -> list[str]:
    """Lines of both outputs that hold all these parts."""
    return [line for line in (*result.outlines, *result.errlines) if all(part in line for part in parts)]


def is_usage_error(result: pytest.RunResult, *parts: str) -> bool:
    """Exit code 4, and one line that holds these parts."""
    errors = [line for line in result.errlines if line.strip()]
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.outlines + errors
    assert len(errors) == 1, errors
    assert errors[0].startswith("ERROR: ")
    assert not lines_with(result, "Traceback")
    assert not lines_with(result, "models to make")
    missing = [part for part in parts if part not in errors[0]]
    assert missing == [], errors
    return True


def told(result: pytest.RunResult, claim: str) -> list[str]:
    """The lines in which the run says how a claim ended (pytest's short summary, which cuts them, left out)."""
    return [line for line in result.outlines if line.startswith(f"{claim}: ")]
