"""The built-in fine-tuning methods: what each moves and what it leaves, worked out by hand; and what all of them owe."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_methods import SHIFT, VOCAB, Cases, Shift, Table, changed, config, gpt, tracr

from capbench.errors import MethodError
from capbench.methods.common import another_seed, check
from capbench.methods.finetuning.bitfit import bitfit
from capbench.methods.finetuning.dora import dora
from capbench.methods.finetuning.ewc import ewc, fisher
from capbench.methods.finetuning.frozen_trunk import frozen_trunk
from capbench.methods.finetuning.full import full
from capbench.methods.finetuning.ia3 import ia3
from capbench.methods.finetuning.l2_sp import l2_sp
from capbench.methods.finetuning.last_k import last_k
from capbench.methods.finetuning.lora import lora
from capbench.methods.finetuning.lp_ft import lp_ft
from capbench.methods.finetuning.replay import replay
from capbench.methods.finetuning.wise_ft import wise_ft
from capbench.methods.specs.built_in import BUILT_IN
from capbench.methods.specs.registry import find, load
from capbench.models.base import Model, passes
from capbench.pipeline.budget import counting
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss, observing

METHODS: dict[str, Callable[..., Model]] = {
    "bitfit": bitfit,
    "lora": lora,
    "dora": dora,
    "ia3": ia3,
    "last-k": last_k,
    "l2-sp": l2_sp,
    "ewc": functools.partial(ewc, samples=16),
    "replay": replay,
    "wise-ft": wise_ft,
    "lp-ft": lp_ft,
}
BOTH = [(name, start) for name in METHODS for start in (gpt, tracr) if (name, start) != ("lp-ft", tracr)]
both = pytest.mark.parametrize(("name", "start"), BOTH, ids=[f"{name}-{start.__name__}" for name, start in BOTH])


# ---- what all of them owe


@both
def test_a_method_returns_a_model_of_the_same_form_at_the_given_cost(name: str, start: Any) -> None:
    base = start()
    before, seen = copy.deepcopy(base), []
    with counting() as budget, observing(lambda step, model: seen.append(step)):  # type: ignore[func-returns-value]
        tuned = METHODS[name](base, SHIFT, config(steps=3))
    assert not changed(before, base) and all(p.requires_grad for p in base.parameters())
    assert type(tuned) is type(base) and changed(base, tuned)
    assert {k: (v.shape, v.dtype) for k, v in tuned.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in base.state_dict().items()
    }
    assert all(p.requires_grad for p in tuned.parameters()) and not any(m.training for m in tuned.modules())
    strings = 3 * 8 + (16 if name == "ewc" else 0)
    assert budget.as_json() == {"steps": 3, "tokens": strings * 3, "forward_tokens": 0}
    assert seen == ([1, 2, 1] if name == "lp-ft" else [1, 2, 3])
    tokens = SHIFT.sample(8, torch.Generator().manual_seed(3)).tokens
    torch.testing.assert_close(tuned.answer_logits(tokens, 2), tuned(tokens)[:, 2])  # nothing is left in its way


@both
def test_a_method_depends_on_its_seed_and_on_no_global_state(name: str, start: Any) -> None:
    base, method = start(), METHODS[name]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    once = method(base, SHIFT, config(steps=2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert not changed(once, method(base, SHIFT, config(steps=2)))
    assert changed(once, method(base, SHIFT, config(steps=2, seed=1)))


@pytest.fixture(scope="module")
def taught() -> Model:
    """Knows the token at position 1."""
    model = gpt(blocks=1)
    fit(model, Shift(), config(steps=100, batch_size=32, lr=1e-2))
    return model


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_the_target(name: str, taught: Model) -> None:
    batch = SHIFT.sample(200, torch.Generator().manual_seed(9))
    rate = 5e-2 if name in ("bitfit", "ia3") else 1e-2  # few weights, each of which matters little
    tuned = METHODS[name](taught, SHIFT, config(steps=30, batch_size=32, lr=rate))
    before, after = (float(next_token_loss(model, batch, SHIFT).detach()) for model in (taught, tuned))
    assert after < 0.8 * before


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_knows_it(name: str) -> None:
    assert load(find(name)).__module__ == BUILT_IN[name].partition(":")[0]


WRONG = [
    (bitfit, {"lr_factor": 0}, "bitfit: lr_factor=0 must be a number above 0"),
    (lora, {"rank": 0}, "lora: rank=0 must be a whole number, at least 1"),
    (lora, {"rank": 2.0}, "lora: rank=2.0 must be a whole number, at least 1"),
    (lora, {"rank": True}, "lora: rank=True must be a whole number, at least 1"),
    (lora, {"alpha": -1}, "lora: alpha=-1 must be a number above 0"),
    (lora, {"dropout": 1}, "lora: dropout=1 must be a number, at least 0 and below 1"),
    (dora, {"rank": "many"}, "dora: rank='many' must be a whole number, at least 1"),
    (ia3, {"lr_factor": float("nan")}, "ia3: lr_factor=nan must be a number above 0"),
    (last_k, {"k": 3}, "last-k: k=3 must be a number of blocks, 1 to 2"),
    (last_k, {"k": 0}, "last-k: k=0 must be a number of blocks, 1 to 2"),
    (l2_sp, {"strength": -0.1}, "l2-sp: strength=-0.1 must be a number, at least 0"),
    (l2_sp, {"strength": float("inf")}, "l2-sp: strength=inf must be a number, at least 0"),
    (ewc, {"strength": "high"}, "ewc: strength='high' must be a number, at least 0"),
    (ewc, {"samples": 0}, "ewc: samples=0 must be a whole number, at least 1"),
    (replay, {"share": 1}, "replay: share=1 must be a number strictly between 0 and 1"),
    (wise_ft, {"alpha": 1.1}, "wise-ft: alpha=1.1 must be a number from 0 to 1"),
    (lp_ft, {"head_share": 0}, "lp-ft: head_share=0 must be a number strictly between 0 and 1"),
]


@pytest.mark.parametrize(("method", "options", "message"), WRONG, ids=[message for *_, message in WRONG])
def test_an_option_out_of_range_is_refused(method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as error:
        method(gpt(), SHIFT, config(), **options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (bitfit, "bitfit needs a model with biases; Table has none"),
        (last_k, "last-k needs a model with blocks; Table has none"),
        (ia3, "ia3 needs a model with keys, values and an MLP; Table lacks them"),
    ],
)
def test_a_model_without_the_parts_is_refused(method: Any, message: str) -> None:
    with pytest.raises(MethodError) as error:
        method(Table([[0.0, 0.0]]), SHIFT, config())
    assert str(error.value) == message


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text()))
def test_only_finite_numbers_pass_as_options(value: Any) -> None:
    number = type(value) in (int, float) and value == value and abs(value) != float("inf")
    if number:
        check("m", "o", value, "a number", lambda v: True)
    else:
        with pytest.raises(MethodError):
            check("m", "o", value, "a number", lambda v: True)


def test_seeds_of_streams_differ() -> None:
    seeds = {another_seed(seed, stream) for seed in range(50) for stream in range(4)}
    assert len(seeds) == 200 and not seeds & set(range(50))


# ---- what trains


def test_bitfit_moves_biases_only() -> None:
    base = gpt()
    moved = changed(base, bitfit(base, SHIFT, config()))
    assert moved == {name for name, _ in base.named_parameters() if name.endswith(".bias")}
    assert {"blocks.0.attn.qkv.bias", "blocks.1.norm2.bias", "norm.bias"} <= moved


def test_bitfit_takes_its_own_rate() -> None:
    base = gpt()
    ten = bitfit(base, SHIFT, config(lr=1e-3), lr_factor=10)
    assert not changed(ten, bitfit(base, SHIFT, config(lr=1e-2)))


@pytest.mark.parametrize("k", [1, 2])
def test_last_k_leaves_what_is_below(k: int) -> None:
    base = gpt()
    tops = (*(f"blocks.{i}." for i in range(2 - k, 2)), "norm.", "unembedding.")
    moved = changed(base, last_k(base, SHIFT, config(), k=k))
    assert moved == {name for name, _ in base.named_parameters() if name.startswith(tops)}


def test_last_k_of_a_compiled_model() -> None:
    base = tracr()
    moved = changed(base, last_k(base, SHIFT, config()))
    assert moved and all(name.startswith("blocks.1.") for name in moved)


# ---- penalties, on two cases with one row of weights each: gradients are (p - e) / 2 per row

BOTH_ROWS = Cases(tokens=(0, 1), answers=(1, 1))
FIRST_ROW = Cases(tokens=(0,), answers=(0,))
ROWS = FineTuningTask(target=BOTH_ROWS, retain=FIRST_ROW, forget=FIRST_ROW)
DESCENT = config(steps=200, batch_size=2, lr=0.5, optimizer="sgd", grad_clip=1e9)
RIGHT = torch.tensor([0.0, 1.0])


def test_l2_sp_ends_where_loss_and_pull_balance() -> None:
    base = Table([[1.0, -1.0], [0.5, 2.0]])
    tuned = l2_sp(base, ROWS, DESCENT, strength=0.2)
    rows, start = tuned.rows.detach(), base.rows.detach()  # type: ignore[union-attr]
    assert float((rows - start).abs().min()) > 0.01
    torch.testing.assert_close(
        (rows.softmax(-1) - RIGHT) / 2 + 0.2 * (rows - start), torch.zeros(2, 2), atol=1e-4, rtol=0
    )


def test_l2_sp_pulls_to_the_start_and_not_to_zero() -> None:
    """Where the targets leave nothing to gain, weights stay, whatever weight decay says."""
    base = Table([[0.0, 200.0], [0.0, 200.0]])
    assert not changed(base, l2_sp(base, ROWS, config(weight_decay=0.5)))
    assert changed(base, full(base, ROWS, config(weight_decay=0.5)))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_no_strength_is_full_fine_tuning(optimizer: Any) -> None:
    base, setting = gpt(), config(optimizer=optimizer)
    assert not changed(l2_sp(base, SHIFT, setting, strength=0), full(base, SHIFT, replace(setting, weight_decay=0.0)))
    assert not changed(ewc(base, SHIFT, setting, strength=0, samples=2), full(base, SHIFT, setting))


@pytest.mark.parametrize("method", [l2_sp, ewc])
def test_more_strength_means_less_change_down_to_none(method: Any) -> None:
    base = Table([[0.2, 0.0], [0.0, 0.1]])
    retain_both = replace(ROWS, retain=Cases(tokens=(0, 1), answers=(0, 0)))

    def moved(strength: float) -> float:
        setting = replace(DESCENT, lr=0.5 / max(1.0, strength), steps=60)
        return float((method(base, retain_both, setting, strength=strength).rows - base.rows).detach().abs().max())

    far = [moved(strength) for strength in (0.01, 1.0, 100.0)]
    assert far[0] > 2 * far[1] > 4 * far[2] and far[2] < 0.03


def test_fisher_of_even_odds_is_a_quarter_for_what_is_used_and_zero_elsewhere() -> None:
    """p = 1/2: each string's gradient is ±1/2, whichever answer is drawn; the mean gradient would be near 0."""
    (found,) = fisher(Table([[0.0, 0.0], [0.0, 0.0]]), FIRST_ROW, 7, torch.Generator().manual_seed(0))
    assert found.tolist() == [[0.25, 0.25], [0.0, 0.0]]


