"""The arguments of compile_rasp, refused in one line that quotes them."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import numpy as np

from capbench.errors import UsageError
from capbench.models.tracr.config import Value


class Arguments(NamedTuple):
    tokens: set[Value]
    max_seq_len: int
    causal: bool
    mlp_exactness: float


def checked(
    name: str,
    vocab: Iterable[Value],
    max_seq_len: int,
    causal: bool,
    compiler_bos: str,
    compiler_pad: str,
    mlp_exactness: float,
) -> Arguments:
    """The arguments as Python's own types. name: what messages begin with. Raises UsageError for impossible ones."""
    try:
        tokens = set(vocab)
    except TypeError as error:  # no collection, or of lists
        raise UsageError(f"{name}: vocab {vocab!r} must be a set of tokens: {error}") from error
    if not tokens:
        raise UsageError(f"{name}: vocab is empty; it must have at least one token")
    if None in tokens:
        raise UsageError(f"{name}: None is in the vocab, but in RASP it stands for no value; use another token")
    for role, token in (("compiler_bos", compiler_bos), ("compiler_pad", compiler_pad)):
        if not isinstance(token, str) or not token:
            raise UsageError(f"{name}: {role} {token!r} must be a nonempty string")
        if token in tokens:
            raise UsageError(f"{name}: {role} {token!r} is in the vocab; it must not be one of its tokens")
    if compiler_bos == compiler_pad:
        raise UsageError(f"{name}: compiler_bos and compiler_pad are both {compiler_bos!r}; they must differ")
    _require_one_order(name, [*tokens, compiler_bos, compiler_pad])
    if not isinstance(max_seq_len, Integral) or isinstance(max_seq_len, bool) or max_seq_len < 1:
        raise UsageError(f"{name}: max_seq_len {max_seq_len!r} must be a number of tokens, 1 or more")
    if not isinstance(causal, (bool, np.bool_)):
        raise UsageError(f"{name}: causal {causal!r} must be True or False")
    if not _is_positive(mlp_exactness):
        raise UsageError(f"{name}: mlp_exactness {mlp_exactness!r} must be a number above 0, such as Tracr's 100")
    return Arguments(tokens, operator.index(max_seq_len), bool(causal), mlp_exactness)


def _is_positive(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return 0 < float(value) < math.inf
    except OverflowError:  # an integer beyond the largest float
        return False


def _require_one_order(name: str, tokens: list[Value]) -> None:
    """Tracr sorts tokens, numbers by value and other pairs by text. If that is no order, it silently miscompiles."""
    from tracr.craft.bases import BasisDirection

    ordered = sorted(BasisDirection("tokens", cast(Any, token)) for token in tokens)
    for first, second in itertools.combinations(ordered, 2):
        if not first < second or second < first:
            raise UsageError(
                f"{name}: Tracr cannot sort the vocab (see {first.value!r} and {second.value!r}): it compares numbers by value, "
                "but a number and a string by their text; use tokens of one type"
            )
