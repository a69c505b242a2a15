"""Models of transformers behind our interface: the same numbers as transformers' own, and what holds of every architecture."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hf_models import ATTENDING, FAMILIES, SIZES, around, close, config, fresh, own, rng, strings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from recall import Recall
from torch import nn
from torch.nn import functional as F

from capbench.check.worlds import grammar
from capbench.configs import TrainConfig
from capbench.errors import CapbenchError, UsageError
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.prune import pruned
from capbench.measure.stream import points, streams
from capbench.methods.finetuning.ia3 import ia3
from capbench.methods.returned import form_fault, weights_fault
from capbench.methods.specs import registry
from capbench.models.base import passes
from capbench.models.huggingface.config import HuggingFaceConfig, settings
from capbench.models.huggingface.model import HuggingFace
from capbench.models.huggingface.padding import padded
from capbench.training.loop import fit

every = pytest.mark.parametrize("family", FAMILIES)
OWN = {family: own(family) for family in FAMILIES}
MODELS = {family: around(OWN[family], family) for family in FAMILIES}


@every
def test_the_logits_are_those_of_transformers(family: str) -> None:
    expected = OWN[family](strings(), use_cache=False).logits
    assert expected.std() > 0.2
    close(MODELS[family](strings()), expected)


@examples(max_examples=40)
@given(
    family=st.sampled_from(FAMILIES),
    tokens=st.lists(st.integers(0, SIZES["vocab_size"] - 1), min_size=2, max_size=SIZES["seq_len"]),
    data=st.data(),
)
def test_later_tokens_change_no_earlier_logits(family: str, tokens: list[int], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(tokens) - 1))
    other = tokens[:kept] + data.draw(
        st.lists(st.integers(0, SIZES["vocab_size"] - 1), max_size=SIZES["seq_len"] - kept)
    )
    a, b = (MODELS[family](torch.tensor([string]))[:, :kept] for string in (tokens, other))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@every
@pytest.mark.parametrize("position", [0, 5, SIZES["seq_len"] - 1])
def test_the_answer_alone_and_its_gradients_are_those_of_the_plain_pass(family: str, position: int) -> None:
    model, tokens = MODELS[family], strings()
    plain, alone = model(tokens)[:, position], model.answer_logits(tokens, position)
    close(alone, plain)
    parameters = list(model.parameters())
    grads = (torch.autograd.grad(x.square().sum(), parameters, materialize_grads=True) for x in (alone, plain))
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@every
def test_the_answer_alone_reads_nothing_else_out(family: str) -> None:
    model, seen = copy.deepcopy(MODELS[family]), list[torch.Size]()
    plain = model.unembedding.forward
    model.unembedding.forward = lambda x: seen.append(x.shape) or plain(x)  # type: ignore[func-returns-value]
    model.answer_logits(strings(), 5)
    assert seen == [(4, 1, SIZES["d_model"])]


@every
def test_hooks_see_all_positions_on_the_way_to_an_answer(family: str) -> None:
    model, seen = copy.deepcopy(MODELS[family]), list[Any]()
    expected = model.answer_logits(strings(), 5)
    model.blocks[-1].register_forward_hook(lambda _, args, out: seen.append(out.shape[:2]))
    close(model.answer_logits(strings(), 5), expected)
    assert seen == [strings().shape]


@every
def test_the_stream_is_embedding_then_blocks_as_transformers_has_it(family: str) -> None:
    model = MODELS[family]
    logits, (resid, attn) = model.run_with_cache(strings())
    assert attn is None and resid.shape == (1 + SIZES["n_blocks"], *strings().shape, SIZES["d_model"])
    close(logits, model(strings()))
    theirs = OWN[family](strings(), use_cache=False, output_hidden_states=True).hidden_states
    if family == "mamba2":  # there they begin after the first block
        close(resid[0], OWN[family].backbone.embeddings(strings()))
        close(resid[1:], torch.stack(theirs[: SIZES["n_blocks"]]))
    else:
        close(resid[:-1], torch.stack(theirs[: SIZES["n_blocks"]]))
    read = model.unembedding(model.norm(resid[-1]))
    close(30 * torch.tanh(read / 30) if family == "recurrent_gemma" else read, logits)
    close(torch.stack(streams(model, points(model), strings())), resid[1:].detach())


@every
@pytest.mark.parametrize("layer", range(SIZES["n_blocks"] + 1))
def test_the_stream_at_a_layer_and_its_gradients_are_those_of_a_whole_pass(family: str, layer: int) -> None:
    model, tokens = (
        copy.deepcopy(MODELS[family]),
        padded([row[i:] for i, row in enumerate(strings().tolist())], side="left"),
    )
    calls = list[int]()
    for number, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _, args, out, number=number: calls.append(number))
    whole, alone = model.run_with_cache(tokens)[1].resid[layer], model.stream_at(tokens, layer)
    assert torch.equal(alone, whole)
    assert calls == [*range(SIZES["n_blocks"]), *range(layer)]
    assert not any(block._forward_pre_hooks for block in model.blocks)
    found, expected = (
        torch.autograd.grad(x.square().sum(), list(model.parameters()), materialize_grads=True) for x in (alone, whole)
    )
    for one, other in zip(found, expected, strict=True):
        close(one, other)


@every
def test_what_readers_see_is_the_norm_without_its_weights(family: str) -> None:
    model = MODELS[family]
    resid, norm = model.run_with_cache(strings())[1].resid, model.norm
    bias = getattr(norm, "bias", None)
    weight = norm.weight + (family == "recurrent_gemma")
    close(model.as_read(resid) * weight + (0 if bias is None else bias), norm(resid))
    heavier = copy.deepcopy(model)
    with torch.no_grad():
        heavier.norm.weight.mul_(3)
    assert torch.equal(heavier.as_read(resid), model.as_read(resid))
    has_mean = bool(model.as_read(resid).mean(-1).abs().max() > 1e-3)
    assert has_mean == (family not in ("gpt2", "gpt_neox"))  # an RMSNorm leaves it


@pytest.mark.parametrize("family", ATTENDING)
def test_attention_maps_are_those_of_transformers(family: str) -> None:
    theirs, model = copy.deepcopy(OWN[family]), copy.deepcopy(MODELS[family])
    theirs.set_attn_implementation("eager")
    expected = torch.stack(theirs(strings(), use_cache=False, output_attentions=True).attentions)
    way = model.hf.config._attn_implementation
    logits, (resid, attn) = model.run_with_cache(strings(), attention=True)
    close(attn, expected)
    close(logits, model(strings()))
    assert len(resid) == SIZES["n_blocks"] + 1
    assert model.hf.config._attn_implementation == way != "eager"  # as it was


@pytest.mark.parametrize("family", ["mamba2", "recurrent_gemma"])
def test_there_are_no_maps_where_a_block_has_no_attention(family: str) -> None:
    assert MODELS[family].run_with_cache(strings(), attention=True)[1].attn is None


@every
def test_measuring_leaves_no_hooks_behind(family: str) -> None:
    model = copy.deepcopy(MODELS[family])
    model.run_with_cache(strings(), attention=True)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@every
def test_weights_come_from_the_generator_alone(family: str) -> None:
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), fresh(family)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = fresh(family).state_dict(), fresh(family, seed=1).state_dict()
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again[name]), name
    maps = [f"{name}.weight" for name in first.neurons()]
    assert maps and not any(torch.equal(again[name], other[name]) for name in maps)
    used = rng()
    HuggingFace.initialised(config(family), used)
    assert not torch.equal(used.get_state(), rng().get_state())  # a second model from it is another


@every
def test_initialising_leaves_torch_as_it_was(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(nn.Module, "smart_apply", raising=False)
    fresh(family)
    assert not hasattr(nn.Module, "smart_apply")


@every
def test_the_initialisation_is_that_of_transformers(family: str) -> None:
    from capbench.models.huggingface import parts

    drawn = parts.initialised(config(family), rng(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = type(drawn)(parts.configuration(config(family)))
    assert all(torch.equal(a, b) for a, b in zip(drawn.parameters(), theirs.parameters(), strict=True))


@every
def test_configuration_and_weights_tell_all(family: str) -> None:
    model = MODELS[family]
    anew = HuggingFace(model.config).eval()
    assert not any(parameter.any() for parameter in anew.parameters())  # zero until they are loaded
    anew.load_state_dict(model.state_dict())
    assert torch.equal(anew(strings()), model(strings()))


@every
def test_there_is_no_dropout(family: str) -> None:
    model = fresh(family).train()
    assert torch.equal(model(strings()), model(strings()))
    assert torch.equal(model(strings()), model.eval()(strings()))


@every
def test_all_linear_maps_but_the_unembedding_have_neurons(family: str) -> None:
    model = MODELS[family]
    neurons = model.neurons()
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert [*neurons, "hf.embed_out" if hasattr(model.hf, "embed_out") else "hf.lm_head"] == linear
    assert all(model.get_submodule(name) is module for name, module in neurons.items())
    for name in list(neurons)[:2]:
        smaller, said = pruned(model, [(name, 1)]), list[torch.Tensor]()
        smaller.get_submodule(name).register_forward_hook(lambda _, args, out, said=said: said.append(out))
        smaller(strings())
        bias = neurons[name].bias
        assert (said[0][..., 1] == (0 if bias is None else bias[1])).all() and said[0][..., 0].std() > 0


def test_a_conv1d_becomes_a_linear_map_with_neurons_as_rows() -> None:
    theirs, model = OWN["gpt2"], MODELS["gpt2"]
    conv = theirs.transformer.h[0].mlp.c_fc
    linear = model.neurons()["hf.transformer.h.0.mlp.c_fc"]
    assert type(conv).__name__ == "Conv1D" and type(linear) is nn.Linear
    assert torch.equal(linear.weight, conv.weight.T) and torch.equal(linear.bias, conv.bias)
    assert (linear.in_features, linear.out_features) == (SIZES["d_model"], 4 * SIZES["d_model"])
    assert not any(type(module).__name__ == "Conv1D" for module in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_tied_weights_are_one_parameter_and_stay_it(family: str) -> None:
    theirs = own(family, tied=True)
    model = around(theirs, family, tied=True)
    close(model(strings()), theirs(strings(), use_cache=False).logits)
    anew = HuggingFace(model.config).eval()
    anew.load_state_dict(model.state_dict())
    for one in (model, copy.deepcopy(model), fresh(family, tied=True), anew):
        assert one.unembedding.weight is one.token_embedding.weight
        assert sum(p.shape == (SIZES["vocab_size"], SIZES["d_model"]) for p in one.parameters()) == 1
        assert len({w.untyped_storage().data_ptr() for w in one.state_dict().values()}) == len(one.state_dict())
        assert not any(m is one.unembedding for m in one.neurons().values())
    assert torch.equal(anew(strings()), model(strings()))
    assert len(MODELS[family].state_dict()) == len(model.state_dict()) + 1


def test_what_was_untied_is_never_lost_silently() -> None:
    model = fresh("llama", tied=True)
    other = {**model.state_dict(), "hf.lm_head.weight": torch.zeros(SIZES["vocab_size"], SIZES["d_model"])}
    with pytest.raises(CapbenchError, match=r"hf\.lm_head\.weight differs from the embedding"):
        model.load_state_dict(other)
    model.hf.lm_head.weight = nn.Parameter(model.hf.lm_head.weight.detach().clone())
    with pytest.raises(CapbenchError, match=r"hf\.lm_head\.weight: .* was untied"):
        model.state_dict()
    with pytest.raises(UsageError, match="its embedding is not tied"):
        HuggingFace(config("llama", tied=True), own("llama"))


@every
def test_a_training_step_reaches_every_weight_and_the_model_can_be_copied_after_it(family: str) -> None:
    model, tokens = fresh(family).train(), strings(16)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
    optimizer.step()
    same = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not same
    model(tokens)
    assert torch.equal(copy.deepcopy(model)(tokens), model(tokens))


@every
@pytest.mark.parametrize("name", ["lora", "last-k", "npo"])
def test_methods_of_capbench_train_it(family: str, name: str) -> None:
    world = grammar()
    sizes: Any = world.base().config
    model = fresh(family, vocab_size=sizes.vocab_size, seq_len=sizes.seq_len).eval()
    train = TrainConfig(steps=2, batch_size=4, lr=1e-2, seed=0)
    tuned = registry.load(registry.find(name))(model, world.task, train)
    assert (form_fault(tuned), weights_fault(tuned, model, device="cpu")) == (None, None)
    changed = {n for n, weight in tuned.state_dict().items() if not torch.equal(weight, model.state_dict()[n])}
    maps = {f"{n}.weight" for n in model.neurons()}
    assert changed == maps if name == "lora" else changed > {n for n in maps if f".{SIZES['n_blocks'] - 1}." in n}


@pytest.mark.parametrize("family", ATTENDING)
def test_ia3_rescales_keys_values_and_units_and_no_query(family: str) -> None:
    world = grammar()
    sizes: Any = world.base().config
    model = fresh(family, vocab_size=sizes.vocab_size, seq_len=sizes.seq_len).eval()
    tuned = ia3(model, world.task, TrainConfig(steps=3, batch_size=8, lr=1e-1, seed=0))
    before, after = model.state_dict(), tuned.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    ends = {
        "llama": ("k_proj.weight", "v_proj.weight", "down_proj.weight"),
        "gpt2": ("c_attn.weight", "mlp.c_proj.weight"),
        "gpt_neox": ("query_key_value.weight", "dense_4h_to_h.weight"),
    }[family]
    biases = [f"{end.removesuffix('weight')}bias" for end in ends[:-1]]
    assert {name for name in moved if not name.endswith(tuple(biases))} == {n for n in before if n.endswith(ends)}
    if family != "llama":
        (name,) = (n for n in moved if n.endswith(ends[0]) and ".0." in n)
        d, heads = SIZES["d_model"], SIZES["n_heads"] if family == "gpt_neox" else 1
        queries, keys, values = (after[name] != before[name]).view(heads, 3, d // heads, d).unbind(1)
        assert not queries.any() and keys.any() and values.any()


def test_mamba_calls_its_modules_in_training_too() -> None:
    mixer = fresh("mamba2").train().blocks[0].mixer
    assert not mixer.training and mixer.out_proj.training and not copy.deepcopy(mixer).training


@pytest.mark.slow
@every
def test_it_learns_to_recall(family: str) -> None:
    task = Recall()
    model = fresh(family, vocab_size=task.vocab_size, seq_len=task.seq_len)
    fit(model, task, TrainConfig(steps=40, batch_size=48, lr=3e-2, seed=0))
    assert accuracy(model, task, sample(task, 256, 1)) > 0.4  # by chance: .2


@every
def test_passes_are_counted_once(family: str) -> None:
    seen: list[torch.Tensor] = []
    token = passes.set(seen.append)
    try:
        for call in (MODELS[family], MODELS[family].run_with_cache, lambda x: MODELS[family].answer_logits(x, 2)):
            call(strings())
    finally:
        passes.reset(token)
    assert len(seen) == 3


@every
def test_a_string_that_is_too_long_is_refused_with_both_lengths(family: str) -> None:
    for call in (MODELS[family], MODELS[family].run_with_cache):
        with pytest.raises(UsageError, match=r"13 tokens.* at most 12"):
            call(torch.zeros(1, 13, dtype=torch.long))


@every
def test_half_precision_follows_single(family: str) -> None:
    model = fresh(family)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(strings())
    torch.testing.assert_close(logits.float(), model(strings()), atol=0.1, rtol=0.1)


# Further families, with what they need besides the sizes.
_HEADS = {"num_attention_heads": 2, "intermediate_size": 24}
FURTHER: dict[str, dict[str, Any]] = {
    "opt": {"num_attention_heads": 2, "ffn_dim": 24, "word_embed_proj_dim": 16},  # its blocks lie in a decoder
    "qwen3": {**_HEADS, "num_key_value_heads": 1, "head_dim": 8},
    "bloom": {"n_head": 2},  # a norm after the embedding, too
    "mamba": {"state_size": 4},
}


@pytest.mark.parametrize("family", FURTHER)
def test_other_families_need_no_code_of_their_own(family: str) -> None:
    sizes = {name: size for name, size in SIZES.items() if name != "n_heads"}
    entries = {**FURTHER[family], "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    model = HuggingFace.initialised(HuggingFaceConfig(family=family, settings=settings(entries), **sizes), rng()).eval()
    logits, (resid, _) = model.run_with_cache(strings())
    assert resid.shape == (1 + SIZES["n_blocks"], *strings().shape, SIZES["d_model"]) and model.neurons()
    close(model.unembedding(model.norm(resid[-1])), logits)
    close(model.answer_logits(padded([[1, 2, 3], [4]], side="left"), 2)[1:], model(torch.tensor([[4]]))[:, 0])


def test_a_model_without_blocks_answers_too() -> None:
    bare = fresh("llama", n_blocks=0)
    close(bare.answer_logits(strings(), 3), bare(strings())[:, 3])
    assert bare.run_with_cache(strings(), attention=True)[1].resid.shape[0] == 1
