"""The checks of a model, in the order in which they are reported: does it keep to the contract that measurements rely on?"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.check.candidate import Candidate, candidate
from capbench.check.findings import Finding
from capbench.errors import UsageError
from capbench.methods.specs.user_code import one_line
from capbench.models.base import Model
from capbench.pipeline.process_state import unharmed
from capbench.store.sizes import shown

TOLERANCE = 1e-4  # of logits, and of their size where that is above 1
BATCH, LENGTH = 4, 32
PROMPT = "The capital of France is"


def check_model(spec: str) -> Iterator[Finding]:
    """Check hf:PATH, or an architecture given as pkg.mod:Class or file.py:Class, which is tried at a small size.

    Findings come as they are made; the first says what memory the weights take before it is used. Raises UsageError, one line,
    for what cannot be loaded. Takes well under a minute for a model of 135M weights on one core.
    """
    with unharmed():
        torch.set_num_threads(1)  # as everywhere in capbench: results do not depend on the machine's cores
        with candidate(spec) as given:
            yield from _checked(given)


def _checked(given: Candidate) -> Iterator[Finding]:
    if given.memory is not None:
        from capbench.models.huggingface import memory

        there = f"{shown(given.memory)} for the weights in float32; {shown(memory.available())} is available"
        yield _finding("memory", given.memory <= memory.available(), there)
    started = time.perf_counter()
    try:
        model = given.load()
    except UsageError:
        raise
    except Exception as error:
        yield _finding("loads", False, f"it failed: {one_line(error)}")
        return
    yield _finding("loads", True, f"{_described(model)}; {time.perf_counter() - started:.1f} s")
    tokens = _tokens(model)
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("answers", lambda: _answers(model, given)),
        ("causality", lambda: _causality(model, tokens)),
        ("padding", lambda: _padding(model, tokens, must=given.tokenizer is not None)),
        ("one position", lambda: _one_position(model, tokens)),
        ("residual stream", lambda: _stream(model, tokens)),
        ("attention maps", lambda: _maps(model, tokens)),
        ("initialisation", lambda: _initialisation(given)),
        ("weights tell all", lambda: _rebuilt(model, tokens)),
        ("neurons", lambda: _neurons(model)),
        ("PEFT", lambda: _peft(model)),
        ("training step", lambda: _step(model, tokens)),
    )
    for name, check in checks:
        if (name == "initialisation" and given.anew is None) or (name == "answers" and given.tokenizer is None):
            continue
        with torch.set_grad_enabled(name == "training step"):
            try:
                yield check()
            except Exception as error:  # of the architecture, which may be the user's
                yield _finding(name, False, f"it failed: {one_line(error)}")


def _finding(check: str, ok: bool, message: str, *, note: bool = False) -> Finding:
    return Finding(check=check, ok=ok, message=message, note=note)


def _described(model: Model) -> str:
    config: Any = model.config
    kind = type(getattr(model, "hf", model)).__name__
    sizes = [f"{_count(_n(model))} weights", f"{config.n_blocks} blocks"]
    sizes += [f"d_model {config.d_model}"] if hasattr(config, "d_model") else []
    sizes += [f"vocabulary {config.vocab_size}", f"strings of at most {config.seq_len} tokens"]
    return f"{kind}: {', '.join(sizes)}" + (", tied embedding" if getattr(config, "tied", False) else "")


def _tokens(model: Model) -> Tensor:
    config: Any = model.config
    shape = (BATCH, max(2, min(LENGTH, config.seq_len)))
    return torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(0))


def _answers(model: Model, given: Candidate) -> Finding:
    assert given.tokenizer is not None
    try:
        tokenizer = given.tokenizer()
    except UsageError as error:
        return _finding("answers", True, f"not tried: {error}", note=True)
    read = tokenizer(PROMPT)["input_ids"]
    said = list[int]()
    for _ in range(5):
        text = torch.tensor([[*read, *said]])
        said.append(int(model.answer_logits(text, text.shape[1] - 1).argmax()))
    return _finding("answers", True, f"{PROMPT!r} is continued as {tokenizer.decode(said)!r}")


def _causality(model: Model, tokens: Tensor) -> Finding:
    config: Any = model.config
    plain, moved = model(tokens), 0.0
    for kept in {1, tokens.shape[1] // 2, tokens.shape[1] - 1}:
        other = tokens.clone()
        other[:, kept:] = (other[:, kept:] + 1) % config.vocab_size
        moved = max(moved, _apart(model(other)[:, :kept], plain[:, :kept]))
    words = f"later tokens change earlier logits by at most {moved:.1g}"
    return _finding("causality", moved <= TOLERANCE, words)


def _padding(model: Model, tokens: Tensor, *, must: bool) -> Finding:
    """must: it cannot be that the model knows no padding."""
    from capbench.models.huggingface.padding import padded

    lengths = [max(1, tokens.shape[1] * (i + 1) // len(tokens)) for i in range(len(tokens))]
    strings = [string[:length].tolist() for string, length in zip(tokens, lengths, strict=True)]
    alone = torch.cat([model.answer_logits(torch.tensor([string]), len(string) - 1) for string in strings])
    try:
        left = model.answer_logits(padded(strings, side="left"), max(lengths) - 1)
        right = model(padded(strings, side="right"))[torch.arange(len(lengths)), torch.tensor(lengths) - 1]
    except Exception:
        if must:
            raise
        message = "it knows no padding: give it strings of equal length, as the suites do"
        return _finding("padding", True, message, note=True)
    apart = {"left": _apart(left, alone), "right": _apart(right, alone)}
    words = ", ".join(f"{side} {by:.1g}" for side, by in apart.items())
    return _finding(
        "padding", max(apart.values()) <= TOLERANCE, f"answers differ from those without by at most: {words}"
    )


def _one_position(model: Model, tokens: Tensor) -> Finding:
    place = tokens.shape[1] // 2
    apart = _apart(model.answer_logits(tokens, place), model(tokens)[:, place])
    words = f"answer_logits differs from the whole pass by at most {apart:.1g}"
    return _finding("one position", apart <= TOLERANCE, words)


def _stream(model: Model, tokens: Tensor) -> Finding:
    config: Any = model.config
    logits, (resid, _) = model.run_with_cache(tokens)
    wanted = (config.n_blocks + 1, *tokens.shape)
    if tuple(resid.shape[:3]) != wanted:
        message = (
            f"run_with_cache gives a stream of {list(resid.shape[:3])}; must be {list(wanted)}: layers, strings, tokens"
        )
        return _finding("residual stream", False, message)
    if (apart := _apart(logits, model(tokens))) > TOLERANCE:
        return _finding("residual stream", False, f"the logits of run_with_cache differ from the pass by {apart:.1g}")
    layers = f"{len(resid)} layers"
    norm, unembedding = (getattr(model, name, None) for name in ("norm", "unembedding"))
    if not (isinstance(norm, nn.Module) and isinstance(unembedding, nn.Module)):
        return _finding("residual stream", True, f"{layers}; a logit lens needs `norm` and `unembedding`", note=True)
    if _apart(unembedding(norm(resid[-1])), logits) > TOLERANCE:
        message = f"{layers}; logits are not what the unembedding gives, but a function of it, such as a soft cap"
        return _finding("residual stream", True, message, note=True)
    return _finding("residual stream", True, f"{layers}; norm and unembedding read the logits off the last")


def _maps(model: Model, tokens: Tensor) -> Finding:
    attn = model.run_with_cache(tokens, attention=True)[1].attn
    if attn is None:
        return _finding(
            "attention maps", True, "none: it gives no probabilities of attention, or not of every block", note=True
        )
    off = float((attn.sum(-1) - 1).abs().max())
    words = f"{attn.shape[0]} blocks, {attn.shape[2]} heads; their rows sum to 1 within {off:.1g}"
    return _finding("attention maps", off <= TOLERANCE, words)


def _initialisation(given: Candidate) -> Finding:
    assert given.anew is not None
    state = torch.get_rng_state()
    first, again, other = (given.anew(torch.Generator().manual_seed(seed)).state_dict() for seed in (0, 0, 1))
    if not torch.equal(torch.get_rng_state(), state):
        return _finding("initialisation", False, "it uses the global generator; draw from the one it is given")
    if not all(torch.equal(first[name], again[name]) for name in first):
        return _finding("initialisation", False, "two models from one seed differ; draw from the generator alone")
    if all(torch.equal(first[name], other[name]) for name in first):
        return _finding("initialisation", False, "two seeds give the same model; draw its weights from the generator")
    return _finding("initialisation", True, "drawn from the generator it is given, and from nothing else")


def _rebuilt(model: Model, tokens: Tensor) -> Finding:
    architecture: Any = type(model)
    anew = architecture(model.config).eval()
    anew.load_state_dict({name: weight.clone() for name, weight in model.state_dict().items()})
    apart = _apart(anew(tokens), model(tokens))
    words = f"built from its configuration and its weights, it answers as before within {apart:.1g}"
    return _finding("weights tell all", apart <= TOLERANCE, words)


def _neurons(model: Model) -> Finding:
    found = model.neurons()
    if not found:
        return _finding("neurons", False, "no linear map: nothing could be pruned")
    kinds = Counter(name.rpartition(".")[2] for name in found)
    rows = sum(linear.out_features for linear in found.values())
    inside = {id(p): p.numel() for linear in found.values() for p in linear.parameters()}
    others = {id(p): p.numel() for m in model.modules() if not isinstance(m, nn.Linear) for p in m.parameters(False)}
    rest = sum(n for p, n in others.items() if p not in inside)
    words = f"{rows} rows of {len(found)} linear maps ({', '.join(kinds)}), {sum(inside.values()) / _n(model):.0%} of the weights"
    return _finding("neurons", True, f"{words}; {_count(rest)} weights are in no linear map")


def _peft(model: Model) -> Finding:
    """On a copy without weights, which takes no memory."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        return _finding("PEFT", True, "not installed; pip install 'capbench[peft]'", note=True)
    names = list(model.neurons())
    architecture: Any = type(model)
    with torch.device("meta"):
        adapted = inject_adapter_in_model(LoraConfig(r=1, target_modules=names), architecture(model.config))
    without = set(names) - {name for name, module in adapted.named_modules() if hasattr(module, "base_layer")}
    if without:
        return _finding("PEFT", False, f"LoRA does not go on {min(without)}")
    kinds = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names))
    return _finding("PEFT", True, f"LoRA goes on all {len(names)} linear maps; target_modules can be {kinds}")


