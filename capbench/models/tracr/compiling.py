"""From a RASP program to a torch model: Tracr compiles it, and its weights are copied from jax.

jax, haiku and tracr are imported only to compile: a compiled model needs none of them.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch

from capbench.errors import UsageError
from capbench.models.tracr import arguments
from capbench.models.tracr.assembling import compile_with_tracr
from capbench.models.tracr.checking import RaspWarning, difference
from capbench.models.tracr.config import TracrConfig, Value
from capbench.models.tracr.transformer import TracrTransformer

if TYPE_CHECKING:
    from tracr.compiler.assemble import AssembledTransformerModel
    from tracr.rasp import rasp

# What Tracr raises for programs that it cannot compile, and what a program's functions may raise on unexpected values.
# Neither is a fault of capbench or the machine, so one line without a traceback is enough.
REFUSALS = (NotImplementedError, TypeError, ValueError, AssertionError, LookupError, AttributeError, ArithmeticError)


def compile_rasp(
    program: rasp.SOp,
    vocab: Iterable[Value],
    max_seq_len: int,
    causal: bool = False,
    compiler_bos: str = "compiler_bos",
    compiler_pad: str = "compiler_pad",
    mlp_exactness: float = 100,
) -> TracrTransformer:
    """Compile a RASP program with Tracr (compile_rasp_to_model, same arguments) to a torch model.

    max_seq_len does not count BOS; the model's config does. The same program gives the same weights in the same order, bit for
    bit, whatever was built before in the process. Tracr numbers expressions in order of creation ('count_3:0') and sorts the
    residual stream by these labels; here they are renumbered within the program, and labels have a number only to distinguish
    expressions of the same name ('count:0').

    The model equals Tracr's, which computes some programs inexactly without saying so: a map from classes to numbers makes no
    negative ones (0 instead); counts above 9 run into one another, unless mlp_exactness is above 100; classes are not averaged;
    keys made of numbers are selected at BOS, too; a causal model sees no later positions. So program and model are compared on a
    sample of strings (a few milliseconds), and a RaspWarning names a string on which they differ. A program that is right only
    at some positions of some strings, and asked there only, says so: `program.annotated(asked=function)`, from a string without
    BOS to positions, the first being 0.

    Raises UsageError if Tracr is not installed or cannot compile this program, or if an argument is impossible.
    """
    rasp = _installed().rasp
    if not isinstance(program, rasp.SOp):
        raise UsageError(
            f"a program must be a RASP sequence operation (tracr.rasp.rasp.SOp), got an object of type {type(program).__name__}"
        )
    name = f"program {program.name!r}"
    given = arguments.checked(name, vocab, max_seq_len, causal, compiler_bos, compiler_pad, mlp_exactness)
    if isinstance(program, (rasp.TokensType, rasp.IndicesType)):
        raise UsageError(f"{name}: it returns its input unchanged; there is nothing to compile")
    numbered, labels = _numbered(program)
    try:
        with np.errstate(over="ignore"):  # told below
            assembled = compile_with_tracr(
                numbered,
                given.tokens,
                given.max_seq_len,
                causal=given.causal,
                compiler_bos=compiler_bos,
                compiler_pad=compiler_pad,
                mlp_exactness=given.mlp_exactness,
            )
    except REFUSALS as error:
        reason = re.sub(r"<tracr\.rasp\.rasp\.(\w+) object at 0x\w+>", r"\1", " ".join(str(error).split()))
        if not isinstance(error, NotImplementedError) or not reason:
            reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
        raise UsageError(f"{name}: Tracr cannot compile it: {reason}") from error
    model = from_tracr(assembled, program.name, _without_numbers(assembled.residual_labels, labels))
    if not all(bool(weights.isfinite().all()) for weights in model.state_dict().values()):
        raise UsageError(f"{name}: its weights are too large for single precision; mlp_exactness is {mlp_exactness!r}")
    if (differs := difference(model, program)) is not None:
        warnings.warn(f"{name}: the compiled model differs from it: {differs}", RaspWarning, stacklevel=2)
    return model


def from_tracr(
    assembled: AssembledTransformerModel, program: str, residual_labels: Iterable[str] | None = None
) -> TracrTransformer:
    """The torch equivalent of a model that Tracr compiled. residual_labels: instead of Tracr's."""
    sizes, params = assembled.model_config, assembled.params
    encoder, decoder = cast(Any, assembled.input_encoder), assembled.output_encoder
    config = TracrConfig(
        program=program,
        vocabulary=_in_order(program, encoder.encoding_map),
        bos=encoder.bos_token,
        pad=encoder.pad_token,
        max_seq_len=len(params["pos_embed"]["embeddings"]),
        causal=sizes.causal,
        n_blocks=sizes.num_layers,
        n_heads=sizes.num_heads,
        key_size=sizes.key_size,
        mlp_size=sizes.mlp_hidden_size,
        residual_labels=tuple(assembled.residual_labels if residual_labels is None else residual_labels),
        # A numerical output has no encoding.
        outputs=_in_order(program, decoder.encoding_map) if hasattr(decoder, "encoding_map") else None,
    )
    weights = {
        "token_embedding.weight": params["token_embed"]["embeddings"],
        "position_embedding.weight": params["pos_embed"]["embeddings"],
        "unembedding": _unembedding(assembled).T,
    }
    for i in range(config.n_blocks):
        for ours, theirs in _LINEAR.items():
            linear = params[f"transformer/layer_{i}/{theirs}"]
            weights[f"blocks.{i}.{ours}.weight"] = linear["w"].T  # haiku: [in, out]
            weights[f"blocks.{i}.{ours}.bias"] = linear["b"]
    model = TracrTransformer(config)
    model.load_state_dict({key: torch.from_numpy(np.array(value, np.float32)) for key, value in weights.items()})
    return model


