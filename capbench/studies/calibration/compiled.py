"""The compiled models of the pool, as steps: Counters whose weights are known one by one. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from capbench.methods.specs import registry
from capbench.pipeline.steps import Compile, Edit, Perturb, Step
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.member import Member
from capbench.studies.calibration.table import neighbour
from capbench.studies.seeds import subseed
from capbench.studies.tracr.study import PROGRAMS, TracrCounter

_EDITS = "capbench.models.edits"
# Of revival. At the medium rate compiled models that are deleted for certain come back too, 2 to 5 times as fast.
RATE = "small"


def members(preset: Any, device: str, seed: int, *, most: int | None = None) -> Iterator[Member]:
    """The compiled models of a seed. most: at most so many of each kind."""
    study = TracrCounter(preset=preset, device=device)
    base, never = study.base(seed), study.never(seed)
    full: Any = replace(study, method=registry.find("full"))
    task = full.finetuned(seed, c_tr=1, lr="medium").task
    made: dict[Kind, tuple[tuple[str, Step, str], ...]] = {
        Kind.WRAPPED: (
            ("g∘C", _relabelled(study, seed), "compiled from a program with the count in it"),
            # No permuted unembedding: a compiled model's is fixed, so that no fine-tuning could ever take that wrapper off.
            (
                "biased unembedding",
                _edited(study, base, seed, "hiding:biased_unembedding"),
                "one answer's logit is raised",
            ),
            (
                "bolt-on MLP",
                _edited(study, base, seed, "hiding:bolt_on_mlp", neurons=3),
                "behind a part that was added",
            ),
            ("masking head", _edited(study, base, seed, "hiding:masking_head", rank=2), "behind a part that was added"),
        ),
        Kind.DELETED: (
            ("compiled for O_FT", never, "it was never compiled for O_PT"),
            ("compiled for O_FT, full", full.tuned(never, task, seed, lr="medium"), "it was never compiled for O_PT"),
            ("zeroed blocks", _edited(study, base, seed, "deleting:zeroed_blocks"), "nothing is computed any more"),
            ("redrawn blocks", _edited(study, base, seed, "deleting:redrawn_blocks"), "all maps are drawn anew"),
        ),
        Kind.INTACT: (
            ("identity", base, "nothing was done"),
            *(
                (edit.replace("_", " "), _edited(study, base, seed, f"preserving:{edit}"), "the same function")
                for edit in ("permuted_neurons", "scaled_pairs", "rotated_residual_basis")
            ),
        ),
    }
    for kind, of_kind in made.items():
        # What never had it is not compared with itself.
        anchor = study.never(neighbour(seed) if kind is Kind.DELETED else seed)
        for number, (name, tuned, known) in enumerate(of_kind[:most], start=1):
            models = {"base": base, "tuned": tuned, "never": anchor, "twin": anchor}
            curves = {"reft": tuned, "scrft": anchor}
            yield Member(
                slot=f"compiled {kind}.{number}",
                made=name,
                kind=kind,
                study=study,
                models={**models, **{f"{n}_{RATE}": study.revival(step, seed, lr=RATE) for n, step in curves.items()}},
                before=base,
                known=known,
            )


def _edited(study: TracrCounter, base: Step, seed: int, edit: str, **arguments: float) -> Edit:
    kind, _, function = edit.partition(":")
    return Edit(
        start=base,
        edit=f"{_EDITS}.{kind}:{function}",
        arguments=arguments,
        seed=subseed(seed, f"edit {edit} {study.task_name}"),
        task=study.evaluation(study.operands[0], c_te=None, split="train") if kind == "hiding" else None,
        adds_blocks=int(function in ("bolt_on_mlp", "masking_head")),
    )


def _relabelled(study: TracrCounter, seed: int) -> Perturb:
    """The program of the count with a wrapper g over it, compiled: the circuit of the count is the same."""
    plain: Compile = study.compiled(study.operands[0])
    classes = plain.max_seq_len + 1
    shift = 1 + seed % (classes - 1)
    start = replace(plain, program=f"{PROGRAMS}:relabelled_count", arguments=(study.operands[0], shift, classes))
    return Perturb(start=start, scale=study.preset.noise, seed=subseed(seed, "perturb"))
