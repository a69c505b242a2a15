"""Speed of the parts that a run spends its time in: `pytest benchmarks/`. Read ratios within one run, not absolute times."""

import pytest
import torch

from capbench.measure.probe import code_length, features
from capbench.models.gpt import Gpt
from capbench.pipeline.cores import limit_threads
from capbench.presets.pcfg import paper, small
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training import batches, fit


@pytest.fixture(autouse=True)
def one_thread():
    limit_threads()


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_matrix_product(benchmark):
    """The machine's own float32 rate, to compare the training step with."""
    x = torch.randn(1024, 1024)
    benchmark(lambda: x @ x)
    benchmark.extra_info["gflop"] = 2 * 1024**3 / 1e9


def drawn(task, preset):
    """Sixteen batches as a training gets them: prompts, answers and targets, on one core."""
    return list(batches(task, preset.pretraining(16, 0, "cpu")))


@pytest.mark.parametrize("preset", [small(), paper()], ids=lambda p: p.name)
def test_sampling_16_pretraining_batches(benchmark, preset):
    task = pretraining(preset.setting, preset.priors["high"])
    benchmark(lambda: drawn(task, preset))


@pytest.mark.parametrize("family", ["C", "I"])
@pytest.mark.parametrize("preset", [small(), paper()], ids=lambda p: p.name)
def test_sampling_16_correlated_batches(benchmark, preset, family):
    """All texts carry the correlation: the costliest fine-tuning data."""
    q = preset.index_q if family == "I" else 1
    correlation = Correlation(o_pt="a", o_ft="b", rate=1.0, q=q)
    task = PcfgTask(setting=preset.setting, prior={"b": 1.0}, family=family, correlation=correlation)
    benchmark(lambda: drawn(task, preset))


def test_training_step(benchmark, rng):
    """Ten steps of pretraining at small scale, data included."""
    preset = small()
    task = pretraining(preset.setting, preset.priors["high"])
    model = Gpt.initialised(preset.gpt(preset.setting), rng)
    matrices = sum(
        p.numel() for n, p in model.named_parameters() if "embedding" not in n or n.startswith("unembedding")
    )
    benchmark.extra_info["gflop"] = 10 * 6 * matrices * preset.batch_size * preset.setting.seq_len / 1e9
    config = preset.pretraining(10, 0, "cpu")
    benchmark.pedantic(lambda: fit(model, task, config), rounds=5, warmup_rounds=1)


def test_description_length(benchmark, rng):
    """Features of 2 048 strings, and the online code of all blocks."""
    preset = small()
    task = PcfgTask(setting=preset.setting, prior={"a": 1.0})
    model, batch = Gpt.initialised(preset.gpt(preset.setting), rng), task.sample(preset.probe_blocks[-1], rng)
    labels = batch.targets[:, task.answer_pos] - task.first_answer

    def probe():
        x = features(model, batch, task.answer_pos)
        return code_length(x, labels, task.n_answers, blocks=preset.probe_blocks)

    benchmark.pedantic(probe, rounds=3)