_LINEAR = {
    "query": "attn/query",
    "key": "attn/key",
    "value": "attn/value",
    "out": "attn/linear",
    "mlp_in": "mlp/linear_1",
    "mlp_out": "mlp/linear_2",
}


def _numbered(program: rasp.SOp) -> tuple[rasp.SOp, dict[str, str]]:
    """A copy of a program with expressions numbered from 1, children first, and a mapping label -> name.

    So no two expressions share a label. (In Tracr, a copy with another annotation keeps the number of an original compiled
    before, and is then mistaken for it.)
    """
    rasp = _installed().rasp
    done: dict[int, Any] = {}

    def copied(expr: Any) -> Any:
        if id(expr) not in done:
            new = copy.copy(expr)
            for name, child in vars(expr).items():
                if isinstance(child, rasp.RASPExpr):
                    vars(new)[name] = copied(child)
            vars(new)["unique_id"] = len(done) + 1  # a cached property, already filled for Tracr
            done[id(expr)] = new
        return done[id(expr)]

    return copied(program), {expr.label: expr.name for expr in done.values() if isinstance(expr, rasp.SOp)}


def _unembedding(assembled: AssembledTransformerModel) -> np.ndarray:
    """[d_model, outputs]. Not a parameter in Tracr, so computed by unembedding every direction of the stream."""
    haiku = _installed().haiku
    directions = np.eye(len(assembled.residual_labels), dtype=np.float32)

    def run() -> Any:
        return assembled.get_compiled_model().unembed(directions, use_unembed_argmax=False)

    read = np.asarray(haiku.transform(run).apply({}, None))
    return read.reshape(len(directions), -1)  # Tracr drops the dimension of a single output


def _without_numbers(residual_labels: Iterable[str], names: dict[str, str]) -> tuple[str, ...]:
    """Residual labels without expression numbers, unless the name alone is ambiguous."""
    count = Counter(names.values())
    own = {"one", "tokens", "indices"}  # Tracr's own labels
    short = {label: name if count[name] == 1 and name not in own else label for label, name in names.items()}
    longest_first = sorted(short, key=len, reverse=True)

    def shortened(direction: str) -> str:
        # A direction is named 'expression:value' or 'expression_selector_width_attn_output'.
        for label in longest_first:
            rest = direction.removeprefix(label)
            if direction.startswith(label) and (not rest or rest[0] == ":" or rest == "_selector_width_attn_output"):
                return short[label] + rest
        return direction

    numbered = tuple(residual_labels)
    found = tuple(map(shortened, numbered))
    return found if len(set(found)) == len(found) else numbered


def _in_order(program: str, encoding: dict[Value, int]) -> tuple[Value, ...]:
    return tuple(_plain(program, value) for value in sorted(encoding, key=lambda value: encoding[value]))


def _plain(program: str, value: Any) -> Value:
    """A token or output as plain data, for the config."""
    if isinstance(value, tuple):
        return tuple(_plain(program, part) for part in value)
    if isinstance(value, np.generic):  # a program's functions may use numpy
        value = value.item()
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return cast(Value, value)
    raise UsageError(
        f"program {program!r}: {value!r} cannot be a token or an output; only str, int, bool, finite float, None and tuples can"
    )


class _Installed(NamedTuple):
    rasp: Any
    haiku: Any


def _installed() -> _Installed:
    try:
        import haiku
        import jax  # noqa: F401  not used here, but reported if missing
        from tracr.rasp import rasp
    except ImportError as error:
        raise UsageError(f"compiling a RASP program needs Tracr (pip install tracr-pypi): {error}") from error
    return _Installed(rasp, haiku)
