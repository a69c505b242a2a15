"""Tracr's compiler, without carrying out a model whose weights it then replaces: more than ten times as fast.

Tracr runs its model once on three tokens, weights drawn at random, to learn which weights it has. Nearly all the time goes into
jax's compiling of every operation of that for its shape. Here jax only works the shapes out, and weights are arrays of numpy.
What comes out is the same, bit by bit.

jax, haiku and tracr are imported when something is compiled, not before.
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
    """tracr.compiler.compiling.compile_rasp_to_model. Not for several threads at a time."""
    from tracr.compiler import compiling

    with _shapes_only():
        return compiling.compile_rasp_to_model(*args, **kwargs)


@contextmanager
def _shapes_only() -> Iterator[None]:
    """Within, the initial weights of a Haiku model that Tracr assembles are zeros, but for its embeddings."""
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
    assemble.jnp = SimpleNamespace(**{**vars(jnp), "array": np.array})  # else jax compiles a copy for every shape
    try:
        yield
    finally:
        assemble.hk, assemble.jnp = before