def _step(model: Model, tokens: Tensor) -> Finding:
    needed = 3 * sum(p.numel() * p.element_size() for p in model.parameters())
    if (there := _available()) is not None and needed > there:
        message = f"not tried: gradients and AdamW take {needed / 1e9:.3g} GB, and {there / 1e9:.3g} GB is available"
        return _finding("training step", True, message, note=True)
    tried = model if _n(model) > 1e7 else copy.deepcopy(model)
    tried.train()
    optimizer = torch.optim.AdamW(tried.parameters(), lr=0.0)
    started = time.perf_counter()
    loss = F.cross_entropy(tried(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    optimizer.step()
    seconds = time.perf_counter() - started
    tried.eval()
    without = [name for name, p in tried.named_parameters() if p.requires_grad and p.grad is None]
    finite = math.isfinite(loss.item()) and all(
        bool(p.grad.isfinite().all()) for p in tried.parameters() if p.grad is not None
    )
    optimizer.zero_grad(set_to_none=True)
    if not finite:
        return _finding("training step", False, "the loss or its gradients are not finite")
    if without:
        return _finding("training step", False, f"no gradient reaches {without[0]}: it would never be trained")
    shape = f"{tokens.shape[0]} x {tokens.shape[1]} tokens"
    message = f"{seconds:.2f} s for {shape} on one core{_peak()}"
    return _finding("training step", True, message)


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest logit where that is above 1; infinite where one is not a number."""
    largest = float((one - other).abs().max() / other.abs().max().clamp(min=1))
    return largest if math.isfinite(largest) else math.inf


def _n(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _count(n: int) -> str:
    return f"{n / 1e6:.1f}M" if n >= 1e6 else f"{n:,}"


def _available() -> int | None:
    try:
        from capbench.models.huggingface import memory
    except ModuleNotFoundError:  # without psutil it is not known
        return None
    return memory.available()


def _peak() -> str:
    """The end of a sentence. Linux counts in kilobytes, macOS in bytes, and Windows does not have it."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"; the process has taken {peak / 1e9:.2g} GB at most"
