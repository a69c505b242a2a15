"""The version of the code: it changes with what a result depends on, however far off, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny import study
from tiny_study import BASE, START, revived, tuned
from tiny_tracr import counter, largest

from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import Step
from capbench.results import Measurement
from capbench.store import code
from capbench.store.store import Store
from capbench.studies import readings as shared_readings
from capbench.studies.lab import Bench, Built, Lab
from capbench.studies.pcfg import readings as pcfg_readings
from capbench.studies.tracr import readings as tracr_readings
from capbench.tasks.base import Batch

ROOT = Path(code.__file__).parent.parent
METHOD = MethodRef(spec="m", digest="0")
TRACR, MAX = counter("identity"), largest("identity")
STEPS: dict[str, Step] = {
    "initialise": START,
    "pretrain": BASE,
    "finetune": tuned(METHOD),
    "revive": revived(START),
    "compile": TRACR.compiled("a"),
    "perturb": TRACR.base(0),
    "finetune tracr": TRACR.finetuned(0, c_tr=1.0, lr="small"),
    "revive tracr": TRACR.revival(TRACR.never(0), 0, lr="small"),
    "finetune max": MAX.finetuned(0, c_tr=1.0, lr="small"),
}
PCFG, STRINGS, EVERY = {"pretrain", "finetune", "revive"}, {n for n in STEPS if " " in n}, set(STEPS)
# file, and the steps whose own code it is part of; what their parents are made of is in the parents' keys
STEPS_OF = {
    "training/loop.py": EVERY,
    "measure/accuracy.py": EVERY,
    "pipeline/build.py": EVERY,
    "pipeline/recording.py": EVERY,  # imported by build.py
    "pipeline/fine_tuning.py": {"finetune", "finetune tracr", "finetune max"},
    "pipeline/isolated.py": set(),
    "models/base.py": EVERY,  # imported by training.py
    "configs.py": EVERY,
    "tasks/base.py": EVERY,
    "models/gpt.py": {"initialise"},
    "models/tracr/__init__.py": {"compile"},
    "models/tracr/transformer.py": {"compile"},
    "models/tracr/factorised.py": {"compile"},  # imported by transformer.py
    "models/tracr/compiling.py": {"compile"},
    "tasks/tracr/programs.py": {"compile", *STRINGS},
    "tasks/tracr/tasks.py": STRINGS,
    "tasks/tracr/strings.py": STRINGS,  # imported by tasks/tracr/tasks.py
    "tasks/pcfg/task.py": PCFG,
    "tasks/pcfg/grammar.py": PCFG,  # imported by tasks/pcfg/setting.py
    "tasks/mixture.py": {"pretrain", "finetune"},
    "tasks/pcfg/finetuning.py": set(),  # puts tasks together; what it gives is in the steps themselves
    "tasks/splits.py": PCFG | STRINGS,
    "measure/prune.py": set(),
    "measure/attention.py": set(),
    "studies/tracr/study.py": set(),
    "studies/tracr/readings/circuits.py": set(),
    "studies/tracr/preset.py": set(),
    "pipeline/plan.py": set(),
    "store/store.py": set(),
    "session/run.py": set(),
    "report/figures.py": set(),
}
READINGS = {"pcfg": pcfg_readings.__file__, "tracr": tracr_readings.__file__, "shared": shared_readings.__file__}
READINGS_OF = {
    "training/loop.py": set(READINGS),
    "measure/accuracy.py": set(READINGS),
    "studies/pcfg/readings/__init__.py": {"pcfg"},
    "studies/pcfg/readings/probes.py": {"pcfg"},
    "studies/pcfg/readings/sampling.py": {"pcfg"},
    "studies/tracr/readings/circuits.py": {"tracr"},
    "studies/readings.py": set(READINGS),
    "studies/pcfg/study.py": {"pcfg"},  # its type; and in the key by the study that a reading is given (lab.py)
    "studies/pcfg/tools.py": set(),
    "studies/seeds.py": set(READINGS),
    "studies/revivals.py": set(),  # readings of their own
    "measure/revive.py": set(),
    "measure/attention.py": {"tracr"},  # imported in a function
    "measure/probe.py": {"pcfg", "tracr"},  # read-outs of compiled circuits are probes too
    "measure/prune.py": {"pcfg", "tracr"},
    "report/figures.py": set(),
    "studies/judge.py": set(),
    "verdicts/capability.py": set(),
    "verdicts/tools.py": set(READINGS),  # what a toolbox is, without any number
}


@pytest.fixture(autouse=True)
def no_versions_kept() -> Iterator[None]:
    """Nothing is left over from, or for, another test."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    code.training_code.cache_clear()
    code.reading_code.cache_clear()


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a file of capbench look edited; it is left as it is."""
    digest = code.file_digest

    def look_edited(name: str) -> None:
        assert (ROOT / name).is_file(), name
        monkeypatch.setattr(code, "file_digest", lambda file: digest(file) + "edited" * (file == ROOT / name))
        _forget()

    return look_edited


def step_versions() -> dict[str, str]:
    return {name: replace(step).config["code"] for name, step in STEPS.items()}  # a copy: keys are kept by the step


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("name", STEPS_OF)
def test_a_step_changes_with_the_files_that_shape_its_model(name: str, edit: Callable[[str], None]) -> None:
    before, keys = step_versions(), {n: replace(step).key for n, step in STEPS.items()}
    edit(name)
    assert changed(before, step_versions()) == STEPS_OF[name]
    assert STEPS_OF[name] <= changed(keys, {n: replace(step).key for n, step in STEPS.items()})


def test_a_key_changes_with_the_code_of_its_parents(edit: Callable[[str], None]) -> None:
    before = {name: replace(step).key for name, step in STEPS.items()}
    edit("models/gpt.py")

    def anew(step: Step) -> Step:
        parents = {"start", "base"} & vars(step).keys()
        return replace(step, **{name: anew(getattr(step, name)) for name in parents})

    after = {name: anew(step).key for name, step in STEPS.items()}
    assert changed(before, after) == {"initialise", "pretrain", "finetune", "revive"}


@pytest.mark.parametrize("name", READINGS_OF)
def test_a_reading_changes_with_the_files_that_shape_it(name: str, edit: Callable[[str], None]) -> None:
    before = {reading: code.reading_code(frozenset({Path(file)})) for reading, file in READINGS.items()}
    edit(name)
    after = {reading: code.reading_code(frozenset({Path(file)})) for reading, file in READINGS.items()}
    assert changed(before, after) == READINGS_OF[name]


# ---- what is followed, on a package of our own

PACKAGE = {
    "training/loop.py": "from capbench.models.base import Model\n",
    "configs.py": "x = 1\n",
    "results.py": "x = 1\n",
    "verdicts/capability.py": "x = 1\n",
    "models/base.py": "x = 1\n",
    "models/__init__.py": "",
    "models/deep/__init__.py": "from capbench.models.deep.inner import x\n",
    "models/deep/inner.py": "import capbench.configs\n",
    "measure/accuracy.py": "x = 1\n",
    "pipeline/build.py": "import capbench.training.loop\nfrom capbench.results import x\n",
    "pipeline/recording.py": "x = 1\n",
    "pipeline/fine_tuning.py": "x = 1\n",
    "tasks/one.py": "from capbench.tasks import two\n",
    "tasks/two.py": "def f():\n    if f:\n        from capbench.tasks.three import x\n",
    "tasks/three.py": "from typing import TYPE_CHECKING\nimport capbench.tasks.one\nimport torch\n",  # a circle
    "tasks/lone.py": "from capbench.results import x\n",
    "studies/__init__.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes PACKAGE with changes to some files, each time to another place, and gives the version of these modules."""
    places: list[Path] = []

    def version(modules: set[str], changes: dict[str, str] | None = None) -> str:
        root = tmp_path / str(len(places)) / "capbench"
        places.append(root)
        for name, source in {**PACKAGE, **(changes or {})}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(source)
        monkeypatch.setattr("capbench.store.places.ROOT", root)
        _forget()
        return code.training_code(frozenset(modules))

    return version


