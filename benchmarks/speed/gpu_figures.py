"""What gpu.py measures, one function for each part; each gives rows of the table. Sizes come with the scale.

A step's time is taken between steps of one training (`steady`), so starting processes that draw data, and capturing graphs, do
not count; every step ends with its loss on the CPU, so the GPU is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from unittest import mock

import torch

from capbench.configs import Precision
from capbench.measure.accuracy import accuracy, sample
from capbench.models.gpt import Gpt
from capbench.studies.lab import Bench
from capbench.studies.pcfg.preset import PcfgPreset, paper, small
from capbench.studies.pcfg.readings import description_length, pruning
from capbench.studies.pcfg.study import PcfgCounter
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.training.loop import Fit, batches, drawing_processes, fit
from capbench.training.stacking.together import fit_stacked
from speed import flops
from speed.rounds import seconds
from speed.rows import Row, row
from speed.steps import Setup, paper_282, products, steady

Precisions = tuple[tuple[str, Precision, bool], ...]
PRECISIONS: Precisions = (("float32", "float32", False), ("tf32", "float32", True), ("bf16", "bfloat16", False))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large and how long: `full` on a GPU, `tiny` to see that it works."""

    device: str
    presets: dict[str, PcfgPreset]  # of training steps, by what they are called in the table
    stacked: PcfgPreset
    stacks: tuple[int, ...]
    agreeing: PcfgPreset  # its model is trained to the end in two precisions
    steps: int
    skip: int
    square: int
    calls: int

    @classmethod
    def full(cls, device: str) -> Scale:
        return cls(
            device=device,
            presets={"paper size (16 x 282 tokens)": paper_282(), "paper (96 x 259 tokens)": paper()},
            stacked=paper_282(),
            stacks=(4, 16, 32),
            agreeing=replace(small(), pretrain_steps=1200),
            steps=40,
            skip=10,
            square=8192,
            calls=10,
        )

    @classmethod
    def tiny(cls, device: str) -> Scale:
        preset = replace(
            small(), name="tiny", d_model=16, n_blocks=1, n_heads=2, batch_size=4, pretrain_steps=3, n_evaluate=8, n_select=8,
            prune_ks=(1,), random_draws=1, probe_blocks=(4, 8),
        )  # fmt: skip
        return cls(
            device=device,
            presets={"tiny": preset},
            stacked=preset,
            stacks=(2,),
            agreeing=preset,
            steps=3,
            skip=1,
            square=64,
            calls=1,
        )


def rates(scale: Scale) -> Iterator[Row]:
    """The machine's own matrix-product rates."""
    for name, precision, tf32 in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        shape = (scale.square,) * 3
        with allowing(tf32):
            work = products([shape], calls=scale.calls, device=scale.device, dtype=dtype)
            work()
            each = [scale.calls * flops.product(*shape) / seconds(work) / 1e12 for _ in range(3)]
        yield row("GPU", f"matrix products of {scale.square}, {name}", each, "TFLOP/s")


def training_step(scale: Scale) -> Iterator[Row]:
    """Our step in three precisions, one model alone."""
    for what, preset in scale.presets.items():
        for name, precision, tf32 in PRECISIONS:
            setup = Setup.of(preset, steps=scale.steps, device=scale.device, precision=precision)
            with allowing(tf32):
                each = steady(setup.ours(), skip=scale.skip)
            yield row("GPU", f"{what}, {name}: a step", [1000 * each], "ms")
            work = flops.training_step(setup.model, preset.batch_size, preset.setting.seq_len)
            yield row("GPU", f"{what}, {name}: rate", [work / each / 1e12], "TFLOP/s")


def huggingface(scale: Scale) -> Iterator[Row]:
    """Hugging Face's GPT-2 of the same size as it ships, and how many times its time ours is."""
    for what, preset in scale.presets.items():
        for name, precision, tf32 in PRECISIONS:
            setup = Setup.of(preset, steps=scale.steps, device=scale.device, precision=precision)
            with allowing(tf32):
                setup.huggingface()()
                theirs = seconds(setup.huggingface()) / scale.steps
                ours = steady(setup.ours(), skip=scale.skip)
            yield row(
                "GPU", f"{what}, {name}: speed against Hugging Face's GPT-2 as it ships", [theirs / ours], "times"
            )