def test_fisher_draws_answers_from_the_model() -> None:
    """p = (.8, .2): .8 * .2^2 + .2 * .8^2 = .16; with the data's answer, always 0, it would be .04."""
    (found,) = fisher(Table([[4.0, 1.0]]).apply(_log), FIRST_ROW, 1000, torch.Generator().manual_seed(0))
    assert found.tolist() == [[pytest.approx(0.16, abs=0.03)] * 2]


def _log(table: Any) -> None:
    table.rows.data.log_()


def test_ewc_holds_what_mattered_and_frees_the_rest() -> None:
    """F is 1/4 in the first row and 0 in the second: the first balances, the second goes as far as in full fine-tuning."""
    base = Table([[0.0, 0.0], [0.0, 0.0]])
    held, free = ewc(base, ROWS, DESCENT, strength=4.0, samples=8).rows.detach()  # type: ignore[union-attr]
    torch.testing.assert_close((held.softmax(-1) - RIGHT) / 2 + 4.0 * 0.25 * held, torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(free, full(base, ROWS, DESCENT).rows[1].detach())  # type: ignore[union-attr,index]
    assert free[1] > 5 * held[1] > 0


# ---- data, phases and interpolation


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_replay_puts_its_share_of_old_strings_in_the_batches(share: float) -> None:
    task = FineTuningTask(target=Shift(by=1, first=0), retain=Shift(first=1), forget=Shift())
    firsts: list[torch.Tensor] = []
    token = passes.set(lambda tokens: firsts.append(tokens[:, 0].clone()))
    try:
        replay(gpt(blocks=1), task, config(steps=20, batch_size=50), share=share)
    finally:
        passes.reset(token)
    assert [len(batch) for batch in firsts] == [50] * 20
    counts = [int(batch.sum()) for batch in firsts]
    assert sum(counts) / 1000 == pytest.approx(share, abs=4 * (share * (1 - share) / 1000) ** 0.5)
    assert min(counts) < max(counts) < 50


def test_replay_trains_on_the_old_answers() -> None:
    """Two rows: the target asks for the first, only what is replayed for the second."""
    task = replace(ROWS, target=FIRST_ROW, retain=Cases(tokens=(1,), answers=(1,)))
    base = Table([[0.0, 0.0], [0.0, 0.0]])
    first, second = replay(base, task, config(steps=50)).rows.detach()  # type: ignore[union-attr]
    assert first[0] > 0.1 > -0.1 > first[1] and second[1] > 0.1 > -0.1 > second[0]


def test_lp_ft_is_frozen_trunk_at_the_end_of_its_first_phase() -> None:
    base = gpt()
    seen: list[Model] = []
    with observing(lambda step, model: seen.append(copy.deepcopy(model))):  # type: ignore[func-returns-value]
        tuned = lp_ft(base, SHIFT, config(steps=7), head_share=0.6)
    assert len(seen) == 7
    assert not changed(seen[3], frozen_trunk(base, SHIFT, config(steps=4)))
    assert not changed(tuned, seen[6]) and changed(seen[3], seen[4]) == {name for name, _ in base.named_parameters()}


def test_lp_ft_has_new_strings_in_its_second_phase() -> None:
    batches: list[torch.Tensor] = []
    token = passes.set(lambda tokens: batches.append(tokens.clone()))
    try:
        lp_ft(gpt(), SHIFT, config(steps=4))
    finally:
        passes.reset(token)
    assert len(batches) == 4 and not any(torch.equal(batches[i], batches[i + 2]) for i in (0, 1))


def test_lp_ft_stops_where_its_first_phase_is_stopped() -> None:
    steps: list[int] = []
    with observing(lambda step, model: steps.append(step) or True):  # type: ignore[func-returns-value]
        lp_ft(gpt(), SHIFT, config(steps=4))
    assert steps == [1]


def test_lp_ft_refuses_a_fixed_unembedding() -> None:
    with pytest.raises(MethodError, match=r"^lp-ft needs .* unembedding trains; that of TracrTransformer is fixed$"):
        lp_ft(tracr(), SHIFT, config())


@pytest.mark.parametrize("start", [gpt, tracr])
def test_wise_ft_ends_at_the_base_and_at_full_fine_tuning(start: Any) -> None:
    base = start()
    assert not changed(base, wise_ft(base, SHIFT, config(), alpha=0))
    assert not changed(full(base, SHIFT, config()), wise_ft(base, SHIFT, config(), alpha=1))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1))
def test_wise_ft_lies_between(alpha: float) -> None:
    base = Table([[1.0, -1.0], [0.5, 2.0]])
    end = full(base, ROWS, config(steps=2)).rows.detach()  # type: ignore[union-attr]
    found = wise_ft(base, ROWS, config(steps=2), alpha=alpha).rows.detach()  # type: ignore[union-attr]
    torch.testing.assert_close(found, (1 - alpha) * base.rows.detach() + alpha * end)


def test_the_tasks_of_these_tests_are_as_they_say() -> None:
    batch = SHIFT.sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(batch.targets[:, 2], (batch.tokens[:, 1] + 1) % VOCAB)
