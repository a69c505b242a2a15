"""Do the tools' figures stay where they are when the weights are rewritten and the function is not? Ten minutes on one core.

    python benchmarks/invariance.py --store DIR [--scale small] [--seed 100] [--rewrites 150]

Models that the store lacks are made first. Every rewrite is `preserving.composed` at strengths up to 100. It is put on top of a
trained model that was fine-tuned at C_Tr 1, and of a compiled one; each tool of the list below reads the model before and
after. Beside it: the same probe on the raw stream, and edits that do change what is known (positive control).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from capbench.methods.specs.registry import find
from capbench.models.base import Model
from capbench.models.edits import deleting, preserving
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies.lab import Bench
from capbench.studies.pcfg.readings import description_length, patching, pruning_search
from capbench.studies.registry import make
from capbench.studies.tracr.readings import circuit

LIMIT = 0.02  # what a figure may move by
Figure = Callable[[Model], float]


@dataclass(frozen=True)
class Tool:
    """A tool's figure of a model; `before`: the model that is rewritten; `votes`: whether its figure must stay within LIMIT.

    costly: a third as many rewrites, as each figure takes seconds.
    """

    name: str
    figure: Figure
    before: Model
    votes: bool = True
    costly: bool = False


def tools(store: Store, scale: str, seed: int) -> Iterator[Tool]:
    """All tools, with what each of them reads. To add one, yield it here."""
    full = find("full")
    trained: Any = make("pcfg-counter", scale=scale, method=full)
    case = {"c_tr": 1.0, "lr": "medium"}
    steps = {prior: trained.base(seed, prior=prior) for prior in ("low", "never")}
    steps["tuned"] = trained.finetuned(seed, prior="low", **case)
    compiled: Any = make("tracr-counter", scale=scale, method=full)
    steps |= {"compiled": compiled.base(seed), "for O_FT": compiled.never(seed)}
    failed = Plan(list(steps.values())).run(store, jobs=1)
    if failed:
        raise SystemExit(f"could not make {', '.join(map(str, failed))}")
    models = {name: load_model(step, store) for name, step in steps.items()}

    def bits(model: Model) -> float:
        given = SimpleNamespace(model=model)
        read = description_length(Bench(study=trained, seed=seed), given, None)  # type: ignore[arg-type]
        return _value(read, "bits")

    def raw_bits(model: Model) -> float:
        as_read = type(model).as_read
        type(model).as_read = lambda self, resid: resid  # type: ignore[method-assign]
        try:
            return bits(model)
        finally:
            type(model).as_read = as_read  # type: ignore[method-assign]

    yield Tool("probing retention", _on_scale(bits, models["never"], models["low"]), models["tuned"])

    def kept(model: Model) -> float:
        given = {"base": models["low"], "tuned": model, "never": models["never"]}
        built: Any = {name: SimpleNamespace(model=m) for name, m in given.items()}
        return _value(patching(Bench(study=trained, seed=seed), **built), "patching.kept")

    def gained(model: Model) -> float:
        tuned: Any = SimpleNamespace(model=model)
        return _value(pruning_search(Bench(study=trained, seed=seed), tuned), "pruning.searched.gain")

    yield Tool("what patching keeps", kept, models["tuned"])
    yield Tool("gain of searched pruning", gained, models["tuned"], costly=True)
    raw = _on_scale(raw_bits, models["never"], models["low"])
    yield Tool("the same on the raw stream", raw, models["tuned"], votes=False)

    def held(model: Model) -> float:
        given = {"base": models["compiled"], "tuned": model, "never": models["for O_FT"]}
        built: Any = {name: SimpleNamespace(model=m) for name, m in given.items()}
        read = circuit(Bench(study=compiled, seed=seed), **built)
        return _value(read, "circuit.retention")

    yield Tool("circuit retention", held, models["compiled"])


def _value(read: Iterable[Measurement], name: str) -> float:
    return next(m.value for m in read if m.name == name and m.value is not None)


def _on_scale(figure: Figure, zero: Model, one: Model) -> Figure:
    low, high = figure(zero), figure(one)
    return lambda model: (figure(model) - low) / (high - low)


def measured(tool: Tool, rewrites: int) -> str:
    """A row of the table."""
    before, rewrites = tool.figure(tool.before), rewrites // 3 if tool.costly else rewrites
    moved = []
    for i in range(rewrites):
        rewritten = preserving.composed(tool.before, rng=torch.Generator().manual_seed(i), strength=100.0)
        moved.append(abs(tool.figure(rewritten) - before))
        if i % 10 == 9:
            print(tool.name, i + 1, f"largest {max(moved):.4f}", flush=True)
    drowned = preserving.unread_term(tool.before, rng=torch.Generator().manual_seed(0), strength=100.0)
    emptied = deleting.redrawn_blocks(tool.before, rng=torch.Generator().manual_seed(0))
    within = sum(m <= LIMIT for m in moved)
    kept = "" if not tool.votes else " | holds" if within == rewrites else " | **fails**"
    cells = [f"{before:.3f}", f"{sorted(moved)[len(moved) // 2]:.4f}", f"{max(moved):.4f}", f"{within} of {rewrites}"]
    cells += [f"{tool.figure(drowned):.3f}", f"{tool.figure(emptied):.3f}"]
    return f"| {tool.name} | {' | '.join(cells)}{kept or ' | no vote'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--rewrites", type=int, default=150)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "invariance.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(tool, given.rewrites) for tool in tools(Store(given.store), given.scale, given.seed)]
    head = "| figure | before | median move | largest move | within .02 | unread term, K = 100 | blocks redrawn | |"
    words = (
        f"`python benchmarks/invariance.py`, scale {given.scale}, seed {given.seed}: {given.rewrites} rewrites a row, "
        "a third of that for the search."
    )
    given.output.write_text(
        "\n".join(["# Invariance of the tools", "", words, "", head, f"|{' --- |' * 8}", *rows, ""])
    )
    print(given.output.read_text())


if __name__ == "__main__":
    main()
