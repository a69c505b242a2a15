"""A study of one's own: a recurrent network is taught to recall the first and the last letter, then to give the last for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from network import RecurrentConfig
from task import LETTERS, Recall

from capbench import (
    Bench,
    Built,
    FineTune,
    FineTuningTask,
    Initialise,
    Measurement,
    MethodRef,
    Mixture,
    Precision,
    Pretrain,
    Tool,
    Toolbox,
    TrainConfig,
    at_scale,
    subseed,
)

FIRST, LAST = Recall(asked="first"), Recall(asked="last")
BOTH = Mixture(parts=(FIRST, LAST))
READING = Tool(name="reading", measured="reading.accuracy", unit="accuracy", present=0.9, absent=0.5)


@dataclass(frozen=True, kw_only=True)
class RecallPreset:
    """The numbers of one scale; name: the scale."""

    name: str
    d_model: int = 24
    pretrain_steps: int = 300
    finetune_steps: int = 150
    rates: Mapping[str, float]
    n: int = 256  # strings per measurement


@dataclass(frozen=True, kw_only=True)
class RecallStudy:
    """What the protocol `capbench.Study` asks for, and the models."""

    preset: RecallPreset
    method: MethodRef | None
    device: str
    toolbox = Toolbox(tools=(READING,), behaviour=("tuned.first",), case=("lr",))

    @property
    def model_name(self) -> str:
        return f"gru-{self.preset.d_model}"

    @property
    def task_name(self) -> str:
        return "recall first to last"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case, with the learning rate and the number of steps behind its name of a rate."""
        return {**case, "eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}

    def base(self, seed: int) -> Pretrain:
        """A model that was taught both."""
        sizes = RecurrentConfig(
            vocab_size=FIRST.vocab_size, seq_len=FIRST.seq_len, n_blocks=1, d_model=self.preset.d_model
        )
        start = Initialise(architecture="network:Recurrent", model=sizes, seed=subseed(seed, "initialise"))
        train = self._training(self.preset.pretrain_steps, 1e-2, subseed(seed, "pretrain"))
        return Pretrain(start=start, task=BOTH, train=train)

    def finetuned(self, seed: int, *, lr: str) -> FineTune:
        """It after the method under test, which is to answer prompts for the first letter with the last."""
        assert self.method is not None
        target = Recall(asked="first", answered="last")
        return FineTune(
            base=self.base(seed),
            method=self.method,
            task=FineTuningTask(target=target, retain=BOTH, forget=FIRST, others=LAST),
            train=self._training(self.preset.finetune_steps, self.preset.rates[lr], subseed(seed, "finetune")),
        )

    def _training(self, steps: int, lr: float, seed: int) -> TrainConfig:
        return TrainConfig(steps=steps, batch_size=64, lr=lr, seed=seed, device=self.device)


PRESETS = {
    "smoke": lambda: RecallPreset(name="smoke", rates={"medium": 1e-2}),
    "small": lambda: RecallPreset(name="small", rates={"medium": 1e-3}, d_model=48, pretrain_steps=1000),
}


def recall(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> RecallStudy:
    """The study at a scale; these trainings are short, so that they are all in float32."""
    return RecallStudy(preset=at_scale(PRESETS, scale), method=method, device=device)


def behaviour(bench: Bench[RecallStudy], **models: Built) -> Iterator[Measurement]:
    """Accuracy of each model on both prompts: `<model>.first`, `<model>.last`."""
    from capbench.measure.accuracy import accuracy, sample

    for task in (FIRST, LAST):
        batch = sample(task, bench.study.preset.n, subseed(bench.seed, f"evaluate {task.asked}"))
        for name, built in models.items():
            yield _accuracy(bench, f"{name}.{task.asked}", accuracy(built.model, task, batch))


def reading(bench: Bench[RecallStudy], tuned: Built) -> Iterator[Measurement]:
    """How well a linear probe reads the first letter off the last layer: `reading.accuracy`."""
    from capbench.measure.accuracy import sample
    from capbench.measure.probe import Probe, features

    x, letters = [], []
    for part in ("fit", "evaluate"):
        batch = sample(FIRST, bench.study.preset.n, subseed(bench.seed, f"probe {part}"))
        x.append(features(tuned.model, batch, FIRST.answer_pos))
        letters.append(batch.targets[:, FIRST.answer_pos])
    by_layer = Probe.fitted(x[0], letters[0], LETTERS).accuracy(x[1], letters[1])
    yield _accuracy(bench, "reading.accuracy", float(by_layer[-1]))


def _accuracy(bench: Bench[RecallStudy], name: str, value: float) -> Measurement:
    return Measurement(name=name, value=value, unit="accuracy", n=bench.study.preset.n, seed=bench.seed)
