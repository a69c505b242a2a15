"""Tracr's compiler without running a model whose weights it then replaces: more than ten times as fast.

Tracr runs its model once on three tokens, with random weights, to learn which weights it has. Nearly all the time goes into jax
compiling each of these operations for its shape. Here jax only infers shapes, and weights are numpy arrays. The result is
bit-identical.

jax, haiku and tracr are imported only to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tracr.compiler.assemble import AssembledTransformerModel


def compile_with_tracr(*args: Any, **kwargs: Any) -> AssembledTransformerModel:
    """tracr.compiler.compiling.compile_rasp_to_model. Not thread-safe."""
    from tracr.compiler import compiling

    with _shapes_only():
        return compiling.compile_rasp_to_model(*args, **kwargs)


@contextmanager
def _shapes_only() -> Iterator[None]:
    """In this block, the initial weights of Haiku models assembled by Tracr are zeros, except embeddings."""
    import haiku as hk
    import jax
    import jax.numpy as jnp
    from tracr.compiler import assemble

    embeddings: dict[str, np.ndarray] = {}  # the weights that Tracr does not replace

    def embed(*, embedding_matrix: np.ndarray, name: str) -> hk.Embed:
        embeddings[name] = np.asarray(embedding_matrix, np.float32)
        return hk.Embed(embedding_matrix=embedding_matrix, name=name)

    def transform(function: Callable[..., Any]) -> hk.Transformed:
        whole: Any = hk.without_apply_rng(hk.transform(function))

        def init(*arguments: Any) -> dict[str, dict[str, np.ndarray]]:
            shapes = jax.eval_shape(whole.init, *arguments)
            return {
                module: {
                    name: embeddings.get(module, np.zeros(found.shape, found.dtype)) for name, found in weights.items()
                }
                for module, weights in shapes.items()
            }

        return hk.Transformed(init, whole.apply)

    changed = {"transform": transform, "Embed": embed, "without_apply_rng": lambda transformed: transformed}
    before = assemble.hk, assemble.jnp
    assemble.hk = SimpleNamespace(**{**vars(hk), **changed})
    assemble.jnp = SimpleNamespace(**{**vars(jnp), "array": np.array})  # otherwise jax compiles a copy for every shape
    try:
        yield
    finally:
        assemble.hk, assemble.jnp = before
