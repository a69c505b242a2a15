"""What all tests share: models that take seconds to compile, what jax has compiled, one thread a process."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from capbench.store import Store

# Of every process that a test starts, too. Processes that share cores lose more to spinning threads than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

JAX = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
jax_cache = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """What jax compiles (25 ms for every operation and shape) is shared by the processes of a session, and only by them."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[jax_cache] = tempfile.mkdtemp(prefix="capbench-jax-")
        os.environ.update(JAX, JAX_COMPILATION_CACHE_DIR=config.stash[jax_cache])
    # One process may see a file that another has not finished. Then it compiles for itself.
    config.addinivalue_line("filterwarnings", "default:Error reading persistent compilation cache")


def pytest_unconfigure(config: pytest.Config) -> None:
    if jax_cache in config.stash:
        del os.environ["JAX_COMPILATION_CACHE_DIR"]
        shutil.rmtree(config.stash[jax_cache], ignore_errors=True)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The models of both tiny Tracr studies, seed 0, and COUNT_A and COUNT_B. Steps made from them can be added."""
    from tiny import built
    from tiny_tracr import COUNT_A, COUNT_B, counter, counter_steps, largest, max_steps

    from capbench.store import Store

    found = Store(tmp_path_factory.mktemp("compiled"))
    untuned = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    built(found, [COUNT_A, COUNT_B, *counter_steps(counter()).values(), *max_steps(largest()).values(), untuned])
    return found