ONE, LONE, DEEP = "capbench.tasks.one", "capbench.tasks.lone", "capbench.models.deep"


@pytest.mark.parametrize(
    "file, followed_by",
    [
        ("tasks/one.py", {ONE}),
        ("tasks/two.py", {ONE}),  # `from capbench.tasks import two`
        ("tasks/three.py", {ONE}),  # in a function, and under an if
        ("tasks/lone.py", {LONE}),
        ("models/deep/__init__.py", {DEEP}),
        ("models/deep/inner.py", {DEEP}),
        ("configs.py", {DEEP}),  # `import capbench.configs`, two files away
        ("results.py", set()),  # shapes no result
        ("models/base.py", {ONE, LONE, DEEP}),  # by way of training.py
        ("training/loop.py", {ONE, LONE, DEEP}),
    ],
)
def test_imports_are_followed_to_the_end(package: Callable[..., str], file: str, followed_by: set[str]) -> None:
    edited = {file: PACKAGE[file] + "y = 2\n"}
    commented = {file: PACKAGE[file] + "# y = 2\n"}
    for module in (ONE, LONE, DEEP):
        before = package({module})
        assert (package({module}, edited) != before) == (module in followed_by), module
        assert package({module}, commented) == before


def test_the_place_of_the_package_and_the_order_of_modules_do_not_matter(package: Callable[..., str]) -> None:
    assert package({ONE, LONE}) == package({LONE, ONE}) == package({ONE, LONE})
    assert package({ONE}) == package({ONE, "capbench.tasks.three"})  # the same files
    assert package({ONE}) != package({LONE})


