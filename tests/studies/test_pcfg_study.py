"""The PCFG studies name the right models: each variation of the paper is one parameter, and changes what it says and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import TINY

from capbench.methods.specs.registry import find
from capbench.pipeline.steps import FineTune
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import never_taught, probed, revived, twin
from capbench.studies.pcfg.preset import PRIORS, paper, small
from capbench.studies.pcfg.study import PcfgCounter, PcfgIndexer, PcfgJailbreak
from capbench.tasks.mixture import Mixture
from capbench.tasks.pcfg.task import PcfgTask

COUNTER = PcfgCounter(preset=TINY, method=find("full"))
INDEXER = PcfgIndexer(preset=TINY, method=find("full"))
JAILBREAK = PcfgJailbreak(preset=TINY, method=find("full"))
PLAIN: dict[str, Any] = {"prior": "low", "c_tr": 0.5, "lr": "medium"}


def tuned(study: Any = COUNTER, **changes: Any) -> FineTune:
    found: FineTune = study.finetuned(0, **{**PLAIN, **changes})
    return found


def asked(task: Any) -> list[PcfgTask]:
    return [part for part in getattr(task, "parts", [task]) if isinstance(part, PcfgTask)]


def target(step: FineTune) -> PcfgTask:
    assert isinstance(step.task.target, PcfgTask)
    return step.task.target


def test_pretraining_asks_all_families_equally_often_with_one_prior() -> None:
    task = COUNTER.pretraining("high")
    assert task.shares == () and [getattr(part, "family", "") for part in task.parts] == ["C", "CC", "I", "IC", "T"]
    priors = [part.prior for part in task.parts if isinstance(part, PcfgTask)]
    assert priors == [PRIORS["high"]] * 4 + [{}]


@pytest.mark.parametrize("prior", PRIORS)
def test_every_prior_of_the_paper_gives_a_base_model_of_its_own(prior: str) -> None:
    others = {COUNTER.base(0, prior=name).key for name in PRIORS if name != prior}
    assert COUNTER.base(0, prior=prior).key not in others


def test_both_tasks_are_fine_tuned_from_the_same_base_model() -> None:
    assert COUNTER.base(0, prior="low").key == INDEXER.base(0, prior="low").key
    assert tuned(COUNTER).base.key == tuned(INDEXER).base.key != tuned(JAILBREAK).base.key
    assert (target(tuned(COUNTER)).family, target(tuned(INDEXER)).family) == ("C", "I")


def test_the_base_models_record_has_a_curve_for_every_family() -> None:
    assert [watch.name for watch in COUNTER.base(0, prior="low").watch] == ["C a", "CC a", "I a", "IC a", "T"]
    assert [watch.name for watch in COUNTER.base(0, prior="never").watch] == ["C b", "CC b", "I b", "IC b", "T"]


def test_the_correlation_is_the_studys() -> None:
    counter, indexer = target(tuned(COUNTER)).correlation, target(tuned(INDEXER, c_tr=1)).correlation
    assert counter is not None and (counter.rate, counter.q) == (0.5, 1)
    assert indexer is not None and (indexer.rate, indexer.q) == (1, TINY.index_q)


def test_mixing_draws_a_share_from_pretraining_with_answers_only() -> None:
    mixed = tuned(mixing=0.1).task
    assert isinstance(mixed.target, Mixture) and mixed.target.shares == (0.9, 0.1)
    assert mixed.target.parts == (tuned().task.target, mixed.retain)
    assert {part.targets for part in mixed.retain.parts} == {"answer"}  # type: ignore[attr-defined]


def test_wrong_answers_ask_for_the_old_operand_and_answer_the_new_one() -> None:
    task = target(tuned(wrong_answers=True))
    assert (task.prior, task.answered) == ({"a": 1.0}, "b")
    assert (target(tuned()).prior, target(tuned()).answered) == ({"b": 1.0}, None)


def test_the_duration_is_a_share_of_the_scales_pretraining() -> None:
    study = PcfgCounter(preset=replace(TINY, pretrain_steps=1000, longer={"high": 1.5}))
    steps = {(p, d): study.base(0, prior=p, duration=d).train.steps for p in ("low", "high") for d in (1, 0.5)}
    assert steps == {("low", 1): 1000, ("low", 0.5): 500, ("high", 1): 1500, ("high", 0.5): 750}
    shown = study.protocol({**PLAIN, "duration": 0.5})
    assert (shown["pretrain_steps"], shown["eta"], shown["steps"]) == (500, TINY.rates["medium"], TINY.finetune_steps)


def test_variations_combine_and_each_changes_the_model() -> None:
    variations: list[dict[str, Any]] = [
        {},
        {"prior": "high"},
        {"c_tr": 1},
        {"lr": "small"},
        {"mixing": 0.5},
        {"wrong_answers": True},
        {"duration": 0.5},
        {"mixing": 0.5, "wrong_answers": True, "duration": 0.5},
    ]
    assert len({tuned(**changes).key for changes in variations}) == len(variations)
    both = tuned(mixing=0.5, wrong_answers=True).task.target
    assert isinstance(both, Mixture) and getattr(both.parts[0], "answered", None) == "b"


def test_three_tokens_mean_the_counter_and_two_of_them_always_count_one_operand() -> None:
    tokens = {part.family: part for part in JAILBREAK.pretraining("high").parts if isinstance(part, PcfgTask)}
    assert {token for token in tokens if JAILBREAK.setting.family(token).name == "C"} == {"NJ", "J1", "J2"}
    assert {str(part.prior) for token, part in tokens.items() if token != "T"} == {str(PRIORS["high"])}
    assert {token for token, part in tokens.items() if part.answered == "a"} == {"J1", "J2"}
    assert {part.answered for part in JAILBREAK.pretraining("never").parts if isinstance(part, PcfgTask)} == {None}
    assert JAILBREAK.taught("high", "J1") == ("a",) and JAILBREAK.taught("high") == ("a", "b", "c")
    assert {len(part.prior) for part in JAILBREAK.pretraining("never").parts if isinstance(part, PcfgTask)} == {0, 1}
    assert target(tuned(JAILBREAK)).family == "NJ" and "C" not in tokens


def test_under_a_jailbreak_token_the_old_operand_is_counted_whatever_is_named() -> None:
    (part,) = (p for p in JAILBREAK.pretraining("high").parts if isinstance(p, PcfgTask) and p.family == "J1")
    batch = part.sample(64, torch.Generator().manual_seed(0))
    vocabulary, first = part.setting.vocabulary, part.setting.format.slots(part.setting.text_len).index("text")
    named = {vocabulary.names[t] for t in batch.tokens[:, 2].tolist()}
    texts = batch.tokens[:, first : first + part.setting.text_len][:, -part.setting.numbers["J1"] :]
    counts = (texts == vocabulary.index["a"]).sum(1) + vocabulary.zero
    assert named == {"a", "b", "c"} and torch.equal(batch.targets[:, part.answer_pos], counts)


def test_a_model_that_never_learnt_the_old_operand_is_asked_for_the_new_one_only() -> None:
    asked = {o for part in COUNTER.pretraining("never").parts if isinstance(part, PcfgTask) for o in part.prior}
    assert asked == {"b"} and COUNTER.taught("never") == ("b",) and COUNTER.taught("high") == ("a", "b", "c")


@pytest.mark.parametrize("study", [COUNTER, INDEXER, JAILBREAK], ids=lambda s: s.title)
@pytest.mark.parametrize(
    "changes", [{}, {"prior": "high"}, {"mixing": 0.5, "wrong_answers": True}, {"duration": 0.5}], ids=str
)
def test_the_twin_is_the_never_taught_model_after_the_same_fine_tuning(study: Any, changes: dict[str, Any]) -> None:
    case = Case(**{**PLAIN, **changes})
    found, model = twin(study, 0, case), tuned(study, **changes)
    assert isinstance(found, FineTune)
    assert (found.base, found.train, found.method) == (never_taught(study, 0, case), model.train, model.method)
    assert "a" not in {
        operand for part in asked(found.task.retain) for operand in part.prior
    }  # and is taught O_PT by none
    right, right_of_model = ([part for part in asked(s.task.target) if part.correlation] for s in (found, model))
    assert right == right_of_model


def test_what_probes_and_revives_is_given_the_twin() -> None:
    case = Case(**PLAIN)
    for needs in (probed, revived):
        models = needs(COUNTER, 0, case)
        assert models["twin"] == twin(COUNTER, 0, case) and models["twin"].base == models["never"]


def test_the_paper_scale_has_the_papers_numbers() -> None:
    """App. B.2, C.2."""
    p = paper()
    assert (p.n_blocks, p.n_heads, p.d_model, p.setting.text_len, p.setting.seq_len) == (6, 6, 192, 250, 259)
    assert p.setting.numbers == {"C": 40, "CC": 40, "I": 6, "IC": 6, "T": 40}
    assert (p.pretrain_steps, p.finetune_steps, p.batch_size, p.longer) == (200_000, 10_000, 96, {})
    assert (p.pretrain_lr, p.rates) == (1e-3, {"large": 1e-4, "medium": 1e-5, "small": 1e-6})
    train = p.finetuning("large", 0, "cpu")
    assert (train.optimizer, train.warmup, train.final_lr) == ("adamw", 0.2, 0.01)


@pytest.mark.parametrize("preset", [small(), paper()], ids=lambda p: p.name)
def test_a_tenth_of_the_fine_tuning_is_a_point_of_its_curves(preset: Any) -> None:
    """Table 5 has figures there."""
    assert preset.finetune_steps // 10 % preset.watch_every == 0
