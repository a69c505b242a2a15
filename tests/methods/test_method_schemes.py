"""The table of schemes: each row recognises, finds, names, loads and moves its specs, and a new row is all a new scheme needs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_study import tuned

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import arguments, schemes
from capbench.methods.specs.base import Located, Method, Prefixed, Scheme, UserFiles
from capbench.methods.specs.registry import find, load
from capbench.methods.specs.schemes import SCHEMES, scheme_of
from capbench.methods.specs.user_code import import_file
from capbench.pipeline.executors.on_ray import sources as on_ray
from capbench.pipeline.steps import FineTune

FILES = {
    "mine.py": "import helper\ndef tune(model, task, config): return helper.X\n",
    "helper.py": "X = 1\n",
    "unused.py": "X = 2\n",
    "capbench_test_pkg/__init__.py": "",
    "capbench_test_pkg/near.py": "X = 3\n",
    "capbench_test_pkg/tuning.py": "from . import near\ndef tune(model, task, config): return near.X\n",
    "lora/adapter_config.json": '{"r": 8}',
    "trained/manifest.json": "{}",
    "trained/tuned/a.safetensors": "a",
    "trained/tuned/notes.txt": "not a file of the method's",
}
# scheme -> a spec, its name in reports, and the user's files that it consists of
EXAMPLES = {
    "BuiltIn": ("lora", "lora", set[str]()),
    "Checkpoints": (
        "checkpoints:trained",
        "checkpoints:trained",
        {"trained/manifest.json", "trained/tuned/a.safetensors"},
    ),
    "Peft": ("peft:lora", "peft:lora/adapter_config.json", {"lora/adapter_config.json"}),
    "File": ("./mine.py:tune", "mine.py:tune", {"mine.py", "helper.py"}),
    "Module": (
        "capbench_test_pkg.tuning:tune",
        "capbench_test_pkg.tuning:tune",
        {f"capbench_test_pkg/{name}.py" for name in ("__init__", "near", "tuning")},
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with a method of every kind, as working directory."""
    place = tmp_path / "here"
    for name, content in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield place
    for name in [n for n in sys.modules if n not in before and n.startswith(("capbench_method_", "capbench_test_"))]:
        del sys.modules[name]


def test_there_is_an_example_of_every_scheme() -> None:
    assert [type(scheme).__name__ for scheme in SCHEMES] == list(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_scheme_recognises_and_names_its_specs_as_given_and_as_found(kind: str) -> None:
    spec, name, _ = EXAMPLES[kind]
    ref = find(spec)
    assert {type(scheme_of(spec)).__name__, type(scheme_of(ref.spec)).__name__} == {kind}
    assert ref.name == ref.label == name


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_scheme_says_which_of_the_users_files_a_method_consists_of(kind: str, folder: Path) -> None:
    spec, _, names = EXAMPLES[kind]
    ref = find(spec)
    found = scheme_of(ref.spec).files(ref.spec)
    assert {file.relative_to(folder).as_posix() for file in found.files} == names
    assert found.folders == ({folder} if kind == "Module" else set())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_method_whose_files_were_moved_is_the_same_method(kind: str, folder: Path) -> None:
    ref = find(EXAMPLES[kind][0])
    scheme, there = scheme_of(ref.spec), folder.parent / "there"
    shutil.copytree(folder, there)
    spec = scheme.moved(ref.spec, lambda file: there / file.relative_to(folder))
    assert (str(there) in spec) == (str(folder) in ref.spec) == (kind in ("Checkpoints", "Peft", "File"))
    moved = find(spec)
    assert (moved.spec, moved.digest, moved.name) == (spec, ref.digest, ref.name)


@pytest.mark.parametrize("kind", ["Checkpoints", "Peft", "File", "Module"])
def test_an_edit_of_any_of_its_files_makes_another_method(kind: str) -> None:
    spec, _, names = EXAMPLES[kind]
    before = find(spec).digest
    for name in names:
        content = FILES[name]
        Path(name).write_text(content + ("\n" if name.endswith("json") else "Y = 1\n"))
        assert find(spec).digest != before
        Path(name).write_text(content)
    assert find(spec).digest == before


# ---- a new one


class Reply(Prefixed):
    """`reply:FILE.json`: a method that returns what is in the file."""

    prefix = "reply:"
    form = "reply:FILE.json"

    def find(self, spec: str) -> Located:
        if not (file := self.path(spec).resolve()).is_file():
            raise MethodError(f"method {spec!r}: there is no file {str(self.path(spec))!r}")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        return Located(spec=f"{self.prefix}{file}", digest=digest, takes=arguments.Takes(names=("times",)))

    def load(self, spec: str, name: str) -> Method:
        answer = json.loads(self.path(spec).read_text())
        return lambda model, task, config, times=1: times * answer

    def label(self, spec: str) -> str:
        return self.prefix + self.path(spec).name

    def files(self, spec: str) -> UserFiles:
        return UserFiles(files=frozenset({self.path(spec)}))


def with_row(monkeypatch: pytest.MonkeyPatch, scheme: Scheme) -> None:
    monkeypatch.setattr(schemes, "SCHEMES", (scheme, *SCHEMES))


def test_a_row_is_all_that_a_new_scheme_needs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with_row(monkeypatch, Reply())
    Path("seven.json").write_text("7")
    ref = find("reply:seven.json", arguments=(("times", 2),))
    assert (ref.spec, ref.name) == (f"reply:{folder}/seven.json", "reply:seven.json(times=2)")
    assert load(ref)(None, None, None) == 14
    named = find("mine", registered={"mine": "reply:seven.json"})
    assert named == find("reply:seven.json") and named.name == "mine"
    # It travels to the nodes of a cluster.
    step = tuned(ref)
    sent = on_ray.needed_by(step).read()
    place = on_ray.unpack(sent, folder.parent / "node")
    moved = on_ray.relocated(step, place)
    Path("seven.json").unlink()
    assert isinstance(moved, FineTune) and moved.key == step.key
    assert load(moved.method)(None, None, None) == 14


def test_the_scheme_of_the_documents_works(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Path(__file__).parents[2] / "docs" / "extending.md"
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", document.read_text(), re.S) if "(Prefixed)" in b]
    Path("scaled.py").write_text(block)
    with_row(monkeypatch, import_file(Path("scaled.py").resolve()).Scaled())
    ref, model = find("scaled:0.5"), torch.nn.Linear(2, 2)
    assert torch.equal(load(ref)(model, None, None).weight, model.weight / 2)
    Path("scaled.py").write_text(block.replace("*=", "/="))
    assert find("scaled:0.5").digest != ref.digest


def test_mistakes_with_a_new_scheme_are_told_as_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with_row(monkeypatch, Reply())
    Path("text.json").write_text("seven")
    with pytest.raises(MethodError, match=r"has no argument 'time'; it takes times$"):
        find("reply:text.json", arguments=(("time", 2),))
    with pytest.raises(MethodError, match=r"^method 'reply:text\.json' cannot be imported: JSONDecodeError: "):
        load(find("reply:text.json"))
    for wrong in ("mine.py:", "replyy"):
        with pytest.raises(UsageError, match=r"reply:FILE\.json"):
            find(wrong)
