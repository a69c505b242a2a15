"""What is said of what a method returned: every form but the right one has a line that says what it is and how to undo it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations, prune

from capbench.check.worlds import compiled, grammar
from capbench.errors import MethodError
from capbench.methods.returned import checked

BASE = grammar().base()
MUST = "it must return the fine-tuned Model"


class Trainer:
    def __init__(self, model: nn.Module) -> None:
        self.net = model


async def later(model: Any) -> Any:
    return model


def replaced(name: str, by: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A model of which one module is replaced by what a function makes of it."""

    def made(model: Any) -> Any:
        model.set_submodule(name, by(model.get_submodule(name)))
        return model

    return made


def changed(name: str, change: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A model of which one module was changed in place."""

    def made(model: Any) -> Any:
        change(model.get_submodule(name))
        return model

    return made


def sparse(module: Any) -> None:
    module.weight = nn.Parameter(module.weight.detach().to_sparse())


def integers(module: Any) -> None:
    module.weight = nn.Parameter(module.weight.detach().to(torch.int8), requires_grad=False)


def on_gpu(module: Any) -> None:
    with FakeTensorMode():
        module.weight = nn.Parameter(torch.empty(module.weight.shape, device="cuda"))


def without_state(model: Any) -> Any:
    def fails(*_: Any) -> None:
        raise RuntimeError("not\nnow")

    model.register_state_dict_pre_hook(fails)
    return model


def quantized(model: Any) -> Any:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


def eager(module: Any) -> Any:
    return torch.compile(module, backend="eager")


def with_lora(model: Any) -> Any:
    return peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["qkv"]), model)


LORA = peft.LoraConfig(target_modules=["qkv"])
COMPILED = "'blocks.0._orig_mod.norm1.weight' (and 11 more) hold '_orig_mod.' (torch.compile)"

# What a method makes of the model, and what is said of it.
FORMS: dict[str, tuple[Callable[[Any], Any], str]] = {
    # No model.
    "none": (lambda model: None, f"None; {MUST}"),
    "number": (lambda model: 5, f"an int; {MUST}"),
    "path": (lambda model: "tuned.pt", f"a str; {MUST}"),
    "class": (type, f"the class Gpt; {MUST}"),
    "pair": (lambda model: (0.3, model), "a tuple; return only the fine-tuned Model, its element 1"),
    "state dict": (lambda model: model.state_dict(), "a state dict; load it into copy.deepcopy(model)"),
    "trainer": (Trainer, "a Trainer; return its `.net`, the fine-tuned Model"),
    "async": (later, "a coroutine; write it with `def` and `return`"),
    "generator": (lambda model: (part for part in [model]), "a generator; write it with `def` and `return`"),
    "other module": (lambda model: nn.Linear(2, 2), f"a Linear, which is no Model of capbench; {MUST}"),
    # A wrapper around the model.
    "compile": (eager, "an OptimizedModule (torch.compile) around the model; return its `._orig_mod`"),
    "DataParallel": (nn.DataParallel, "a DataParallel around the model; return its `.module`"),
    "both": (lambda model: eager(nn.DataParallel(model)), "return its `._orig_mod.module`"),
    "average": (torch.optim.swa_utils.AveragedModel, "an AveragedModel around the model; return its `.module`"),
    "sequential": (nn.Sequential, "a Sequential around the model; return its `.0`"),
    "peft": (lambda model: peft.get_peft_model(model, LORA), "a PeftModel, whose adapters are not merged"),
    # A wrapper inside.
    "compiled block": (replaced("blocks.0", eager), f"a wrapped model: {COMPILED}; put `blocks.0._orig_mod` back"),
    "parallel block": (replaced("blocks.1", nn.DataParallel), "put `blocks.1.module` back in place of `blocks.1`"),
    "both inside": (
        replaced("blocks.1", lambda block: eager(nn.DataParallel(block))),
        "put `blocks.1._orig_mod.module` back",
    ),
    "sequential inside": (
        replaced("unembedding", nn.Sequential),
        "another shape: it lacks 'unembedding.weight' and adds 'unembedding.0.weight'",
    ),
    "adapters": (with_lora, "'blocks.0.attn.qkv.base_layer.weight' (and 11 more) are of an adapter (PEFT); merge"),
    # Weights computed from others.
    "pruned": (
        changed("unembedding", lambda module: prune.l1_unstructured(module, "weight", 0.5)),
        "'unembedding.weight' is computed from others (pruning); undo it with `torch.nn.utils.prune.remove(module, 'weight')`",
    ),
    "pruned bias": (
        changed("norm", lambda module: prune.random_unstructured(module, "bias", 0.5)),
        "'norm.bias' is computed from others (pruning); undo it with `torch.nn.utils.prune.remove(module, 'bias')`",
    ),
    "weight_norm": (changed("unembedding", parametrizations.weight_norm), "remove_parametrizations(module, 'weight')"),
    "old weight_norm": (changed("unembedding", nn.utils.weight_norm), "remove_weight_norm(module, 'weight')"),
    "spectral_norm": (
        changed("blocks.0.mlp_in", parametrizations.spectral_norm),
        "'blocks.0.mlp_in.weight' is computed from others (a parametrization)",
    ),
    "old spectral_norm": (changed("blocks.0.mlp_in", nn.utils.spectral_norm), "remove_spectral_norm(module, 'weight')"),
    "orthogonal": (
        changed("blocks.0.mlp_in", parametrizations.orthogonal),
        "remove_parametrizations(module, 'weight')",
    ),
    "quantized": (quantized, "'blocks.0.attn.qkv.weight' (and 12 more) are computed from others (quantization)"),
    # Other numbers.
    "half": (lambda model: model.half(), "'token_embedding.weight' (and 40 more) is torch.float16"),
    "bfloat16": (lambda model: model.bfloat16(), "the base model's torch.float32; return it with `.float()`"),
    "double": (lambda model: model.double(), "return it with `.float()`"),
    "one half": (
        changed("norm", lambda module: module.half()),
        "'norm.weight' (and 1 more) is torch.float16, the base model's torch.float32; return it with `.float()`",
    ),
    "integers": (
        changed("unembedding", integers),
        "torch.int8, the base model's torch.float32; return it with weights",
    ),
    "sparse": (changed("unembedding", sparse), "return dense weights (`.to_dense()`)"),
    "meta": (lambda model: model.to("meta"), "hold no numbers ('token_embedding.weight' (and 40 more) on meta)"),
    "meta block": (
        changed("blocks.1", lambda module: module.to("meta")),
        "('blocks.1.norm1.weight' (and 11 more) on meta)",
    ),
    "gpu": (changed("unembedding", on_gpu), "'unembedding.weight' on cuda:0; return the model on config.device (cpu)"),
    "no state": (without_state, "a model whose state_dict() fails (RuntimeError: not now)"),
    # Other shapes.
    "wider": (
        replaced("unembedding", lambda module: nn.Linear(16, 99, bias=False)),
        "'unembedding.weight' is (99, 16)",
    ),
    "no norm": (replaced("norm", lambda module: nn.Identity()), "it lacks 'norm.weight' (and 1 more)"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_what_came_back_is_named_with_what_would_be_right(form: str) -> None:
    make, said = FORMS[form]
    with pytest.raises(MethodError) as raised:
        checked(make(grammar().base()), BASE, "mine.py:tune")
    line = str(raised.value)
    assert line.startswith("method 'mine.py:tune' returned ") and said in line
    assert "\n" not in line and len(line) < 300
    assert ("merge" in line) == (form in ("peft", "adapters"))


@pytest.mark.parametrize("world", [grammar(), compiled()], ids=["gpt", "tracr"])
def test_a_model_with_the_base_models_weights_is_returned_as_it_is(world: Any) -> None:
    model = world.base()
    assert checked(model, world.base(), "mine.py:tune") is model
    model.train().requires_grad_(False)
    assert checked(model, world.base(), "mine.py:tune", device="cuda:1") is model and model.training


def test_a_model_lies_on_one_device() -> None:
    model: Any = grammar().base()
    on_gpu(model.norm)
    with pytest.raises(
        MethodError, match=r"on several devices \('token_embedding.weight' on cpu, 'norm.weight' on cuda:0"
    ):
        checked(model, BASE, "m", device="cuda")


def test_unwrapped_as_told_the_model_passes() -> None:
    model: Any = grammar().base()
    prune.l1_unstructured(model.unembedding, "weight", 0.5)
    prune.remove(model.unembedding, "weight")
    assert checked(eager(nn.DataParallel(model))._orig_mod.module, BASE, "m") is model
    assert checked(model.half().float(), BASE, "m") is model
    adapted = peft.get_peft_model(grammar().base(), LORA)
    assert checked(adapted.merge_and_unload(), BASE, "m")


def test_the_first_name_is_that_of_the_base_models_order_whatever_the_order_of_the_other() -> None:
    class Shuffled(type(BASE)):  # type: ignore[misc]
        def state_dict(self, *given: Any, **more: Any) -> Any:
            found = list(super().state_dict(*given, **more).items())
            random.Random(len(found)).shuffle(found)
            return dict(found)

    model = grammar().base()
    model.__class__ = Shuffled
    with pytest.raises(MethodError, match=r"'token_embedding.weight' \(and 40 more\) is torch.float16"):
        checked(model.half(), BASE, "m")
    del model.blocks[0].norm1, model.norm
    with pytest.raises(MethodError, match=r"it lacks 'blocks.0.norm1.weight' \(and 3 more\)"):
        checked(model, BASE, "m")
