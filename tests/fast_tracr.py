"""Tracr, without carrying out a model that is about to get other weights: a program compiles three times as fast.

Tracr runs its model once, to learn which weights it has, and jax compiles every operation of that for its shape. Here jax only
works the shapes out, and weights are arrays of numpy. What comes out is the same, bit by bit: test_tracr_compile.py compares
the two, and in test_tracr_names.py another process compiles with Tracr as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from tracr.compiler import assemble

_matrices: dict[str, np.ndarray] = {}  # of the embeddings of the program at hand: weights that are not replaced


def _embed(*, embedding_matrix: np.ndarray, name: str) -> hk.Embed:
    _matrices[name] = np.asarray(embedding_matrix, np.float32)
    return hk.Embed(embedding_matrix=embedding_matrix, name=name)


def _transform(function: Callable[..., Any]) -> hk.Transformed:
    """haiku.transform, but its init gives zeros for all weights except embeddings."""
    whole = hk.without_apply_rng(hk.transform(function))

    def init(*arguments: Any) -> dict[str, dict[str, Any]]:
        shapes = jax.eval_shape(whole.init, *arguments)
        return {
            module: {name: _matrices.get(module, np.zeros(found.shape, found.dtype)) for name, found in weights.items()}
            for module, weights in shapes.items()
        }

    return hk.Transformed(init, whole.apply)


def install() -> None:
    """In this process, from now on."""
    changed = {"transform": _transform, "Embed": _embed, "without_apply_rng": lambda transformed: transformed}
    assemble.hk = SimpleNamespace(**{**vars(hk), **changed})
    assemble.jnp = SimpleNamespace(**{**vars(jnp), "array": np.array})  # else jax compiles a copy for every shape


@contextmanager
def as_it_is() -> Iterator[None]:
    """Within, Tracr does everything itself."""
    before = assemble.hk, assemble.jnp
    assemble.hk, assemble.jnp = hk, jnp
    try:
        yield
    finally:
        assemble.hk, assemble.jnp = before
