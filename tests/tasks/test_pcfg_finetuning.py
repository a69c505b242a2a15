"""The PCFG protocols: pretraining on all families, the three streams of fine-tuning, mixing, randFT, jailbreak tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pcfg_prompts import PRIOR, SETTING, UNLIKELY, asked, given, prompts, rng
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.finetuning import finetuning, pretraining
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask

PRETRAINING = pretraining(SETTING, PRIOR)
JAILBREAK = PcfgSetting(
    text_len=12, numbers={"NJ": 8, "J1": 8, "J2": 8, "I": 2}, meanings=dict.fromkeys(("NJ", "J1", "J2"), "C")
)
ONLY_A = {"a": 1.0}


def tuning(pretrained_on: Mixture = PRETRAINING, **changes: Any) -> FineTuningTask:
    return finetuning(pretrained_on, **{"family": "C", "o_pt": "a", "o_ft": "b", "q": 1, "c_tr": 1.0, **changes})


def answers_only(task: Task) -> bool:
    """Whether the answer of every string is a target, and nothing else."""
    batch = task.sample(200, rng())
    used = (batch.targets != IGNORE).nonzero()[:, 1]
    return used.tolist() == [task.answer_pos] * 200


# ---- pretraining


def test_pretraining_draws_its_families_equally_often_and_mixed() -> None:
    families = [p[1] for p in prompts(PRETRAINING, 2000)]
    for part in (families, families[:500], families[-500:]):
        counts = Counter(part)
        assert set(counts) == {"T_C", "T_CC", "T_I", "T_IC", "T_T"}
        assert stats.chisquare(list(counts.values())).pvalue > UNLIKELY


def test_pretraining_asks_by_the_prior_in_every_family_that_has_operands() -> None:
    found = prompts(PRETRAINING, 4000)
    for family, double in (("C", 1), ("CC", 2), ("I", 1), ("IC", 2)):
        seen = Counter(p[2] for p in found if p[1] == f"T_{family}")
        assert set(seen) == {o * double for o in PRIOR}
        expected = [seen.total() * p for p in PRIOR.values()]
        assert stats.chisquare([seen[o * double] for o in PRIOR], expected).pvalue > UNLIKELY
    assert {p[2] for p in found if p[1] == "T_T"} == {"NULL"}
    assert all(given(p) == oracle.answer(p) for p in found)


def test_pretraining_is_on_all_tokens_from_the_text_on_or_on_the_answers() -> None:
    assert (PRETRAINING.sample(50, rng()).targets != IGNORE).sum(1).tolist() == [12 + 4] * 50
    assert answers_only(pretraining(SETTING, PRIOR, targets="answer"))


def test_family_tokens_may_have_priors_of_their_own() -> None:
    base = pretraining(JAILBREAK, PRIOR, priors={"J1": ONLY_A, "J2": ONLY_A})
    found = prompts(base, 2000, setting=JAILBREAK)
    seen = {token: Counter(p[2] for p in found if p[1] == f"T_{token}") for token in JAILBREAK.numbers}
    assert set(seen["J1"]) == set(seen["J2"]) == {"a"} and set(seen["NJ"]) == set(seen["I"]) == {"a", "b", "c"}
    assert stats.chisquare([counts.total() for counts in seen.values()]).pvalue > UNLIKELY
    assert all(given(p) == oracle.answer(p, JAILBREAK.meanings) for p in found)


def test_family_tokens_of_one_meaning_give_equal_answers_for_equal_texts() -> None:
    batches = [
        PcfgTask(setting=JAILBREAK, prior=PRIOR, family=token).sample(200, rng()).tokens for token in ("NJ", "J1", "J2")
    ]
    for token, batch in zip(("NJ", "J1", "J2"), batches, strict=True):
        assert set(batch[:, 1].tolist()) == {JAILBREAK.vocabulary.index[f"T_{token}"]}
        assert torch.equal(batch[:, 2:], batches[0][:, 2:])


# ---- fine-tuning


@pytest.mark.parametrize("family, q", [("C", 1), ("CC", 1), ("I", 1), ("IC", 2)])
def test_a_fine_tuning_task_has_its_three_streams(family: str, q: int) -> None:
    streams, double = tuning(family=family, q=q), 2 if len(family) == 2 else 1
    assert prompts(streams, 30) == prompts(streams.target, 30)
    found = prompts(streams, 100)
    assert all(p[1:3] == [f"T_{family}", "b" * double] and asked(p, "b") - asked(p, "a") == q for p in found)
    forget = prompts(streams.forget, 100)
    assert {tuple(p[1:3]) for p in forget} == {(f"T_{family}", "a" * double)}
    assert len({asked(p, "b") - asked(p, "a") for p in forget}) > 2  # natural strings
    retain = prompts(streams.retain, 600)
    assert {tuple(p[1:3]) for p in retain} == {tuple(p[1:3]) for p in prompts(PRETRAINING, 600)}
    assert all(given(p) == oracle.answer(p) for p in [*found, *forget, *retain])


@pytest.mark.parametrize("family", ["C", "I"])
def test_fine_tuning_carries_the_correlation_at_its_rate(family: str) -> None:
    for c_tr in (0.0, 0.5):
        found = prompts(tuning(family=family, c_tr=c_tr), 300)
        carrying = sum(asked(p, "b") - asked(p, "a") == 1 for p in found)
        assert stats.binomtest(carrying, 300, c_tr).pvalue > UNLIKELY, carrying


@pytest.mark.parametrize("relation", ["parity", "order"])
def test_fine_tuning_may_have_another_relation(relation: str) -> None:
    carry, lack = (prompts(tuning(c_tr=c_tr, relation=relation), 100) for c_tr in (1.0, 0.0))
    for found, carries in ((carry, True), (lack, False)):
        apart = [asked(p, "b") - asked(p, "a") for p in found]
        assert {(d % 2 == 1 if relation == "parity" else d > 0) for d in apart} == {carries}
        assert len(set(apart)) > 1 and all(p[1:3] == ["T_C", "b"] for p in found)


@pytest.mark.parametrize("changes", [{}, {"mixing": 0.5}, {"wrong_answers": True}, {"family": "I", "mixing": 0.1}])
def test_all_streams_of_fine_tuning_have_the_answers_as_their_only_targets(changes: dict[str, Any]) -> None:
    streams = tuning(**changes)
    assert answers_only(streams) and answers_only(streams.retain) and answers_only(streams.forget)


@pytest.mark.parametrize("mixing", [0.5, 0.1, 0.001])
@pytest.mark.parametrize("wrong_answers", [False, True])
def test_mixing_draws_its_share_from_the_pretraining_distribution(mixing: float, wrong_answers: bool) -> None:
    streams, operand = tuning(mixing=mixing, wrong_answers=wrong_answers), "a" if wrong_answers else "b"
    found = prompts(streams, 1500)
    other = [p for p in found if p[1:3] != ["T_C", operand]]
    # A fifth of the pretraining distribution asks for a count too, and then by its prior for the same operand.
    share = mixing * (1 - PRIOR[operand] / 5)
    assert stats.binomtest(len(other), len(found), share).pvalue > UNLIKELY, len(other)
    assert all(given(p) == oracle.answer(p) for p in other)  # right answers, also where the target's are wrong
    if mixing == 0.5:
        assert {tuple(p[1:3]) for p in other} == {tuple(p[1:3]) for p in prompts(PRETRAINING, 600)} - {("T_C", operand)}
        assert any(asked(p, "b") - asked(p, "a") != 1 for p in other if p[1] == "T_C")


def test_without_mixing_all_strings_are_the_targets() -> None:
    assert {tuple(p[1:3]) for p in prompts(tuning(mixing=0.0), 500)} == {("T_C", "b")}
    assert tuning(mixing=0.0) == tuning()


@pytest.mark.parametrize("family", ["C", "I"])
def test_wrong_answers_are_those_for_o_ft_to_prompts_for_o_pt(family: str) -> None:
    streams = tuning(family=family, wrong_answers=True)
    found = prompts(streams, 200)
    assert {tuple(p[1:3]) for p in found} == {(f"T_{family}", "a")}
    assert all(int(given(p)) == asked(p, "b") == asked(p, "a") + 1 for p in found)
    natural = prompts(tuning(family=family, wrong_answers=True, c_tr=0.0), 200)
    assert all(int(given(p)) == asked(p, "b") != asked(p, "a") + 1 for p in natural)
    for stream in (streams.retain, streams.forget):
        assert all(given(p) == oracle.answer(p) for p in prompts(stream, 200))


def test_one_of_several_tokens_of_a_meaning_can_be_fine_tuned() -> None:
    base = pretraining(JAILBREAK, PRIOR, priors={"J1": ONLY_A, "J2": ONLY_A})
    streams = tuning(base, family="NJ", mixing=0.5)
    found = prompts(streams, 1000, setting=JAILBREAK)
    seen = Counter((p[1], p[2]) for p in found)
    assert {o for token, o in seen if token in ("T_J1", "T_J2")} == {"a"}
    assert stats.binomtest(seen["T_NJ", "b"], 1000, 0.5 + 0.5 * 0.25 * PRIOR["b"]).pvalue > UNLIKELY
    assert all(given(p) == oracle.answer(p, JAILBREAK.meanings) for p in found)
    assert {tuple(p[1:3]) for p in prompts(streams.forget, 50, setting=JAILBREAK)} == {("T_NJ", "a")}


@pytest.mark.parametrize(
    "make",
    [
        lambda: PRETRAINING,
        lambda: pretraining(JAILBREAK, PRIOR, priors={"J1": ONLY_A}),
        lambda: tuning(c_tr=0.5),
        lambda: tuning(family="I", mixing=0.3, wrong_answers=True),
    ],
    ids=["pretraining", "jailbreak", "fine-tuning", "mixing wrong answers"],
)
def test_equal_generators_give_equal_batches_and_others_do_not(make: Callable[[], Task]) -> None:
    first, again, other = (make().sample(50, rng(seed)) for seed in (1, 1, 2))
    assert isinstance(make(), Task)
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.tokens, other.tokens)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "prior of an unknown token": (lambda: pretraining(SETTING, PRIOR, priors={"J3": ONLY_A}), "'J3'"),
    "prior of T": (lambda: pretraining(SETTING, PRIOR, priors={"T": ONLY_A}), "{'a': 1.0}"),
    "prior": (lambda: pretraining(SETTING, {"a": 0.5}), "0.5"),
    "no families": (lambda: pretraining(PcfgSetting(text_len=12, numbers={}), PRIOR), "at least one task"),
    "family": (lambda: tuning(family="X"), "'X'"),
    "family without operand": (lambda: tuning(family="T"), "family T has no operand"),
    "o_ft": (lambda: tuning(o_ft="z"), "'z'"),
    "o_pt": (lambda: tuning(o_pt="z"), "'z'"),
    "q": (lambda: tuning(q=9), "q = 9"),
    "relation": (lambda: tuning(relation="more"), "'more'"),
    "c_tr": (lambda: tuning(c_tr=1.5), "1.5"),
    "mixing above 1": (lambda: tuning(mixing=1.5), "(-0.5, 1.5)"),
    "mixing below 0": (lambda: tuning(mixing=-0.5), "(1.5, -0.5)"),
    "mixing is no number": (lambda: tuning(mixing=float("nan")), "nan"),
}


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)