def stacking(scale: Scale) -> Iterator[Row]:
    """Throughput of stacks against one model alone: what one after another would do."""
    for name, precision, tf32 in PRECISIONS:
        setup = Setup.of(scale.stacked, steps=scale.steps, device=scale.device, precision=precision)
        with allowing(tf32):
            alone = steady(setup.one_by_one(1), skip=scale.skip)
            for models in scale.stacks:
                for graphs in (True, False):
                    with contextlib.nullcontext() if graphs else without_graphs():
                        each = steady(setup.stacked(models), skip=scale.skip)
                    what = f"{models} stacked, {name}, {'with' if graphs else 'without'} CUDA graphs"
                    aim = ">= 5" if models == 16 and graphs else ""
                    times = [models * alone / each]
                    yield row("GPU", f"{what}: throughput against one after another", times, "times", aim=aim)


def agreement(scale: Scale) -> Iterator[Row]:
    """The same pretraining in float32 and in bf16, and stacked: losses and accuracies at the end."""
    preset = scale.agreeing
    task = pretraining(preset.setting, preset.priors["high"])
    asked = PcfgCounter(preset=preset).evaluation("a", c_te=None)
    batch = sample(asked, preset.n_evaluate, 0)
    found: dict[str, tuple[Fit, float]] = {}
    for name, precision, tf32 in PRECISIONS:
        config = replace(preset.pretraining(preset.pretrain_steps, 0, scale.device), precision=precision)
        model = Gpt.initialised(preset.model(preset.setting), torch.Generator().manual_seed(0))
        with allowing(tf32):
            found[name] = fit(model, task, config), accuracy(model, asked, batch)
    for name, (fitted, right) in found.items():
        last = fitted.losses[-max(1, len(fitted.losses) // 10) :]
        what = f"{preset.name}, {preset.pretrain_steps} steps, {name}"
        yield row("GPU", f"{what}: loss over the last tenth", [sum(last) / len(last)], "nats")
        yield row("GPU", f"{what}: accuracy of counting a", [100 * right], "%")
    setup = Setup.of(preset, steps=min(20, preset.pretrain_steps), device=scale.device)
    pairs = zip(fit_stacked(setup.runs(2)), setup.one_by_one(2)(), strict=True)
    differences = [
        abs(a / b - 1) for stacked, single in pairs for a, b in zip(stacked.losses, single.losses, strict=True)
    ]
    yield row("GPU", "stacked against single, float32: largest difference of a loss", [100 * max(differences)], "%")


def data(scale: Scale) -> Iterator[Row]:
    """Batches that the drawing processes deliver a second, and those that a step takes."""
    for what, preset in scale.presets.items():
        task = pretraining(preset.setting, preset.priors["high"])
        setup = Setup.of(preset, steps=scale.steps, device=scale.device, precision="bfloat16")
        processes = drawing_processes(scale.device)
        steps = 16 * (2 + 4 * processes) if processes else scale.steps  # so that what is drawn ahead is a small part
        config = replace(setup.train, steps=steps)
        arrived = [time.perf_counter() for _ in batches(task, config, workers=processes)]
        rate = (len(arrived) - 1) / max(arrived[-1] - arrived[0], 1e-9)
        need = 1 / steady(setup.ours(), skip=scale.skip)
        yield row("GPU", f"{what}: batches drawn by {processes} processes", [rate], "a second")
        yield row("GPU", f"{what}: batches drawn for each that a step in bf16 takes", [rate / need], "times")


def measuring(scale: Scale) -> Iterator[Row]:
    """Pruning and probing of a paper-size model, from strings to figures."""
    preset = scale.stacked
    study = PcfgCounter(preset=preset)
    model = Gpt.initialised(preset.model(preset.setting), torch.Generator().manual_seed(0)).to(scale.device).eval()
    bench, built = Bench(study=study, seed=0), _Built(model)
    for what, reading in (
        ("pruning", lambda: list(pruning(bench, tuned=built))),
        ("probing", lambda: list(description_length(bench, model=built, token=None))),
    ):
        yield row("GPU", f"{what} of one model", [seconds(reading)], "s")


@dataclass(frozen=True)
class _Built:
    """As lab.Built: a model that is there."""

    model: Gpt


@contextlib.contextmanager
def allowing(tf32: bool) -> Iterator[None]:
    """Float32 products on the GPU's tf32 units, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    yield
    torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """Stacks launch every kernel on its own."""

    def uncaptured(function: Callable[[], object], device: str) -> Callable[[], object]:
        return function

    with mock.patch("capbench.training.stacking.steps.Captured", uncaptured):
        yield


# part -> (its function, seconds that it may take); what is most wanted comes first
FIGURES: dict[str, tuple[Callable[[Scale], Iterator[Row]], int]] = {
    "rates": (rates, 30),
    "step": (training_step, 65),
    "stacking": (stacking, 110),
    "huggingface": (huggingface, 75),
    "agreement": (agreement, 80),
    "data": (data, 55),
    "measuring": (measuring, 50),
}
