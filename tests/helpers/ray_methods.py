"""Methods that say where they ran, for tests of Ray clusters; and a run of some of them on a cluster of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_study import revived, tuned

from capbench.methods.specs.registry import find
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store

# Says what it does, and where: in a file, as the processes of a cluster have nothing else in common with the test.
METHODS = """
import copy, os, time
from pathlib import Path
import neighbour
from capbench.training.loop import fit

def told(*words):
    node = os.environ.get("RAY_RAYLET_PID", "here")  # a method's own process is none of Ray's, but has its environment
    with open(Path(FOLDER, "log"), "a") as log:
        log.write(" ".join((*words, node)) + chr(10))
    return node

def wait_for(what):
    while not what():
        time.sleep(0.02)

def method(model, task, config, name="", lasts=False):
    node = told("begin", name)
    if node != "here":
        assert not __file__.startswith(FOLDER), "the file was sent, it is not read where it came from"
        log = Path(FOLDER, "log")  # with one core for each node, both have one of these
        wait_for(lambda: sum(f"begin {name[0]}" in line for line in log.read_text().splitlines()) >= 2)
        if lasts:
            go = Path(FOLDER, "go")  # a process may outlive its node for a moment
            wait_for(lambda: go.exists() and node != go.read_text())
    fit(tuned := neighbour.copied(model), task, config)
    told("end", name)
    return tuned

def plain(model, task, config):
    told("begin", "plain")
    fit(tuned := neighbour.copied(model), task, config)
    return tuned

def breaks(model, task, config):
    raise ValueError("two\\nlines")

def dies(model, task, config):
    told("begin", "dies")
    os._exit(1)
"""
NEIGHBOUR = "import copy\ndef copied(model):\n    return copy.deepcopy(model)\n"


class Methods:
    """Fine-tunings by these methods, and what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._log = folder, folder / "log"
        self._file = folder / "mine.py"
        self._file.write_text(f"FOLDER = {str(folder)!r}\n{METHODS}")
        (folder / "neighbour.py").write_text(NEIGHBOUR)

    def tuned(self, method: str, **arguments: Any) -> FineTune:
        return tuned(find(f"{self._file}:{method}", arguments=tuple(arguments.items())))

    def said(self, *words: str) -> list[str]:
        """The nodes where these words were said."""
        lines = [line.split() for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [line[-1] for line in lines if line[:-1] == list(words)]


def contents(plan: Plan, store: Store) -> dict[str, Any]:
    """All that was made, but for the time that it took."""
    found = {}
    for key in plan.steps:
        if (artefact := store.load(key)) is not None:
            tensors = {name: tensor.tolist() for name, tensor in artefact.tensors.items()}
            found[key] = (tensors, {**artefact.meta, "seconds": None})
    return found


def steps(folder: Path) -> tuple[FineTune, FineTune]:
    """A fine-tuning that succeeds, and one whose method raises an error."""
    methods = Methods(folder)
    return methods.tuned("plain"), methods.tuned("breaks")


def on_a_cluster(folder: Path) -> None:
    """Both, and what comes after each, on a cluster that is started for them. Prints the errors by key, as JSON."""
    plan = Plan(map(revived, steps(folder)))
    print(json.dumps(plan.run(Store(folder / "ray"), jobs=1, ray=RayCluster())))