def test_a_source_edited_during_a_run_changes_nothing_in_it(package: Callable[..., str], tmp_path: Path) -> None:
    before = package({ONE})
    package({LONE})  # another place: here `one` is not looked at before it is edited …
    root = tmp_path / "1" / "capbench"
    code.remember_sources()  # … but by this
    for name in ("tasks/one.py", "tasks/two.py", "models/base.py"):
        (root / name).write_text("z = 3\n")
    (root / "models/deep/new.py").write_text("z = 3\n")
    assert code.training_code(frozenset({ONE})) == before


# ---- readings of one's own


def of_my_own(bench: Bench, **models: Built) -> Iterator[Measurement]:
    yield Measurement(name="one", value=1.0, unit="", n=1, seed=bench.seed)


def test_a_reading_outside_of_the_package_has_a_version_too(tmp_path: Path) -> None:
    mine, other = tmp_path / "suite.py", tmp_path / "other.py"
    mine.write_text("from capbench.measure.prune import relevance\n")
    other.write_text("from capbench.measure.prune import relevance\nx = 1\n")
    assert code.reading_code(frozenset({mine})) != code.reading_code(frozenset({other}))
    (found,) = Lab(Store(tmp_path)).read(of_my_own, Bench(study=study(), seed=0), {})
    assert found.value == 1.0


@dataclass(frozen=True, kw_only=True)
class OwnTask:
    """A task that is not of capbench."""

    name: str = "own"
    vocab_size: int = 5
    seq_len: int = 3
    answer_pos: int = 1
    answer_weight: float = 1.0

    def sample(self, n: int, rng: Any) -> Batch:
        raise NotImplementedError


@pytest.mark.parametrize(
    "module",
    ["mine", "my.own"],
)
def test_a_step_with_a_task_from_elsewhere_has_a_key(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnTask, "__module__", module)
    assert replace(BASE, task=OwnTask()).key != BASE.key
    step = TRACR.compiled("a")
    assert replace(step, program=f"{module}:count").key != step.key


@pytest.mark.parametrize("name", ["pipeline/steps.py", "methods/specs/registry.py"])
def test_steps_and_the_registry_are_in_keys_with_their_data_only(name: str, edit: Callable[[str], None]) -> None:
    before = step_versions()
    edit(name)
    assert changed(before, step_versions()) == set()


class Asked:
    """In place of a store: notes the keys that it is asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def get_or_build(self, key: str, *_: Any, **__: Any) -> Any:
        self.keys.append(key)
        return SimpleNamespace(meta={"measurements": []})


@pytest.mark.parametrize(
    "name, changes",
    [
        ("studies/tracr/readings/weights.py", True),
        ("studies/tracr/readings/common.py", True),
        ("studies/tracr/readings/maps.py", False),  # other readings
        ("studies/tracr/readings/__init__.py", False),
        ("measure/prune.py", True),
        ("tasks/tracr/strings.py", True),
        ("models/tracr/transformer.py", True),  # by way of the model's key
        ("tasks/tracr/tasks.py", True),  # which strings are drawn,
        ("studies/tracr/study.py", True),  # of which task
        ("studies/tracr/tools.py", False),  # thresholds and rules
        ("verdicts/capability.py", False),
        ("tasks/pcfg/task.py", False),
        ("models/gpt.py", False),
    ],
)
def test_a_kept_reading_is_made_again_when_its_code_or_its_study_s_changes(
    name: str, changes: bool, edit: Callable[[str], None]
) -> None:
    store: Any = Asked()

    def read() -> str:
        fresh = replace(TRACR.never(0), start=TRACR.compiled("b"))
        Lab(store).read(tracr_readings.weight_search_control, Bench(study=TRACR, seed=0), {"never": fresh})
        return store.keys[-1]

    before = read()
    assert read() == before
    edit(name)
    assert (read() != before) == changes


def test_readings_of_two_studies_are_kept_apart() -> None:
    store: Any = Asked()
    for kept in (TRACR, replace(TRACR, o_ft="c"), MAX):
        Lab(store).read(tracr_readings.behaviour, Bench(study=kept, seed=0), {"never": TRACR.never(0)})
    assert len(set(store.keys)) == 3
