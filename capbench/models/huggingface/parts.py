"""Making a transformers model and finding its parts, which every architecture there names differently. Imports transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D

from capbench.errors import UsageError
from capbench.models.huggingface.config import FIELDS, HuggingFaceConfig, settings

# Entries of a configuration that say nothing of the model: where it comes from, and what a pass returns or keeps.
_NOT_THE_MODEL = {
    *("architectures", "auto_map", "dtype", "id2label", "label2id", "model_type", "torch_dtype"),
    *("output_attentions", "output_hidden_states", "problem_type", "return_dict", "transformers_version", "use_cache"),
}


class Parts(NamedTuple):
    """blocks: what writes to the residual stream, in order. norm: the last one. The unembedding reads what it gives."""

    blocks: nn.ModuleList
    norm: nn.Module
    embedding: nn.Module
    unembedding: nn.Module


def configuration(config: HuggingFaceConfig) -> Any:
    """transformers' own configuration. Raises UsageError for one that transformers refuses."""
    try:
        known = type(AutoConfig.for_model(config.family))
    except ValueError:
        raise UsageError(f"model_type {config.family!r} is not one that transformers knows") from None
    names: Mapping[str, str] = known.attribute_map
    ours = {names.get(theirs, theirs): getattr(config, own) for theirs, own in FIELDS.items()}
    if not hasattr(known(), "max_position_embeddings"):
        del ours["max_position_embeddings"]  # recurrent: its strings may have any length
    try:
        return without_dropout(known(**config.entries(), **ours))
    except Exception as error:  # of several libraries
        raise UsageError(f"transformers refuses this {config.family}: {' '.join(str(error).split())}") from None


def described(theirs: Any, *, seq_len: int | None = None) -> HuggingFaceConfig:
    """The configuration as plain data. seq_len: where theirs has no limit. Raises UsageError if it lacks a size."""
    sizes: dict[str, Any] = {own: getattr(theirs, name, None) for name, own in FIELDS.items()}
    if sizes["seq_len"] is None or seq_len is not None:
        sizes["seq_len"] = seq_len
    if missing := [name for name, size in sizes.items() if size is None]:
        raise UsageError(f"the configuration of this {theirs.model_type} does not say its {missing[0]}")
    own_names = {theirs.attribute_map.get(name, name) for name in FIELDS}
    left_out = own_names | set(FIELDS) | _NOT_THE_MODEL
    entries = {
        n: v for n, v in theirs.to_diff_dict().items() if not (n in left_out or n.startswith("_") or _is_dropout(n, v))
    }
    return HuggingFaceConfig(family=theirs.model_type, settings=settings(entries), **sizes)


def without_dropout(theirs: Any) -> Any:
    """The configuration with every dropout set to 0: a measurement or a training must not depend on the global generator."""
    for name, value in list(vars(theirs).items()):
        if _is_dropout(name, value):
            setattr(theirs, name, 0.0)
    return theirs


@contextmanager
def leaving_torch_alone() -> Iterator[None]:
    """Take off the method that transformers adds to every module of torch when it initialises a model."""
    there = hasattr(nn.Module, "smart_apply")
    try:
        yield
    finally:
        if not there and hasattr(nn.Module, "smart_apply"):
            delattr(nn.Module, "smart_apply")


def empty(config: HuggingFaceConfig) -> Any:
    """A model whose weights are all zero, in float32: they are to be loaded, and drawing them takes seconds."""
    theirs = configuration(config)
    with leaving_torch_alone(), no_init_weights():
        model = AutoModelForCausalLM.from_config(theirs, dtype=torch.float32)
    model.tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def initialised(config: HuggingFaceConfig, rng: torch.Generator) -> Any:
    """A model with its architecture's own initialisation, in float32.

    It is drawn from `rng`, which goes on as if it had been used directly. The global generator stays as it was.
    """
    theirs = configuration(config)
    with leaving_torch_alone(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(rng.get_state())
        model = AutoModelForCausalLM.from_config(theirs, dtype=torch.float32)
        rng.set_state(torch.get_rng_state())
    return model


def with_rows_as_neurons(model: nn.Module) -> None:
    """Put linear maps in the place of GPT-2's Conv1D, whose weight [inputs, outputs] has neurons as columns. They do the same."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D):
                setattr(parent, name, _as_linear(child))


def parts(model: Any) -> Parts:
    """Raises UsageError that names what was not found."""
    base, n_blocks = model.base_model, model.config.num_hidden_layers
    base = getattr(base, "decoder", base)  # as in OPT
    kind = type(model).__name__
    lists = [m for m in base.children() if isinstance(m, nn.ModuleList) and len(m) == n_blocks]
    norms = [m for m in base.children() if "norm" in type(m).__name__.lower()]
    unembedding = model.get_output_embeddings()
    if len(lists) != 1:
        raise UsageError(f"{kind} has {len(lists) or 'no'} lists of its {n_blocks} blocks, and must have one")
    if not norms:
        raise UsageError(f"{kind} has no final norm")
    if not isinstance(unembedding, nn.Linear):
        raise UsageError(f"{kind} has no unembedding that is a linear map")
    return Parts(lists[0], norms[-1], model.get_input_embeddings(), unembedding)


def normalised(norm: nn.Module, stream: Tensor) -> Tensor:
    """What a norm computes, without its weight and bias. Raises UsageError for a norm that is neither LayerNorm nor RMSNorm."""
    kind = type(norm).__name__
    eps = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 1e-6)
    if kind.endswith("RMSNorm"):
        return F.rms_norm(stream, stream.shape[-1:], eps=eps)
    if kind.endswith("LayerNorm"):
        return F.layer_norm(stream, stream.shape[-1:], eps=eps)
    raise UsageError(f"final norm {kind}: what it removes from the stream is known of LayerNorm and RMSNorm only")


def with_modules_called(model: nn.Module) -> None:
    """Keep Mamba from a fused kernel that it uses in training where it is installed: that reads weights past their modules."""
    for module in model.modules():
        if hasattr(module, "A_log"):
            module.training = False  # of this module alone; it has no other use for it


def forget_states(model: nn.Module) -> None:
    """Drop the states that RecurrentGemma keeps after a pass: they hold on to its gradients, and cannot be copied."""
    for module in model.modules():
        if getattr(module, "recurrent_states", None) is not None:
            setattr(module, "recurrent_states", None)  # noqa: B010 (as a plain attribute mypy takes it for a module)


def recompute(model: Any) -> None:
    """Have blocks keep their inputs alone for the backward pass, and compute the rest again, where transformers can do that."""
    if model.supports_gradient_checkpointing:
        newer = getattr(model, "activation_checkpointing_enable", None)  # the same under another name
        (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _is_dropout(name: str, value: Any) -> bool:
    return (
        ("drop" in name or name.endswith("_pdrop")) and isinstance(value, (int, float)) and not isinstance(value, bool)
    )


def _as_linear(conv: Conv1D) -> nn.Linear:
    inputs, outputs = conv.weight.shape
    with torch.device("meta"):
        linear = nn.Linear(inputs, outputs)
    linear.weight = nn.Parameter(conv.weight.detach().T.contiguous(), requires_grad=conv.weight.requires_grad)
    linear.bias = conv.bias
    return linear
